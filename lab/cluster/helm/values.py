"""Chart values: merging, `--set`, and the checks of a values.schema.json."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from lab.cluster.store import clone

Values = dict[str, Any]
_WORDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
}


class ValuesError(Exception):
    """Values that helm refuses; the text is helm's, without the prefix."""


def parse(text: str, source: str) -> Values:
    """Return a values file as a mapping.

    Raises:
        ValuesError: It is not YAML, or not a mapping. The text does not quote the content.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", "not YAML")
        raise ValuesError(
            f"failed to parse {source}: error converting YAML to JSON: yaml:{where} {problem}"
        ) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValuesError(
            f"failed to parse {source}: error unmarshaling JSON: cannot unmarshal "
            f"{type(found).__name__} into Go value of type map[string]interface {{}}"
        )
    return found


def merge(under: Values, over: Mapping[str, Any]) -> Values:
    """Return `over` laid on `under`: maps merge, null removes, all else replaces."""
    result: Values = clone(under)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = clone(value)
    return result


def set_value(values: Values, assignment: str, *, as_text: bool) -> None:
    """Apply one `--set` or `--set-string` argument in place."""
    path, _, text = assignment.partition("=")
    *steps, last = path.split(".")
    for step in steps:
        values = values.setdefault(step, {})
    values[last] = text if as_text else yaml.safe_load(text)


def schema_errors(schema: Values, values: Any, path: str = "(root)") -> list[str]:
    """Return what is wrong, in the words helm prints."""
    wanted = schema.get("type", "object")
    if not _fits(wanted, values):
        return [f"{path}: Invalid type. Expected: {wanted}, given: {_given(values)}"]
    errors = []
    if "enum" in schema and values not in schema["enum"]:
        listed = ", ".join(json.dumps(item) for item in schema["enum"])
        errors.append(f"{path} must be one of the following: {listed}")
    if len(values) < schema.get("minLength", 0) if isinstance(values, str) else False:
        errors.append(f"{path}: String length must be greater than or equal to 1")
    if isinstance(values, dict):
        errors += [
            f"{path}: {n} is required" for n in schema.get("required", ()) if n not in values
        ]
        for name, child in schema.get("properties", {}).items():
            if name in values:
                below = name if path == "(root)" else f"{path}.{name}"
                errors += schema_errors(child, values[name], below)
    return errors


def _fits(wanted: str, value: Any) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    return isinstance(value, _WORDS[wanted])


def _given(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {dict: "object", str: "string", int: "integer", float: "number", list: "array"}
    return names.get(type(value), "null")
