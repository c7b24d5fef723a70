"""Say what pydantic found in words: `field is value: what is allowed; what to do`."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fleet.fleet_file_fields import description_at, secrets_in, unknown_key_advice
from fleet.fleet_file_merge import Merged
from fleet.fleet_file_yaml import Document, Path, Problem

_SHOWN = 60
_TYPED = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?|true|false|null", re.IGNORECASE)
_TEXT = "allowed is text; put the value in quotes"
_LIST = 'allowed is a list; write it as [a, b] or as lines that start with "- "'
_MAPPING = 'allowed is a mapping; write "key: value" lines under it'
_TYPES = {
    "string_type": _TEXT,
    "int_type": "allowed are whole numbers; write it without quotes and fraction",
    "bool_type": "allowed are true and false; write one of them without quotes",
    "tuple_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "too_short": "allowed is one or more; add one",
    "string_too_short": "write a value or remove the line",
}
_WITH_CONTEXT: dict[str, Callable[[dict[str, Any]], str]] = {
    "rule": lambda context: str(context["message"]),
    "combination": lambda context: str(context["message"]),
    "greater_than_equal": lambda context: f"allowed is {context['ge']} or more; raise it",
    "less_than_equal": lambda context: f"allowed is {context['le']} or less; lower it",
}


def problems_of(
    error: ValidationError, model: type[BaseModel], merged: Merged, *, partial: bool = False
) -> list[Problem]:
    """Return a problem for each error that pydantic found in a part of the document.

    Args:
        error: What pydantic raised.
        model: The model it checked with; it knows the keys.
        merged: The checked data with the places from where it came.
        partial: The part needs no completeness: leave out what is missing or fits badly together.
    """
    ignored = ("missing", "combination") if partial else ()
    details = [found for found in error.errors() if found["type"] not in ignored]
    return [_problem(found, model, merged) for found in details if not _is_echo(found)]


def secret_problems(merged: Merged) -> list[Problem]:
    """Return a problem for each secret in a site's free mappings; elsewhere they are unknown keys.

    The chart's connection string is left to the chart's own rule, which says more about it.
    """
    problems = []
    for names in (("labels",), ("chart", "extra_values")):
        value = merged.data
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        for path in secrets_in(value, names):
            shown = show_path(merged.document, merged.origin(path))
            advice = "secrets belong in a block; remove it and name the block"
            if path != ("chart", "extra_values", "connectionString"):
                problems.append(Problem(merged.line(path), f"{shown}: {advice}"))
    return problems


def show_path(document: Document, path: Path) -> str:
    """Return a path as operators read it: `sites[oslo].nodes[10.1.2.3].port`."""
    shown = ""
    for length, step in enumerate(path, 1):
        if isinstance(step, int):
            shown += f"[{_name_of(document, path[:length])}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", step):
            shown += f".{step}"
        else:
            shown += f'["{step}"]'
    return shown.lstrip(".") or "the file"


def show_value(document: Document, path: Path, value: Any) -> str:
    """Return ` is VALUE` as it is written, or nothing for what is not a single value."""
    written = document.text(path)
    if isinstance(value, dict | list | tuple):
        return ""
    text = str(value) if written is None else written
    if value is None and written is None:
        return " is missing"
    if value is None or not text.strip():
        return " is empty"
    if "-----BEGIN" in text:
        return " is a key or certificate"
    if isinstance(value, str) and (text != text.strip() or _TYPED.fullmatch(text)):
        text = f'"{text}"'
    line = " ".join(text.split())
    return f" is {line if len(line) <= _SHOWN else line[:_SHOWN] + '…'}"


def _is_echo(found: ErrorDetails) -> bool:
    """Return whether an error only follows from another one: pydantic counts valid items only."""
    follows = found["type"] == "default_factory_not_called"
    return follows or (found["type"] == "too_short" and len(found["input"]) > 0)


def _problem(found: ErrorDetails, model: type[BaseModel], merged: Merged) -> Problem:
    path = tuple(step for step in found["loc"] if step != "[key]")
    together = found["type"] == "combination"
    origin = merged.reported(path) if together else merged.origin(path)
    sentence = show_path(merged.document, origin) + _words(found, model, merged, path)
    return Problem(merged.line(path), sentence)


def _words(found: ErrorDetails, model: type[BaseModel], merged: Merged, path: Path) -> str:
    kind = found["type"]
    if kind == "missing":
        description = description_at(model, path)
        return f" is missing{f' ({description})' if description else ''}; add it"
    if kind == "extra_forbidden":
        return f": {unknown_key_advice(model, path)}"
    value = show_value(merged.document, merged.origin(path), found["input"])
    if "[key]" in found["loc"]:
        value = ""
    elif kind in _TYPES and isinstance(found["input"], dict | list):
        value = _what(found["input"])
    return f"{value}: {_reason(found)}"


def _what(value: dict[str, Any] | list[Any]) -> str:
    kind = "mapping" if isinstance(value, dict) else "list"
    return f" is a {kind}" if value else f" is an empty {kind}"


def _reason(found: ErrorDetails) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind in _TYPES:
        return "write a value or remove the line" if found["input"] is None else _TYPES[kind]
    if kind in _WITH_CONTEXT:
        return _WITH_CONTEXT[kind](context)
    if kind in ("enum", "literal_error"):
        return _choice(found["input"], str(context["expected"]))
    return found["msg"]


def _choice(value: Any, expected: str) -> str:
    choices = re.findall(r"'([^']*)'", expected) or [expected]
    folded = {choice.lower(): choice for choice in choices}
    if len(choices) == 1:
        return f"allowed is {choices[0]}; write that"
    close = get_close_matches(str(value).lower(), list(folded), n=1)
    advice = f"write {folded[close[0]]}" if close else "choose one"
    return f"allowed are {', '.join(choices)}; {advice}"


def _name_of(document: Document, path: Path) -> str:
    for key in ("name", "address"):
        text = document.text((*path, key))
        if text:
            return text
    return str(path[-1])
