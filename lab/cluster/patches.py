"""JSON patch, merge patch and strategic merge patch."""

import json
from typing import Any

from lab.cluster.errors import ApiError, bad_request, not_supported, unsupported_media
from lab.cluster.kinds import Kind, Object
from lab.cluster.store import clone

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = ("application/apply-patch+yaml", "application/apply-patch+cbor")

_MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_MERGED_PRIMITIVES = {"finalizers", "podCIDRs"}


def check_type(kind: Kind, content_type: str) -> None:
    """Refuse patches that a kind does not take.

    Raises:
        ApiError: 415, or 501 for server-side apply.
    """
    if content_type in APPLY:
        raise not_supported("server-side apply (PATCH application/apply-patch+yaml)")
    accepted = [JSON, MERGE] if kind.custom else [JSON, MERGE, STRATEGIC]
    if content_type not in accepted:
        listed = ", ".join([*accepted, APPLY[0]])
        raise unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: "
            + listed
        )


def patched(kind: Kind, obj: Object, content_type: str, body: bytes) -> Object:
    """Return the object with the patch applied; its type must have been checked.

    Raises:
        ApiError: 400 for a body that cannot be read, 422 for operations that do not fit the object.
    """
    patch = _parse(body)
    if content_type == JSON:
        return json_patched(obj, patch)
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal the patch: expected an object")
    if content_type == MERGE:
        merged: Object = merged_with(obj, patch)
        return merged
    return strategic(kind, obj, patch, ())


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from None


def merged_with(target: Any, patch: Any) -> Any:
    """Return a merge patch applied (RFC 7386): null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged_with(result.get(key), value)
    return result


def merge_key(kind: Kind, path: tuple[str, ...]) -> str | None:
    """Return the key by which a list of objects merges, or None when it is replaced."""
    field = path[-1]
    if field == "ports":
        return {"containers": "containerPort", "spec": "port"}.get(path[-2] if path[1:] else "")
    if field == "imagePullSecrets":
        return None if kind.name == "ServiceAccount" else "name"
    if field == "secrets":
        return "name" if kind.name == "ServiceAccount" else None
    if field == "addresses":
        return "type" if kind.name == "Node" else None
    return _MERGE_KEYS.get(field)


def strategic(kind: Kind, target: Any, patch: Object, path: tuple[str, ...]) -> Object:
    """Return a strategic merge patch applied, with the merge keys of the built-in kinds."""
    if patch.get("$patch") == "replace":
        return {key: clone(value) for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [item for item in result.get(field) or [] if item not in value]
        elif not key.startswith("$"):
            _set_strategic(kind, result, key, value, path)
    return result


def _set_strategic(kind: Kind, result: Object, key: str, value: Any, path: tuple[str, ...]) -> None:
    where = (*path, key)
    if value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
        result.pop(key, None)
    elif isinstance(value, dict):
        result[key] = strategic(kind, result.get(key), value, where)
    elif isinstance(value, list):
        result[key] = _merged_list(kind, result.get(key) or [], value, where)
    else:
        result[key] = value


def _merged_list(
    kind: Kind, current: list[Any], patch: list[Any], path: tuple[str, ...]
) -> list[Any]:
    if path[-1] in _MERGED_PRIMITIVES:
        return current + [item for item in patch if item not in current]
    key = merge_key(kind, path)
    if key is None or not all(isinstance(item, dict) for item in patch):
        return [clone(item) for item in patch]
    if any(item.get("$patch") == "replace" for item in patch):
        return [clone(item) for item in patch if "$patch" not in item]
    result = list(current)
    for item in patch:
        _merge_item(kind, result, item, key, path)
    return result


def _merge_item(
    kind: Kind, result: list[Any], item: Object, key: str, path: tuple[str, ...]
) -> None:
    if key not in item:
        raise bad_request(f"map: {json.dumps(item)} does not contain declared merge key: {key}")
    places = [index for index, have in enumerate(result) if have.get(key) == item[key]]
    if item.get("$patch") == "delete":
        for index in reversed(places):
            del result[index]
    elif places:
        result[places[0]] = strategic(kind, result[places[0]], item, path)
    else:
        result.append(strategic(kind, {}, item, path))


def json_patched(obj: Object, operations: Any) -> Object:
    """Return a JSON patch (RFC 6902) applied."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    document: Any = clone(obj)
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ApiError(
                422, "Invalid", f"the server rejected our request: {operation} ({error})", {}
            ) from None
    if not isinstance(document, dict):
        raise bad_request("the patched document is not an object")
    return document


def _operate(document: Any, operation: Object) -> Any:
    name, steps = operation["op"], _steps(operation["path"])
    if name in {"move", "copy"}:
        source = _steps(operation["from"])
        value = clone(_look(document, source))
        if name == "move":
            document = _remove(document, source)
        return _add(document, steps, value)
    if name == "add":
        return _add(document, steps, clone(operation["value"]))
    if name == "remove":
        return _remove(document, steps)
    if name == "replace":
        _look(document, steps)
        return _add(_remove(document, steps) if steps else None, steps, clone(operation["value"]))
    if name == "test":
        if _look(document, steps) != operation["value"]:
            raise ValueError("test failed")
        return document
    raise ValueError(f"unexpected kind: {name}")


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"a path starts with /: {pointer}")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _look(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _add(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    parent = _look(document, steps[:-1])
    if isinstance(parent, list):
        place = len(parent) if steps[-1] == "-" else int(steps[-1])
        if not 0 <= place <= len(parent):
            raise IndexError(f"no place {place}")
        parent.insert(place, value)
    else:
        parent[steps[-1]] = value
    return document


def _remove(document: Any, steps: list[str]) -> Any:
    parent = _look(document, steps[:-1])
    del parent[int(steps[-1]) if isinstance(parent, list) else steps[-1]]
    return document
