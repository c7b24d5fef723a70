"""How often a run waits for a node: at 600 ms a time, this is what an operator at sea feels."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tests.flows.lab_runs import change_fleet, module_lab, onboard, running_lab

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]
FIRST_RUN, RUN_WITHOUT_CHANGE = 30, 8
CALLS_WITHOUT_CHANGE = 25
LOOK = "systemctl show"


@pytest.mark.slow
def test_a_first_onboarding_and_a_run_without_change_wait_seldom_for_a_node(
    tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    """And for the cluster's API behind it, whose calls go through the first server's SSH.

    They are counted by themselves: they are a site's and not a node's, and those that only wait for
    the chart or for the registry are as many as that takes.
    """
    with module_lab(tmp_path_factory, sites=2) as lab:
        first = count_round_trips(lab)
        calls = count_calls(lab)
        assert len(first) == 4
        assert {node: count for node, count in first.items() if count > FIRST_RUN} == {}
        second = count_round_trips(lab)
        assert {node: count for node, count in second.items() if count > RUN_WITHOUT_CHANGE} == {}
        assert all(count > 0 for count in (*first.values(), *second.values()))
        again = {site: count - calls[site] for site, count in count_calls(lab).items()}
        assert all(count > 0 for count in again.values())
        for name, value in {"trips": (first, second), "API calls": (calls, again)}.items():
            record_property(name, str(value))
        assert {site: count for site, count in again.items() if count > CALLS_WITHOUT_CHANGE} == {}


def count_calls(lab: LabThread) -> dict[str, int]:
    """Return how many requests the API of each site's cluster has had."""
    return {name: site.cluster.requests for name, site in lab.world.sites.items()}


def count_round_trips(lab: LabThread) -> dict[str, int]:
    lab.reset_round_trips()
    report: FleetReport = onboard(lab)
    assert [result.status for result in report.results] == [Status.DONE] * 2
    return lab.round_trips()


@pytest.mark.slow
def test_a_first_onboarding_with_restarts_waits_seldom_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks that only find that there is nothing new yet are waiting, and don't count."""
    with running_lab(tmp_path, monkeypatch, sites=2) as lab:
        change_fleet(lab, host={"restart": "always"})
        counted = count_round_trips(lab)
        for site in lab.world.sites.values():
            for name, host in site.hosts.items():
                looks = [one for one in host.commands if LOOK in one and len(one) < 1000]
                assert len(looks) >= 2
                counted[name] -= 2 * (len(looks) - 2)
        assert {node: count for node, count in counted.items() if count > FIRST_RUN} == {}
