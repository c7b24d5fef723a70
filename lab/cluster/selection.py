"""Label and field selectors, as lists and watches take them."""

import re
from collections.abc import Callable
from typing import Any

from lab.cluster.errors import bad_request
from lab.cluster.kinds import Kind, Object

Test = Callable[[Object], bool]

_SET = re.compile(r"^([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)$")
_COMPARE = re.compile(r"^([^\s!=,()]+)\s*(!=|==|=)\s*([^\s!=,()]*)$")
_FIELDS = {
    "Secret": {"type"},
    "Namespace": {"status.phase"},
    "Node": {"spec.unschedulable"},
    "Pod": {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    },
    "Event": {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    },
    "Job": {"status.successful"},
    "ReplicaSet": {"status.replicas"},
}


def matches_labels(selector: dict[str, str], labels: dict[str, str] | None) -> bool:
    """Return whether labels hold everything an equality selector asks for."""
    labels = labels or {}
    return all(labels.get(key) == value for key, value in selector.items())


def selection(kind: Kind, labels: str | None, fields: str | None) -> Test:
    """Return the test of both selectors.

    Raises:
        ApiError: 400 for a selector that cannot be read or a field that cannot be selected by.
    """
    tests = [_label_test(part) for part in _split(labels or "")]
    tests += [_field_test(kind, part) for part in _split(fields or "")]
    return lambda obj: all(test(obj) for test in tests)


def _split(text: str) -> list[str]:
    parts = re.split(r",(?![^(]*\))", text)
    return [part.strip() for part in parts if part.strip()]


def _labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _label_test(part: str) -> Test:
    if found := _SET.match(part):
        key, word, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if word == "in":
            return lambda obj: _labels(obj).get(key) in values
        return lambda obj: _labels(obj).get(key) not in values
    if found := _COMPARE.match(part):
        key, sign, value = found.groups()
        if sign == "!=":
            return lambda obj: _labels(obj).get(key) != value
        return lambda obj: _labels(obj).get(key) == value
    if re.fullmatch(r"!\s*[^\s!=,()]+", part):
        return lambda obj: part[1:].strip() not in _labels(obj)
    if re.fullmatch(r"[^\s!=,()]+", part):
        return lambda obj: part in _labels(obj)
    raise bad_request(f'unable to parse requirement: found "{part}"')


def _field_test(kind: Kind, part: str) -> Test:
    found = _COMPARE.match(part)
    if not found:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    path, sign, value = found.groups()
    if path not in {"metadata.name", "metadata.namespace"} | _FIELDS.get(kind.name, set()):
        raise bad_request(f'field label not supported: "{path}"')
    return lambda obj: (_text(_at(obj, path)) == value) == (sign != "!=")


def _at(obj: Any, path: str) -> Any:
    for step in path.split("."):
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
