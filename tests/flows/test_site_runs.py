"""One site's failure is a result: runs of many sites against a real Prefect server."""

import threading
import time
from datetime import UTC, datetime
from typing import NoReturn

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterName

from fleet.errors import FleetError, WaitingError
from fleet.outcomes import Action, Outcome
from fleet.results import FleetReport, Status
from tasks.progress import Step, observing
from tasks.progress_bar import showing_progress
from tasks.records import keep_record, read_record
from tasks.reporting import end_of_run, publish_fleet
from tasks.site_runs import SiteRun, alone_at, run_sites
from tests.builders import a_record, a_site

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]


def works(run: SiteRun) -> None:
    run.message = "fine"


def learns(run: SiteRun) -> None:
    run.record = a_record(run.site.name, chart_version="0.4.0")


def breaks_after_a_change(run: SiteRun) -> NoReturn:
    run.did([Outcome(kind="token", name="t", action=Action.CREATED)])
    raise FleetError("then it broke")


def breaks(_run: SiteRun) -> NoReturn:
    raise FleetError("the host does not answer: wait for the link")


def explodes(_run: SiteRun) -> NoReturn:
    raise ValueError("CANARY-in-an-exception")


def waits(_run: SiteRun) -> NoReturn:
    raise WaitingError("it has not synced since noon")


def run(
    work_by_site: dict[str, object],
    at_once: int = 4,
    before: dict[str, frozenset[str]] | None = None,
) -> tuple[FleetReport, object]:
    reports: list[FleetReport] = []

    @flow(name="test")
    def fleet_flow() -> object:
        sites = [a_site(name) for name in work_by_site]
        with showing_progress("northsea", "onboard", len(sites)):
            report = run_sites(
                "onboard",
                "northsea",
                sites,
                lambda r: work_by_site[r.site.name](r),
                at_once,
                before,
            )
        publish_fleet(report, work_by_site)
        reports.append(report)
        return end_of_run(report)

    state = fleet_flow(return_state=True)
    return reports[0], state


def test_what_another_run_has_noted_meanwhile_stays() -> None:
    def looks(run: SiteRun) -> None:
        record = a_record(run.site.name, chart_version="0.9.9")

        @flow(name="another run")
        def another() -> None:
            keep_record("northsea", run.site.name, record)

        thread = threading.Thread(target=another)
        thread.start()
        thread.join()

    def writes(run: SiteRun) -> None:
        looks(run)
        with alone_at(run):
            run.record = run.record.model_copy(update={"connected_registry": "known-now"})

    run({"harstad": looks, "hammerfest": writes})
    for site in ("harstad", "hammerfest"):
        record = read_record("northsea", site)
        assert record is not None
        assert (record.chart_version, record.last_verb) == ("0.9.9", "onboard")
    assert record.connected_registry == "known-now"


def test_one_broken_site_does_not_hide_or_stop_the_others() -> None:
    report, state = run({"oslo": works, "bergen": breaks, "rotterdam": works})
    assert [(r.site, r.status) for r in report.results] == [
        ("bergen", Status.FAILED),
        ("oslo", Status.DONE),
        ("rotterdam", Status.DONE),
    ]
    assert state.is_failed()
    assert "1 site failed: FleetError: bergen\n  the host does not answer" in state.message


def test_a_waiting_site_is_neither_done_nor_broken() -> None:
    report, state = run({"oslo": works, "bergen": waits})
    assert [r.site for r in report.having(Status.WAITING)] == ["bergen"]
    assert (state.name, state.type.value) == ("Waiting", "CANCELLED"), "grey in the UI"


def test_a_site_starts_when_those_before_it_have_ended_however_they_ended() -> None:
    order: list[str] = []

    def noted(run: SiteRun) -> None:
        order.append(run.site.name)
        if run.site.name == "hub":
            breaks(run)

    before = {"ferry": frozenset({"oslo", "hub"}), "oslo": frozenset({"hub"}), "hub": frozenset()}
    report, _ = run(dict.fromkeys(("ferry", "oslo", "alone", "hub"), noted), 1, before)
    assert [name for name in order if name != "alone"] == ["hub", "oslo", "ferry"]
    assert {r.site: r.status for r in report.results} == {
        "hub": Status.FAILED,
        "oslo": Status.DONE,
        "ferry": Status.DONE,
        "alone": Status.DONE,
    }


def test_sites_without_an_order_do_not_wait_for_those_with_one() -> None:
    both = threading.Barrier(2, timeout=30)

    def meets(_run: SiteRun) -> None:
        both.wait()

    before = {"oslo": frozenset({"hub"})}
    report, _ = run({"oslo": works, "hub": meets, "alone": meets}, 2, before)
    assert [r.status for r in report.results] == [Status.DONE] * 3


def test_an_unexpected_error_is_reported_by_type_and_never_by_its_text() -> None:
    report, state = run({"oslo": explodes})
    assert "ValueError" in report.results[0].message
    assert "CANARY" not in state.message + report.results[0].message


def test_every_site_has_a_task_run_that_the_ui_finds_by_name() -> None:
    run({"oslo": works, "stavanger": breaks})
    with get_client(sync_client=True) as client:
        for _ in range(50):
            runs = client.read_task_runs(
                task_run_filter=TaskRunFilter(name=TaskRunFilterName(any_=["onboard stavanger"]))
            )
            if runs and runs[0].state and runs[0].state.is_final():
                break
            time.sleep(0.2)
    assert runs[0].state_name == "Failed"
    assert "site:stavanger" in runs[0].tags


def test_the_record_of_a_site_outlives_the_run_and_keeps_what_was_known() -> None:
    before = datetime.now(UTC)
    run({"tromso": learns})
    run({"tromso": breaks})
    record = read_record("northsea", "tromso")
    assert record is not None
    assert record.chart_version == "0.4.0"
    assert record.last_status is Status.FAILED
    assert record.last_run_at > before


def test_as_many_sites_as_allowed_are_worked_on_at_once_and_no_more() -> None:
    three = threading.Barrier(3, timeout=30)
    lock, active, most = threading.Lock(), 0, 0

    def slow(run: SiteRun) -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        three.wait()
        with lock:
            active -= 1
        works(run)

    report, _ = run({f"site{n}": slow for n in range(6)}, at_once=3)
    assert most == 3
    assert len(report.having(Status.DONE)) == 6


def test_observers_hear_how_each_site_ended() -> None:
    heard: list[Step] = []
    with observing(heard.append):
        run({"oslo": works, "bergen": breaks})
    assert {step.site: step.state for step in heard} == {"oslo": "done", "bergen": "failed"}


def test_what_was_done_before_a_failure_is_counted() -> None:
    report, _ = run({"oslo": breaks_after_a_change})
    assert report.results[0].status is Status.FAILED
    assert report.results[0].changes == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_sites_that_end_while_others_begin_do_not_disturb_them() -> None:
    report, _ = run({f"site{n:03}": works for n in range(120)}, at_once=16)
    assert len(report.having(Status.DONE)) == 120, report.results[0].message
