"""The schema agrees with the parser about the example, and refuses what an editor can see."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fleet.fleet_file_schema import json_schema

EXAMPLE = Path(__file__).parents[2] / "deployments" / "fleet.example.yaml"


def example() -> Any:
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


def errors_in(data: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.json_path for error in validator.iter_errors(data)]


def test_the_schema_is_a_schema_and_json() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json.loads(json.dumps(json_schema())) == json_schema()


def test_the_example_satisfies_the_schema() -> None:
    assert errors_in(example()) == []


def test_every_field_is_described() -> None:
    undescribed = [
        f"{name}.{key}"
        for name, definition in json_schema()["$defs"].items()
        for key, field in definition.get("properties", {}).items()
        if not field.get("description")
    ]
    assert undescribed == []


def test_defaults_and_overrides_may_be_partial() -> None:
    data = example()
    data["defaults"]["chart"] = {"http_enabled": False}
    data["sites"][0]["chart"] = {"version": "0.4.0"}
    data["sites"][0]["repositories"] = {"exclude": ["a"]}
    assert errors_in(data) == []


def test_a_registry_may_come_from_a_block_and_a_cloud_may_be_custom() -> None:
    data = example()
    data["registries"]["far"] = {"settings_block": "far"}
    data["registries"]["northsea"]["cloud"] = {
        "name": "custom",
        "authority": "https://login.example",
        "resource_manager": "https://arm.example",
    }
    assert errors_in(data) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("colour",), "red"),
        (("fleet",), "north sea"),
        (("registries", "northsea", "subscription_id"), "northsea"),
        (("registries", "northsea", "cloud"), "pubic"),
        (("defaults", "name"), "oslo"),
        (("defaults", "connected_registry", "mode"), "readonly"),
        (("defaults", "connected_registry", "sync", "message_ttl"), 2),
        (("defaults", "patience", "online"), "soon"),
        (("sites", 0, "nodes", 0, "port"), "22"),
        (("sites", 0, "names"), {"connected_registry": "Oslo-1"}),
    ],
)
def test_what_an_editor_can_see_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    data = example()
    holder = data
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    assert errors_in(data)
