"""What a site's registry asks of its parent, at sync ticks only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from lab.registry.volume import ClientToken, Pushed, Repository, Settings


class GoneError(Exception):
    """What was there a moment ago was deleted in the cloud."""


class AlreadyActivatedError(Exception):
    """Another instance is active under this name until it is deactivated; the text says so."""


@dataclass(frozen=True)
class SyncView:
    """What the sync token lets a connected registry see."""

    settings: Settings
    repositories: tuple[str, ...]
    tokens: Mapping[str, ClientToken]


class Parent(Protocol):
    """The cloud registry, or another site's, as a connected registry sees it."""

    @property
    def passes_messages(self) -> bool:
        """Whether messages between the connected registry and the cloud get through."""

    def check_sync_token(self, connected_registry: str, token: str, password: str) -> str | None:
        """Return None when the sync token may speak for the registry, else the reason."""

    def activate(self, connected_registry: str, instance_id: str) -> None:
        """Make this instance the active one; raises AlreadyActivatedError."""

    def is_active(self, connected_registry: str, instance_id: str) -> bool:
        """Tell whether this instance is (still) the active one."""

    def wants_resync(self, connected_registry: str) -> bool:
        """Tell whether somebody asked for a full synchronisation."""

    def sync_view(self, connected_registry: str) -> SyncView:
        """Return settings, repositories and client tokens by lower-case name; raises GoneError."""

    def put_image(self, connected_registry: str, pushed: Pushed) -> str | None:
        """Take over what a site's client pushed, or return why not; raises GoneError."""

    def content(self, repository: str) -> Repository:
        """Return a repository's tags, manifests and blobs; raises GoneError."""

    def report(self, connected_registry: str, report: "Report") -> None:
        """Take note of how the site's registry is."""


@dataclass(frozen=True)
class Report:
    """How a registry is: what Azure shows as connectionState, version, lastSyncTime and so on.

    `last_sync` is given by the report that ends a sync, else it is None.
    """

    state: str
    version: str
    last_sync: datetime | None
    host: str
    status_details: tuple[dict[str, Any], ...] = ()
