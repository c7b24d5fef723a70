"""The registry of another site, seen as the parent of a nested connected registry.

What it passes on comes from its own volume, so a repository that it has not fetched yet is not
there for those below it either. Messages (settings, client tokens, activation, reports) pass
through to the cloud while it and everything above it has a link.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from lab.azure import RegistryLab
from lab.azure.rules import allows
from lab.registry.cloud_parent import CloudParent
from lab.registry.connection_string import ConnectionString
from lab.registry.parent import GoneError, SyncView
from lab.registry.volume import Pushed, Repository

_SCOPES = "UNAUTHORIZED: Insufficient scopes to perform the operation"


class Neighbour(Protocol):
    """What a child sees of its parent's edge registry."""

    @property
    def scheme(self) -> str:
        """What it speaks, http or https."""

    @property
    def passes_messages(self) -> bool:
        """Whether it is active and in touch with the cloud, through its own parent or directly."""

    @property
    def repositories(self) -> Mapping[str, Repository]:
        """What it holds."""


class EdgeParent(CloudParent):
    """Stands between a nested registry and the cloud."""

    def __init__(
        self,
        registry: RegistryLab,
        identity: ConnectionString,
        find: Callable[[], Neighbour | None],
    ) -> None:
        """Take the registry in the cloud and how to find the parent whenever it is needed."""
        super().__init__(registry)
        self._identity, self._find = identity, find

    def check_sync_token(self, connected_registry: str, token: str, password: str) -> str | None:
        """Return why the parent does not let the registry in, or None."""
        neighbour, gateway = self._find(), self._identity.gateway
        if neighbour is None:
            return f"connection refused: {gateway}"
        if neighbour.scheme != self._identity.protocol:
            return f"{gateway} speaks {neighbour.scheme}, not {self._identity.protocol}"
        if not neighbour.passes_messages:
            return f"503 {gateway} is not in touch with its own parent"
        return self._registry.check_sync_token(connected_registry, token, password)

    def sync_view(self, connected_registry: str) -> SyncView:
        """Return what the cloud says, with the repositories that the parent has; GoneError."""
        view, here = super().sync_view(connected_registry), self._repositories()
        return replace(view, repositories=tuple(name for name in view.repositories if name in here))

    def content(self, repository: str) -> Repository:
        """Return a repository as the parent has it; raises GoneError."""
        here = self._repositories()
        if repository not in here:
            raise GoneError(repository)
        return here[repository]

    def put_image(self, connected_registry: str, pushed: Pushed) -> str | None:
        """Pass on what was pushed, if every sync token on the way may write; raises GoneError."""
        for actions in self._registry.actions_above(connected_registry):
            if not allows(list(actions), pushed.repository, "content/write"):
                return _SCOPES
        return super().put_image(connected_registry, pushed)

    @property
    def passes_messages(self) -> bool:
        """Tell whether the parent is in touch with the cloud."""
        neighbour = self._find()
        return neighbour is not None and neighbour.passes_messages

    def _repositories(self) -> Mapping[str, Repository]:
        neighbour = self._find()
        if neighbour is None:
            raise GoneError(self._identity.gateway)
        return neighbour.repositories
