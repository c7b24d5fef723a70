"""Structural schemas of custom resources: pruning, defaults, validation."""

import json
from typing import Any

from lab.cluster.errors import FieldError, required
from lab.cluster.kinds import Object
from lab.cluster.store import clone

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}


def conform(schema: Object, obj: Object) -> list[FieldError]:
    """Drop unknown fields, fill in defaults in place, and return what is wrong.

    `apiVersion`, `kind` and `metadata` are none of the schema's business.
    """
    errors: list[FieldError] = []
    properties = schema.get("properties", {})
    keep = schema.get("x-kubernetes-preserve-unknown-fields") or not properties
    for key in [key for key in obj if key not in {"apiVersion", "kind", "metadata"}]:
        if key in properties:
            _conform(properties[key], obj, key, key, errors)
        elif not keep:
            del obj[key]
    return errors


def _conform(schema: Object, parent: Any, key: Any, path: str, errors: list[FieldError]) -> None:
    value = parent[key]
    if value is None and not schema.get("nullable"):
        del parent[key]
        return
    wrong = _type_error(schema, value, path)
    if wrong:
        errors.append(wrong)
        return
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        listed = ", ".join(json.dumps(item) for item in allowed)
        errors.append(
            FieldError(path, f"supported values: {listed}", f'"{value}"', "FieldValueNotSupported")
        )
    if isinstance(value, dict):
        _conform_object(schema, value, path, errors)
    elif isinstance(value, list) and "items" in schema:
        for index in range(len(value)):
            _conform(schema["items"], value, index, f"{path}[{index}]", errors)


def _conform_object(schema: Object, value: Object, path: str, errors: list[FieldError]) -> None:
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    keep = schema.get("x-kubernetes-preserve-unknown-fields")
    for name, child in properties.items():
        if name not in value and "default" in child:
            value[name] = clone(child["default"])
    for name in list(value):
        if name in properties:
            _conform(properties[name], value, name, f"{path}.{name}", errors)
        elif isinstance(extra, dict):
            _conform(extra, value, name, f"{path}.{name}", errors)
        elif not keep and not extra:
            del value[name]
    errors += [required(f"{path}.{n}") for n in schema.get("required", ()) if n not in value]


def _type_error(schema: Object, value: Any, path: str) -> FieldError | None:
    if schema.get("x-kubernetes-int-or-string"):
        wanted, fits = "integer or string", isinstance(value, (int, str))
    else:
        wanted = schema.get("type", "")
        fits = not wanted or isinstance(value, _TYPES[wanted])
        fits = fits and not (isinstance(value, bool) and wanted in {"integer", "number"})
    if fits:
        return None
    have = next(n for n in ("boolean", *_TYPES) if isinstance(value, _TYPES[n]))
    text = f'{path} in body must be of type {wanted}: "{have}"'
    return FieldError(path, text, f'"{have}"')
