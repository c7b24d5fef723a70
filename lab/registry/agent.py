"""The part of a site's registry that talks to its parent: activation, heartbeats, sync.

Once per lab minute it makes contact. What Azure has changed reaches the volume only here: with the
sync token's password checked, at an occurrence of the schedule, while the link is up. Operations
that faults (part `registry`) can match, and the kinds they know:
    contact     skip: this minute's contact is lost
    sync        skip: this sync does nothing (slow propagation); latency: it takes longer
    heartbeat   disk-full: the registry reports Unhealthy with a DiskError
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lab.clock import Clock
from lab.faults import Faults
from lab.registry.connection_string import ConnectionString
from lab.registry.heartbeats import Heartbeats
from lab.registry.parent import AlreadyActivatedError, GoneError, Parent, Report, SyncView
from lab.registry.schedule import is_due
from lab.registry.volume import Repository, Volume

VERSION = "1.0.0"
MINUTE = timedelta(minutes=1)
RECOVERY = timedelta(minutes=5)


@dataclass
class Surroundings:
    """What the agent has around it: the lab's clock and faults, the link, the pod's log."""

    clock: Clock
    faults: Faults
    site: str
    heartbeats: Heartbeats
    has_link: Callable[[], bool]
    say: Callable[[str], None]
    activated: Callable[[], None]
    sync_seconds: float = 0.2


class Agent:
    """Keeps one volume in step with its parent."""

    def __init__(
        self,
        identity: ConnectionString,
        parent: Parent,
        volume: Volume,
        host: str,
        around: Surroundings,
    ) -> None:
        """Speak as `identity`; `host` is what Azure will show as the login server."""
        self._identity = identity
        self._parent = parent
        self._volume = volume
        self._host = host
        self._around = around
        self._looked = around.clock.now()
        self._retired = False
        self._recovering_until: datetime | None = None
        self._sync: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the connected registry's name."""
        return self._identity.connected_registry

    async def run(self) -> None:
        """Make contact every lab minute, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._contact(group)
                await asyncio.sleep(self._around.clock.real_seconds(MINUTE))

    def _contact(self, group: asyncio.TaskGroup) -> None:
        now = self._around.clock.now()
        if not self._around.has_link() or self._is_hit("contact"):
            self._volume.silent_since = self._volume.silent_since or now
            return
        if self._retired or not self._may_speak() or not self._is_active():
            return
        self._heartbeat()
        self._note_lost_messages(now)
        if self._is_recovering(now) or (self._sync is not None and not self._sync.done()):
            return
        if self._is_sync_due(now):
            self._sync = group.create_task(self._copy())

    def _may_speak(self) -> bool:
        identity = self._identity
        refusal = self._parent.check_sync_token(
            self.name, identity.sync_token, identity.sync_password
        )
        if refusal is not None:
            code = "401 " if refusal.startswith("UNAUTHORIZED") else ""
            self._around.say(f"Failed to reach the parent: {code}{refusal}")
        return refusal is None

    def _is_active(self) -> bool:
        volume = self._volume
        if volume.activated and not self._parent.is_active(self.name, volume.instance_id):
            self._around.say(f"{self.name} was deactivated; this instance stops syncing.")
            volume.activated, self._retired = False, True
            return False
        if not volume.activated:
            try:
                self._parent.activate(self.name, volume.instance_id)
            except AlreadyActivatedError as error:
                self._around.say(f"Activation failed: {error}")
                return False
            volume.activated = True
            self._around.activated()
            self._around.say(f"Activated as {self.name}.")
        return True

    def _heartbeat(self, last_sync: datetime | None = None) -> None:
        details: tuple[dict[str, Any], ...] = ()
        state = "Online"
        if self._is_hit("heartbeat", "disk-full"):
            state = "Unhealthy"
            details = (_disk_error(self._around.clock.now()),)
        report = Report(state, VERSION, last_sync, self._host, details)
        self._around.heartbeats.beat(self._parent, self.name, report)

    def _note_lost_messages(self, now: datetime) -> None:
        """Begin a recovery when the silence outlasted the messages' time to live."""
        since, self._volume.silent_since = self._volume.silent_since, None
        if since is not None and now - since > self._volume.settings.message_ttl:
            wait = self._around.clock.real_seconds(RECOVERY)
            self._recovering_until = now + timedelta(seconds=wait)
            self._around.say("Messages expired while offline; the recovery service takes over.")

    def _is_recovering(self, now: datetime) -> bool:
        return self._recovering_until is not None and now < self._recovering_until

    def _is_sync_due(self, now: datetime) -> bool:
        settings, looked = self._volume.settings, self._looked
        self._looked = now
        if self._volume.last_sync is None or self._recovering_until is not None:
            return True
        if self._parent.wants_resync(self.name):
            return True
        try:
            return is_due(settings.schedule, settings.window, looked, now)
        except ValueError as error:
            self._around.say(f"Cannot follow the schedule: {error}")
            return False

    async def _copy(self) -> None:
        faults = self._around.faults.take("registry", "sync", self._around.site)
        if any(fault.kind == "skip" for fault in faults):
            return
        for fault in faults:
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds)
        try:
            self._send_pushed()
            view = self._parent.sync_view(self.name)
            self._volume.settings = view.settings
            self._volume.tokens = dict(view.tokens)
            is_whole = await self._copy_repositories(view)
        except GoneError as error:
            self._around.say(f"Sync ended early: {error} is gone.")
            return
        if is_whole:
            self._volume.last_sync = self._around.clock.now()
            self._recovering_until = None
            self._heartbeat(self._volume.last_sync)

    def _send_pushed(self) -> None:
        """Send what clients pushed here; what may not be sent is lost at this sync."""
        volume = self._volume
        while volume.outbox:
            pushed = volume.outbox[0]
            refusal = self._parent.put_image(self.name, pushed)
            if refusal is not None:
                self._around.say(f"Could not send {pushed.repository}: {refusal}")
            del volume.outbox[0]

    async def _copy_repositories(self, view: SyncView) -> bool:
        """Copy what differs, each visible only when it is whole; False when the link went."""
        volume = self._volume
        for gone in set(volume.repositories) - set(view.repositories):
            del volume.repositories[gone]
        pause = self._around.sync_seconds / max(1, len(view.repositories))
        for name in view.repositories:
            source = self._parent.content(name)
            if _is_same(volume.repositories.get(name), source):
                continue
            await asyncio.sleep(pause)
            if not self._around.has_link():
                return False
            if not any(pushed.repository == name for pushed in volume.outbox):
                volume.repositories[name] = source
        return True

    def _is_hit(self, operation: str, kind: str = "skip") -> bool:
        hit = self._around.faults.take("registry", operation, self._around.site)
        return any(fault.kind == kind for fault in hit)


def _is_same(mine: Repository | None, theirs: Repository) -> bool:
    return (
        mine is not None
        and mine.tags == theirs.tags
        and set(mine.manifests) == set(theirs.manifests)
    )


def _disk_error(now: datetime) -> dict[str, Any]:
    return {
        "type": "Disk",
        "code": "DiskError",
        "description": "No space left on device.",
        "timestamp": now.isoformat(),
    }
