"""Resources as JSON, in the shape of the api-version that asked."""

from datetime import UTC, datetime
from typing import Any

from lab.azure.naming import PROVIDER
from lab.azure.state import Cloud, ConnectedRegistry, Group, Registry, Resource, ScopeMap, Token

Json = dict[str, Any]


def stamp(time: datetime) -> str:
    """Return a time as the provider writes it: seven decimals, UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def group_json(cloud: Cloud, group: Group) -> Json:
    """Render a resource group."""
    return {
        "id": f"/subscriptions/{cloud.subscription}/resourceGroups/{group.name}",
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    }


def registry_json(cloud: Cloud, registry: Registry, now: datetime) -> Json:
    """Render a registry."""
    allowed = "enabled" if registry.arm_audience_allowed else "disabled"
    return {
        "type": f"{PROVIDER}/registries",
        "id": registry.id,
        "name": registry.name,
        "location": registry.location,
        "tags": registry.tags,
        "sku": {"name": registry.sku, "tier": registry.sku},
        "systemData": _system_data(cloud, registry),
        "properties": {
            "loginServer": registry.login_server,
            "creationDate": stamp(registry.created),
            "provisioningState": registry.provisioning_state(now),
            "adminUserEnabled": False,
            "policies": {"azureADAuthenticationAsArmPolicy": {"status": allowed}},
            "dataEndpointEnabled": registry.data_endpoint,
            "dataEndpointHostNames": [registry.data_host] if registry.data_endpoint else [],
            "publicNetworkAccess": "Enabled",
            "networkRuleBypassOptions": "AzureServices",
            "zoneRedundancy": "Disabled",
            "anonymousPullEnabled": False,
            "roleAssignmentMode": registry.role_assignment_mode,
        },
    }


def scope_map_json(cloud: Cloud, registry: Registry, item: ScopeMap, now: datetime) -> Json:
    """Render a scope map; the inner `type` has the recorded words."""
    properties: Json = {
        "type": "SystemDefined" if item.system else "UserDefined",
        "creationDate": stamp(item.created),
        "provisioningState": item.provisioning_state(now),
        "actions": item.actions,
    }
    if item.description is not None:
        properties["description"] = item.description
    return _child(cloud, registry, "scopeMaps", item, properties)


def token_json(cloud: Cloud, registry: Registry, item: Token, now: datetime) -> Json:
    """Render a token: its passwords without their values."""
    passwords = [password_json(item, slot) for slot in sorted(item.slots)]
    properties = {
        "creationDate": stamp(item.created),
        "provisioningState": item.provisioning_state(now),
        "scopeMapId": f"{registry.id}/scopeMaps/{item.scope_map}",
        "credentials": {"passwords": passwords},
        "status": item.status,
    }
    return _child(cloud, registry, "tokens", item, properties)


def password_json(token: Token, slot: str, value: str | None = None) -> Json:
    """Render one password slot; `expiry` is absent when the password never expires."""
    password = token.slots[slot]
    entry = {"creationTime": stamp(password.created), "name": slot}
    if password.expires is not None:
        entry["expiry"] = stamp(password.expires)
    return entry if value is None else entry | {"value": value}


def connected_registry_json(
    cloud: Cloud, registry: Registry, item: ConnectedRegistry, now: datetime, version: str
) -> Json:
    """Render a connected registry; the preview versions tell more."""
    preview = version.endswith("-preview")
    properties: Json = {
        "provisioningState": item.provisioning_state(now),
        "mode": item.mode,
        "connectionState": item.edge.state,
        "activation": {"status": "Active" if item.edge.instance else "Inactive"},
        "parent": _parent(registry, item, preview),
        "loginServer": _login_server(item),
        "logging": {"logLevel": item.log_level, "auditLogStatus": item.audit_log},
        "garbageCollection": {"enabled": item.gc_enabled, "schedule": item.gc_schedule},
        "notificationsList": item.notifications,
    }
    if item.client_tokens:
        ids = [f"{registry.id}/tokens/{name}" for name in item.client_tokens]
        properties["clientTokenIds"] = ids
    properties |= _reported(item, preview)
    if preview:
        properties["registrySyncResult"] = _sync_result(item)
    return _child(cloud, registry, "connectedRegistries", item, properties)


def _parent(registry: Registry, item: ConnectedRegistry, preview: bool) -> Json:
    sync: Json = {
        "tokenId": f"{registry.id}/tokens/{item.token}",
        "schedule": item.schedule,
        "messageTtl": item.message_ttl,
    }
    if item.window is not None:
        sync["syncWindow"] = item.window
    if preview:
        sync["authType"] = "SyncToken"
    if item.edge.last_sync is not None:
        sync["lastSyncTime"] = stamp(item.edge.last_sync)
    gateway = _gateway(registry, item)
    if gateway is not None:
        sync["gatewayEndpoint"] = gateway
    parent = {"id": f"{registry.id}/connectedRegistries/{item.parent}"} if item.parent else {}
    return parent | {"syncProperties": sync}


def _gateway(registry: Registry, item: ConnectedRegistry) -> str | None:
    """Return where the registry syncs; children of an inactive parent have nowhere to go."""
    if item.parent is None:
        return registry.data_host
    return registry.connected[item.parent].edge.login_server


def _login_server(item: ConnectedRegistry) -> Json:
    if item.edge.login_server is None:
        return {"tls": {"certificate": {}}}
    tls = {"status": "Disabled", "certificate": {}}
    return {"host": item.edge.login_server, "tls": tls}


def _reported(item: ConnectedRegistry, preview: bool) -> Json:
    edge = item.edge
    reported: Json = {}
    if edge.version is not None:
        reported["version"] = edge.version
    if edge.last_activity is not None:
        reported["lastActivityTime"] = stamp(edge.last_activity)
    details = [d for d in edge.details if preview or d.get("code") != "DiskCapacityMetrics"]
    if details:
        reported["statusDetails"] = details
    return reported


def _sync_result(item: ConnectedRegistry) -> Json:
    edge = item.edge
    state = "NotActivated" if edge.instance is None else "Succeeded"
    if edge.instance and (edge.resync or edge.last_sync is None):
        state = "Pending"
    result: Json = {"syncTrigger": edge.trigger, "syncState": state}
    if edge.last_sync is not None:
        times = ("lastSyncStartTime", "lastSyncEndTime", "lastSuccessfulSyncEndTime")
        result |= dict.fromkeys(times, stamp(edge.last_sync))
    return result


def _child(cloud: Cloud, registry: Registry, kind: str, item: Resource, properties: Json) -> Json:
    return {
        "type": f"{PROVIDER}/registries/{kind}",
        "properties": properties,
        "id": f"{registry.id}/{kind}/{item.name}",
        "name": item.name,
        "systemData": _system_data(cloud, item),
    }


def _system_data(cloud: Cloud, item: Resource) -> Json:
    who = {"By": cloud.client, "ByType": "Application"}
    made = {f"created{key}": value for key, value in who.items()}
    changed = {f"lastModified{key}": value for key, value in who.items()}
    times = {"createdAt": stamp(item.created), "lastModifiedAt": stamp(item.modified)}
    return made | changed | times
