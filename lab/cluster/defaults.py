"""What the API server fills in when an object leaves it out."""

import base64
from collections.abc import Callable
from typing import Any

from lab.cluster.errors import bad_request
from lab.cluster.kinds import Kind, Object


def apply_defaults(kind: Kind, obj: Object) -> None:
    """Fill in the defaults of a built-in kind, in place.

    Raises:
        ApiError: 400 for a field that cannot be decoded.
    """
    if kind.name in _DEFAULTS:
        _DEFAULTS[kind.name](obj)


def _secret(obj: Object) -> None:
    obj["type"] = obj.get("type") or "Opaque"
    data = dict(obj.get("data") or {})
    for key, value in (obj.pop("stringData", None) or {}).items():
        _need_text("stringData", key, value)
        data[key] = base64.b64encode(value.encode()).decode()
    for key, value in data.items():
        _need_text("data", key, value)
        _need_base64(value)
    obj.pop("data", None)
    if data:
        obj["data"] = data


def _need_text(field: str, key: str, value: Any) -> None:
    if not isinstance(value, str):
        raise bad_request(
            'Secret in version "v1" cannot be handled as a Secret: json: cannot unmarshal '
            f"{type(value).__name__} into Go struct field Secret.{field} of type string ({key})"
        )


def _need_base64(value: str) -> None:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        raise bad_request(
            'Secret in version "v1" cannot be handled as a Secret: illegal base64 data'
        ) from None


def _config_map(obj: Object) -> None:
    for key, value in (obj.get("data") or {}).items():
        if not isinstance(value, str):
            raise bad_request(
                'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot '
                f"unmarshal {type(value).__name__} into field data of type string ({key})"
            )


def _namespace(obj: Object) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if "port" in port:
            port.setdefault("targetPort", port["port"])
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _pod(obj: Object) -> None:
    _pod_spec(obj.setdefault("spec", {}))
    obj["spec"].setdefault("serviceAccountName", "default")
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    obj["status"].setdefault("qosClass", "BestEffort")


def _pod_spec(spec: Object) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for container in spec.get("containers") or ():
        image = container.get("image", "")
        latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {"maxSurge": "25%", "maxUnavailable": "25%"})
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    obj.setdefault("status", {})


def _replica_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    obj.setdefault("status", {"replicas": 0})


def _job(obj: Object) -> None:
    metadata, spec = obj["metadata"], obj.setdefault("spec", {})
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("parallelism", 1)
    spec.setdefault("completions", 1)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    template = spec.setdefault("template", {})
    _pod_spec(template.setdefault("spec", {}))
    if not spec.get("manualSelector") and "selector" not in spec:
        labels = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
        labels |= {f"batch.kubernetes.io/{key}": value for key, value in labels.items()}
        own = template.setdefault("metadata", {}).setdefault("labels", {})
        own |= labels
        metadata["labels"] = own | metadata.get("labels", {})
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}
    obj.setdefault("status", {})


def _claim(obj: Object) -> None:
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _definition(obj: Object) -> None:
    names = obj["spec"]["names"]
    names.setdefault("listKind", names["kind"] + "List")
    names.setdefault("singular", names["kind"].lower())
    obj["status"] = {
        "acceptedNames": dict(names),
        "conditions": [
            {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"},
            {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"},
        ],
        "storedVersions": [v["name"] for v in obj["spec"]["versions"] if v.get("storage")],
    }


def _storage_class(obj: Object) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "Secret": _secret,
    "ConfigMap": _config_map,
    "Namespace": _namespace,
    "Service": _service,
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "CustomResourceDefinition": _definition,
    "StorageClass": _storage_class,
}
