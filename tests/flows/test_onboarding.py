"""Onboarding three sites end to end, and once more: the happy path and what it leaves behind."""

from collections.abc import Iterator

import pytest
import yaml
from prefect.client.orchestration import get_client

from fleet.results import FleetReport, Status
from flows.onboard import onboard_site
from flows.verify import verify_site
from lab.thread import LabThread
from tasks.records import read_record
from tests.flows.artifacts import artifacts_of
from tests.flows.lab_runs import host_file, module_lab, onboard, verify, writes

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=3) as lab:
        yield lab


@pytest.fixture(scope="module")
def first(lab: LabThread, prefect_harness: None) -> FleetReport:
    return onboard(lab)


def test_three_sites_are_onboarded_and_each_proves_a_pull(first: FleetReport) -> None:
    assert {r.site: r.status for r in first.results} == {
        "oslo": Status.DONE,
        "rotterdam": Status.DONE,
        "singapore": Status.DONE,
    }
    assert all(result.changes > 0 for result in first.results)


@pytest.mark.usefixtures("first")
def test_a_second_run_writes_nothing_anywhere_and_restarts_nothing(lab: LabThread) -> None:
    before = len(writes(lab))
    second = onboard(lab)
    assert [r.status for r in second.results] == [Status.DONE] * 3
    assert writes(lab)[before:] == []
    assert sum(result.changes for result in second.results) == 0


@pytest.mark.usefixtures("first")
def test_every_node_of_a_site_has_its_mirror_and_none_was_restarted(lab: LabThread) -> None:
    assert [line for line in lab.audit if line["action"] == "restart"] == []
    login_server = lab.info["registries"][0]["login_server"]
    record = read_record("lab", "rotterdam")
    assert record is not None
    assert record.endpoint is not None
    for node in next(s for s in lab.info["sites"] if s["name"] == "rotterdam")["nodes"]:
        path = host_file(lab, node["name"], "/etc/rancher/k3s/registries.yaml")
        mirrors = yaml.safe_load(path.read_text())["mirrors"]
        assert mirrors == {
            login_server: {"endpoint": [record.endpoint.url]},
            record.endpoint.host: {"endpoint": [record.endpoint.url]},
        }
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("first")
def test_no_node_keeps_a_dead_man(lab: LabThread) -> None:
    nodes = [node["name"] for site in lab.info["sites"] for node in site["nodes"]]
    assert [name for name in nodes if host_file(lab, name, "/var/lib/acrfleet").exists()] == []


@pytest.mark.usefixtures("first")
def test_the_record_says_what_exists_and_what_proved_it(lab: LabThread) -> None:
    record = read_record("lab", "oslo")
    assert record is not None
    assert record.endpoint is not None
    assert record.evidence is not None
    assert record.password is not None
    assert record.password.slot in ("password1", "password2")
    assert record.repositories == (
        "vessel/crew-portal",
        "vessel/engine-monitor",
        "vessel/navigation",
    )
    assert record.evidence.endpoint == record.endpoint
    assert list(record.node_versions) == [node["name"] for node in _nodes(lab, "oslo")]


@pytest.mark.usefixtures("first")
def test_the_ui_has_a_page_per_site_and_a_table_of_the_fleet() -> None:
    keys = ("site-lab-oslo", "site-lab-rotterdam", "site-lab-singapore", "fleet-lab")
    assert {one.key for one in artifacts_of(*keys)} == set(keys)


@pytest.mark.usefixtures("first")
def test_verify_alone_proves_the_same_and_writes_nothing(lab: LabThread) -> None:
    before = len(writes(lab))
    report = verify(lab)
    assert [r.status for r in report.results] == [Status.DONE] * 3
    assert writes(lab)[before:] == []


@pytest.mark.slow
@pytest.mark.usefixtures("first")
def test_a_single_site_has_flows_of_its_own_with_its_name_and_tags(lab: LabThread) -> None:
    before = writes(lab)
    for verb, flow in (("onboard", onboard_site), ("verify", verify_site)):
        state = flow(str(lab.folder / "fleet.yaml"), "oslo", return_state=True)
        assert state.is_completed(), state.message
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(state.state_details.flow_run_id)
        assert run.name == f"{verb} oslo"
        assert {"site:oslo", "registry:acrfleetlab", "lab"} <= set(run.tags)
    assert writes(lab) == before


@pytest.mark.usefixtures("first")
def test_images_came_from_the_site_and_not_from_the_cloud(lab: LabThread) -> None:
    for node in _nodes(lab, "oslo"):
        log = host_file(lab, node["name"], "/var/lib/rancher/k3s/agent/containerd/containerd.log")
        served = [line for line in log.read_text().splitlines() if "vessel/" in line]
        assert served
        assert all("10.43." in line for line in served)


def _nodes(lab: LabThread, site: str) -> list[dict[str, str]]:
    return next(entry for entry in lab.info["sites"] if entry["name"] == site)["nodes"]
