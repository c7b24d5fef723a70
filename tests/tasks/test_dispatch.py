"""What becomes of shards that end well, crash, fall silent, fail or are taken up again."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

import pytest
from prefect import Flow, flow
from prefect.client.schemas.objects import StateType

from fleet.dispatch_errors import ShardDeploymentMissingError
from fleet.outcomes import Action
from fleet.results import FleetReport, Status
from fleet.shard_report import ShardOrder
from fleet.shard_settings import Shards
from fleet.shards import fingerprint
from fleet.site_plan import FleetPlan, Part, PlannedChange, SitePlan
from fleet.sites import Fleet
from tasks.dispatch import dispatch_sites
from tasks.progress import Step, collecting_reports, observing
from tasks.records import read_record
from tests.builders import a_registry, a_site
from tests.tasks.scripted_workers import POOL, Taken, Worker

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]

NAMES = ("bergen", "oslo", "rotterdam", "tromso")
NUMBERS = count()


def a_fleet(**shards: Any) -> Fleet:
    return Fleet(
        name="northsea",
        registries={"northsea": a_registry()},
        sites=tuple(a_site(name) for name in NAMES),
        shards=Shards(**{"size": 2, **shards}),
    )


class Fleeting(NamedTuple):
    """A flow that dispatches a fleet, and the reports of its runs."""

    flow: "Flow[..., Any]"
    reports: list[FleetReport]

    def run(self, **parameters: Any) -> FleetReport:
        self.flow(**{"fleet_file": "fleet.yaml", "sites": ["*"], "tags": ["ship"], **parameters})
        return self.reports[-1]


def a_flow(
    fleet: Fleet,
    clock: Callable[[], float] = time.monotonic,
    plans: Iterable[FleetPlan] = (),
    **options: Any,
) -> Fleeting:
    """Return a flow that dispatches; each of its runs applies the next of `plans`."""
    reports: list[FleetReport] = []
    next_plan = iter(plans)

    @flow(name=f"dispatching {next(NUMBERS)}", **options)
    def dispatching(
        fleet_file: str,
        sites: list[str] | None = None,
        tags: list[str] | None = None,
        now: bool = False,
    ) -> None:
        plan = next(next_plan, None)
        reports.append(
            dispatch_sites("onboard", fleet, fleet.sites, plan=plan, every=0.1, clock=clock)
        )

    return Fleeting(dispatching, reports)


@contextmanager
def working(
    script: Callable[[Taken], None], fleet: Fleet | None = None
) -> Iterator[tuple[Fleeting, Worker]]:
    fleeting = a_flow(fleet or a_fleet())
    with Worker(fleeting.flow, script).at_work() as worker:
        yield fleeting, worker


def statuses(report: FleetReport) -> dict[str, str]:
    return {result.site: str(result.status) for result in report.results}


ALL_DONE = dict.fromkeys(NAMES, "done")


def test_every_shard_is_a_run_and_their_reports_become_one_with_failures_first() -> None:
    orders = []

    def script(taken: Taken) -> None:
        orders.append(taken.order)
        taken.begin()
        for site in taken.sites:
            taken.report(site, status=Status.FAILED if site == "tromso" else Status.DONE)
        taken.fail("1 of 2 sites failed")

    with working(script) as (fleeting, worker):
        report = fleeting.run(now=True)
        runs = worker.runs()
    assert [result.site for result in report.results] == ["tromso", "bergen", "oslo", "rotterdam"]
    assert statuses(report) == {**ALL_DONE, "tromso": "failed"}
    assert {run.name for run in runs} == {
        "onboard bergen to oslo (2 sites)",
        "onboard rotterdam to tromso (2 sites)",
    }
    for run in runs:
        assert run.parameters["now"] is True
        assert run.parameters.get("tags") is None
        assert run.parent_task_run_id is not None
        assert {"shard", "verb:onboard", "fleet:northsea"} <= set(run.tags)
    assert [order.fingerprint for order in orders if order] == [fingerprint(a_fleet())] * 2


@pytest.mark.slow
def test_a_shard_that_crashes_is_dispatched_again_with_what_was_left() -> None:
    def script(taken: Taken) -> None:
        if taken.is_again or "oslo" not in taken.sites:
            return taken.do_all()
        taken.begin()
        taken.report("bergen")
        return taken.crash()

    with working(script) as (fleeting, worker):
        report = fleeting.run()
    assert statuses(report) == ALL_DONE
    assert sorted(run.parameters["sites"] for run in worker.taken) == [
        ["bergen", "oslo"],
        ["oslo"],
        ["rotterdam", "tromso"],
    ]


@pytest.mark.slow
def test_a_site_that_a_stopping_worker_left_is_dispatched_again() -> None:
    def script(taken: Taken) -> None:
        if taken.is_again or "oslo" not in taken.sites:
            return taken.do_all()
        taken.begin()
        taken.report("bergen")
        taken.report("oslo", status=Status.STOPPED)
        return taken.crash()

    with working(script) as (fleeting, worker):
        report = fleeting.run()
    assert statuses(report) == ALL_DONE
    assert ["oslo"] in [run.parameters["sites"] for run in worker.taken]


@pytest.mark.slow
def test_a_last_report_that_cannot_be_read_at_once_is_waited_for() -> None:
    def script(taken: Taken) -> None:
        taken.begin()
        with taken.unreadable_report():
            taken.complete()
            time.sleep(1)
        taken.report(*taken.sites)

    with working(script) as (fleeting, _):
        report = fleeting.run()
    assert statuses(report) == ALL_DONE


@pytest.mark.slow
def test_a_shard_that_crashes_twice_has_failed_and_names_its_run() -> None:
    def script(taken: Taken) -> None:
        if "oslo" not in taken.sites:
            return taken.do_all()
        taken.begin()
        return taken.crash()

    with working(script) as (fleeting, worker):
        report = fleeting.run()
    assert statuses(report) == {**ALL_DONE, "bergen": "failed", "oslo": "failed"}
    last = next(run for run in worker.taken if run.name.endswith("again"))
    assert str(last.id) in report.results[0].message
    assert "the process was killed" in report.results[0].message


@pytest.mark.parametrize("begun", [True, False], ids=["at work", "not begun"])
def test_a_shard_that_falls_silent_counts_as_crashed_and_is_dispatched_again(begun: bool) -> None:
    now = [0.0]

    def script(taken: Taken) -> None:
        if taken.is_again or "oslo" not in taken.sites:
            return taken.do_all()
        if begun:
            taken.begin()
        else:
            taken.pend()
        while not taken.look().is_final():
            now[0] += 700.0
        return None

    fleeting = a_flow(a_fleet(), lambda: now[0])
    with Worker(fleeting.flow, script).at_work() as worker:
        report = fleeting.run()
        runs = [run for run in worker.runs() if "oslo" in run.parameters["sites"]]
    assert statuses(report) == ALL_DONE
    assert sorted(run.state_type for run in runs) == [StateType.COMPLETED, StateType.CRASHED]


def test_shards_that_no_worker_takes_are_told_with_what_to_do_and_go_on_once_one_comes() -> None:
    now, told = [0.0], []

    def clock() -> float:
        now[0] += 10.0
        return now[0]

    fleeting = a_flow(a_fleet(size=4), clock)
    with ExitStack() as later:
        worker = Worker(fleeting.flow, Taken.do_all)

        def observe(step: Step) -> None:
            if "no worker" in step.text:
                told.append(step.text)
                later.enter_context(worker.at_work())

        with observing(observe):
            report = fleeting.run()
    assert statuses(report) == ALL_DONE
    (words,) = told
    assert words == (
        "no worker has taken onboard bergen to tromso (4 sites) for 2 minutes: all may be busy, or "
        f"none is alive; look at Work pools > {POOL} in Prefect's UI, or start one: "
        f"prefect worker start --pool {POOL}"
    )


def test_a_shard_that_fails_as_a_whole_is_not_tried_again_and_says_why() -> None:
    def script(taken: Taken) -> None:
        taken.begin()
        taken.fail("FleetFileDiffersError: the fleet file of this worker is not the one")

    with working(script) as (fleeting, worker):
        report = fleeting.run()
    assert statuses(report) == dict.fromkeys(NAMES, "failed")
    assert "the fleet file of this worker" in report.results[0].message
    assert "mend its worker" in report.results[0].todo
    assert len(worker.taken) == 2
    # No run of the site could tell, so that status and report would go on to say that all is well.
    kept = read_record("northsea", "oslo")
    assert kept is not None
    assert (kept.last_status, kept.last_message) == (Status.FAILED, report.results[0].message)


def test_no_more_shards_are_under_way_than_the_fleet_file_allows() -> None:
    open_runs = []

    def script(taken: Taken) -> None:
        open_runs.append(len([run for run in worker.runs() if not run.state.is_final()]))
        taken.do_all()

    fleeting = a_flow(fleet := a_fleet(size=1, at_once=1))
    assert fleet.shards.at_once == 1
    with Worker(fleeting.flow, script).at_work() as worker:
        assert statuses(fleeting.run()) == ALL_DONE
    assert open_runs == [1, 1, 1, 1]


def test_without_a_deployment_for_shards_it_says_what_to_run() -> None:
    with pytest.raises(ShardDeploymentMissingError, match="acrfleet deploy"):
        a_flow(a_fleet()).run()


class BrokenOffError(Exception):
    """Something that ends a run which dispatches."""


@contextmanager
def interrupted_once(then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Break off the first run that hears of a site that is done."""
    broken = []

    def observe(step: Step) -> None:
        if step.state == "done" and not broken:
            broken.append(step)
            then()
            raise BrokenOffError

    with observing(observe):
        yield


