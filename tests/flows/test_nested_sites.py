"""A parent with two children and a grandchild: onboarded from the top, fed through each other."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tests.flows.lab_runs import (
    change_fleet,
    module_lab,
    onboard,
    result_of,
    run,
    running_lab,
    verify,
    writes,
)
from tests.flows.nested import (
    actions_of,
    cloud_registry,
    connected_registry,
    gateways_of,
    last_sync,
    set_link,
)
from tests.flows.plans import apply, plan, site_plan
from tests.flows.pull_load import pulling
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("prefect_harness"),
]
PARENTS = {"rotterdam": "oslo", "singapore": "oslo", "santos": "singapore"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=4) as lab:
        for child, parent in PARENTS.items():
            change_fleet(lab, child, parent=parent)
        change_fleet(lab, "oslo", repositories={"include": ["vessel/navigation"]})
        change_fleet(lab, "santos", repositories={"include": ["vessel/crew-portal"]})
        yield lab


@pytest.fixture(scope="module")
def first(lab: LabThread, prefect_harness: None) -> FleetReport:
    kept = lab.folder / "first.plan"
    made = plan(lab, out=kept)
    assert made.has_changes
    assert not made.is_blocked, made
    assert "waits for its parent singapore" in "".join(site_plan(made, "santos").notes)
    return apply(lab, kept)


def test_all_are_planned_and_applied_in_one_run_and_each_proves_a_pull(
    first: FleetReport,
) -> None:
    assert {r.site: (r.status, r.message[:5]) for r in first.results} == dict.fromkeys(
        ("oslo", "rotterdam", "santos", "singapore"), (Status.DONE, "pulls")
    )


@pytest.mark.usefixtures("first")
def test_each_is_activated_after_its_parent(lab: LabThread) -> None:
    order = [line["site"] for line in lab.audit if line["action"] == "activate"]
    assert sorted(order) == ["oslo", "rotterdam", "santos", "singapore"]
    for child, parent in PARENTS.items():
        assert order.index(parent) < order.index(child)


@pytest.mark.usefixtures("first")
def test_azure_has_the_tree_and_says_where_each_parent_is(lab: LabThread) -> None:
    for child, parent in PARENTS.items():
        state = connected_registry(lab, child)
        above = connected_registry(lab, parent)
        assert state["parent"]["id"].endswith(f"/connectedRegistries/{above['name']}")
        gateway = state["parent"]["syncProperties"]["gatewayEndpoint"]
        assert gateway == above["loginServer"]["host"]
        assert gateway.startswith("10.43.")


@pytest.mark.usefixtures("first")
def test_ancestors_pass_what_is_below_them_in_every_branch(lab: LabThread) -> None:
    assert gateways_of(lab, "oslo") == {"oslo", "rotterdam", "santos", "singapore"}
    assert gateways_of(lab, "singapore") == {"santos", "singapore"}
    assert gateways_of(lab, "rotterdam") == {"rotterdam"}
    for site in ("oslo", "singapore", "santos"):
        assert "repositories/vessel/crew-portal/content/read" in actions_of(lab, site)


@pytest.mark.usefixtures("first")
def test_a_parents_own_nodes_may_pull_no_more_than_its_own_repositories(lab: LabThread) -> None:
    actions = actions_of(lab, "oslo", role="client")
    assert {one.removeprefix("repositories/vessel/").split("/")[0] for one in actions} == {
        "navigation"
    }


@pytest.mark.usefixtures("first")
def test_a_second_run_writes_nothing(lab: LabThread) -> None:
    before = len(writes(lab))
    again = onboard(lab)
    assert [r.status for r in again.results] == [Status.DONE] * 4
    assert plan(lab).is_empty
    assert writes(lab)[before:] == []


@pytest.mark.usefixtures("first")
def test_passwords_of_a_parent_and_of_its_child_roll_while_the_child_is_fed_through_it(
    lab: LabThread,
) -> None:
    from flows.rotate import rotate_tokens

    sites = ["oslo", "singapore"]
    assert [_sync_slots(lab, site) for site in sites] == [{"password1"}] * 2
    with pulling(lab, "oslo", rest=0.1) as above, pulling(lab, "singapore", rest=0.1) as below:
        report = run(partial(rotate_tokens, now=True), lab, sites)
        for site in sites:
            assert result_of(report, site).status is Status.DONE, report
        ended = lab.world.clock.now()
        wait_until(lambda: all(last_sync(lab, site) > ended for site in ("santos", *sites)))
    assert (above.failures, below.failures) == ([], [])
    assert above.pulls > 0
    assert below.pulls > 0
    assert [_sync_slots(lab, site) for site in sites] == [{"password2"}] * 2


def _sync_slots(lab: LabThread, site: str) -> set[str]:
    tokens = cloud_registry(lab).tokens
    return next(
        set(tokens[name].slots) for name in tokens if name.startswith(site) and "-sync" in name
    )


@pytest.mark.usefixtures("first")
def test_a_repository_of_a_grandchild_alone_goes_through_all_ancestors(lab: LabThread) -> None:
    change_fleet(lab, "santos", repositories={"include": ["vessel/crew-portal", "office/payroll"]})
    change_fleet(lab, "santos", probe_image="office/payroll:3.3")
    before = len(writes(lab))
    report = onboard(lab, "santos")
    assert result_of(report, "santos").status is Status.DONE, report.results
    assert "pulls office/payroll:3.3" in result_of(report, "santos").message
    maps = [line for line in writes(lab)[before:] if "scopeMaps" in line]
    assert [_owner(line) for line in maps] == ["oslo", "singapore", "santos", "santos"]
    before = len(writes(lab))
    assert [r.status for r in onboard(lab).results] == [Status.DONE] * 4
    assert writes(lab)[before:] == []


@pytest.mark.usefixtures("first")
def test_an_offline_parent_lets_what_is_below_it_wait_and_stops_nobody_else(
    lab: LabThread,
) -> None:
    singapore: dict[str, Any] = connected_registry(lab, "singapore")
    set_link(lab, "singapore", up=False)
    try:
        before = len(writes(lab))
        report = onboard(lab, "santos", "rotterdam")
        assert result_of(report, "rotterdam").status is Status.DONE
        santos = result_of(report, "santos")
        assert (santos.status, santos.error) == (Status.WAITING, "ParentNotReadyError")
        assert f"connected registry {singapore['name']} is Offline" in santos.message
        assert writes(lab)[before:] == []
    finally:
        set_link(lab, "singapore", up=True)
    assert verify(lab, "santos").results[0].status is Status.DONE


def test_a_parent_that_fails_lets_its_children_wait_and_stops_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_lab(tmp_path / "lab", monkeypatch, sites=3) as lab:
        change_fleet(lab, "rotterdam", parent="oslo")
        lab.call(lab.world.set_offline, "oslo", True)
        report = onboard(lab)
        assert result_of(report, "oslo").error == "HostsUnreachableError"
        assert result_of(report, "singapore").status is Status.DONE
        rotterdam = result_of(report, "rotterdam")
        assert (rotterdam.status, rotterdam.error) == (Status.WAITING, "ParentNotReadyError")
        assert "rotterdam waits for its parent oslo" in rotterdam.message
        assert [line for line in writes(lab) if line.split()[1] in ("oslo", "rotterdam")] == []


def _owner(line: str) -> str:
    return next(name for name in ("oslo", "rotterdam", "santos", "singapore") if name in line)
