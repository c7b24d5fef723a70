"""What the emulated cloud remembers: plain data, no rules and no JSON."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lab.azure.images import RegistryContent
from lab.azure.naming import PROVIDER, Names
from lab.azure.passwords import PasswordHash
from lab.azure.signing import RegistryKey


@dataclass
class Resource:
    """What every resource has; `pending` holds until `settles`, then `final` does."""

    name: str
    created: datetime
    modified: datetime
    final: str = "Succeeded"
    pending: str = "Succeeded"
    settles: datetime | None = None

    def provisioning_state(self, now: datetime) -> str:
        """Return the provisioning state at `now`."""
        return self.pending if self.settles and now < self.settles else self.final


@dataclass
class ScopeMap(Resource):
    """Which actions on which repositories and gateways."""

    actions: list[str] = field(default_factory=list)
    description: str | None = None
    system: bool = False


@dataclass
class Token(Resource):
    """A token; `scope_map` is a name, `slots` are its passwords by slot name."""

    scope_map: str = ""
    status: str = "enabled"
    slots: dict[str, PasswordHash] = field(default_factory=dict)
    had_password: bool = False


@dataclass
class EdgeReport:
    """What the edge registry last told about itself; empty until it was activated."""

    instance: str | None = None
    state: str = "Offline"
    version: str | None = None
    login_server: str | None = None
    last_activity: datetime | None = None
    last_sync: datetime | None = None
    details: list[dict[str, Any]] = field(default_factory=list)
    trigger: str = "InitialSync"
    resync: bool = False


@dataclass
class ConnectedRegistry(Resource):
    """A connected registry; tokens and the parent are names, the durations as sent."""

    mode: str = "ReadOnly"
    parent: str | None = None
    token: str = ""
    schedule: str = "* * * * *"
    window: str | None = None
    message_ttl: str = "P2D"
    client_tokens: list[str] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)
    log_level: str = "Information"
    audit_log: str = "Disabled"
    gc_enabled: bool = True
    gc_schedule: str = "0 0 * * *"
    edge: EdgeReport = field(default_factory=EdgeReport)


@dataclass
class Registry(Resource):
    """A registry with all that belongs to it."""

    id: str = ""
    group: str = ""
    location: str = "westeurope"
    sku: str = "Premium"
    tags: dict[str, str] = field(default_factory=dict)
    data_endpoint: bool = False
    role_assignment_mode: str = "LegacyRegistryPermissions"
    arm_audience_allowed: bool = True
    login_server: str = ""
    scope_maps: Names[ScopeMap] = field(default_factory=Names)
    tokens: Names[Token] = field(default_factory=Names)
    connected: Names[ConnectedRegistry] = field(default_factory=Names)
    content: RegistryContent = field(default_factory=RegistryContent)
    key: RegistryKey = field(default_factory=RegistryKey)

    @property
    def data_host(self) -> str:
        """The host name of the data endpoint in the registry's home region."""
        return f"{self.name.lower()}.{self.location}.data.azurecr.io"


@dataclass
class Group:
    """A resource group."""

    name: str
    location: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Operation:
    """A long-running operation; `result` is what its location answers in the end."""

    settles: datetime
    running: str
    error: dict[str, str] | None = None
    result: dict[str, Any] | None = None


@dataclass
class Cloud:
    """One tenant with one subscription."""

    profile: str = "recorded"
    page_size: int = 100
    retry_after: int | None = None
    tenant: str = field(default_factory=lambda: str(uuid.uuid4()))
    subscription: str = field(default_factory=lambda: str(uuid.uuid4()))
    client: str = field(default_factory=lambda: str(uuid.uuid4()))
    groups: Names[Group] = field(default_factory=Names)
    registries: Names[Registry] = field(default_factory=Names)
    operations: dict[str, Operation] = field(default_factory=dict)

    def registry_id(self, group: str, name: str) -> str:
        """Return the resource id of a registry."""
        home = f"/subscriptions/{self.subscription}/resourceGroups/{group}"
        return f"{home}/providers/{PROVIDER}/registries/{name}"


def pending_resource(resource: Resource, word: str, span: timedelta, now: datetime) -> None:
    """Let the resource be in the state `word` for `span` from `now`."""
    resource.pending = word
    resource.settles = now + span
