"""The JSON Schema of the fleet file, for editors.

It comes from the models that check the file. What a site needs may come from the defaults, so the
schema demands nothing of a site but its name; `acrfleet validate` knows the rest.
"""

from typing import Any

from fleet.fleet_file_models import FleetDocument

_ALWAYS_NEEDED = {"FleetDocument", "SiteEntry", "Node", "Jump", "RegistryEntry"} | {
    "RegistryBlockEntry"
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) that editors check and complete fleet files with."""
    schema = FleetDocument.model_json_schema(by_alias=False)
    for name, definition in schema["$defs"].items():
        _relax(name, definition)
    cloud = schema["$defs"]["RegistryEntry"]["properties"]["cloud"]
    names = schema["$defs"]["Cloud"]["properties"]["name"]["enum"]
    short = [name for name in names if name != "custom"]
    cloud["anyOf"] = [{"enum": short}, {"$ref": cloud.pop("$ref")}]
    _drop_titles(schema)
    return {"$schema": _DIALECT, "title": "acrfleet fleet file", **schema}


def _relax(name: str, definition: dict[str, Any]) -> None:
    if name == "SiteEntry":
        definition["required"] = ["name"]
    elif name not in _ALWAYS_NEEDED:
        definition.pop("required", None)


def _drop_titles(node: Any) -> None:
    """Drop pydantic's titles: they repeat the keys. A property called title would be a mapping."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for value in node.values():
            _drop_titles(value)
    elif isinstance(node, list):
        for value in node:
            _drop_titles(value)
