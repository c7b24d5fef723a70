"""A site that has been onboarded and is away now: it waits, and nobody else does."""

from collections.abc import Iterator

import pytest

from fleet.results import FleetReport, Status
from flows.reconcile import reconcile_fleet
from lab.thread import LabThread
from tests.flows.lab_runs import core_api, module_lab, onboard, result_of, run, verify, writes
from tests.flows.plans import apply, change_top, plan

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture(scope="module")
def lab(prefect_harness: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    """Three sites that are onboarded, a plan for oslo in `oslo.plan`; then oslo puts to sea."""
    with module_lab(tmp_path_factory, sites=3) as lab:
        change_top(lab, waves={"canaries": ["rotterdam"], "size": 1, "allowed_failures": 0})
        assert statuses(onboard(lab)) == dict.fromkeys(lab.world.sites, Status.DONE)
        with core_api(lab, "oslo") as core:
            core.delete_namespaced_secret("acrfleet-pull", "default")
        plan(lab, "oslo", out=lab.folder / "oslo.plan")
        lab.call(lab.world.set_offline, "oslo", True)
        yield lab


def statuses(report: FleetReport) -> dict[str, Status]:
    return {result.site: result.status for result in report.results}


def assert_it_waits(report: FleetReport) -> None:
    oslo = result_of(report, "oslo")
    assert oslo.status is Status.WAITING, oslo
    assert oslo.message.startswith("oslo is away; the next run takes it up.")
    assert "oslo-server-1" in oslo.message


def test_an_onboarding_goes_on_with_the_wave_after_it(lab: LabThread) -> None:
    before = writes(lab)
    report = onboard(lab)
    assert_it_waits(report)
    assert statuses(report) == {
        "oslo": Status.WAITING,
        "rotterdam": Status.DONE,
        "singapore": Status.DONE,
    }
    assert writes(lab) == before


def test_a_plan_for_it_waits_as_well(lab: LabThread) -> None:
    assert_it_waits(apply(lab, lab.folder / "oslo.plan"))


def test_a_plan_that_is_made_while_it_is_away_says_so_and_is_applied_to_the_others(
    lab: LabThread,
) -> None:
    with core_api(lab, "rotterdam") as core:
        core.delete_namespaced_secret("acrfleet-pull", "default")
    path = lab.folder / "all.plan"
    made = plan(lab, out=path)
    assert (made.is_blocked, made.is_waiting, made.has_changes) == (False, True, True)
    (missing,) = made.unread
    assert (missing.site, missing.is_away) == ("oslo", True)
    report = apply(lab, path)
    oslo = result_of(report, "oslo")
    assert (oslo.status, oslo.error) == (Status.WAITING, "WaitingForSiteError")
    assert oslo.message == "oslo was away when the plan was made; make a new one once it answers."
    assert result_of(report, "rotterdam").status is Status.DONE


def test_nothing_is_said_of_what_cannot_be_seen(lab: LabThread) -> None:
    assert_it_waits(verify(lab, "oslo"))
    assert_it_waits(run(reconcile_fleet, lab, ["oslo"]))


def test_a_site_of_which_one_node_alone_is_silent_has_failed(lab: LabThread) -> None:
    host = lab.world.sites["rotterdam"].hosts["rotterdam-agent-1"]
    lab.call(host.set_offline, True)
    try:
        rotterdam = result_of(verify(lab, "rotterdam"), "rotterdam")
    finally:
        lab.call(host.set_offline, False)
    assert (rotterdam.status, rotterdam.error) == (Status.FAILED, "HostsUnreachableError")
    assert "rotterdam-agent-1" in rotterdam.message
