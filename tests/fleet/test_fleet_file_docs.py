"""The example and the reference page know every field of the models."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.fleet_file_schema import json_schema
from fleet.names import derive_names
from tests.fleet_file_page import PAGE, page

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deployments" / "fleet.example.yaml"


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `Model.field` with its part of the schema."""
    schema = json_schema()
    models = {"FleetDocument": schema, **schema["$defs"]}
    for model, definition in models.items():
        for key, field in definition.get("properties", {}).items():
            yield f"{model}.{key}", field


FIELDS = dict(fields())


@pytest.mark.parametrize("field", FIELDS)
def test_the_example_shows_every_field(field: str) -> None:
    key = field.partition(".")[2]
    shown_elsewhere = {"audience", "sync_scope_map", "sync_token", "client_scope_map"}
    shown_elsewhere |= {"client_token"}  # an override of one name shows how the others are written
    text = EXAMPLE.read_text(encoding="utf-8")
    assert key in shown_elsewhere or re.search(rf"\b{key}:", text)


@pytest.mark.parametrize("field", FIELDS)
def test_the_reference_explains_every_field(field: str) -> None:
    key, description = field.partition(".")[2], FIELDS[field]["description"]
    rows = PAGE.read_text(encoding="utf-8").replace("\\", "").splitlines()
    assert any(row.startswith(f"| `{key}` | {description}") for row in rows)


def test_the_reference_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.fleet_file_page"


def test_the_names_in_the_reference_are_those_that_sites_get() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in derive_names("northsea", "oslo").model_dump().values():
        assert f"`{name}`" in text
