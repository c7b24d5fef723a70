"""The few things this program reads from Kubernetes objects, as values.

The official client's models refuse fields they do not know, so a newer cluster could stop a run.
These views read plain JSON and take only what a decision needs. Values of Secrets are `SecretStr`.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import Field, SecretStr

from fleet.sites import Strict


class Meta(Strict):
    """Who an object is; `version` goes back with a write so that nobody's change is lost.

    `written` is when it was last written, as its managers noted it; None where none did.
    """

    name: str
    namespace: str = ""
    uid: str = ""
    version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    written: datetime | None = None

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read `metadata` of any object."""
        meta = item.get("metadata") or {}
        times = [entry["time"] for entry in meta.get("managedFields") or [] if entry.get("time")]
        return cls(
            name=meta.get("name", ""),
            namespace=meta.get("namespace", ""),
            uid=meta.get("uid", ""),
            version=str(meta.get("resourceVersion", "")),
            labels=meta.get("labels") or {},
            annotations=meta.get("annotations") or {},
            written=max(map(datetime.fromisoformat, times), default=None),
        )


class SecretView(Strict):
    """A Secret with its decoded values."""

    meta: Meta
    type: str
    data: dict[str, SecretStr]

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a Secret; a value that is not text is left out."""
        texts = {key: _text(value) for key, value in (item.get("data") or {}).items()}
        data = {key: SecretStr(text) for key, text in texts.items() if text is not None}
        return cls(meta=Meta.from_json(item), type=item.get("type", "Opaque"), data=data)


class ServiceAccountView(Strict):
    """A ServiceAccount and the pull secrets it gives to its pods, in order."""

    meta: Meta
    pull_secrets: tuple[str, ...]

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a ServiceAccount."""
        names = [entry.get("name", "") for entry in item.get("imagePullSecrets") or []]
        return cls(meta=Meta.from_json(item), pull_secrets=tuple(names))


class ChartView(Strict):
    """A K3s HelmChart: its spec and what its controller says about it."""

    meta: Meta
    spec: dict[str, Any]
    job_name: str | None = None
    failed: str | None = None

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a HelmChart; `failed` holds the words of its Failed condition."""
        status = item.get("status") or {}
        return cls(
            meta=Meta.from_json(item),
            spec=item.get("spec") or {},
            job_name=status.get("jobName"),
            failed=_condition(status, "Failed"),
        )


class JobView(Strict):
    """A Job: done, given up, or still trying.

    `config_hash` is the release's label of that name: the annotation is `SHA256=<64 digits>`, a
    label holds the first 63 of them (helm-controller v0.17, chart.go).
    """

    meta: Meta
    complete: bool
    failed: str | None
    attempts_failed: int
    config_hash: str | None

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a Job of the helm-controller; its hash is on the pod template."""
        status = item.get("status") or {}
        template = ((item.get("spec") or {}).get("template") or {}).get("metadata") or {}
        mark = (template.get("annotations") or {}).get("helmcharts.helm.cattle.io/configHash")
        return cls(
            meta=Meta.from_json(item),
            complete=_condition(status, "Complete") is not None
            or (status.get("succeeded") or 0) > 0,
            failed=_condition(status, "Failed"),
            attempts_failed=status.get("failed") or 0,
            config_hash=mark.partition("=")[2][:63] if mark else None,
        )


