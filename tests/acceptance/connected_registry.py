"""The connected registry's pod: a real registry, filled by a schedule from the parent in the cloud.

The protocol between a connected registry and Azure is not public; activation, heartbeat and the
client tokens go to the lab's Azure by method call, as in the lab. The images are copied by skopeo
with the sync token over HTTPS, so the product's scope maps have to be right for a real client.
"""

import asyncio
import pickle
import secrets
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from lab.azure import RegistryLab, SyncView
from lab.clock import Clock
from lab.registry.connection_string import parse_connection_string
from lab.registry.schedule import is_due
from tests.acceptance.distribution import Distribution

_MINUTE = timedelta(minutes=1)


class ConnectedRegistry:
    """One installation on one volume; `say` gets what its pod logs."""

    def __init__(
        self, volume: Path, connection: str, parent: RegistryLab, ca_folder: Path, clock: Clock
    ) -> None:
        """Take the volume, the connection string and the parent; nothing is started."""
        self.identity = parse_connection_string(connection)
        self.distribution = Distribution(volume, self._log_in)
        self.has_link = True
        self.lines: list[str] = []
        self._parent, self._ca_folder, self._clock = parent, ca_folder, clock
        self._marker, self._kept = volume / "instance", volume / "view"
        self._view = self._read_view()
        self._copied: dict[str, str] = {}
        self._looked = clock.now()
        self._host = ""
        self._task: asyncio.Task[None] | None = None

    async def start(
        self, address: str, port: int, context: ssl.SSLContext | None, ready: Callable[[], None]
    ) -> None:
        """Serve, then make contact with the parent every minute of the lab's clock."""
        usual = 443 if context else 80
        self._host = address if port == usual else f"{address}:{port}"
        await self.distribution.start(address, port, context)
        ready()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it; the volume stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.distribution.stop()

    def say(self, line: str) -> None:
        """Add a line to the pod's log."""
        if self.lines[-1:] != [line]:
            self.lines.append(line)

    @property
    def _instance(self) -> str:
        if not self._marker.exists():
            self._marker.write_text(secrets.token_hex(8))
        return self._marker.read_text()

    async def _run(self) -> None:
        while True:
            try:
                if self.has_link:
                    await self._contact()
            except RuntimeError as error:
                self.say(f"Sync ended early: {error}")
            await asyncio.sleep(self._clock.real_seconds(_MINUTE))

    async def _contact(self) -> None:
        who, parent = self.identity, self._parent
        refusal = parent.check_sync_token(
            who.connected_registry, who.sync_token, who.sync_password
        ) or parent.activate(who.connected_registry, self._instance)
        if refusal is not None:
            self.say(f"Failed to reach the parent: {refusal}")
            return
        parent.report(who.connected_registry, "Online", "1.0.0", None, self._host, [])
        view, now = parent.sync_view(who.connected_registry), self._clock.now()
        first = self._view is None
        if first or view.resync or is_due(view.schedule, None, self._looked, now):
            await self._synchronise(view)
            now = self._clock.now()
            parent.report(who.connected_registry, "Online", "1.0.0", now, self._host, [])
        self._looked = now

    async def _synchronise(self, view: SyncView) -> None:
        """Copy what is new; client tokens count from now on, with the passwords of this moment."""
        login = f"{self.identity.sync_token}:{self.identity.sync_password}"
        wanted = {}
        for repository in view.repositories:
            content = self._parent.content(repository)
            wanted |= {f"{repository}:{t}": d for t, d in (content.tags if content else {}).items()}
        for name, digest in wanted.items():
            if self._copied.get(name) != digest:
                await self.distribution.copy_from(
                    self._parent.login_server, login, self._ca_folder, name
                )
                self._copied[name] = digest
        self._view = view
        self._kept.write_bytes(pickle.dumps(view))
        self.say(f"Synchronised {len(wanted)} images and {len(view.clients)} client tokens.")

    def _read_view(self) -> SyncView | None:
        """Return what an earlier pod on this volume synchronised last; clients log in by it."""
        if not self._kept.exists():
            return None
        view: SyncView = pickle.loads(self._kept.read_bytes())
        return view

    def _log_in(self, user: str, password: str) -> frozenset[str] | None:
        """Return what a client token may do, as the last synchronisation brought it."""
        for token in self._view.clients if self._view else ():
            if token.name.lower() == user.lower() and token.enabled:
                now = self._clock.now()
                if any(one.matches(password, now) for one in token.passwords):
                    return frozenset(token.actions)
        return None