def in_two_halves(go_on: threading.Event) -> Callable[[Taken], None]:
    """Do the first shard as soon as the other one is at work, and that one only when told to."""
    both = threading.Event()

    def script(taken: Taken) -> None:
        taken.begin()
        if "oslo" in taken.sites:
            assert both.wait(120)
        else:
            both.set()
            assert go_on.wait(120)
        taken.report(*taken.sites)
        taken.complete()

    return script


def test_a_run_that_is_tried_again_goes_on_with_the_shards_that_it_has_started() -> None:
    go_on = threading.Event()
    fleeting = a_flow(a_fleet(), retries=1)
    with (
        Worker(fleeting.flow, in_two_halves(go_on)).at_work() as worker,
        interrupted_once(go_on.set),
    ):
        report = fleeting.run()
    assert go_on.is_set()
    assert statuses(report) == ALL_DONE
    assert len(worker.runs()) == 2


def test_a_new_run_takes_up_what_a_killed_one_has_left_at_work() -> None:
    go_on = threading.Event()
    fleeting = a_flow(a_fleet())

    def observe(step: Step) -> None:
        if step.site == "oslo" and step.text.startswith("dispatched"):
            go_on.set()

    with Worker(fleeting.flow, in_two_halves(go_on)).at_work() as worker, interrupted_once():
        with pytest.raises(BrokenOffError):
            fleeting.run()
        with observing(observe):
            report = fleeting.run()
        sites = sorted(run.parameters["sites"] for run in worker.runs())
    assert statuses(report) == ALL_DONE
    assert sites == [["bergen", "oslo"], ["bergen", "oslo"], ["rotterdam", "tromso"]]