class PodView(Strict):
    """A Pod: whether it is ready and, when not, what its containers say."""

    meta: Meta
    phase: str
    ready: bool
    restarts: int
    reasons: tuple[str, ...]
    messages: tuple[str, ...]

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a Pod; `reasons` are words such as CrashLoopBackOff."""
        status = item.get("status") or {}
        containers = [
            *(status.get("initContainerStatuses") or []),
            *(status.get("containerStatuses") or []),
        ]
        states = [_trouble(container) for container in containers]
        unscheduled = _false_condition(status, "PodScheduled")
        found = [state for state in [*states, unscheduled] if state is not None]
        return cls(
            meta=Meta.from_json(item),
            phase=status.get("phase", "Pending"),
            ready=_condition(status, "Ready") is not None,
            restarts=sum(container.get("restartCount") or 0 for container in containers),
            reasons=tuple(reason for reason, _ in found),
            messages=tuple(message for _, message in found if message),
        )


class DeploymentView(Strict):
    """A Deployment and whether its newest version is the one that runs."""

    meta: Meta
    rolled_out: bool
    ready: int
    wanted: int

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a Deployment the way `kubectl rollout status` does."""
        spec, status = item.get("spec") or {}, item.get("status") or {}
        wanted = spec.get("replicas", 1)
        seen = status.get("observedGeneration") or 0
        current = seen >= ((item.get("metadata") or {}).get("generation") or 0)
        counts = [status.get(key) or 0 for key in ("updatedReplicas", "availableReplicas")]
        return cls(
            meta=Meta.from_json(item),
            rolled_out=current
            and all(count >= wanted for count in counts)
            and (status.get("replicas") or 0) <= wanted,
            ready=status.get("readyReplicas") or 0,
            wanted=wanted,
        )


class ServicePort(Strict):
    """One port of a Service."""

    name: str
    port: int


class ServiceView(Strict):
    """A Service: its address inside the cluster and its ports."""

    meta: Meta
    type: str
    cluster_ip: str | None
    ports: tuple[ServicePort, ...]

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a Service; a headless one has no address."""
        spec = item.get("spec") or {}
        address = spec.get("clusterIP")
        return cls(
            meta=Meta.from_json(item),
            type=spec.get("type", "ClusterIP"),
            cluster_ip=address if address not in ("", "None", None) else None,
            ports=tuple(
                ServicePort(name=port.get("name") or "", port=port["port"])
                for port in spec.get("ports") or []
            ),
        )


class ClaimView(Strict):
    """A PersistentVolumeClaim and whether it has a volume."""

    meta: Meta
    phase: str

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a PersistentVolumeClaim."""
        return cls(
            meta=Meta.from_json(item), phase=(item.get("status") or {}).get("phase", "Pending")
        )


class EventView(Strict):
    """One warning that a controller left about an object."""

    about: str
    reason: str
    message: str

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read an Event."""
        about = item.get("involvedObject") or {}
        return cls(
            about=f"{about.get('kind', '')}/{about.get('name', '')}",
            reason=item.get("reason") or "",
            message=item.get("message") or "",
        )


class NodeState(Strict):
    """A node: Ready or not, and when its kubelet last renewed its Lease (UTC)."""

    name: str
    ready: bool
    heartbeat: datetime | None = None
    addresses: tuple[str, ...] = ()
    version: str = ""

    @classmethod
    def from_json(cls, item: Mapping[str, Any], lease: Mapping[str, Any] | None = None) -> Self:
        """Read a Node together with its Lease in kube-node-lease."""
        renewed = ((lease or {}).get("spec") or {}).get("renewTime")
        status = item.get("status") or {}
        return cls(
            name=Meta.from_json(item).name,
            ready=_condition(status, "Ready") is not None,
            heartbeat=datetime.fromisoformat(renewed) if renewed else None,
            addresses=tuple(entry["address"] for entry in status.get("addresses") or []),
            version=(status.get("nodeInfo") or {}).get("kubeletVersion") or "",
        )


def _condition(status: Mapping[str, Any], kind: str) -> str | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == kind and condition.get("status") == "True":
            return (
                ": ".join(filter(None, (condition.get("reason"), condition.get("message")))) or kind
            )
    return None


def _false_condition(status: Mapping[str, Any], kind: str) -> tuple[str, str] | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == kind and condition.get("status") == "False":
            return condition.get("reason") or kind, condition.get("message") or ""
    return None


_NO_TROUBLE = ("Completed", "ContainerCreating", "PodInitializing")


def _trouble(container: Mapping[str, Any]) -> tuple[str, str] | None:
    state = container.get("state") or {}
    for kind in ("waiting", "terminated"):
        found = state.get(kind) or {}
        if found and found.get("reason") not in _NO_TROUBLE:
            return found.get("reason") or kind, found.get("message") or ""
    return None


def _text(value: str) -> str | None:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
