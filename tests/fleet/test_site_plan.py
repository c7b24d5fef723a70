"""Plans as values: what is the same, what has moved, what is too large, what a file holds."""

import json
from typing import Any

import pytest

from fleet.fleet_plan import (
    excess,
    fleet_digest,
    fleet_plan,
    read_plan,
    require_fit,
    require_size,
    sites_to_apply,
    unread_lines,
    write_plan,
    written_beyond,
)
from fleet.outcomes import Action, Outcome
from fleet.plan_errors import PlanFileError, PlanTooLargeError
from fleet.plan_limits import Limits
from fleet.plan_pages import plan_page, site_lines
from fleet.results import FleetReport, Status
from fleet.site_plan import FleetPlan, Part, PlannedChange, SitePlan, moved_since
from fleet.sites import Fleet
from tests.builders import NOW, a_registry, a_result, a_site

FLEET = Fleet(
    name="northsea",
    registries={"northsea": a_registry()},
    sites=(a_site("oslo"), a_site("bergen")),
)


def a_change(name: str = "one", **values: Any) -> PlannedChange:
    known = {"part": Part.SCOPE_MAPS, "kind": "scope map", "action": Action.CHANGED}
    return PlannedChange.model_validate({**known, "name": name, **values})


def a_restart(node: str, seconds: float = 20.0) -> PlannedChange:
    return a_change(
        f"{node}:k3s", part=Part.NODES, kind="service", restart_seconds=seconds, detail="restarted"
    )


def a_plan(*sites: SitePlan, **values: Any) -> FleetPlan:
    known = {"fleet": "northsea", "fleet_digest": fleet_digest(FLEET), "made_at": NOW}
    return FleetPlan.model_validate({**known, "sites": sites, **values})


OSLO = SitePlan(site="oslo", changes=(a_change(diff=("+a", "-b"), takes_away=True),))
EMPTY = SitePlan(site="bergen")


@pytest.mark.parametrize(
    ("changes", "obstacles", "words"),
    [
        (OSLO.changes, (), []),
        ((), (), []),
        ((a_change("two"),), (), ["new: ~ scope map two changed"]),
        ((a_change(diff=("+a",)),), (), ["scope map one: other lines would be written"]),
        ((a_change(action=Action.CREATED),), (), ["planned was ~ scope map one changed; now it"]),
        (OSLO.changes, ("the token is disabled",), ["in the way now: the token is disabled"]),
    ],
)
def test_what_moved_is_named_and_what_is_done_already_is_no_difference(
    changes: tuple[PlannedChange, ...], obstacles: tuple[str, ...], words: list[str]
) -> None:
    now = SitePlan(site="oslo", changes=changes, obstacles=obstacles)
    moved = moved_since(a_plan(OSLO), now)
    assert len(moved) == len(words)
    assert all(word in line for word, line in zip(words, moved, strict=True))


def test_how_long_a_restart_takes_is_no_difference_but_that_there_is_one_is() -> None:
    planned = a_plan(SitePlan(site="oslo", changes=(a_restart("oslo-1", 20.0),)))
    slower = SitePlan(site="oslo", changes=(a_restart("oslo-1", 31.0),))
    assert moved_since(planned, slower) == ()
    none = SitePlan(site="oslo", changes=(a_change("oslo-1:k3s", part=Part.NODES, kind="service"),))
    assert moved_since(planned, none)


def test_a_site_that_the_plan_does_not_know_has_moved() -> None:
    assert moved_since(a_plan(EMPTY), OSLO)


def test_two_pull_secrets_for_one_service_account_are_no_difference() -> None:
    """Each client token adds its own."""
    both = tuple(
        a_change("default/default", kind="service account", detail=secret)
        for secret in ("acrfleet-pull", "crew-pull")
    )
    planned = a_plan(SitePlan(site="oslo", changes=both))
    assert moved_since(planned, SitePlan(site="oslo", changes=both)) == ()
    other = a_change("default/default", kind="service account", detail="galley-pull")
    assert moved_since(planned, SitePlan(site="oslo", changes=(*both, other)))


def test_a_plan_is_the_same_after_it_was_in_a_file() -> None:
    plan = a_plan(OSLO, EMPTY)
    assert read_plan(write_plan(plan), "x.plan") == plan


def edited(**changes: Any) -> str:
    return json.dumps({**json.loads(write_plan(a_plan(OSLO))), **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "this is not a plan of acrfleet"),
        ("[1]", "this is not a plan of acrfleet"),
        ('{"version": 1}', "this is not a plan of acrfleet"),
        (edited(acrfleet_plan=2), "it has version 2 and this acrfleet reads 1"),
        (edited(plan={}), "its checksum is wrong, so it was cut off or edited"),
        (write_plan(a_plan(OSLO)).replace("oslo", "rome"), "its checksum is wrong"),
        (write_plan(a_plan(OSLO))[:-40], "this is not a plan of acrfleet"),
    ],
)
def test_a_bad_plan_file_says_what_is_wrong_and_what_to_do(text: str, words: str) -> None:
    with pytest.raises(PlanFileError) as caught:
        read_plan(text, "x.plan")
    assert str(caught.value).startswith(f"x.plan: {words}")
    assert "acrfleet plan FLEET_FILE --out PLAN_FILE" in str(caught.value)