@pytest.mark.slow
def test_a_run_with_other_parameters_leaves_shards_of_others_alone() -> None:
    go_on = threading.Event()
    fleeting = a_flow(a_fleet())
    with Worker(fleeting.flow, in_two_halves(go_on)).at_work() as worker, interrupted_once():
        with pytest.raises(BrokenOffError):
            fleeting.run()
        go_on.set()
        assert statuses(fleeting.run(now=True)) == ALL_DONE
        assert len(worker.runs()) == 4


def a_plan(headline: str) -> FleetPlan:
    change = PlannedChange(
        part=Part.SYNC, kind="connected registry", name=headline, action=Action.CHANGED
    )
    sites = tuple(SitePlan(site=name, changes=(change,)) for name in NAMES)
    return FleetPlan(fleet="northsea", fleet_digest="x", made_at=datetime.now(UTC), sites=sites)


@pytest.mark.slow
def test_shards_get_the_plan_with_their_order_and_those_of_another_plan_are_left_alone() -> None:
    go_on, plans = threading.Event(), [a_plan("first"), a_plan("second")]
    fleeting, orders = a_flow(a_fleet(), plans=plans), list[ShardOrder | None]()
    halves = in_two_halves(go_on)

    def script(taken: Taken) -> None:
        orders.append(taken.order)
        halves(taken)

    with Worker(fleeting.flow, script).at_work() as worker, interrupted_once():
        with pytest.raises(BrokenOffError):
            fleeting.run()
        go_on.set()
        assert statuses(fleeting.run()) == ALL_DONE
        assert len(worker.runs()) == 4
    assert [order.plan for order in orders if order] == [*plans[:1] * 2, *plans[1:] * 2]


def test_ctrl_c_ends_the_shards_and_tells_what_is_done_so_far() -> None:
    go_on = threading.Event()

    def press(step: Step) -> None:
        if step.state == "done":
            raise KeyboardInterrupt

    fleeting = a_flow(a_fleet())
    with Worker(fleeting.flow, in_two_halves(go_on)).at_work() as worker:
        with observing(press), collecting_reports() as reports, pytest.raises(KeyboardInterrupt):
            fleeting.run()
        states = {run.parameters["sites"][0]: run.state_type for run in worker.runs()}
        go_on.set()
    assert statuses(reports[-1])["tromso"] == "stopped"
    assert states["rotterdam"] in (StateType.CANCELLING, StateType.CANCELLED)
