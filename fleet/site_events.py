"""What Prefect is told about a site when a run of it ends: the names and content of the events.

Automations and people's own programs listen to these names: docs/reference/events.md.
"""

from enum import StrEnum

from fleet.drift import is_adrift
from fleet.results import SiteResult, Status
from fleet.sites import Site

Labels = dict[str, str]
Payload = dict[str, object]

_PLANS = "plan"
_RECONCILE = "reconcile"


class SiteEvent(StrEnum):
    """What can be said of a site; the event's name is `acrfleet.site.<value>`."""

    ONBOARDED = "onboarded"
    VERIFIED = "verified"
    ROTATED = "rotated"
    ADOPTED = "adopted"
    OFFBOARDED = "offboarded"
    REVOKED = "revoked"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DRIFTED = "drifted"
    EXPIRING = "expiring"
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def full_name(self) -> str:
        """Return the event's name at Prefect."""
        return f"acrfleet.site.{self.value}"


_BY_VERB = {
    "onboard": SiteEvent.ONBOARDED,
    "verify": SiteEvent.VERIFIED,
    "adopt": SiteEvent.ADOPTED,
    "offboard": SiteEvent.OFFBOARDED,
    "revoke": SiteEvent.REVOKED,
}
_BY_STATUS = {
    Status.WAITING: SiteEvent.WAITING,
    Status.FAILED: SiteEvent.FAILED,
    Status.STOPPED: SiteEvent.STOPPED,
}


def events_of(result: SiteResult) -> tuple[SiteEvent, ...]:
    """Return what a site's result is told as; nothing for a plan, which somebody is looking at."""
    if result.verb.startswith(_PLANS):
        return ()
    differed = bool(result.changes) or is_adrift(result.outcomes)
    drifted = (SiteEvent.DRIFTED,) if result.verb == _RECONCILE and differed else ()
    if result.status is not Status.DONE:
        ended = _BY_STATUS.get(result.status)
        return (*drifted, *([ended] if ended else []))
    return drifted or (_event_of_done(result),)


def _event_of_done(result: SiteResult) -> SiteEvent:
    if result.verb in _BY_VERB:
        return _BY_VERB[result.verb]
    if not result.changes:
        return SiteEvent.UNCHANGED
    return SiteEvent.ROTATED if result.verb == "rotate" else SiteEvent.CHANGED


def result_payload(result: SiteResult) -> Payload:
    """Return what an event says of a result; no secret, as in the result itself."""
    return {
        "verb": result.verb,
        "status": result.status.value,
        "message": result.message,
        "error": result.error or "",
        "changes": result.changes,
        "seconds": round(result.seconds, 1),
    }


def site_resource(site: Site) -> Labels:
    """Return the resource that an event is about; automations match these labels."""
    return {
        "prefect.resource.id": f"acrfleet.site.{site.fleet}.{site.name}",
        "prefect.resource.name": site.name,
        "acrfleet.fleet": site.fleet,
        "acrfleet.site": site.name,
        "acrfleet.registry": site.registry,
    }


def related_resources(site: Site) -> list[Labels]:
    """Return what else an event concerns: the site's fleet and its registry.

    Prefect itself adds the flow run, the task run, and their tags.
    """
    return [
        _related("fleet", site.fleet, f"acrfleet.fleet.{site.fleet}"),
        _related("registry", site.registry, f"acrfleet.registry.{site.fleet}.{site.registry}"),
    ]


def _related(role: str, name: str, identity: str) -> Labels:
    return {
        "prefect.resource.id": identity,
        "prefect.resource.name": name,
        "prefect.resource.role": role,
    }
