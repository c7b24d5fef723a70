"""What the lab's edge registries see of their parent: the cloud's end of the sync connection."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.azure.errors import not_found
from lab.azure.images import Manifest, RegistryContent, RepositoryContent
from lab.azure.passwords import PasswordHash
from lab.azure.registry_login import RegistryLogin
from lab.azure.rules import GATEWAY_ACTIONS, allows
from lab.azure.state import ConnectedRegistry, Registry
from lab.clock import Clock

ALREADY_ACTIVATED = "ALREADY_ACTIVATED"
INCORRECT_PASSWORD = 'UNAUTHORIZED "Incorrect Password"'  # noqa: S105 - the runtime's words


@dataclass(frozen=True)
class ClientToken:
    """A client token as it travels to the edge: hashes of passwords, never values."""

    name: str
    enabled: bool
    actions: tuple[str, ...]
    passwords: tuple[PasswordHash, ...]


@dataclass(frozen=True)
class SyncView:
    """Everything a synchronisation brings to a connected registry.

    `actions` are those of the sync token's scope map; `repositories` are the existing repositories
    that it may mirror (content/read).
    """

    mode: str
    schedule: str
    window: str | None
    message_ttl: str
    log_level: str
    gc_enabled: bool
    gc_schedule: str
    actions: tuple[str, ...]
    repositories: tuple[str, ...]
    clients: tuple[ClientToken, ...]
    resync: bool


class RegistryLab:
    """One registry of the lab, for the edge registries and for tests."""

    def __init__(self, registry: Registry, login: RegistryLogin, clock: Clock) -> None:
        """Keep the registry's state and its login."""
        self.state = registry
        self._login = login
        self._clock = clock

    @property
    def name(self) -> str:
        """The registry's name."""
        return self.state.name

    @property
    def login_server(self) -> str:
        """Where the data plane is served: host and port."""
        return self.state.login_server

    @property
    def gateway_endpoint(self) -> str:
        """The data endpoint, as it stands in connection strings."""
        return self.state.data_host

    @property
    def repositories(self) -> dict[str, RepositoryContent]:
        """All repositories by name."""
        return self.state.content.repositories

    def content(self, repository: str) -> RepositoryContent | None:
        """Return one repository's tags, manifests and blobs, or None."""
        return self.repositories.get(repository)

    def add_image(self, repository: str, tag: str) -> Manifest:
        """Push a new image."""
        return self.content_store.add_image(repository, tag, self._clock.now())

    @property
    def content_store(self) -> RegistryContent:
        """The store behind `repositories`."""
        return self.state.content

    def check_sync_token(self, connected_registry: str, token: str, password: str) -> str | None:
        """Return why this sync token may not synchronise the connected registry, or None."""
        item = self.state.connected.get(connected_registry)
        if item is None:
            return f"UNAUTHORIZED: connected registry {connected_registry} does not exist"
        if token.lower() != item.token.lower():
            return f"UNAUTHORIZED: {token} is not the sync token of {item.name}"
        found = self.state.tokens[item.token]
        if found.status != "enabled":
            return f"UNAUTHORIZED: the token {found.name} is disabled"
        if not self._login.accepts(found, password):
            return INCORRECT_PASSWORD
        return self._check_gateway(item)

    def activate(self, connected_registry: str, instance: str) -> str | None:
        """Bind the connected registry to an instance; return ALREADY_ACTIVATED for a second one."""
        item = self._connected(connected_registry)
        if item.edge.instance not in (None, instance):
            return ALREADY_ACTIVATED
        item.edge.instance = instance
        return None

    def is_active(self, connected_registry: str, instance: str) -> bool:
        """Tell whether this instance is the activated one (deactivating ends that)."""
        item = self.state.connected.get(connected_registry)
        return item is not None and item.edge.instance == instance

    def sync_view(self, connected_registry: str) -> SyncView:
        """Return what a synchronisation would bring now."""
        item = self._connected(connected_registry)
        actions = self._actions(item.token)
        mirrored = (
            name for name in self.repositories if allows(list(actions), name, "content/read")
        )
        return SyncView(
            mode=item.mode,
            schedule=item.schedule,
            window=item.window,
            message_ttl=item.message_ttl,
            log_level=item.log_level,
            gc_enabled=item.gc_enabled,
            gc_schedule=item.gc_schedule,
            actions=actions,
            repositories=tuple(sorted(mirrored)),
            clients=tuple(self._client(name) for name in item.client_tokens),
            resync=item.edge.resync,
        )

    def report(
        self,
        connected_registry: str,
        state: str,
        version: str | None = None,
        last_sync: datetime | None = None,
        login_server_host: str | None = None,
        status_details: list[dict[str, Any]] | None = None,
    ) -> None:
        """Take over what the edge says about itself; None leaves what was known.

        A `last_sync` also completes a resync that was asked for. A connected registry that is gone
        or deactivated takes no reports.
        """
        item = self.state.connected.get(connected_registry)
        if item is None or item.edge.instance is None:
            return
        edge = item.edge
        edge.state = state
        edge.version = version or edge.version
        edge.login_server = login_server_host or edge.login_server
        if last_sync is not None:
            edge.last_sync, edge.resync = last_sync, False
        if status_details is not None:
            edge.details = status_details
        if state != "Offline":
            edge.last_activity = self._clock.now()

    def _connected(self, name: str) -> ConnectedRegistry:
        if name not in self.state.connected:
            raise not_found(name)
        return self.state.connected[name]

    def _actions(self, token: str) -> tuple[str, ...]:
        scope_map = self.state.tokens[token].scope_map
        return tuple(self.state.scope_maps[scope_map].actions)

    def _client(self, name: str) -> ClientToken:
        token = self.state.tokens[name]
        passwords = tuple(token.slots[slot] for slot in sorted(token.slots))
        return ClientToken(token.name, token.status == "enabled", self._actions(name), passwords)

    def parent_of(self, connected_registry: str) -> str | None:
        """Return the connected registry above one; None: this registry itself, or no such one."""
        item = self.state.connected.get(connected_registry)
        return item.parent if item is not None else None

    def actions_above(self, connected_registry: str) -> list[tuple[str, ...]]:
        """Return what the sync tokens of the ancestors may do, the parent's first."""
        found, name = [], self.parent_of(connected_registry)
        while name is not None:
            found.append(self._actions(self.state.connected[name].token))
            name = self.state.connected[name].parent
        return found

    def _check_gateway(self, item: ConnectedRegistry) -> str | None:
        """Return why messages don't get through: each sync token on the way has to allow them."""
        needed = {f"gateway/{item.name.lower()}/{verb}" for verb in GATEWAY_ACTIONS}
        for actions in (self._actions(item.token), *self.actions_above(item.name)):
            if not needed <= {action.lower() for action in actions}:
                return "UNAUTHORIZED: Insufficient scopes to perform the operation"
        return None
