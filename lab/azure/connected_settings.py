"""The settings of a connected registry: what a PUT and a PATCH may say about them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lab.azure.errors import not_found, refused
from lab.azure.naming import missing_property, name_in_id
from lab.azure.rules import (
    CONTINUOUS,
    as_bool,
    as_object,
    as_texts,
    check_duration,
    check_schedule,
    one_of,
)
from lab.azure.state import ConnectedRegistry, Registry

Settings = dict[str, Any]
MODES = ("ReadWrite", "ReadOnly", "Registry", "Mirror")
_LOG_LEVELS = ("Debug", "Information", "Warning", "Error", "None")
_CLIENT_LIMIT = 50
_TTL = (timedelta(days=1), timedelta(days=90))
_WINDOW = (timedelta(hours=1), timedelta(days=7))
_FIXED = ("mode", "parent", "tokenId")


def put_settings(registry: Registry, body: dict[str, Any], name: str) -> Settings:
    """Return all settings of a connected registry from the body of a PUT.

    Absent ones get the service's defaults; a synchronisation token is required, because managed
    identities are not emulated.
    """
    properties = as_object(body.get("properties"), "properties")
    parent = _required(properties, "parent", "properties.parent")
    sync = _required(parent, "syncProperties", "properties.parent.syncProperties")
    _refuse_identity(body, sync)
    if properties.get("mode") is None:
        raise missing_property("properties.mode")
    for key in ("tokenId", "messageTtl"):
        if sync.get(key) is None:
            raise missing_property(f"properties.parent.syncProperties.{key}")
    fresh = ConnectedRegistry(name, registry.created, registry.created)
    settings: Settings = {
        key: getattr(fresh, key)
        for key in ("log_level", "audit_log", "gc_enabled", "gc_schedule", "notifications")
    }
    settings |= {"client_tokens": [], "schedule": fresh.schedule, "window": None}
    settings["mode"] = one_of(properties["mode"], MODES, "mode")
    settings["token"] = _token_named(registry, sync["tokenId"])
    settings["parent"] = _parent(registry, parent.get("id"), settings["mode"], name)
    settings |= _sync_settings(sync) | _other_settings(registry, properties)
    return _without_useless_window(settings)


def patch_settings(
    registry: Registry, item: ConnectedRegistry, properties: dict[str, Any]
) -> Settings:
    """Return the changed settings from the properties of a PATCH."""
    sync = as_object(properties.get("syncProperties"), "syncProperties")
    for key in _FIXED:
        if key in properties or key in sync:
            raise refused("PropertyNotPatchable", f"'{key}' of {item.name} cannot be patched.")
    settings: Settings = {"schedule": item.schedule, "window": item.window}
    settings |= _sync_settings(sync) | _other_settings(registry, properties)
    return _without_useless_window(settings)


def _sync_settings(sync: dict[str, Any]) -> Settings:
    settings: Settings = {}
    if sync.get("schedule") is not None:
        settings["schedule"] = check_schedule(sync["schedule"], "schedule")
    if sync.get("syncWindow") is not None:
        settings["window"] = check_duration(sync["syncWindow"], "syncWindow", *_WINDOW)
    elif "syncWindow" in sync:
        settings["window"] = None
    if sync.get("messageTtl") is not None:
        settings["message_ttl"] = check_duration(sync["messageTtl"], "messageTtl", *_TTL)
    return settings


def _other_settings(registry: Registry, properties: dict[str, Any]) -> Settings:
    logging = as_object(properties.get("logging"), "logging")
    collection = as_object(properties.get("garbageCollection"), "garbageCollection")
    readers: dict[str, tuple[dict[str, Any], str, Callable[[Any], Any]]] = {
        "log_level": (logging, "logLevel", lambda v: one_of(v, _LOG_LEVELS, "logLevel")),
        "audit_log": (logging, "auditLogStatus", _audit_status),
        "gc_enabled": (collection, "enabled", lambda v: as_bool(v, "garbageCollection.enabled")),
        "gc_schedule": (collection, "schedule", lambda v: check_schedule(v, "schedule")),
        "client_tokens": (properties, "clientTokenIds", lambda v: _clients(registry, v)),
        "notifications": (properties, "notificationsList", lambda v: as_texts(v, "notifications")),
    }
    return {
        setting: read(where[key])
        for setting, (where, key, read) in readers.items()
        if where.get(key) is not None
    }


def _audit_status(value: object) -> str:
    return one_of(value, ("Enabled", "Disabled"), "auditLogStatus")


def _clients(registry: Registry, ids: object) -> list[str]:
    names = [_token_named(registry, each) for each in as_texts(ids, "clientTokenIds")]
    distinct = list(dict.fromkeys(names))
    if len(distinct) > _CLIENT_LIMIT:
        message = f"A connected registry may have {_CLIENT_LIMIT} client tokens."
        raise refused("TooManyClientTokens", message)
    return distinct


def _token_named(registry: Registry, token_id: object) -> str:
    name = name_in_id(token_id, registry.id, "tokens")
    if name not in registry.tokens:
        raise not_found(name)
    return registry.tokens[name].name


def _parent(registry: Registry, parent_id: object, mode: str, name: str) -> str | None:
    if parent_id is None:
        return None
    parent_name = name_in_id(parent_id, registry.id, "connectedRegistries")
    parent = registry.connected.get(parent_name)
    if parent is None or parent_name.lower() == name.lower():
        raise not_found(parent_name)
    if parent.mode not in ("ReadWrite", "Registry", mode):
        message = f"A {mode} registry cannot have the {parent.mode} parent {parent.name}."
        raise refused("ParentMode", message)
    return parent.name


def _without_useless_window(settings: Settings) -> Settings:
    """Drop the window of a schedule that synchronises every minute, as the service does."""
    if settings["schedule"] == CONTINUOUS:
        settings["window"] = None
    return settings


def _refuse_identity(body: dict[str, Any], sync: dict[str, Any]) -> None:
    by_identity = str(sync.get("authType", "SyncToken")).lower() != "synctoken"
    if by_identity or body.get("identity") is not None:
        raise refused("ManagedIdentity", "The lab emulates synchronisation tokens only.")


def _required(where: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    if where.get(key) is None:
        raise missing_property(path)
    return as_object(where[key], path)
