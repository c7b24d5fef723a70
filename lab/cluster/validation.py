"""What the API server refuses, per kind."""

import base64
import json
import re
from collections.abc import Callable

from lab.cluster.errors import FieldError, required
from lab.cluster.kinds import Kind, Object
from lab.cluster.selection import matches_labels

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_NEEDED_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_LIMIT = 1024 * 1024
_IMMUTABLE = "field is immutable"


def errors_of(kind: Kind, obj: Object) -> list[FieldError]:
    """Return what is wrong with an object of a built-in kind."""
    check = _CHECKS.get(kind.name)
    return check(obj) if check else []


def update_errors(kind: Kind, old: Object, new: Object) -> list[FieldError]:
    """Return what may not change the way it does."""
    check = _UPDATE_CHECKS.get(kind.name)
    return check(old, new) if check else []


def _secret(obj: Object) -> list[FieldError]:
    data = obj.get("data", {})
    errors = _data_errors(data)
    if sum(len(base64.b64decode(value)) for value in data.values()) > _LIMIT:
        text = f"must have at most {_LIMIT} bytes"
        errors.append(FieldError("data", text, None, "FieldValueTooLong"))
    needed = _NEEDED_KEYS.get(obj["type"], ())
    errors += [required(f"data[{key}]") for key in needed if key not in data]
    if obj["type"] == "kubernetes.io/dockerconfigjson" and not errors:
        errors += _docker_config_errors(data[".dockerconfigjson"])
    return errors


def _data_errors(data: Object) -> list[FieldError]:
    text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    return [FieldError(f"data[{key}]", text, f'"{key}"') for key in data if not _KEY.fullmatch(key)]


def _docker_config_errors(value: str) -> list[FieldError]:
    try:
        readable = isinstance(json.loads(base64.b64decode(value)), dict)
    except ValueError:
        readable = False
    if readable:
        return []
    text = "invalid character in the JSON of a docker configuration"
    return [FieldError("data[.dockerconfigjson]", text, '"<secret contents redacted>"')]


def _config_map(obj: Object) -> list[FieldError]:
    return _data_errors(obj.get("data") or {})


def _service(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return []
    ports = spec.get("ports") or []
    if not ports:
        return [required("spec.ports")]
    errors = []
    for index, port in enumerate(ports):
        number = port.get("port", 0)
        if not isinstance(number, int) or not 0 < number < 65536:
            text = "must be between 1 and 65535, inclusive"
            errors.append(FieldError(f"spec.ports[{index}].port", text, str(number)))
        if len(ports) > 1 and not port.get("name"):
            errors.append(required(f"spec.ports[{index}].name"))
    return errors


def _containers(spec: Object, path: str) -> list[FieldError]:
    containers = spec.get("containers") or []
    if not containers:
        return [required(f"{path}.containers")]
    errors = []
    for index, container in enumerate(containers):
        missing = [field for field in ("name", "image") if not container.get(field)]
        errors += [required(f"{path}.containers[{index}].{field}") for field in missing]
    return errors


def _pod(obj: Object) -> list[FieldError]:
    return _containers(obj["spec"], "spec")


def _deployment(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    errors = [] if wanted else [required("spec.selector")]
    labels = spec["template"].get("metadata", {}).get("labels") or {}
    if wanted and not matches_labels(wanted, labels):
        text = "`selector` does not match template `labels`"
        errors.append(FieldError("spec.template.metadata.labels", text, json.dumps(labels)))
    return errors + _containers(spec["template"]["spec"], "spec.template.spec")


def _job(obj: Object) -> list[FieldError]:
    spec = obj["spec"]["template"]["spec"]
    errors = _containers(spec, "spec.template.spec")
    policy = spec["restartPolicy"]
    if policy not in {"OnFailure", "Never"}:
        field = "spec.template.spec.restartPolicy"
        text = 'supported values: "OnFailure", "Never"'
        errors.append(FieldError(field, text, f'"{policy}"', "FieldValueNotSupported"))
    return errors


def _claim(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    errors = [] if spec.get("accessModes") else [required("spec.accessModes")]
    if "storage" not in (spec.get("resources") or {}).get("requests", {}):
        errors.append(required("spec.resources[storage]"))
    return errors


def _binding(obj: Object) -> list[FieldError]:
    role = obj.get("roleRef") or {}
    return [required(f"roleRef.{field}") for field in ("kind", "name") if not role.get(field)]


def _event(obj: Object) -> list[FieldError]:
    involved = (obj.get("involvedObject") or {}).get("namespace")
    if involved and involved != obj["metadata"].get("namespace"):
        text = "does not match event.namespace"
        return [FieldError("involvedObject.namespace", text, f'"{involved}"')]
    return []


def _secret_update(old: Object, new: Object) -> list[FieldError]:
    errors = []
    if old["type"] != new["type"]:
        errors.append(FieldError("type", _IMMUTABLE, f'"{new["type"]}"'))
    return errors + _frozen_errors(old, new)


def _frozen_errors(old: Object, new: Object) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    reason = "FieldValueForbidden"
    text = "field is immutable when `immutable` is set"
    errors = []
    if not new.get("immutable"):
        errors.append(FieldError("immutable", text, None, reason))
    if old.get("data") != new.get("data"):
        errors.append(FieldError("data", text, None, reason))
    return errors


def _same(path: str, *steps: str) -> Callable[[Object, Object], list[FieldError]]:
    def check(old: Object, new: Object) -> list[FieldError]:
        before, after = old, new
        for step in steps:
            before, after = before.get(step) or {}, after.get(step) or {}
        return [] if before == after else [FieldError(path, _IMMUTABLE, json.dumps(after))]

    return check


def _service_update(old: Object, new: Object) -> list[FieldError]:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before and before != after and new["spec"]["type"] != "ExternalName":
        text = "may not change once set"
        return [FieldError("spec.clusterIPs[0]", text, f'[]string{{"{after or ""}"}}')]
    return []


def _claim_update(old: Object, new: Object) -> list[FieldError]:
    before = {key: v for key, v in old["spec"].items() if key not in {"resources", "volumeName"}}
    after = {key: v for key, v in new["spec"].items() if key not in {"resources", "volumeName"}}
    if before == after:
        return []
    text = "spec is immutable after creation except resources.requests for bound claims"
    return [FieldError("spec", text, None, "FieldValueForbidden")]


_CHECKS: dict[str, Callable[[Object], list[FieldError]]] = {
    "Secret": _secret,
    "ConfigMap": _config_map,
    "Service": _service,
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _deployment,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "Event": _event,
}
_UPDATE_CHECKS: dict[str, Callable[[Object, Object], list[FieldError]]] = {
    "Secret": _secret_update,
    "ConfigMap": _frozen_errors,
    "Service": _service_update,
    "Deployment": _same("spec.selector", "spec", "selector"),
    "Job": _same("spec.template", "spec", "template"),
    "PersistentVolumeClaim": _claim_update,
    "RoleBinding": _same("roleRef", "roleRef"),
    "ClusterRoleBinding": _same("roleRef", "roleRef"),
}
