"""The settings of a connected registry: what a site wants and how that differs from what exists."""

from dataclasses import dataclass
from datetime import timedelta

from fleet.azure_objects import (
    ConnectedRegistrySettings,
    ConnectedRegistryState,
    last_segment,
    same_name,
)
from fleet.sites import Site

CONTINUOUS = "* * * * *"
"""The schedule that syncs every minute; Azure then knows no sync window."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not as wanted; `group` names what one PATCH sets together."""

    group: str
    what: str
    existing: str
    wanted: str

    def __str__(self) -> str:
        """Say it as half a sentence."""
        return f"{self.what} is {self.existing}, wanted {self.wanted}"


def wanted_settings(site: Site) -> ConnectedRegistrySettings:
    """Return the settings that the fleet file gives a site's connected registry."""
    wanted = site.connected_registry
    schedule = _cron(wanted.sync.schedule)
    return ConnectedRegistrySettings(
        schedule=schedule,
        window=None if schedule == CONTINUOUS else wanted.sync.window,
        message_ttl=wanted.sync.message_ttl,
        log_level=wanted.log_level,
        audit_log=wanted.audit_log,
        gc_enabled=wanted.garbage_collection.enabled,
        gc_schedule=_cron(wanted.garbage_collection.schedule),
        notifications=tuple(sorted(set(wanted.notifications))),
    )


def settings_differences(
    existing: ConnectedRegistrySettings, wanted: ConnectedRegistrySettings
) -> tuple[Difference, ...]:
    """Return what has to change, in a fixed order.

    Spelling is no difference: case, spaces in a cron, the order of notifications. A window that
    the fleet file leaves open is whatever Azure made of it, and the schedule of a switched-off
    garbage collection says nothing.
    """
    pairs = [
        ("sync", "sync schedule", _cron(existing.schedule), _cron(wanted.schedule)),
        ("sync", "message TTL", _span(existing.message_ttl), _span(wanted.message_ttl)),
        ("logging", "log level", existing.log_level.title(), wanted.log_level.title()),
        ("logging", "audit log", _switch(existing.audit_log), _switch(wanted.audit_log)),
        ("gc", "garbage collection", _switch(existing.gc_enabled), _switch(wanted.gc_enabled)),
        (
            "notifications",
            "notifications",
            _listed(existing.notifications),
            _listed(wanted.notifications),
        ),
    ]
    if wanted.window is not None:
        pairs.insert(1, ("sync", "sync window", _span(existing.window), _span(wanted.window)))
    if wanted.gc_enabled:
        schedules = _cron(existing.gc_schedule), _cron(wanted.gc_schedule)
        pairs.append(("gc", "garbage collection schedule", *schedules))
    return tuple(Difference(*pair) for pair in pairs if pair[2] != pair[3])


def fixed_differences(site: Site, existing: ConnectedRegistryState) -> tuple[Difference, ...]:
    """Return what differs and cannot be changed: mode, sync token, parent."""
    found = []
    mode, token = site.connected_registry.mode, site.names.sync_token
    if existing.mode.casefold() != mode.casefold():
        found.append(Difference("fixed", "mode", existing.mode, mode))
    if not same_name(existing.sync_token_id, token):
        bound = last_segment(existing.sync_token_id or "")
        found.append(Difference("fixed", "sync token", bound or "not a token at all", token))
    parent, wanted = _parent(existing), site.fed_by.connected_registry if site.fed_by else None
    if not same_name(parent, wanted):
        found.append(Difference("fixed", "parent", _called(parent), _called(wanted)))
    return tuple(found)


def _parent(existing: ConnectedRegistryState) -> str | None:
    """Return the connected registry above one; None: the registry in the cloud."""
    nested = "/connectedregistries/" in (existing.parent_id or "").casefold()
    return last_segment(existing.parent_id or "") if nested else None


def _called(parent: str | None) -> str:
    return f"connected registry {parent}" if parent else "the registry in the cloud"


def _cron(schedule: str) -> str:
    return " ".join(schedule.split())


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _span(span: timedelta | None) -> str:
    return "none" if span is None else str(span)


def _listed(entries: tuple[str, ...]) -> str:
    return ", ".join(sorted(set(entries))) or "none"
