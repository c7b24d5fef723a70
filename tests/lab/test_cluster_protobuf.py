import pytest

from lab.cluster.protobuf import ProtobufError, decode


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3, value])


def _body(kind: str, raw: bytes) -> bytes:
    type_meta = _field(1, b"v1") + _field(2, kind.encode())
    return b"k8s\0" + _field(1, type_meta) + _field(2, raw) + _field(3, b"") + _field(4, b"")


def test_a_secret_is_read_as_its_json_would_be() -> None:
    label = _field(1, b"owner") + _field(2, b"helm")
    metadata = _field(1, b"one") + _field(2, b"") + _field(8, b"") + _field(11, label)
    entry = _field(1, b"release") + _field(2, b"\xff\x00")
    raw = _field(1, metadata) + _field(2, entry) + _field(3, b"Opaque") + _number(5, 1)
    assert decode(_body("Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "one", "labels": {"owner": "helm"}},
        "data": {"release": "/wA="},
        "type": "Opaque",
        "immutable": True,
    }


def test_owners_and_delete_options_are_read() -> None:
    owner = _field(1, b"Job") + _field(4, b"u-1") + _number(6, 1)
    metadata = _field(1, b"one") + _field(13, owner) + _field(14, b"a") + _field(14, b"b")
    found = decode(_body("ConfigMap", _field(1, metadata)))["metadata"]
    assert found["ownerReferences"] == [{"kind": "Job", "uid": "u-1", "controller": True}]
    assert found["finalizers"] == ["a", "b"]
    raw = _number(1, 30) + _field(2, _field(1, b"u-1")) + _field(4, b"Background")
    options = decode(_body("DeleteOptions", raw))
    assert options["gracePeriodSeconds"] == 30
    assert options["preconditions"] == {"uid": "u-1"}
    assert options["propagationPolicy"] == "Background"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "does not start with"),
        (_body("Pod", b""), "does not read Pod as protobuf"),
        (_body("", b""), "does not read untyped"),
        (_body("Secret", _field(9, b"")), "field 9 of Secret"),
        (_body("Secret", _field(1, b"")[:1] + b"\x7f"), "ends too early"),
        (_body("Secret", b"\x80"), "ends too early"),
        (_body("Secret", b"\x0b"), "wire type 3"),
        (_body("Secret", _number(1, 1)), "a number where bytes are expected"),
    ],
)
def test_what_is_not_known_is_refused_and_never_guessed(body: bytes, why: str) -> None:
    with pytest.raises(ProtobufError, match=why):
        decode(body)
