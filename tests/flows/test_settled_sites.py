"""A site at which there is nothing to do is looked at once and proven, and no other site is."""

import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from fleet.results import SiteResult, Status
from flows.onboard import onboard_fleet
from lab.thread import LabThread
from tests.flows.lab_runs import (
    change_fleet,
    core_api,
    delete_registry_pods,
    host_file,
    module_lab,
    onboard,
    result_of,
    spoil_pull_secret,
    writes,
)

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]
REGISTRIES = "/etc/rancher/k3s/registries.yaml"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    """One site that is onboarded, and as the fleet file says."""
    with module_lab(tmp_path_factory, sites=1) as lab:
        assert run(lab).status is Status.DONE
        yield lab


def run(lab: LabThread) -> SiteResult:
    return result_of(onboard(lab, "oslo"), "oslo")


def steps_of(flow_run: UUID, wanted: int) -> set[str]:
    """Return the names of a flow run's task runs at the site, which the server has behind time."""
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            runs = client.read_task_runs(flow_run_filter=chosen)
            found = {one.name for one in runs if "oslo" in one.name}
            if len(found) >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.2)


def test_it_is_looked_at_once_and_proven(lab: LabThread) -> None:
    state = onboard_fleet(str(lab.folder / "fleet.yaml"), return_state=True)
    assert state.is_completed(), state.message
    expected = {
        "onboard oslo",
        "choose image for oslo",  # once for all sites that mirror the same
        "prepare the nodes of oslo",
        "look for something to do at oslo",
        "verify pulls at oslo",
        "keep record of oslo",
    }
    assert state.state_details.flow_run_id is not None
    assert steps_of(state.state_details.flow_run_id, len(expected)) == expected


def _node_file(lab: LabThread) -> None:
    path = host_file(lab, lab.info["sites"][0]["nodes"][0]["name"], REGISTRIES)
    path.write_text(path.read_text().replace("10.43.", "10.99."))


def _pull_secret(lab: LabThread) -> None:
    with core_api(lab, "oslo") as api:
        api.delete_namespaced_secret("acrfleet-pull", "default")


def _scope_map(lab: LabThread) -> None:
    registry = lab.world.azure.cloud.registries[lab.info["registries"][0]["name"]]
    name = next(name for name in registry.scope_maps if name.endswith("-client-map"))
    lab.call(registry.scope_maps[name].actions.pop)


def _fleet_file(lab: LabThread) -> None:
    change_fleet(lab, connected_registry={"log_level": "Debug"})


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_node_file, _pull_secret, _scope_map, _fleet_file])
def test_what_differs_is_seen_and_mended(
    lab: LabThread, damage: Callable[[LabThread], None]
) -> None:
    damage(lab)
    mended = run(lab)
    assert (mended.status, mended.changes > 0) == (Status.DONE, True), mended
    before = writes(lab)
    assert (run(lab).status, writes(lab)) == (Status.DONE, before)


@pytest.mark.slow
def test_a_registry_that_starts_anew_is_waited_for(lab: LabThread) -> None:
    before = writes(lab)
    delete_registry_pods(lab, "oslo")
    assert run(lab).status is Status.DONE
    assert [line for line in writes(lab)[len(before) :] if "/pods/" not in line] == []


def test_a_password_that_the_site_refuses_is_found_by_the_proof(lab: LabThread) -> None:
    """The last test: it leaves the site with a password that nobody accepts."""
    change_fleet(lab, patience={"accepted": "3s"})
    before = writes(lab)
    spoil_pull_secret(lab, "oslo", "CANARY-wrong")
    refused = run(lab)
    assert refused.status is Status.WAITING, refused
    assert "accept the password" in refused.message
    assert "delete it (acrfleet-pull) and run again" in refused.message
    assert "CANARY" not in refused.message
    assert [line for line in writes(lab)[len(before) :] if "generateCredentials" in line] == []
