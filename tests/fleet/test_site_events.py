"""What a site's result is told as: the names that automations listen to."""

import pytest

from fleet.outcomes import Action, Outcome
from fleet.results import SiteResult, Status
from fleet.site_events import (
    SiteEvent,
    events_of,
    related_resources,
    result_payload,
    site_resource,
)
from tests.builders import a_site

WROTE = Outcome(kind="token", name="oslo", action=Action.CHANGED)
FOUND = Outcome(kind="token", name="oslo", action=Action.TO_CHANGE)
LEFT = Outcome(kind="token", name="oslo", action=Action.UNCHANGED)


def a_result(verb: str, status: Status, *outcomes: Outcome, **more: str) -> SiteResult:
    return SiteResult(site="oslo", verb=verb, status=status, outcomes=outcomes, **more)


@pytest.mark.parametrize(
    ("verb", "outcomes", "event"),
    [
        ("onboard", (WROTE,), "acrfleet.site.onboarded"),
        ("onboard", (), "acrfleet.site.onboarded"),
        ("verify", (), "acrfleet.site.verified"),
        ("adopt", (WROTE,), "acrfleet.site.adopted"),
        ("offboard", (WROTE,), "acrfleet.site.offboarded"),
        ("revoke", (WROTE,), "acrfleet.site.revoked"),
        ("rotate", (WROTE,), "acrfleet.site.rotated"),
        ("rotate", (LEFT,), "acrfleet.site.unchanged"),
        ("check expiry of", (), "acrfleet.site.unchanged"),
        ("apply", (WROTE,), "acrfleet.site.changed"),
        ("reconcile", (LEFT,), "acrfleet.site.unchanged"),
        ("reconcile", (FOUND,), "acrfleet.site.drifted"),
        ("reconcile", (WROTE,), "acrfleet.site.drifted"),
    ],
)
def test_what_was_done_has_a_name(verb: str, outcomes: tuple[Outcome, ...], event: str) -> None:
    kinds = events_of(a_result(verb, Status.DONE, *outcomes))
    assert [kind.full_name for kind in kinds] == [event]


@pytest.mark.parametrize("verb", ["onboard", "rotate", "reconcile", "check expiry of"])
@pytest.mark.parametrize(
    ("status", "event"),
    [
        (Status.WAITING, SiteEvent.WAITING),
        (Status.FAILED, SiteEvent.FAILED),
        (Status.STOPPED, SiteEvent.STOPPED),
    ],
)
def test_what_was_not_done_has_one_name_for_all_verbs(
    verb: str, status: Status, event: SiteEvent
) -> None:
    assert events_of(a_result(verb, status)) == (event,)


def test_drift_is_news_even_where_its_mending_has_to_wait() -> None:
    waits = a_result("reconcile", Status.WAITING, FOUND)
    assert events_of(waits) == (SiteEvent.DRIFTED, SiteEvent.WAITING)


@pytest.mark.parametrize("verb", ["plan", "plan offboarding of", "plan revoking"])
@pytest.mark.parametrize("status", list(Status))
def test_a_plan_is_nobody_s_news(verb: str, status: Status) -> None:
    assert events_of(a_result(verb, status, FOUND)) == ()


@pytest.mark.parametrize("status", [Status.SKIPPED, Status.NOT_STARTED])
def test_a_site_that_had_no_turn_is_no_news(status: Status) -> None:
    assert events_of(a_result("onboard", status)) == ()


def test_an_event_says_which_site_of_which_fleet_and_why() -> None:
    site = a_site("oslo")
    labels = site_resource(site)
    assert labels["prefect.resource.id"] == f"acrfleet.site.{site.fleet}.oslo"
    assert labels["prefect.resource.name"] == "oslo"
    assert {
        one["prefect.resource.role"]: one["prefect.resource.name"]
        for one in related_resources(site)
    } == {
        "fleet": site.fleet,
        "registry": site.registry,
    }
    told = result_payload(a_result("rotate", Status.FAILED, message="no link", error="SomeError"))
    assert told == {
        "verb": "rotate",
        "status": "failed",
        "message": "no link",
        "error": "SomeError",
        "changes": 0,
        "seconds": 0.0,
    }
