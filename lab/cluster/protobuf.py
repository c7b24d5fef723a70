r"""Bodies in Kubernetes' protobuf encoding, which helm and kubectl send for some built-in kinds.

A body is the four bytes `k8s\0` and a `runtime.Unknown`: type and the object itself. The field
numbers are those of Kubernetes' generated.proto files (apimachinery meta/v1, api core/v1). Only
what the official command lines send this way is known; the rest is refused, never guessed.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab.cluster.kinds import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Value = int | bytes


class ProtobufError(Exception):
    """A body that this reader does not understand; the text says where."""


@dataclass(frozen=True)
class _Field:
    """One field of a message: its JSON name and how its value is read."""

    name: str
    kind: str
    message: str = ""


_MESSAGES: dict[str, dict[int, _Field]] = {
    "Unknown": {
        1: _Field("type", "message", "TypeMeta"),
        2: _Field("raw", "raw"),
        3: _Field("contentEncoding", "left out"),
        4: _Field("contentType", "left out"),
    },
    "TypeMeta": {1: _Field("apiVersion", "text"), 2: _Field("kind", "text")},
    "ObjectMeta": {
        1: _Field("name", "text"),
        2: _Field("generateName", "text"),
        3: _Field("namespace", "text"),
        4: _Field("selfLink", "text"),
        5: _Field("uid", "text"),
        6: _Field("resourceVersion", "text"),
        7: _Field("generation", "number"),
        8: _Field("creationTimestamp", "left out"),
        9: _Field("deletionTimestamp", "left out"),
        10: _Field("deletionGracePeriodSeconds", "number"),
        11: _Field("labels", "texts by key"),
        12: _Field("annotations", "texts by key"),
        13: _Field("ownerReferences", "messages", "OwnerReference"),
        14: _Field("finalizers", "texts"),
        17: _Field("managedFields", "left out"),
    },
    "OwnerReference": {
        1: _Field("kind", "text"),
        3: _Field("name", "text"),
        4: _Field("uid", "text"),
        5: _Field("apiVersion", "text"),
        6: _Field("controller", "flag"),
        7: _Field("blockOwnerDeletion", "flag"),
    },
    "Secret": {
        1: _Field("metadata", "message", "ObjectMeta"),
        2: _Field("data", "bytes by key"),
        3: _Field("type", "text"),
        4: _Field("stringData", "texts by key"),
        5: _Field("immutable", "flag"),
    },
    "ConfigMap": {
        1: _Field("metadata", "message", "ObjectMeta"),
        2: _Field("data", "texts by key"),
        3: _Field("binaryData", "bytes by key"),
        4: _Field("immutable", "flag"),
    },
    "Namespace": {
        1: _Field("metadata", "message", "ObjectMeta"),
        2: _Field("spec", "message", "NamespaceSpec"),
        3: _Field("status", "left out"),
    },
    "NamespaceSpec": {1: _Field("finalizers", "texts")},
    "DeleteOptions": {
        1: _Field("gracePeriodSeconds", "number"),
        2: _Field("preconditions", "message", "Preconditions"),
        3: _Field("orphanDependents", "flag"),
        4: _Field("propagationPolicy", "text"),
        5: _Field("dryRun", "texts"),
    },
    "Preconditions": {1: _Field("uid", "text"), 2: _Field("resourceVersion", "text")},
}
_LISTS = ("texts", "messages")


def decode(body: bytes) -> Object:
    """Return the object in a body, as its JSON would be.

    Raises:
        ProtobufError: No Kubernetes protobuf, or a kind or field that is not known here.
    """
    if not body.startswith(_MAGIC):
        raise ProtobufError("the body does not start with k8s\\0")
    envelope = _message(body[len(_MAGIC) :], "Unknown")
    kind = envelope.get("type", {}).get("kind", "")
    if kind not in _MESSAGES:
        raise ProtobufError(f"the lab's cluster does not read {kind or 'untyped'} as protobuf")
    return {**envelope["type"], **_message(envelope.get("raw", b""), kind)}


def _message(data: bytes, name: str) -> Object:
    fields, found = _MESSAGES[name], Object()
    for number, value in _parts(data):
        field = fields.get(number)
        if field is None:
            raise ProtobufError(f"field {number} of {name} is not known to the lab's cluster")
        _add(found, field, value)
    return found


def _add(found: Object, field: _Field, value: Value) -> None:
    if field.kind.endswith("by key"):
        key, content = _entry(_octets(value))
        text = field.kind.startswith("texts")
        found.setdefault(field.name, {})[key] = content.decode() if text else _base64(content)
    elif field.kind in _LISTS:
        found.setdefault(field.name, []).append(_single(field, value))
    elif field.kind != "left out":
        read = _single(field, value)
        if read != "":
            found[field.name] = read


def _single(field: _Field, value: Value) -> Any:
    if field.kind == "number":
        return value
    if field.kind == "flag":
        return bool(value)
    if field.kind.startswith("message"):
        return _message(_octets(value), field.message)
    return _octets(value) if field.kind == "raw" else _octets(value).decode()


def _entry(data: bytes) -> tuple[str, bytes]:
    parts = dict(_parts(data))
    return _octets(parts.get(1, b"")).decode(), _octets(parts.get(2, b""))


def _parts(data: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire not in (_FIXED64, _BYTES, _FIXED32):
            raise ProtobufError(f"wire type {wire} is not known")
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if size is None:
            size, at = _varint(data, at)
        if at + size > len(data):
            raise ProtobufError("the body ends too early")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ProtobufError("the body ends too early")


def _octets(value: Value) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("a number where bytes are expected")
    return value


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
