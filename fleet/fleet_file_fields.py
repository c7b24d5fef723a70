"""What the models know about their fields: to say which keys there are and where one belongs."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from fleet.fleet_file_yaml import Path

_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|credential|token|connection[_-]?string"
    r"|(private|api|access|account|ssh)[_-]?key",
    re.IGNORECASE,
)


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model of the mapping at a path, or None where keys are free or unknown."""
    found: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, int):
            continue
        field = found.model_fields.get(step) if found else None
        found = _model_in(field.annotation) if field else None
    return found


def description_at(model: type[BaseModel], path: Path) -> str:
    """Return what a field is for, or nothing where it is unknown."""
    holder = model_at(model, path[:-1])
    field = holder.model_fields.get(str(path[-1])) if holder and path else None
    return (field.description or "") if field else ""


def unknown_key_advice(model: type[BaseModel], path: Path) -> str:
    """Return what to say about a key that no model has: the closest key, or where it belongs."""
    key = str(path[-1])
    holder = model_at(model, path[:-1])
    known = list(holder.model_fields) if holder else []
    if _is_secret(key, known):
        return "secrets belong in a block: remove it here and name the block"
    close = get_close_matches(key.replace("-", "_").lower(), known, n=1, cutoff=0.7)
    if close:
        return f'no such key; did you mean "{close[0]}"?'
    homes = [home for home in _homes(model, key) if home]
    if homes:
        return f"no such key here; it belongs under {' or '.join(homes[:2])}"
    return f"no such key; allowed are {', '.join(sorted(known))}"


def secrets_in(data: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of keys whose names say that a secret is in them, in free mappings."""
    if isinstance(data, dict):
        for key, value in data.items():
            secret = _is_free_secret(str(key)) or (*path, key)[-2:] == ("tls", "key")
            if secret and isinstance(value, str | int | float):
                yield (*path, key)
            yield from secrets_in(value, (*path, key))
    elif isinstance(data, list):
        for place, value in enumerate(data):
            yield from secrets_in(value, (*path, place))


def _is_secret(key: str, known: list[str]) -> bool:
    return bool(_SECRET.search(key)) and not get_close_matches(key, known, n=1, cutoff=0.75)


def _is_free_secret(key: str) -> bool:
    """Return whether a key of a free mapping holds a secret, not the name of a Secret."""
    name = re.sub(r"(.)([A-Z][a-z])", r"\1_\2", key).lower()
    refers = name in ("secret", "secrets") or name.endswith(("_name", "-name", "_ref", "_file"))
    if refers or name.startswith("existing"):
        return False
    return name == "tls.key" or bool(_SECRET.search(name))


def _homes(model: type[BaseModel], key: str, at: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name == key:
            yield at
        inner = _model_in(field.annotation)
        if inner:
            yield from _homes(inner, key, f"{at}.{name}".lstrip("."))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found:
            return found
    return None
