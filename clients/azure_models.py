"""From the SDK's models to plain values and back; what Azure may leave out is tolerated here."""

from datetime import timedelta
from typing import Any

from azure.mgmt.containerregistry import models
from pydantic import SecretStr

from fleet.azure_errors import AzureRefusedError
from fleet.azure_objects import (
    ConnectedRegistrySettings,
    ConnectedRegistryState,
    GeneratedPassword,
    PasswordSlot,
    RegistryFacts,
    ScopeMapState,
    StatusDetail,
    TokenState,
)
from fleet.sites import Mode

_DEFAULT_TTL = timedelta(days=2)
_DEFAULT_GC = "0 0 * * *"


def registry_facts(found: models.Registry) -> RegistryFacts:
    """Return what matters about a registry."""
    properties = found.properties or models.RegistryProperties()
    return RegistryFacts(
        name=found.name or "",
        login_server=(properties.login_server or "").lower(),
        sku=text(found.sku.name if found.sku else None),
        location=found.location or "",
        data_endpoint=bool(properties.data_endpoint_enabled),
        abac=text(properties.role_assignment_mode).casefold() == "abacrepositorypermissions",
        data_endpoint_hosts=tuple(properties.data_endpoint_host_names or ()),
    )


def scope_map_state(found: models.ScopeMap) -> ScopeMapState:
    """Return a scope map; the envelope's own `type` would hide its kind outside of `properties`."""
    properties = found.properties
    if properties is None:
        return ScopeMapState(name=found.name or "", actions=frozenset())
    return ScopeMapState(
        name=found.name or "",
        actions=frozenset(properties.actions or ()),
        description=properties.description or "",
        kind=properties.type or "UserDefined",
        provisioning=text(properties.provisioning_state, "Succeeded"),
    )


def token_state(found: models.Token) -> TokenState:
    """Return a token and which of its password slots are filled."""
    properties = found.properties or models.TokenProperties()
    passwords = (properties.credentials.passwords if properties.credentials else None) or []
    return TokenState(
        name=found.name or "",
        scope_map_id=properties.scope_map_id,
        status=text(properties.status, "enabled"),
        slots={
            text(password.name): PasswordSlot(password.creation_time, password.expiry)
            for password in passwords
        },
        provisioning=text(properties.provisioning_state, "Succeeded"),
    )


def generated_password(
    found: models.GenerateCredentialsResult, token: str, slot: str
) -> GeneratedPassword:
    """Return the password of the slot that was asked for; the answer may hold the other one too.

    Raises:
        AzureRefusedError: The answer holds no value for the slot.
    """
    for password in found.passwords or ():
        if text(password.name) == slot and password.value:
            value = SecretStr(password.value)
            return GeneratedPassword(value, slot, password.creation_time, password.expiry)
    raise AzureRefusedError(
        f"Azure answered the request for {slot} of token {token} without a value for it; run this"
        " again: the slot is not in use, so a new value does no harm"
    )


def connected_registry_state(found: models.ConnectedRegistry) -> ConnectedRegistryState:
    """Return a connected registry; `tokenId` may be missing although the model says otherwise."""
    properties: Any = found.properties
    parent, login = properties.parent, properties.login_server
    sync = parent.sync_properties if parent else None
    return ConnectedRegistryState(
        name=found.name or "",
        mode=text(properties.mode),
        settings=_settings(properties, sync),
        sync_token_id=getattr(sync, "token_id", None),
        parent_id=parent.id if parent else None,
        client_token_ids=tuple(properties.client_token_ids or ()),
        connection_state=text(properties.connection_state, "Offline"),
        activation=text(
            properties.activation.status if properties.activation else None, "Inactive"
        ),
        last_sync=getattr(sync, "last_sync_time", None),
        last_activity=properties.last_activity_time,
        gateway_endpoint=getattr(sync, "gateway_endpoint", None) or None,
        login_server=(login.host if login else None) or None,
        version=properties.version or None,
        status_details=tuple(_status(detail) for detail in properties.status_details or ()),
        provisioning=text(properties.provisioning_state, "Succeeded"),
    )


def new_connected_registry(
    mode: Mode,
    token_id: str,
    settings: ConnectedRegistrySettings,
    client_token_ids: tuple[str, ...],
    parent_id: str | None = None,
) -> models.ConnectedRegistry:
    """Return the model that makes a connected registry; no parent ID: below the cloud registry."""
    sync = models.SyncProperties(
        token_id=token_id,
        schedule=settings.schedule,
        sync_window=settings.window,
        message_ttl=settings.message_ttl,
    )
    properties = models.ConnectedRegistryProperties(
        mode=mode.value,
        parent=models.ParentProperties(id=parent_id, sync_properties=sync),
        client_token_ids=list(client_token_ids),
        logging=_logging(settings),
        notifications_list=list(settings.notifications),
        garbage_collection=_garbage_collection(settings),
    )
    return models.ConnectedRegistry(properties=properties)


def changed_settings(
    settings: ConnectedRegistrySettings, groups: frozenset[str]
) -> models.ConnectedRegistryUpdateParameters:
    """Return a PATCH of the named groups; an empty list clears, because null cannot be sent."""
    sync = models.SyncUpdateProperties(
        schedule=settings.schedule,
        sync_window=settings.window,
        message_ttl=settings.message_ttl,
    )
    properties = models.ConnectedRegistryUpdateProperties(
        sync_properties=sync if "sync" in groups else None,
        logging=_logging(settings) if "logging" in groups else None,
        notifications_list=list(settings.notifications) if "notifications" in groups else None,
        garbage_collection=_garbage_collection(settings) if "gc" in groups else None,
    )
    return models.ConnectedRegistryUpdateParameters(properties=properties)


def text(value: Any, default: str = "") -> str:
    """Return a string or an SDK enumeration as a plain string."""
    return str(getattr(value, "value", value)) if value else default


def _settings(properties: Any, sync: Any) -> ConnectedRegistrySettings:
    """Read the settings; where Azure says nothing its documented defaults hold."""
    logging, collection = properties.logging, properties.garbage_collection
    enabled = collection.enabled if collection else None
    return ConnectedRegistrySettings(
        schedule=getattr(sync, "schedule", None) or "",
        window=getattr(sync, "sync_window", None),
        message_ttl=getattr(sync, "message_ttl", None) or _DEFAULT_TTL,
        log_level=text(logging.log_level if logging else None, "Information"),
        audit_log=text(logging.audit_log_status if logging else None).casefold() == "enabled",
        gc_enabled=True if enabled is None else bool(enabled),
        gc_schedule=(collection.schedule if collection else None) or _DEFAULT_GC,
        notifications=tuple(properties.notifications_list or ()),
    )


def _status(detail: models.StatusDetailProperties) -> StatusDetail:
    return StatusDetail(
        kind=detail.type or "",
        code=detail.code or "",
        description=detail.description or "",
        at=detail.timestamp,
    )


def _logging(settings: ConnectedRegistrySettings) -> models.LoggingProperties:
    status = "Enabled" if settings.audit_log else "Disabled"
    return models.LoggingProperties(log_level=settings.log_level, audit_log_status=status)


def _garbage_collection(settings: ConnectedRegistrySettings) -> models.GarbageCollectionProperties:
    return models.GarbageCollectionProperties(
        enabled=settings.gc_enabled, schedule=settings.gc_schedule
    )
