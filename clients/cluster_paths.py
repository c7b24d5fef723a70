"""Paths and selectors of the Kubernetes API."""

from collections.abc import Mapping
from urllib.parse import quote

CORE = "/api/v1"
COORDINATION = "/apis/coordination.k8s.io/v1"


def lease_path(namespace: str, name: str) -> str:
    """Return the path of a Lease."""
    return f"{COORDINATION}/namespaces/{quote(namespace)}/leases/{quote(name)}"


def core_path(namespace: str, kind: str, name: str | None = None) -> str:
    """Return the path of a kind of the core API in a namespace, or of one object of it."""
    path = f"{CORE}/namespaces/{quote(namespace)}/{kind}"
    return f"{path}/{quote(name)}" if name is not None else path


def label_selector(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Return the query that selects what carries all the labels; none: everything."""
    if not labels:
        return {}
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
