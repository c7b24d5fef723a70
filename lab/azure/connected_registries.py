"""Connected registries: reading, creating, changing, deactivating, deleting."""

import re
from typing import Any

from lab.azure.calls import Answer, Call, page
from lab.azure.connected_settings import Settings, patch_settings, put_settings
from lab.azure.errors import refused
from lab.azure.naming import check_name, name_in_id
from lab.azure.operations import answer_written, done, written
from lab.azure.rendering import Json, connected_registry_json
from lab.azure.state import ConnectedRegistry, EdgeReport, Registry

_LIMIT = 50
_TERM = re.compile(r"([\w./]+)\s+eq\s+(null|'(?:[^']|'')*')", re.IGNORECASE)


def list_connected_registries(call: Call) -> Answer:
    """List connected registries; `$filter` knows parent.id, mode and connectionState."""
    registry = call.registry()
    wanted = _filter(call.query.get("$filter", ""), registry)
    found = [each for each in registry.connected.values() if _matches(each, wanted)]
    return page(call, [_render(call, registry, each) for each in found])


def read_connected_registry(call: Call) -> Answer:
    """Read one connected registry."""
    return Answer(200, _render(call, call.registry(), call.connected()))


def put_connected_registry(call: Call) -> Answer:
    """Create a connected registry, or replace the settings of one."""
    registry, name = call.registry(), call.args["name"]
    _check_registry(registry)
    check_name("connectedRegistries", name)
    settings = put_settings(registry, call.body, name)
    item = registry.connected.get(name)
    word = "Updating" if item else "Creating"
    if item is None:
        _check_limit(registry)
        item = ConnectedRegistry(name, call.now, call.now)
    else:
        _check_fixed(item, settings)
    return _save(call, registry, item, settings, word)


def patch_connected_registry(call: Call) -> Answer:
    """Change what may be changed: sync times, logging, clients, notifications, collection."""
    registry, item = call.registry(), call.connected()
    settings = patch_settings(registry, item, call.properties())
    item.created = call.now  # recorded: systemData.createdAt moves with every PATCH
    return _save(call, registry, item, settings, "Updating")


def delete_connected_registry(call: Call) -> Answer:
    """Delete a connected registry; its tokens and scope maps stay."""
    registry, name = call.registry(), call.args["name"]
    if name not in registry.connected:
        return Answer(204)
    for child in registry.connected.values():
        if child.parent is not None and child.parent.lower() == name.lower():
            message = f"The connected registry {name} is the parent of {child.name}."
            raise refused("ConnectedRegistryHasChildren", message, 409)
    del registry.connected[name]
    return done(call)


def deactivate(call: Call) -> Answer:
    """Forget the instance at the edge, so that another one may activate."""
    call.connected().edge = EdgeReport()
    return done(call)


def resync(call: Call) -> Answer:
    """Ask for a full synchronisation (preview versions)."""
    item = call.connected()
    item.edge.trigger, item.edge.resync = "ManualResync", True
    return Answer(200, _render(call, call.registry(), item))


def _save(
    call: Call, registry: Registry, item: ConnectedRegistry, settings: Settings, word: str
) -> Answer:
    for key, value in settings.items():
        setattr(item, key, value)
    item.modified = call.now
    registry.connected[item.name] = item
    return answer_written(written(call, item, word), _render(call, registry, item))


def _render(call: Call, registry: Registry, item: ConnectedRegistry) -> Json:
    return connected_registry_json(call.cloud, registry, item, call.now, call.version)


def _check_registry(registry: Registry) -> None:
    if registry.sku != "Premium":
        message = f"The registry {registry.name} is {registry.sku}, expected Premium."
        raise refused("PremiumRequired", message)
    if not registry.data_endpoint:
        message = f"The registry {registry.name} has no dedicated data endpoint."
        raise refused("DataEndpointRequired", message)


def _check_limit(registry: Registry) -> None:
    if len(registry.connected) >= _LIMIT:
        message = f"A registry may have {_LIMIT} connected registries."
        raise refused("TooManyConnectedRegistries", message)


def _check_fixed(item: ConnectedRegistry, settings: Settings) -> None:
    for key in ("mode", "token", "parent"):
        if getattr(item, key) != settings[key]:
            message = f"The {key} of the connected registry {item.name} cannot be changed."
            raise refused("PropertyCannotChange", message)


def _filter(text: str, registry: Registry) -> dict[str, str | None]:
    """Parse terms joined by `and`; the only operator is eq."""
    wanted: dict[str, str | None] = {}
    for term in re.split(r"\s+and\s+", text, flags=re.IGNORECASE) if text.strip() else []:
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise refused("InvalidFilter", f"'{term}' is not a filter: expected NAME eq 'VALUE'.")
        key = match[1].lower().replace("/", ".").removeprefix("properties.")
        value = None if match[2].lower() == "null" else match[2][1:-1].replace("''", "'")
        if key not in ("parent.id", "mode", "connectionstate"):
            raise refused("InvalidFilter", f"'{match[1]}' cannot be filtered.")
        if key == "parent.id" and value:
            value = name_in_id(value, registry.id, "connectedRegistries")
        wanted[key] = value
    return wanted


def _matches(item: ConnectedRegistry, wanted: dict[str, str | None]) -> bool:
    have: dict[str, Any] = {
        "parent.id": item.parent,
        "mode": item.mode,
        "connectionstate": item.edge.state,
    }
    return all((have[key] or "").lower() == (want or "").lower() for key, want in wanted.items())