def test_a_plan_fits_its_own_fleet_file_alone() -> None:
    plan = a_plan(OSLO)
    require_fit(plan, FLEET.model_copy(update={"max_sites_at_once": 3}), "x.plan")
    with pytest.raises(PlanFileError, match="it is of the fleet northsea"):
        require_fit(plan, FLEET.model_copy(update={"name": "baltic"}), "x.plan")
    fewer = FLEET.model_copy(update={"sites": FLEET.sites[:1]})
    with pytest.raises(PlanFileError, match="the sites in the fleet file were changed after it"):
        require_fit(plan, fewer, "x.plan")


LARGE = a_plan(
    OSLO, SitePlan(site="bergen", changes=(a_restart("bergen-1"), a_restart("bergen-2")))
)


@pytest.mark.parametrize(
    ("limits", "over", "named"),
    [
        (Limits(), (), []),
        (Limits(sites_with_deletions=1, restarts_at_once=2), (), []),
        (Limits(sites_with_deletions=0), (), ["--over deletions"]),
        (Limits(restarts_at_once=1), (), ["--over restarts"]),
        (Limits(restarts_at_once=1, sites_with_deletions=0), ("restarts",), ["--over deletions"]),
        (Limits(restarts_at_once=1, sites_with_deletions=0), ("restarts", "deletions"), []),
    ],
)
def test_a_plan_that_is_too_large_is_refused_unless_that_limit_is_named(
    limits: Limits, over: tuple[str, ...], named: list[str]
) -> None:
    if not named:
        require_size(LARGE, limits, over)
        return
    with pytest.raises(PlanTooLargeError) as caught:
        require_size(LARGE, limits, over)
    assert all(f"`{word}`" in str(caught.value) for word in named)


def test_excess_counts_nodes_and_sites() -> None:
    found = excess(LARGE, Limits(restarts_at_once=1, sites_with_deletions=0))
    assert found["restarts"] == "it restarts 2 nodes, and limits.restarts_at_once is 1"
    assert found["deletions"].startswith("it takes something from 1 sites")


def test_a_report_becomes_a_plan_with_what_could_not_be_read() -> None:
    results = [
        a_result("oslo", plan=OSLO),
        a_result("bergen", Status.FAILED, message="no route", error="SiteUnreachableError"),
    ]
    plan = fleet_plan(FleetReport.of("plan", "northsea", results), "sha256:1", NOW)
    assert [one.site for one in plan.sites] == ["oslo"]
    assert [(one.site, one.message) for one in plan.unread] == [("bergen", "no route")]
    assert sites_to_apply(plan) == ["bergen", "oslo"]
    assert plan.is_blocked
    assert plan.has_changes
    assert plan.headline == ("1 change at 1 site; 1 site with deletions; 1 site could not be read")


def test_sites_that_are_away_are_no_failure_and_are_told_by_cause() -> None:
    dead = {"status": Status.FAILED, "cause": "<node> is dead", "error": "HostsUnreachableError"}
    results = [
        a_result("oslo", Status.WAITING, message="oslo is away", error="WaitingForSiteError"),
        *(a_result(name, message=f"{name}-1 is dead", **dead) for name in ("bergen", "vardo")),
    ]
    away = fleet_plan(FleetReport.of("plan", "northsea", results[:1]), "sha256:1", NOW)
    assert (away.is_blocked, away.is_waiting) == (False, True)
    plan = fleet_plan(FleetReport.of("plan", "northsea", results), "sha256:1", NOW)
    assert (plan.is_blocked, plan.is_waiting) == (True, True)
    assert unread_lines(plan) == [
        "2 sites failed: HostsUnreachableError: bergen, vardo",
        "  <node> is dead",
        "",
        "1 site waiting: WaitingForSiteError: oslo",
        "  oslo is away",
        "",
    ]
    assert "**2 sites failed: HostsUnreachableError: bergen, vardo**" in plan_page(plan, {})


def test_what_was_written_without_being_planned_is_told() -> None:
    planned = a_plan(SitePlan(site="oslo", changes=(a_change(), a_restart("oslo-1"))))
    done = [
        Outcome(kind="scope map", name="one", action=Action.CHANGED),
        Outcome(kind="registries.yaml on", name="oslo/oslo-1", action=Action.CHANGED),
        Outcome(kind="HelmChart", name="x", action=Action.UNCHANGED),
    ]
    assert written_beyond(planned, done) == ""
    more = Outcome(kind="pull secret", name="crew/acrfleet-pull", action=Action.CREATED)
    assert "pull secret crew/acrfleet-pull: created" in written_beyond(planned, [*done, more])


def test_the_page_and_the_lines_show_the_difference_and_the_seconds() -> None:
    site = SitePlan(
        site="oslo", changes=(*OSLO.changes, a_restart("oslo-1")), obstacles=("a\nb",), notes=("n",)
    )
    lines = [text for _, text in site_lines(site)]
    assert "      -b" in lines
    assert any("about 20 s" in line for line in lines)
    page = plan_page(a_plan(site, EMPTY), {"restarts": "it restarts too many"})
    assert "**Too large:** it restarts too many." in page
    assert "  -b" in page
    assert "1 more with nothing to do." in page


def test_a_page_that_is_too_large_for_prefect_is_cut_between_sites() -> None:
    diff = tuple(f"+{number}" for number in range(20_000))
    sites = [SitePlan(site=f"site-{n}", changes=(a_change(diff=diff),)) for n in range(9)]
    page = plan_page(a_plan(*sites), {})
    assert len(page) < 400_000
    assert "more sites do not fit here" in page
