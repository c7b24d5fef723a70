"""Write the tables of docs/reference/fleet-file.md from the models; a test compares them."""

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fleet.azure_settings import RegistryBlockEntry
from fleet.fleet_file_models import FleetDocument

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "fleet-file.md"
MARK = "do not edit below. -->\n"


def page() -> str:
    """Return the page with the tables made anew."""
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return head + MARK + "".join(_tables(FleetDocument, "", set()))


def _tables(model: type[BaseModel], at: str, seen: set[type[BaseModel]]) -> list[str]:
    seen.add(model)
    title = f"`{at}`" if at else "The top of the file"
    title += ", from a block" if model is RegistryBlockEntry else ""
    rows = [_row(name, field) for name, field in _fields(model).items()]
    made = [f"\n### {title}\n\n| field | what it is | default |\n| --- | --- | --- |\n", *rows]
    for name, field in model.model_fields.items():
        if name == "defaults":  # a site without its name
            continue
        for inner in _models_in(field.annotation):
            if inner not in seen:
                made += _tables(inner, f"{at}.{name}{_element(field)}".lstrip("."), seen)
    return made


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a model's fields, a name first: that is where files have it."""
    return dict(sorted(model.model_fields.items(), key=lambda item: item[0] != "name"))


def _row(name: str, field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    allowed = f" ({', '.join(f'`{choice}`' for choice in choices)})" if len(choices) > 1 else ""
    return f"| `{name}` | {described(field)}{allowed} | {_default(field)} |\n"


def described(field: FieldInfo) -> str:
    """Return a field's description as it may stand in a Markdown table."""
    return (field.description or "").replace("|", "\\|").replace("*", "\\*")


def _choices(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return [str(value) for value in get_args(annotation) if isinstance(value, str)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if isinstance(field.default, BaseModel):
        return "see below"
    if field.default_factory is not None:
        return "the address" if field.annotation is str else "none"
    return "none" if field.default in (None, ()) else f"`{_written(field.default)}`"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value.value if isinstance(value, Enum) else value)


def _duration(value: timedelta) -> str:
    minutes = int(value.total_seconds() // 60)
    return f"{value.days}d" if value.days else f"{minutes}m"


def _element(field: FieldInfo) -> str:
    shape = str(field.annotation)
    if shape.startswith("dict"):
        return ".KEY"
    return "[]" if shape.startswith("tuple") else ""


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
