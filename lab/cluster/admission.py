"""What the API server's admission plugins do to objects that are about to be created."""

from typing import TYPE_CHECKING

from lab.cluster import errors
from lab.cluster.kinds import Kind, Object

if TYPE_CHECKING:
    from lab.cluster.object_api import ObjectApi

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def refuse_in_ending_namespace(
    api: "ObjectApi", kind: Kind, namespace: str | None, name: str
) -> None:
    """Refuse to create something in a namespace that is not there or on its way out.

    Raises:
        ApiError: 404 or 403.
    """
    place = api.read(api.kinds.named("Namespace"), None, namespace or "")
    if place["status"].get("phase") == "Terminating":
        why = (
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise errors.forbidden(kind, name, why, causes=[cause])


def admit(api: "ObjectApi", kind: Kind, obj: Object) -> None:
    """Complete an object from others, in place: pods from their ServiceAccount, claims' class.

    Raises:
        ApiError: 403 when a pod's ServiceAccount is not there.
    """
    if kind.name == "Pod":
        _admit_pod(api, kind, obj)
    elif kind.name == "PersistentVolumeClaim":
        _admit_claim(api, obj)


def _admit_pod(api: "ObjectApi", kind: Kind, pod: Object) -> None:
    namespace, spec = pod["metadata"]["namespace"], pod["spec"]
    name = spec["serviceAccountName"]
    account = api.store.find(api.kinds.named("ServiceAccount"), namespace, name)
    if account is None:
        why = (
            f"error looking up service account {namespace}/{name}: "
            f'serviceaccount "{name}" not found'
        )
        raise errors.forbidden(kind, pod["metadata"]["name"], why)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(item) for item in account["imagePullSecrets"]]


def _admit_claim(api: "ObjectApi", claim: Object) -> None:
    if "storageClassName" in claim["spec"]:
        return
    for storage_class in api.store.each(api.kinds.named("StorageClass")):
        annotations = storage_class["metadata"].get("annotations") or {}
        if annotations.get(_DEFAULT_CLASS) == "true":
            claim["spec"]["storageClassName"] = storage_class["metadata"]["name"]
