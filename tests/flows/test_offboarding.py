"""Offboarding a tree of sites: what goes, in which order, and what stays."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from fleet.outcomes import Action
from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tasks.records import read_record
from tests.flows.lab_runs import change_fleet, host_file, module_lab, onboard, result_of, writes
from tests.flows.nested import actions_of, cloud_registry, gateways_of

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("prefect_harness"),
]
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
PARENTS = {"rotterdam": "oslo", "singapore": "oslo"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=3) as lab:
        for child, parent in PARENTS.items():
            change_fleet(lab, child, parent=parent)
        change_fleet(lab, "oslo", repositories={"include": ["vessel/navigation"]})
        yield lab


@pytest.fixture(scope="module")
def onboarded(lab: LabThread, prefect_harness: None) -> FleetReport:
    report = onboard(lab)
    assert [result.status for result in report.results] == [Status.DONE] * 3, report.results
    return report


def offboard(
    lab: LabThread, *sites: str, approved: Sequence[str] | None = ("*",), cloud_only: bool = False
) -> FleetReport:
    from flows.offboard import offboard_sites
    from tasks.progress import collecting_reports

    with collecting_reports() as reports:
        offboard_sites(
            str(lab.folder / "fleet.yaml"),
            list(sites),
            cloud_only=cloud_only,
            approved=None if approved is None else list(approved),
            return_state=True,
        )
    return reports[-1]


def keys(report: FleetReport, site: str, *actions: Action) -> list[str]:
    return [
        f"{one.kind} {one.name}"
        for one in result_of(report, site).outcomes
        if one.action in actions
    ]


def names_in_azure(lab: LabThread, site: str) -> set[str]:
    registry: Any = cloud_registry(lab)
    everything = [registry.connected, registry.tokens, registry.scope_maps]
    return {name for group in everything for name in group if name.startswith(site)}


@pytest.mark.usefixtures("onboarded")
def test_a_plan_names_everything_and_removes_nothing(lab: LabThread) -> None:
    before = len(writes(lab))
    plan = offboard(lab, "rotterdam", approved=None)
    assert result_of(plan, "rotterdam").status is Status.DONE, result_of(plan, "rotterdam")
    assert writes(lab)[before:] == []
    assert result_of(plan, "rotterdam").changes == 0
    found = keys(plan, "rotterdam", Action.TO_DELETE, Action.TO_CHANGE)
    kinds = [key.rpartition(" ")[0] for key in found]
    assert kinds == [
        *["registries.yaml on"] * 3,
        "service account",
        "pull secret",
        "HelmChart",
        "Secret",
        "Namespace",
        "client tokens of",
        "token",
        "scope map",
        "activation of",
        "connected registry",
        "token",
        "scope map",
        "scope map",
    ]


@pytest.mark.usefixtures("onboarded")
def test_a_parent_is_not_offboarded_before_what_is_below_it(lab: LabThread) -> None:
    before = len(writes(lab))
    for approved in (None, ("*",)):
        report = offboard(lab, "oslo", approved=approved)
        oslo = result_of(report, "oslo")
        assert (oslo.status, oslo.error) == (Status.FAILED, "SitesBelowError")
        assert "rotterdam" in oslo.message
        assert "singapore" in oslo.message
    assert writes(lab)[before:] == []


@pytest.mark.usefixtures("onboarded")
def test_no_more_is_removed_than_was_approved(lab: LabThread) -> None:
    before = len(writes(lab))
    plan = offboard(lab, "rotterdam", approved=None)
    seen = keys(plan, "rotterdam", Action.TO_DELETE, Action.TO_CHANGE)
    for missing in ("HelmChart connected-registry/connected-registry", seen[-1]):
        left = [key for key in seen if key != missing]
        report = offboard(lab, "rotterdam", approved=left)
        assert result_of(report, "rotterdam").error == "RemovalNotApprovedError"
        assert missing in result_of(report, "rotterdam").message
    assert writes(lab)[before:] == []


@pytest.mark.usefixtures("onboarded")
def test_a_site_goes_with_everything_of_it_and_the_rest_stays(lab: LabThread) -> None:
    node = host_file(lab, "rotterdam-agent-1", REGISTRIES)
    foreign = 'mirrors:\n  docker.io:\n    endpoint: ["https://cache.example"]\n'
    node.write_text(node.read_text() + foreign.replace("mirrors:\n", ""))
    before = len(writes(lab))
    report = offboard(lab, "rotterdam")
    rotterdam = result_of(report, "rotterdam")
    assert rotterdam.status is Status.DONE, rotterdam
    assert names_in_azure(lab, "rotterdam") == set()
    assert not host_file(lab, "rotterdam-server-1", REGISTRIES).exists()
    assert node.read_text() == foreign
    assert _order(writes(lab)[before:]) == ["hosts", "cluster", "azure"]
    assert gateways_of(lab, "oslo") == {"oslo", "singapore"}
    assert "repositories/vessel/crew-portal/content/read" in actions_of(lab, "oslo")
    record = read_record("lab", "rotterdam")
    assert record is not None
    assert (record.endpoint, record.last_verb) == (None, "offboard")


@pytest.mark.usefixtures("onboarded")
def test_doing_it_again_finds_nothing_to_do(lab: LabThread) -> None:
    before = len(writes(lab))
    for approved in (None, ("*",)):
        report = offboard(lab, "rotterdam", approved=approved)
        assert result_of(report, "rotterdam").status is Status.DONE
        assert result_of(report, "rotterdam").message == "nothing to remove"
    assert writes(lab)[before:] == []


@pytest.mark.usefixtures("onboarded")
def test_a_site_that_is_away_is_not_touched_unless_it_is_gone_for_good(lab: LabThread) -> None:
    lab.call(lab.world.set_offline, "singapore", True)
    before = len(writes(lab))
    away = result_of(offboard(lab, "singapore", approved=None), "singapore")
    assert (away.status, away.error) == (Status.FAILED, "SiteNotReachedError")
    assert "--cloud-only" in away.message
    assert writes(lab)[before:] == []
    gone = result_of(offboard(lab, "singapore", cloud_only=True), "singapore")
    assert gone.status is Status.DONE, gone
    assert {line.split()[0] for line in writes(lab)[before:]} == {"azure"}
    assert names_in_azure(lab, "singapore") == set()
    assert gateways_of(lab, "oslo") == {"oslo"}
    assert not any("crew-portal" in action for action in actions_of(lab, "oslo"))
    lab.call(lab.world.set_offline, "singapore", False)


@pytest.mark.usefixtures("onboarded")
def test_sites_and_their_parent_go_in_one_run_from_the_bottom(lab: LabThread) -> None:
    change_fleet(lab, "rotterdam", parent="oslo")
    assert onboard(lab, "rotterdam").results[0].status is Status.DONE
    before = len(writes(lab))
    report = offboard(lab, "oslo", "rotterdam", "singapore")
    assert [r.status for r in report.results] == [Status.DONE] * 3, report.results
    deleted = [
        line for line in writes(lab)[before:] if "connectedRegistries" in line and "DELETE" in line
    ]
    assert [line.split()[1] for line in deleted] == ["rotterdam", "oslo"]
    assert list(cloud_registry(lab).connected.values()) == []


def _order(lines: Sequence[str]) -> list[str]:
    parts = [line.split()[0] for line in lines]
    return [part for place, part in enumerate(parts) if parts[place - 1 : place] != [part]]
