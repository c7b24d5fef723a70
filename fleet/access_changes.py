"""The writes that bring a site's objects in Azure about: values that can be printed and refused."""

from dataclasses import dataclass

from fleet.azure_objects import ConnectedRegistrySettings
from fleet.outcomes import Outcome
from fleet.sites import Mode


@dataclass(frozen=True, slots=True)
class CreateScopeMap:
    """Make a scope map."""

    name: str
    actions: frozenset[str]
    description: str


@dataclass(frozen=True, slots=True)
class ChangeScopeMap:
    """Change a scope map; what is None stays as it is."""

    name: str
    actions: frozenset[str] | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class CreateToken:
    """Make an enabled token without passwords."""

    name: str
    scope_map: str


@dataclass(frozen=True, slots=True)
class ChangeToken:
    """Bind a token to another scope map."""

    name: str
    scope_map: str


@dataclass(frozen=True, slots=True)
class CreateConnectedRegistry:
    """Make a connected registry; `parent` is the one above it, None where that is the cloud."""

    name: str
    mode: Mode
    sync_token: str
    settings: ConnectedRegistrySettings
    client_token_ids: tuple[str, ...] = ()
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeConnectedRegistry:
    """Set the named groups of settings: sync, logging, gc, notifications."""

    name: str
    settings: ConnectedRegistrySettings
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class AcceptClientToken:
    """Let a connected registry accept a client token; `others` are the IDs it accepts already."""

    name: str
    token: str
    others: tuple[str, ...]


Change = (
    CreateScopeMap
    | ChangeScopeMap
    | CreateToken
    | ChangeToken
    | CreateConnectedRegistry
    | ChangeConnectedRegistry
    | AcceptClientToken
)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one object, and the write it takes; None: nothing is written."""

    outcome: Outcome
    change: Change | None = None
