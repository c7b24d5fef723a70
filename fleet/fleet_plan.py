"""The plan of many sites: made from a run's results, kept in a file, held against limits.

A plan file is JSON: what `acrfleet plan --json` prints, with the form's version and a checksum
around it. It holds no secret and no hash of one.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from fleet.failures import failure_lines, group_failures
from fleet.outcomes import Outcome
from fleet.plan_errors import PlanFileError, PlanTooLargeError
from fleet.plan_limits import OVER, Limits
from fleet.results import FleetReport, SiteResult, Status
from fleet.site_plan import FleetPlan, Part, UnreadSite
from fleet.sites import Fleet

VERSION = 1
_FORM = "acrfleet_plan"


def fleet_digest(fleet: Fleet) -> str:
    """Return a hash of what a fleet file says about its sites; comments and layout do not count.

    Limits, waves and the like are no part of it: they say how a plan is applied, not what it is.
    """
    content = {"fleet": fleet.name, "sites": [one.model_dump(mode="json") for one in fleet.sites]}
    return _digest(content)


def fleet_plan(report: FleetReport, digest: str, made_at: datetime) -> FleetPlan:
    """Return the plan that the results of a planning run amount to."""
    results = sorted(report.results, key=lambda one: one.site)
    return FleetPlan(
        fleet=report.fleet,
        fleet_digest=digest,
        made_at=made_at,
        sites=tuple(one.plan for one in results if one.plan is not None),
        unread=tuple(
            UnreadSite(
                site=one.site,
                message=one.message,
                error=one.error or "",
                cause=one.cause,
                todo=one.todo,
                is_away=one.status is Status.WAITING,
            )
            for one in results
            if one.plan is None
        ),
    )


def unread_lines(plan: FleetPlan) -> list[str]:
    """Return what people read of the sites that could not be planned, grouped by cause."""
    results = (
        SiteResult(
            site=one.site,
            verb="plan",
            status=Status.WAITING if one.is_away else Status.FAILED,
            message=one.message,
            error=one.error,
            cause=one.cause,
            todo=one.todo,
        )
        for one in plan.unread
    )
    return failure_lines(group_failures(results))


def plan_digest(plan: FleetPlan) -> str:
    """Return a hash of a plan, the checksum of its file."""
    return _digest(plan.model_dump(mode="json"))


def write_plan(plan: FleetPlan) -> str:
    """Return the text of a plan file."""
    content = {"checksum": plan_digest(plan), "plan": plan.model_dump(mode="json")}
    return json.dumps({_FORM: VERSION, **content}, indent=1)


def read_plan(text: str, path: str) -> FleetPlan:
    """Return the plan in a plan file.

    Raises:
        PlanFileError: It is no plan, of another version, or somebody has edited it.
    """
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or _FORM not in found:
        raise PlanFileError(path, "this is not a plan of acrfleet")
    if found[_FORM] != VERSION:
        words = f"it has version {found[_FORM]} and this acrfleet reads {VERSION}"
        raise PlanFileError(path, words)
    if found.get("checksum") != _digest(found.get("plan")):
        raise PlanFileError(path, "its checksum is wrong, so it was cut off or edited")
    try:
        return FleetPlan.model_validate(found["plan"])
    except ValidationError:
        raise PlanFileError(path, "it was made by another version of acrfleet") from None


def require_fit(plan: FleetPlan, fleet: Fleet, path: str) -> None:
    """Refuse a plan that was made for another fleet, or from another fleet file.

    Raises:
        PlanFileError: Which of both it is.
    """
    if plan.fleet != fleet.name:
        words = f"it is of the fleet {plan.fleet}, and the fleet file is of {fleet.name}"
        raise PlanFileError(path, words)
    if plan.fleet_digest != fleet_digest(fleet):
        when = f"{plan.made_at:%Y-%m-%d %H:%M} UTC"
        raise PlanFileError(path, f"the sites in the fleet file were changed after it ({when})")


def excess(plan: FleetPlan, limits: Limits | None) -> dict[str, str]:
    """Return what is larger than the fleet file allows, by the name that `--over` takes."""
    if limits is None:
        return {}
    losing = [one.site for one in plan.sites if one.takes_away]
    nodes = [change.name for one in plan.sites for change in one.restarted]
    found = {
        "deletions": ("takes something from", "sites", losing, limits.sites_with_deletions),
        "restarts": ("restarts", "nodes", nodes, limits.restarts_at_once),
    }
    return {
        name: f"it {verb} {len(which)} {what}, and limits.{OVER[name]} is {limit}"
        for name, (verb, what, which, limit) in found.items()
        if limit is not None and len(which) > limit
    }


def require_size(plan: FleetPlan, limits: Limits | None, over: Collection[str]) -> None:
    """Refuse a plan that is too large, unless the limit that it passes was named.

    Args:
        plan: The plan.
        limits: Of the fleet file.
        over: The limits that may be passed, as `OVER` names them.

    Raises:
        PlanTooLargeError: Each limit that it passes, and what to do.
    """
    passed = {name: words for name, words in excess(plan, limits).items() if name not in over}
    if passed:
        named = " ".join(f"--over {name}" for name in passed)
        raise PlanTooLargeError(
            f"The plan is larger than the fleet file allows: {'; '.join(passed.values())}. Choose "
            f"fewer sites, or say that it is meant with `{named}`. Nothing was changed."
        )


def sites_to_apply(plan: FleetPlan) -> list[str]:
    """Return the names of the sites that a run has to look at: all but those with nothing to do."""
    due = [one.site for one in plan.sites if not one.is_empty]
    return sorted((*due, *(one.site for one in plan.unread)))


def written_beyond(plan: FleetPlan, outcomes: Iterable[Outcome]) -> str:
    """Return what was written that is not in the plan, in words; empty: nothing.

    A site is planned again right before it is changed, so this is what came up between the two.
    """
    changes = [change for one in plan.sites for change in one.changes]
    known = {change.key for change in changes}
    known |= {change.name.partition(":")[0] for change in changes if change.part is Part.NODES}
    more = [
        str(one)
        for one in outcomes
        if one.is_change
        and f"{one.kind} {one.name}" not in known
        and one.name.rpartition("/")[2] not in known
    ]
    return f"not in the plan, but due by then: {'; '.join(more)}" if more else ""


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
