"""Registries as ARM resources."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from lab.azure.calls import Answer, Call, page
from lab.azure.errors import ArmError, refused
from lab.azure.naming import check_name
from lab.azure.operations import answer_written, registry_deleted, written
from lab.azure.rendering import registry_json
from lab.azure.rules import as_bool, as_object, one_of
from lab.azure.scope_maps import add_system_maps
from lab.azure.state import Cloud, Registry

SKUS = ("Basic", "Standard", "Premium")
_MODES = ("LegacyRegistryPermissions", "AbacRepositoryPermissions")
_STORAGE = 500 * 1024**3
Serve = Callable[[Registry], Awaitable[None]]


def new_registry(cloud: Cloud, group: str, name: str, now: datetime, location: str) -> Registry:
    """Return a registry with the system's scope maps, which no server serves yet."""
    registry = Registry(name, now, now, location=location, group=group)
    registry.id = cloud.registry_id(group, name)
    add_system_maps(registry)
    return registry


def list_registries(call: Call) -> Answer:
    """List the registries of the resource group."""
    group = call.group()
    return _page(
        call, [each for each in call.cloud.registries.values() if each.group == group.name]
    )


def list_all_registries(call: Call) -> Answer:
    """List the registries of the subscription."""
    call.subscription()
    return _page(call, list(call.cloud.registries.values()))


def read_registry(call: Call) -> Answer:
    """Read one registry."""
    return Answer(200, registry_json(call.cloud, call.registry(), call.now))


def put_registry(serve: Serve) -> Callable[[Call], Awaitable[Answer]]:
    """Return the handler that creates a registry, served by `serve`, or replaces its settings."""

    async def handle(call: Call) -> Answer:
        name = call.args["registry"]
        registry = call.find_registry()
        word = "Updating" if registry else "Creating"
        if registry is None:
            registry = _created(call, name)
        _apply(registry, call.body, call.properties())
        if name not in call.cloud.registries:
            call.cloud.registries[name] = registry
            await serve(registry)
        registry.modified = call.now
        answer = written(call, registry, word)
        return answer_written(answer, registry_json(call.cloud, registry, call.now))

    return handle


def patch_registry(call: Call) -> Answer:
    """Change settings of a registry, such as dataEndpointEnabled."""
    registry = call.registry()
    _apply(registry, call.body, call.properties())
    registry.modified = call.now
    answer = written(call, registry, "Updating")
    return answer_written(answer, registry_json(call.cloud, registry, call.now))


def delete_registry(stop: Serve) -> Callable[[Call], Awaitable[Answer]]:
    """Return the handler that deletes a registry, which `stop` stops serving."""

    async def handle(call: Call) -> Answer:
        registry = call.find_registry()
        if registry is None:
            return Answer(204)
        del call.cloud.registries[registry.name]
        await stop(registry)
        return registry_deleted(call, registry, registry_json(call.cloud, registry, call.now))

    return handle


def list_usages(call: Call) -> Answer:
    """Tell how much of the registry's quotas is used."""
    registry = call.registry()
    used = {
        "Size": (_STORAGE, registry.content.size(), "Bytes"),
        "ScopeMaps": (20_000, len(registry.scope_maps), "Count"),
        "Tokens": (20_000, len(registry.tokens), "Count"),
        "ConnectedRegistries": (50, len(registry.connected), "Count"),
    }
    usages = [
        {"name": name, "limit": limit, "currentValue": value, "unit": unit}
        for name, (limit, value, unit) in used.items()
    ]
    return Answer(200, {"value": usages})


def refuse_admin(call: Call) -> Answer:
    """Refuse what only the admin user could do: the lab's registries have none."""
    message = f"Cannot perform credential operations for {call.registry().id}"
    raise ArmError(
        400, "UnAuthorizedForCredentialOperations", f"{message} as admin user is disabled."
    )


def check_name_availability(call: Call) -> Answer:
    """Tell whether a registry name is free."""
    call.subscription()
    name = str(call.body.get("name", ""))
    if not re.fullmatch(r"[a-zA-Z0-9]{5,50}", name):
        return Answer(
            200, _unavailable("Invalid", "Registry names have 5 to 50 letters and digits.")
        )
    if name in call.cloud.registries:
        return Answer(200, _unavailable("AlreadyExists", f"The registry {name} is already in use."))
    return Answer(200, {"nameAvailable": True})


def _created(call: Call, name: str) -> Registry:
    check_name("registries", name)
    if name in call.cloud.registries:
        raise ArmError(409, "AlreadyInUse", f"The registry name {name} is already in use.")
    if not call.body.get("location"):
        message = "The location property is required for this definition."
        raise ArmError(400, "LocationRequired", message)
    if not as_object(call.body.get("sku"), "sku").get("name"):
        raise refused("MissingProperty", "The property 'sku.name' is required.")
    location = str(call.body["location"]).replace(" ", "").lower()
    return new_registry(call.cloud, call.group().name, name, call.now, location)


def _apply(registry: Registry, body: dict[str, Any], properties: dict[str, Any]) -> None:
    """Check everything that the body says, then take it over."""
    changes: dict[str, Any] = {}
    sku = as_object(body.get("sku"), "sku").get("name")
    if sku is not None:
        changes["sku"] = one_of(sku, SKUS, "sku.name")
    if properties.get("dataEndpointEnabled") is not None:
        enabled = as_bool(properties["dataEndpointEnabled"], "dataEndpointEnabled")
        changes["data_endpoint"] = enabled
    if properties.get("roleAssignmentMode") is not None:
        mode = one_of(properties["roleAssignmentMode"], _MODES, "roleAssignmentMode")
        changes["role_assignment_mode"] = mode
    policies = as_object(properties.get("policies"), "policies")
    policy = as_object(policies.get("azureADAuthenticationAsArmPolicy"), "policies")
    if policy.get("status") is not None:
        status = one_of(policy["status"], ("enabled", "disabled"), "status")
        changes["arm_audience_allowed"] = status == "enabled"
    if body.get("tags") is not None:
        changes["tags"] = as_object(body["tags"], "tags")
    _check_changes(registry, changes, properties)
    for key, value in changes.items():
        setattr(registry, key, value)


def _check_changes(registry: Registry, changes: dict[str, Any], properties: dict[str, Any]) -> None:
    data_endpoint = changes.get("data_endpoint", registry.data_endpoint)
    if data_endpoint and changes.get("sku", registry.sku) != "Premium":
        raise refused("PremiumRequired", "Dedicated data endpoints need the Premium SKU.")
    if properties.get("adminUserEnabled"):
        raise refused("AdminUser", "The lab's registries have no admin user.")


def _page(call: Call, registries: list[Registry]) -> Answer:
    return page(call, [registry_json(call.cloud, each, call.now) for each in registries])


def _unavailable(reason: str, message: str) -> dict[str, Any]:
    return {"nameAvailable": False, "reason": reason, "message": message}
