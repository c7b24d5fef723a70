"""What Azure says about a registry and its objects: plain values, free of the SDK and of secrets.

Field shapes follow api-version 2025-11-01; whatever Azure may leave out is optional here.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import SecretStr


def last_segment(resource_id: str) -> str:
    """Return the name at the end of a resource ID; a bare name is returned as it is."""
    return resource_id.rstrip("/").rpartition("/")[2]


def same_name(one: str | None, other: str | None) -> bool:
    """Compare two names or resource IDs by their names, without case, as Resource Manager does."""
    if one is None or other is None:
        return one is other
    return last_segment(one).casefold() == last_segment(other).casefold()


@dataclass(frozen=True, slots=True)
class RegistryFacts:
    """What matters about the Azure Container Registry itself."""

    name: str
    login_server: str
    sku: str
    location: str
    data_endpoint: bool
    abac: bool
    data_endpoint_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScopeMapState:
    """A scope map as it is. `kind` is UserDefined or SystemDefined."""

    name: str
    actions: frozenset[str]
    description: str = ""
    kind: str = "UserDefined"
    provisioning: str = "Succeeded"


@dataclass(frozen=True, slots=True)
class PasswordSlot:
    """One of a token's two passwords, without its value, which nobody can read back."""

    created: datetime | None
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class TokenState:
    """A token as it is. `slots` holds the passwords that exist, by name: password1, password2."""

    name: str
    scope_map_id: str | None
    status: str = "enabled"
    slots: dict[str, PasswordSlot] = field(default_factory=dict)
    provisioning: str = "Succeeded"

    @property
    def is_enabled(self) -> bool:
        """Return whether the token lets anybody in."""
        return self.status.casefold() == "enabled"


@dataclass(frozen=True, slots=True)
class GeneratedPassword:
    """A password that Azure has just made; the only moment at which its value is known."""

    value: SecretStr
    slot: str
    created: datetime | None
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class StatusDetail:
    """What a connected registry reports about itself."""

    kind: str
    code: str
    description: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConnectedRegistrySettings:
    """The settings of a connected registry that may change during its life.

    `window` None: Azure decides; with the continuous schedule there is none.
    """

    schedule: str
    window: timedelta | None
    message_ttl: timedelta
    log_level: str
    audit_log: bool
    gc_enabled: bool
    gc_schedule: str
    notifications: tuple[str, ...]


def talks(connection_state: str) -> bool:
    """Return whether a connection state of Azure says that the instance at the site talks to it."""
    return connection_state.casefold() in ("online", "syncing")


@dataclass(frozen=True, slots=True)
class ConnectedRegistryState:
    """A connected registry as it is.

    `sync_token_id` is None where Azure leaves it out: with a managed identity, for example.
    `connection_state` is Online, Offline, Syncing or Unhealthy; `activation` Active or Inactive.
    """

    name: str
    mode: str
    settings: ConnectedRegistrySettings
    sync_token_id: str | None
    parent_id: str | None = None
    client_token_ids: tuple[str, ...] = ()
    connection_state: str = "Offline"
    activation: str = "Inactive"
    last_sync: datetime | None = None
    last_activity: datetime | None = None
    gateway_endpoint: str | None = None
    login_server: str | None = None
    version: str | None = None
    status_details: tuple[StatusDetail, ...] = ()
    provisioning: str = "Succeeded"

    @property
    def is_online(self) -> bool:
        """Return whether the instance at the site talks to Azure."""
        return talks(self.connection_state)

    @property
    def is_active(self) -> bool:
        """Return whether some instance has claimed this connected registry."""
        return self.activation.casefold() == "active"
