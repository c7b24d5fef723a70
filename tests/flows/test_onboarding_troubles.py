"""What goes wrong at sites and in Azure: who is hurt, who is not, and what is left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.results import Status
from lab.thread import LabThread
from tests.flows.lab_runs import (
    change_fleet,
    host_file,
    onboard,
    result_of,
    running_lab,
    spoil_pull_secret,
    verify,
    writes,
)

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]
REGISTRIES = "/etc/rancher/k3s/registries.yaml"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=3) as lab:
        yield lab


@pytest.mark.slow
def test_a_site_that_is_down_does_not_keep_two_others_from_being_onboarded(lab: LabThread) -> None:
    lab.call(lab.world.set_offline, "oslo", True)
    report = onboard(lab)
    oslo = result_of(report, "oslo")
    assert oslo.status is Status.FAILED
    assert oslo.error == "HostsUnreachableError"
    assert "oslo-server-1" in oslo.message
    assert report.results[0].site == "oslo"
    assert {r.site for r in report.having(Status.DONE)} == {"rotterdam", "singapore"}
    assert [line for line in writes(lab) if " oslo " in line] == []


def test_a_changed_host_key_stops_the_site_before_anything_is_written(lab: LabThread) -> None:
    mine, other = (site["nodes"][0]["known_hosts"] for site in lab.info["sites"][:2])
    known, strange = Path(mine).read_text(), Path(other).read_text()
    Path(mine).write_text(" ".join([known.split()[0], *strange.split()[1:3]]) + "\n")
    report = onboard(lab, "oslo")
    assert "another host key" in result_of(report, "oslo").message
    assert writes(lab) == []


@pytest.mark.slow
def test_an_unknown_host_key_is_shown_and_not_trusted(lab: LabThread) -> None:
    Path(lab.info["sites"][0]["nodes"][0]["known_hosts"]).write_text("")
    report = onboard(lab, "oslo")
    assert "ssh-keyscan" in result_of(report, "oslo").message
    assert "SHA256:" in result_of(report, "oslo").message
    assert writes(lab) == []


@pytest.mark.slow
def test_a_broken_registries_file_is_named_with_its_line_and_left_alone(lab: LabThread) -> None:
    path = host_file(lab, lab.info["sites"][0]["nodes"][0]["name"], REGISTRIES)
    path.write_text("mirrors:\n  docker.io:\n    endpoint: [http://a.example:5000\n")
    before = path.read_bytes()
    report = onboard(lab, "oslo")
    oslo = result_of(report, "oslo")
    assert oslo.status is Status.FAILED
    assert f"{REGISTRIES}:" in oslo.message
    assert path.read_bytes() == before
    assert writes(lab) == []


@pytest.mark.slow
def test_a_site_without_an_image_to_prove_pulls_with_is_refused_before_anything_is_written(
    lab: LabThread,
) -> None:
    change_fleet(lab, probe_image="vessel/navigation:9.9.9")
    oslo = result_of(onboard(lab, "oslo"), "oslo")
    assert oslo.status is Status.FAILED
    assert "vessel/navigation:9.9.9" in oslo.message
    assert writes(lab) == []


@pytest.mark.slow
def test_k3s_that_does_not_come_back_gets_its_old_file_and_runs_again(lab: LabThread) -> None:
    node = lab.info["sites"][0]["nodes"][0]["name"]
    path = host_file(lab, node, REGISTRIES)
    path.write_text('# ours\nmirrors:\n  "quay.io":\n    endpoint: ["http://quay.example:5000"]\n')
    before = path.read_bytes()
    lab.faults.add(part="hosts", kind="k3s-broken", site="oslo", match="k3s start*10.43.*")
    change_fleet(lab, patience={"node_ready": "15s"}, host={"restart": "always"})
    report = onboard(lab, "oslo")
    oslo = result_of(report, "oslo")
    assert oslo.error == "RestartFailedError", oslo.message
    assert "ordered by the lab" in oslo.message
    assert path.read_bytes() == before
    lab.faults.clear()
    assert result_of(onboard(lab, "oslo"), "oslo").status is Status.DONE
    assert "quay.io" in path.read_text()


def test_a_wrong_azure_secret_fails_all_sites_readably_and_writes_nothing(
    lab: LabThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "CANARY-wrong-secret")
    report = onboard(lab)
    assert {r.status for r in report.results} == {Status.FAILED}
    assert all("CANARY" not in r.message for r in report.results)
    assert all("login" in r.message.lower() for r in report.results)
    assert writes(lab) == []


@pytest.mark.slow
def test_a_pull_secret_with_a_wrong_password_is_found_by_verify(lab: LabThread) -> None:
    assert result_of(onboard(lab, "oslo"), "oslo").status is Status.DONE
    spoil_pull_secret(lab, "oslo", "CANARY-wrong")
    oslo = result_of(verify(lab, "oslo"), "oslo")
    assert oslo.error == "SiteTokenRefusedError"
    assert "CANARY" not in oslo.message


@pytest.mark.parametrize(
    ("change", "words"),
    [(("sku", "Standard"), "Premium"), (("data_endpoint", False), "data endpoint")],
)
def test_a_registry_that_is_not_fit_is_explained_and_nothing_is_written(
    lab: LabThread, change: tuple[str, object], words: str
) -> None:
    registry = lab.world.azure.cloud.registries[lab.info["registries"][0]["name"]]
    lab.call(setattr, registry, *change)
    report = onboard(lab)
    assert {r.status for r in report.results} == {Status.FAILED}
    assert all(words in r.message and "az acr update" in r.message for r in report.results)
    assert writes(lab) == []


@pytest.mark.slow
def test_a_storm_of_429_is_sat_out(lab: LabThread) -> None:
    lab.faults.add(
        part="azure",
        kind="status",
        status=429,
        match="* /subscriptions/*",
        retry_after=0.2,
        times=12,
    )
    lab.faults.add(part="azure", kind="status", status=429, match="PUT /subscriptions/*", times=2)
    report = onboard(lab)
    assert {r.status for r in report.results} == {Status.DONE}


@pytest.mark.slow
def test_a_site_that_has_not_synced_is_waiting_and_its_password_is_kept(lab: LabThread) -> None:
    change_fleet(lab, pull_secrets={"namespaces": ["nowhere"]}, patience={"accepted": "3s"})
    assert result_of(onboard(lab, "oslo"), "oslo").error == "PullTargetMissingError"
    change_fleet(lab, pull_secrets={"namespaces": ["default"]})
    lab.faults.add(part="registry", kind="skip", match="sync", site="oslo")
    report = onboard(lab, "oslo")
    assert result_of(report, "oslo").status is Status.WAITING, result_of(report, "oslo").message
    generated = [line for line in writes(lab) if "generateCredentials" in line]
    lab.faults.clear()
    change_fleet(lab, patience={"accepted": "60s"})
    assert result_of(onboard(lab, "oslo"), "oslo").status is Status.DONE
    assert [line for line in writes(lab) if "generateCredentials" in line] == generated
