"""A registry of the lab's Azure, seen as the parent of connected registries."""

from datetime import UTC, datetime

from lab.azure import ClientToken as CloudToken
from lab.azure import RegistryLab
from lab.azure import SyncView as CloudView
from lab.azure.errors import ArmError
from lab.azure.images import Manifest as CloudManifest
from lab.azure.images import RepositoryContent
from lab.azure.rules import allows, parse_duration
from lab.registry.parent import AlreadyActivatedError, GoneError, Report, SyncView
from lab.registry.volume import (
    ClientToken,
    Manifest,
    Password,
    Pushed,
    Repository,
    Settings,
)


class CloudParent:
    """Translates between what Azure keeps and what a site's registry keeps."""

    def __init__(self, registry: RegistryLab) -> None:
        """Be the parent for connected registries of `registry`."""
        self._registry = registry

    def check_sync_token(self, connected_registry: str, token: str, password: str) -> str | None:
        """Return None when the sync token may speak for the registry, else the reason."""
        above = self._registry.parent_of(connected_registry)
        if above is not None:
            return f"UNAUTHORIZED: {connected_registry} is below {above}, not below the cloud"
        return self._registry.check_sync_token(connected_registry, token, password)

    def activate(self, connected_registry: str, instance_id: str) -> None:
        """Make this instance the active one; raises AlreadyActivatedError."""
        refusal = self._registry.activate(connected_registry, instance_id)
        if refusal is not None:
            raise AlreadyActivatedError(
                f"{refusal}: another instance of {connected_registry} is active; "
                "deactivate the connected registry first"
            )

    def is_active(self, connected_registry: str, instance_id: str) -> bool:
        """Tell whether this instance is (still) the active one."""
        return self._registry.is_active(connected_registry, instance_id)

    @property
    def passes_messages(self) -> bool:
        """Tell whether messages get through: the cloud is always there."""
        return True

    def wants_resync(self, connected_registry: str) -> bool:
        """Tell whether somebody asked for a full synchronisation."""
        item = self._registry.state.connected.get(connected_registry)
        return item is not None and item.edge.resync

    def sync_view(self, connected_registry: str) -> SyncView:
        """Return settings, repositories and client tokens; raises GoneError."""
        view = self._view(connected_registry)
        settings = Settings(
            mode=view.mode,
            schedule=view.schedule,
            window=parse_duration(view.window, "syncWindow") if view.window else None,
            message_ttl=parse_duration(view.message_ttl, "messageTtl"),
            log_level=view.log_level,
        )
        tokens = {token.name.lower(): _token(token) for token in view.clients}
        return SyncView(settings, view.repositories, tokens)

    def put_image(self, connected_registry: str, pushed: Pushed) -> str | None:
        """Take over what a site's client pushed, or return why not; raises GoneError."""
        actions = list(self._view(connected_registry).actions)
        if not allows(actions, pushed.repository, "content/write"):
            return "Insufficient scopes to perform the operation"
        manifest, now = pushed.manifest, datetime.now(UTC)
        content = self._registry.repositories.setdefault(
            pushed.repository, RepositoryContent(pushed.repository, now)
        )
        content.blobs.update(pushed.blobs)
        content.manifests[pushed.digest] = CloudManifest(
            pushed.digest, manifest.media_type, manifest.content, len(manifest.content), now
        )
        if pushed.tag is not None:
            content.tags[pushed.tag] = pushed.digest
        return None

    def content(self, repository: str) -> Repository:
        """Return a repository's tags, manifests and blobs; raises GoneError."""
        content = self._registry.content(repository)
        if content is None:
            raise GoneError(repository)
        manifests = {
            digest: Manifest(manifest.media_type, manifest.data)
            for digest, manifest in content.manifests.items()
        }
        return Repository(dict(content.tags), manifests, dict(content.blobs))

    def report(self, connected_registry: str, report: Report) -> None:
        """Take note of how the site's registry is."""
        self._registry.report(
            connected_registry,
            report.state,
            report.version,
            report.last_sync,
            report.host,
            list(report.status_details),
        )

    def _view(self, connected_registry: str) -> CloudView:
        try:
            return self._registry.sync_view(connected_registry)
        except ArmError as error:
            raise GoneError(connected_registry) from error


def _token(token: CloudToken) -> ClientToken:
    passwords = tuple(
        Password(one.slot, one.salt, one.digest, one.expires) for one in token.passwords
    )
    return ClientToken(token.name, token.enabled, frozenset(token.actions), passwords)
