"""Scope maps."""

from typing import Any

from lab.azure.calls import Answer, Call, page
from lab.azure.errors import not_found, refused
from lab.azure.naming import check_name, missing_property
from lab.azure.operations import answer_written, done, written
from lab.azure.rendering import scope_map_json
from lab.azure.rules import REPOSITORY_ACTIONS, check_actions
from lab.azure.state import Registry, ScopeMap

_LIMIT = 20_000
_DESCRIPTION = 256


def list_scope_maps(call: Call) -> Answer:
    """List the registry's scope maps, the system's first."""
    registry = call.registry()
    maps = registry.scope_maps.values()
    return page(call, [scope_map_json(call.cloud, registry, each, call.now) for each in maps])


def read_scope_map(call: Call) -> Answer:
    """Read one scope map."""
    body = scope_map_json(call.cloud, call.registry(), call.scope_map(), call.now)
    return Answer(200, body)


def put_scope_map(call: Call) -> Answer:
    """Create a scope map or replace what it says."""
    registry, name = call.registry(), call.args["name"]
    properties = call.properties()
    if properties.get("actions") is None:
        raise missing_property("properties.actions")
    actions = check_actions(properties["actions"])
    description = _description(properties)
    item = registry.scope_maps.get(name)
    word = "Updating" if item else "Creating"
    if item is None:
        item = _new_scope_map(call, registry, name)
    _refuse_system(item)
    item.actions, item.description, item.modified = actions, description, call.now
    registry.scope_maps[item.name] = item
    answer = written(call, item, word)
    return answer_written(answer, scope_map_json(call.cloud, registry, item, call.now))


def patch_scope_map(call: Call) -> Answer:
    """Change the actions or the description of a scope map."""
    registry, item = call.registry(), call.scope_map()
    properties = call.properties()
    _refuse_system(item)
    description = _description(properties)
    if properties.get("actions") is not None:
        item.actions = check_actions(properties["actions"])
    if "description" in properties:
        item.description = description
    item.modified = call.now
    answer = written(call, item, "Updating")
    return answer_written(answer, scope_map_json(call.cloud, registry, item, call.now))


def delete_scope_map(call: Call) -> Answer:
    """Delete a scope map that no token uses."""
    registry, name = call.registry(), call.args["name"]
    if name not in registry.scope_maps:
        return Answer(204)
    item = registry.scope_maps[name]
    _refuse_system(item)
    for token in registry.tokens.values():
        if token.scope_map.lower() == name.lower():
            message = f"The scope map {name} is used by the token {token.name}."
            raise refused("ScopeMapInUse", message, 409)
    del registry.scope_maps[name]
    return done(call)


def add_system_maps(registry: Registry) -> None:
    """Give a new registry the scope maps that every registry has."""
    pull = ["content/read"]
    levels = {"admin": list(REPOSITORY_ACTIONS), "pull": pull, "push": [*pull, "content/write"]}
    for level, verbs in levels.items():
        name = f"_repositories_{level}"
        actions = [f"repositories/*/{verb}" for verb in verbs]
        text = f"Can perform all {level} operations on the registry"
        made = registry.created
        registry.scope_maps[name] = ScopeMap(
            name, made, made, actions=actions, description=text, system=True
        )


def scope_map_named(registry: Registry, name: str) -> ScopeMap:
    """Return the scope map that a token refers to."""
    if name not in registry.scope_maps:
        raise not_found(name)
    return registry.scope_maps[name]


def _new_scope_map(call: Call, registry: Registry, name: str) -> ScopeMap:
    check_name("scopeMaps", name)
    if len(registry.scope_maps) >= _LIMIT:
        raise refused("TooManyScopeMaps", f"A registry may have {_LIMIT} scope maps.")
    return ScopeMap(name, call.now, call.now)


def _description(properties: dict[str, Any]) -> str | None:
    text = properties.get("description")
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > _DESCRIPTION:
        raise refused("InvalidDescription", f"A description has at most {_DESCRIPTION} letters.")
    return text


def _refuse_system(item: ScopeMap) -> None:
    if item.system:
        raise refused("SystemScopeMap", f"The scope map {item.name} belongs to the system.")
