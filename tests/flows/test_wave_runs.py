"""Waves against a real Prefect server: what is seen of them, what stops them, what is resumed."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from fleet.errors import FleetError
from fleet.results import FleetReport, Status
from fleet.sites import Fleet
from fleet.wave_settings import Waves
from tasks.progress import Step, collecting_reports, observing
from tasks.progress_bar import showing_progress
from tasks.reporting import end_of_run, publish_fleet
from tasks.site_runs import SiteRun, run_sites
from tasks.wave_runs import close_course, open_course, run_waves
from tests.builders import a_registry, a_site
from tests.flows.artifacts import artifacts_of

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]
Work = Callable[[SiteRun], None]


def works(run: SiteRun) -> None:
    run.message = "fine"


def breaks(run: SiteRun) -> None:
    raise FleetError(f"{run.site.name}-1 is broken")


def a_run(
    fleet: str,
    work: Mapping[str, Work],
    waves: Waves | None,
    *,
    before: Mapping[str, frozenset[str]] | None = None,
    **more: Any,
) -> tuple[FleetReport, Any]:
    """Run the work of each site in waves, as the fleet flows do."""
    sites = tuple(a_site(name, fleet=fleet) for name in work)
    whole = Fleet(name=fleet, registries={"northsea": a_registry()}, sites=sites, waves=waves)
    order = before or {}

    @flow(name="waves of a test")
    def fleet_flow() -> Any:
        course = open_course("onboard", whole, sites, order, {"names": []}, **more)
        with showing_progress(fleet, "onboard", len(sites)):
            report = run_waves(
                "onboard",
                fleet,
                course,
                lambda some, wave: run_sites(
                    "onboard",
                    fleet,
                    some,
                    lambda run: work[run.site.name](run),
                    4,
                    order,
                    tags=[f"wave:{wave.number}"] if wave else [],
                ),
            )
        close_course(course, report)
        publish_fleet(report, work)
        return end_of_run(report)

    with collecting_reports() as reports:
        state = fleet_flow(return_state=True)
    return reports[-1], state


def statuses(report: FleetReport) -> dict[str, Status]:
    return {one.site: one.status for one in report.results}


def test_waves_are_seen_in_the_log_the_tags_and_on_the_bar(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[Step] = []
    names = ("bergen", "oslo", "tromso", "vardo")
    with caplog.at_level(logging.INFO), observing(heard.append):
        report, state = a_run(
            "waves-seen", dict.fromkeys(names, works), Waves(canaries=("oslo",), size=2)
        )
    assert state.is_completed()
    assert [one.status for one in report.results] == [Status.DONE] * 4
    said = [step.text for step in heard if not step.site]
    assert said == [
        "wave 1 of 3 (the canaries, 1 site) begins",
        "wave 1 of 3 (the canaries, 1 site) ended: 1 done",
        "wave 2 of 3 (2 sites) begins",
        "wave 2 of 3 (2 sites) ended: 2 done",
        "wave 3 of 3 (1 site) begins",
        "wave 3 of 3 (1 site) ended: 1 done",
    ]
    assert [line for line in caplog.messages if line in said] == said
    assert tags_of("onboard oslo") >= {"wave:1", "site:oslo"}
    assert "wave:3" in tags_of("onboard vardo")
    bars = artifacts_of("progress-waves-seen")
    assert "wave 3 of 3 (1 site) ended: 1 done" in bars[0].description


def test_the_next_wave_begins_only_when_the_one_before_has_ended() -> None:
    ended: list[str] = []

    def slow(run: SiteRun) -> None:
        time.sleep(0.3)
        ended.append(run.site.name)

    def after_the_canary(run: SiteRun) -> None:
        assert "oslo" in ended
        works(run)

    work = {"bergen": after_the_canary, "oslo": slow, "vardo": after_the_canary}
    report, _ = a_run("waves-wait", work, Waves(canaries=("oslo",)))
    assert statuses(report) == dict.fromkeys(work, Status.DONE)


def test_too_many_failures_stop_the_run_and_every_site_says_why() -> None:
    work: dict[str, Work] = {"bergen": works, "oslo": breaks, "tromso": works, "vardo": works}
    report, state = a_run("waves-stop", work, Waves(canaries=("oslo",), size=2))
    assert statuses(report) == {
        "oslo": Status.FAILED,
        "bergen": Status.NOT_STARTED,
        "tromso": Status.NOT_STARTED,
        "vardo": Status.NOT_STARTED,
    }
    assert state.is_failed()
    assert state.message.splitlines() == [
        "onboard waves-stop: 1 failed, 3 not started",
        "1 site failed: FleetError: oslo",
        "  oslo-1 is broken",
        "  What to do: The root of everything this program raises on purpose.",
        "",
        "3 sites not started: bergen, tromso, vardo",
        "  the run stopped before their wave: 1 of 1 sites failed (oslo), allowed are 0",
        "  What to do: See to the sites that failed, then run the same again with `--resume`.",
    ]
    table = artifacts_of("fleet-waves-stop")[0]
    assert "**1 site failed: FleetError: oslo**" in table.description
    assert {row["site"]: row["status"] for row in json.loads(table.data)} == {
        "oslo": "failed",
        **dict.fromkeys(("bergen", "tromso", "vardo"), "not started"),
    }


@pytest.mark.slow
def test_a_resumed_run_leaves_out_what_is_done_and_any_other_begins_with_what_is_not() -> None:
    order: list[str] = []

    def noted(run: SiteRun) -> None:
        order.append(run.site.name)

    settings = Waves(size=1)
    work: dict[str, Work] = {"bergen": noted, "oslo": breaks, "vardo": noted}
    a_run("waves-resume", work, settings)
    assert order == ["bergen"]
    report, _ = a_run("waves-resume", {**work, "oslo": noted}, settings, resume=True)
    assert order == ["bergen", "oslo", "vardo"]
    assert statuses(report) == {
        "bergen": Status.SKIPPED,
        "oslo": Status.DONE,
        "vardo": Status.DONE,
    }
    skipped = report.having(Status.SKIPPED)[0].message
    assert "after the run began that is resumed" in skipped
    report, _ = a_run("waves-resume", dict.fromkeys(work, noted), settings, resume=True)
    assert statuses(report) == dict.fromkeys(work, Status.DONE)  # nothing was interrupted
    del order[:]
    a_run("waves-resume", {**dict.fromkeys(work, noted), "vardo": breaks}, settings)
    a_run("waves-resume", dict.fromkeys(work, noted), settings)
    assert order[-3:] == ["vardo", "bergen", "oslo"]


def test_what_is_below_a_site_waits_for_it_over_waves() -> None:
    order: list[str] = []

    def noted(run: SiteRun) -> None:
        order.append(run.site.name)

    before = {"ferry": frozenset({"hub"})}
    work: dict[str, Work] = dict.fromkeys(("ferry", "bergen", "hub"), noted)
    a_run("waves-nested", work, Waves(canaries=("bergen",), size=1), before=before)
    assert order == ["bergen", "hub", "ferry"]


def tags_of(name: str) -> set[str]:
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterName

    with get_client(sync_client=True) as client:
        for _ in range(100):
            runs = client.read_task_runs(
                task_run_filter=TaskRunFilter(name=TaskRunFilterName(any_=[name]))
            )
            tagged = [set(run.tags) for run in runs if "wave:1" in run.tags or "wave:3" in run.tags]
            if tagged:
                return tagged[0]
            time.sleep(0.2)
    return set()
