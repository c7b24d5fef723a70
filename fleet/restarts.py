"""Restarting K3s: in which order, whether it is needed, and whether a node came back healthy.

An exit code proves nothing: an agent's unit is of Type=exec, so its restart succeeds even when K3s
dies a moment later, and `Restart=always` keeps a broken K3s "activating" for ever
(docs/decisions/0005-registries-and-restarts.md).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from fleet.sites import Node, Site, Strict

_CRASHES_OF_A_LOOP = 2


class ServiceState(Strict):
    """What systemd says about a unit. Times are the host's own, in whole seconds, UTC.

    `entered` is ActiveEnterTimestampMonotonic: microseconds since boot, another number after each
    start. `started` is when the main process started, `active_since` when it reported to be up.
    """

    unit: str
    load: str = "not-found"
    active: str = "unknown"
    sub: str = "unknown"
    result: str = ""
    enabled: str = ""
    crashes: int = 0
    started: datetime | None = None
    active_since: datetime | None = None
    entered: int = 0

    @property
    def exists(self) -> bool:
        """Return whether the host has such a unit."""
        return self.load == "loaded"

    @property
    def is_running(self) -> bool:
        """Return whether systemd calls it up."""
        return self.active == "active" and self.sub == "running"

    def __str__(self) -> str:
        """Say it as `systemctl` does."""
        crashes = f", restarted by systemd {self.crashes} times" if self.crashes else ""
        return f"{self.unit} is {self.active} ({self.sub}){crashes}"


class Health(StrEnum):
    """What a look at a restarted node says."""

    HEALTHY = "healthy"
    WAITING = "waiting"
    BROKEN = "broken"


class Verdict(Strict):
    """A node's health and the reason, in the operator's words."""

    health: Health
    reason: str

    @property
    def is_healthy(self) -> bool:
        """Return whether the node is up again."""
        return self.health is Health.HEALTHY


class Look(Strict):
    """What one look at a node found. None: it could not be found out, or it does not apply."""

    service: ServiceState
    ready: bool | None = None
    heartbeat: datetime | None = None
    api_ready: bool | None = None
    trouble: str = ""


def parse_service(unit: str, properties: Mapping[str, str]) -> ServiceState:
    """Return the state from `systemctl show`'s properties, times printed with TZ=UTC."""

    def number(name: str) -> int:
        value = properties.get(name, "")
        return int(value) if value.isdigit() else 0

    return ServiceState(
        unit=unit,
        load=properties.get("LoadState", "not-found"),
        active=properties.get("ActiveState", "unknown"),
        sub=properties.get("SubState", "unknown"),
        result=properties.get("Result", ""),
        enabled=properties.get("UnitFileState", ""),
        crashes=number("NRestarts"),
        started=_parse_time(properties.get("ExecMainStartTimestamp", "")),
        active_since=_parse_time(properties.get("ActiveEnterTimestamp", "")),
        entered=number("ActiveEnterTimestampMonotonic"),
    )


def restart_order(site: Site) -> tuple[Node, ...]:
    """Return the nodes in the order of their restarts: servers one by one, then agents.

    Several servers share etcd, which needs most of them; an agent needs a server to talk to.
    """
    return site.servers() + site.agents()


def missed_restart(service: ServiceState, written: datetime | None) -> bool:
    """Return whether the running K3s started before the file was written, so never read it.

    This is what a run that was killed between writing and restarting leaves behind. Both times are
    the host's own, in whole seconds; a start in the second of the write counts as after it.
    """
    started = service.started or service.active_since
    return started is not None and written is not None and written > started


def judge(before: ServiceState, looks: list[Look], role: str) -> Verdict:
    """Return whether a node is up again after its restart.

    Healthy means: systemd calls the unit running since after the restart, two looks in a row agree
    on that start and count no crash in between, the node is Ready with a heartbeat newer than the
    start, and on a server the API says that it is ready.

    Args:
        before: The unit before the restart was asked for.
        looks: What was seen since, oldest first, at least one.
        role: server or agent.
    """
    now = looks[-1]
    broken = _why_broken([look.service for look in looks])
    if broken:
        return Verdict(health=Health.BROKEN, reason=broken)
    missing = _what_is_missing(before, looks, role)
    if missing:
        return Verdict(health=Health.WAITING, reason=missing)
    return Verdict(health=Health.HEALTHY, reason=f"{now.service}, and the node is Ready")


def _why_broken(services: list[ServiceState]) -> str:
    now = services[-1]
    if not now.exists:
        return f"the unit {now.unit} is gone ({now.load})"
    if now.active == "failed":
        return f"{now}: systemd gave up on it ({now.result})"
    crashes = now.crashes - min(service.crashes for service in services)
    if crashes >= _CRASHES_OF_A_LOOP:
        return f"{now}: it crashed {crashes} times since the restart"
    return ""


def _what_is_missing(before: ServiceState, looks: list[Look], role: str) -> str:
    service = looks[-1].service
    if not service.is_running:
        return f"{service}"
    if service.entered == before.entered:
        return f"{service.unit} has not been restarted yet"
    if len(looks) < 2 or _start(looks[-2].service) != _start(service):
        return f"{service.unit} has only just started"
    return _what_kubernetes_misses(looks[-1], role)


def _what_kubernetes_misses(now: Look, role: str) -> str:
    if role == "server" and not now.api_ready:
        return f"the Kubernetes API is not ready{_because(now)}"
    if not now.ready:
        return f"the node is not Ready{_because(now)}"
    if not _is_newer(now.heartbeat, now.service.active_since):
        return "the kubelet has not renewed its Lease since the restart"
    return ""


def _start(service: ServiceState) -> tuple[int, int]:
    return service.entered, service.crashes


def _because(look: Look) -> str:
    return f": {look.trouble}" if look.trouble else ""


def _is_newer(heartbeat: datetime | None, start: datetime | None) -> bool:
    # The start is cut to whole seconds: a heartbeat within that second may be the old kubelet's.
    if heartbeat is None:
        return False
    return start is None or heartbeat >= start + timedelta(seconds=1)


def _parse_time(text: str) -> datetime | None:
    """Return systemd's `Mon 2025-11-24 09:54:00 UTC`, or None when it says n/a or anything else."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None
