"""Adopting sites that were set up by script: what is listed, what is kept, what is refused."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from fleet.adoption import Fate
from fleet.results import Status
from lab.thread import LabThread
from tests.flows.adoptions import CHART, adopt, fates, only, set_up
from tests.flows.artifacts import artifacts_of
from tests.flows.lab_runs import change_fleet, host_file, module_lab, onboard, verify, writes
from tests.flows.plans import plan
from tests.flows.scripted_site import ADDRESS, NAMESPACE, PULL_SECRET, ScriptedSite, a_scripted_site

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=16) as lab:
        yield lab


@pytest.fixture(scope="module")
def unused(lab: LabThread) -> list[str]:
    return [site["name"] for site in lab.info["sites"]]


@pytest.fixture
def scripted(lab: LabThread, unused: list[str]) -> Iterator[ScriptedSite]:
    """A site that runs, pulls by its address and is described by the fleet file, names included."""
    with a_scripted_site(lab, unused.pop(0)) as site:
        set_up(site)
        change_fleet(
            lab,
            site.site,
            names=site.names,
            chart=CHART,
            pull_secrets={"name": PULL_SECRET, "namespaces": ["default"]},
        )
        yield site


def auths(site: ScriptedSite, name: str = PULL_SECRET) -> dict[str, Any]:
    data = site.secret(name, "default").data[".dockerconfigjson"]
    return dict(json.loads(base64.b64decode(data))["auths"])


@pytest.mark.slow
def test_a_site_is_adopted_with_every_password_that_it_uses(scripted: ScriptedSite) -> None:
    slots = {token: scripted.slots(token) for token in (scripted.name, scripted.pull_token)}
    secret = scripted.secret(PULL_SECRET, "default")
    before = len(writes(scripted.lab))

    listed = adopt(scripted, dry_run=True)
    assert listed.status is Status.DONE, listed.message
    assert writes(scripted.lab)[before:] == []
    found = fates(listed)
    assert found[f"scope map {scripted.name}"] is Fate.ADOPTED
    assert found[f"connected registry {scripted.name}"] is Fate.ADOPTED
    assert found[f"client token {scripted.pull_token}"] is Fate.KEPT
    assert found["Secret connected-registry-connection"] is Fate.CREATED
    assert found["HelmChart connected-registry/connected-registry"] is Fate.CHANGED
    assert found[f"pull secret default/{PULL_SECRET}"] is Fate.CHANGED
    assert found["service account default/default"] is Fate.CHANGED

    done = adopt(scripted)
    assert done.status is Status.DONE, done.message
    for token, there in slots.items():
        assert scripted.slots(token) == there
    after = scripted.secret(PULL_SECRET, "default")
    assert after.metadata.uid == secret.metadata.uid
    entries = auths(scripted)
    assert {entry["password"] for entry in entries.values()} == {
        scripted.client_passwords["password1"]
    }
    assert set(entries) == {
        f"http://{scripted.endpoint}",
        scripted.endpoint,
        scripted.registry["login_server"],
    }

    before = len(writes(scripted.lab))
    again = only(onboard(scripted.lab, scripted.site))
    assert again.status is Status.DONE, again.message
    assert writes(scripted.lab)[before:] == []
    assert only(verify(scripted.lab, scripted.site)).status is Status.DONE
    pages = [str(one.data) for one in artifacts_of(f"site-lab-{scripted.site}")]
    of_adoption = f"| cluster | pull secret default/{PULL_SECRET} | changed |"
    assert any(of_adoption in page for page in pages), pages

    before = len(writes(scripted.lab))
    assert plan(scripted.lab, scripted.site).is_empty
    settled = adopt(scripted, dry_run=True)
    assert set(fates(settled).values()) == {Fate.KEPT}, settled.findings
    assert "nothing to do" in settled.message


@pytest.mark.slow
def test_without_names_it_tells_the_lines_that_the_fleet_file_needs(
    scripted: ScriptedSite,
) -> None:
    change_fleet(
        scripted.lab,
        scripted.site,
        names={},
        chart={"version": "0.6.0"},
        pull_secrets={"namespaces": ["default"]},
    )
    before = len(writes(scripted.lab))
    result = adopt(scripted)
    assert writes(scripted.lab)[before:] == []
    assert result.status is Status.FAILED
    assert {one.kind for one in result.findings} == {f"names.{key}" for key in scripted.names}
    assert all(one.fate is Fate.OBSTACLE for one in result.findings)

    advice = yaml.safe_load("\n".join(result.advice))
    assert advice["names"] == scripted.names
    assert advice["chart"] == {"version": "0.4.0", "service": {"cluster_ip": ADDRESS}}
    assert advice["pull_secrets"] == {"name": PULL_SECRET}
    change_fleet(scripted.lab, scripted.site, **advice)
    assert adopt(scripted, dry_run=True).status is Status.DONE


@pytest.mark.slow
def test_a_slot_that_cannot_be_told_is_recorded_so_and_known_once_the_other_is_gone(
    scripted: ScriptedSite,
) -> None:
    assert adopt(scripted).status is Status.DONE
    marks = scripted.secret(PULL_SECRET, "default").metadata.annotations
    assert marks["acrfleet/slot"] == "unknown"
    connection = scripted.secret("connected-registry-connection").metadata.annotations
    assert connection["acrfleet/slot"] == "password1"

    scripted.forget_password(scripted.pull_token, "password2")
    assert only(onboard(scripted.lab, scripted.site)).status is Status.DONE
    marks = scripted.secret(PULL_SECRET, "default").metadata.annotations
    assert marks["acrfleet/slot"] == "password1"
    assert set(scripted.slots(scripted.pull_token)) == {"password1"}


@pytest.mark.slow
def test_what_differs_is_listed_first_and_then_changed(scripted: ScriptedSite) -> None:
    change_fleet(
        scripted.lab,
        scripted.site,
        repositories={"include": ["vessel/navigation"]},
        connected_registry={"sync": {"schedule": "0 1 * * *", "window": "4h"}},
    )
    refused = only(onboard(scripted.lab, scripted.site))
    assert refused.error == "NotOursError"
    listed = adopt(scripted, dry_run=True)
    told = {f"{one.kind} {one.name}": one for one in listed.findings}
    assert told[f"scope map {scripted.name}"].fate is Fate.CHANGED
    assert "removes repositories/vessel/crew-portal" in told[f"scope map {scripted.name}"].detail
    registry = told[f"connected registry {scripted.name}"]
    assert "sync schedule is * * * * *, wanted 0 1 * * *" in registry.detail
    slots = scripted.slots(scripted.pull_token)
    done = adopt(scripted)
    assert done.status is Status.DONE, done.message
    assert scripted.slots(scripted.pull_token) == slots
    before = len(writes(scripted.lab))
    assert only(onboard(scripted.lab, scripted.site)).status is Status.DONE
    assert writes(scripted.lab)[before:] == []


@pytest.mark.slow
def test_what_restarts_a_node_waits_for_the_window_unless_told_otherwise(
    scripted: ScriptedSite,
) -> None:
    opens = datetime.now(UTC) + timedelta(hours=6)
    window = {"cron": f"0 {opens.hour} * * *", "length": "2h"}
    change_fleet(scripted.lab, scripted.site, maintenance=window, host={"restart": "always"})
    node = scripted.info["nodes"][0]["name"]
    login_server = scripted.lab.world.azure.registry("acrfleetlab").login_server
    path = host_file(scripted.lab, node, "/etc/rancher/k3s/registries.yaml")
    waiting = adopt(scripted)
    assert (waiting.status, waiting.error) == (Status.WAITING, "WindowClosedError")
    assert not path.exists() or login_server not in path.read_text()
    done = adopt(scripted, ignore_windows=True)
    assert done.status is Status.DONE, done.message
    assert login_server in path.read_text()


@pytest.mark.slow
def test_what_azure_and_kubernetes_cannot_change_is_in_the_way(scripted: ScriptedSite) -> None:
    change_fleet(
        scripted.lab,
        scripted.site,
        connected_registry={"mode": "ReadWrite"},
        chart={**CHART, "storage": {"size": "40Gi"}},
    )
    before = len(writes(scripted.lab))
    result = adopt(scripted)
    assert result.status is Status.FAILED
    assert result.error == "AdoptionBlockedError"
    assert "mode is ReadOnly, wanted ReadWrite" in result.message
    assert "pvc.storageRequest: 20Gi -> 40Gi" in result.message
    assert "chart.storage.size" in result.message
    assert writes(scripted.lab)[before:] == []


@pytest.mark.slow
def test_a_password_that_the_site_refuses_is_in_the_way(scripted: ScriptedSite) -> None:
    scripted.core.delete_namespaced_secret(PULL_SECRET, "default")
    scripted.make_pull_secret("canary-dead")
    slots = scripted.slots(scripted.pull_token)
    result = adopt(scripted)
    assert "does not accept the password" in result.message
    assert "canary-dead" not in result.model_dump_json()
    assert scripted.slots(scripted.pull_token) == slots


@pytest.mark.slow
def test_a_site_that_is_not_online_proves_no_sync_password(scripted: ScriptedSite) -> None:
    scripted.lab.faults.add(part="registry", kind="skip", match="contact", site=scripted.site)
    scripted.wait_for_state("Offline")
    result = adopt(scripted)
    scripted.lab.faults.clear()
    assert f"{scripted.name} is Offline and Active in Azure" in result.message
    assert scripted.slots(scripted.name).keys() == {"password1"}


@pytest.mark.slow
def test_a_client_token_of_several_sites_is_in_the_way(
    scripted: ScriptedSite, unused: list[str]
) -> None:
    scripted.share_token(f"{unused.pop()}other")
    result = adopt(scripted)
    assert "accept it too" in result.message
    assert "names.client_token" in result.message


@pytest.mark.slow
def test_what_a_secret_holds_for_others_stays(scripted: ScriptedSite) -> None:
    scripted.core.delete_namespaced_secret(PULL_SECRET, "default")
    theirs = {"username": "crew", "password": "canary-theirs", "auth": "eDp5"}
    password = scripted.client_passwords["password2"]
    uid = scripted.make_pull_secret(password, **{"quay.io": theirs})
    done = adopt(scripted)
    assert done.status is Status.DONE, done.message
    assert scripted.secret(PULL_SECRET, "default").metadata.uid == uid
    assert auths(scripted)["quay.io"] == theirs
    assert auths(scripted)[scripted.endpoint]["password"] == password


@pytest.mark.slow
def test_mirrors_that_were_written_by_hand_are_kept_byte_for_byte(scripted: ScriptedSite) -> None:
    scripted.write_mirrors(login_server=True)
    node = scripted.info["nodes"][0]["name"]
    path = host_file(scripted.lab, node, "/etc/rancher/k3s/registries.yaml")
    before = path.read_bytes(), path.stat().st_mtime_ns
    done = adopt(scripted)
    assert done.status is Status.DONE, done.message
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.slow
def test_an_adoption_that_broke_off_is_taken_up_with_the_same_passwords(
    scripted: ScriptedSite,
) -> None:
    slots = {token: scripted.slots(token) for token in (scripted.name, scripted.pull_token)}
    scripted.lab.faults.add(
        part="cluster",
        kind="status",
        match="POST *secrets*",
        status=403,
        site=scripted.site,
        times=1,
    )
    broken = adopt(scripted)
    scripted.lab.faults.clear()
    assert broken.error == "ClusterRefusedError", broken.message
    assert broken.outcomes
    done = adopt(scripted)
    assert done.status is Status.DONE, done.message
    assert {token: scripted.slots(token) for token in slots} == slots
    before = len(writes(scripted.lab))
    assert only(onboard(scripted.lab, scripted.site)).status is Status.DONE
    assert writes(scripted.lab)[before:] == []


@pytest.mark.slow
def test_a_password_that_only_the_nodes_have_comes_into_a_pull_secret(
    scripted: ScriptedSite,
) -> None:
    scripted.core.delete_namespaced_secret(PULL_SECRET, "default")
    password = scripted.client_passwords["password2"]
    scripted.write_mirrors(auth=password)
    slots = scripted.slots(scripted.pull_token)
    done = adopt(scripted)
    assert done.status is Status.DONE, done.message
    assert scripted.slots(scripted.pull_token) == slots
    assert auths(scripted)[scripted.endpoint]["password"] == password
    names = {one.metadata.name for one in scripted.core.list_namespaced_secret(NAMESPACE).items}
    assert "acrfleet-client-password" not in names
