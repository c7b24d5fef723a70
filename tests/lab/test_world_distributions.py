"""A world whose sites run RKE2 and plain containerd, seen from outside."""

import httpx
import pytest
import yaml

from lab.thread import LabThread
from tests.lab.world_clients import kubernetes, log_in, run

pytestmark = [pytest.mark.lab]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "lab"
    sites = {"oslo": "rke2", "rotterdam": "containerd", "singapore": "k3s@v1.28.5+k3s1"}
    with LabThread(folder=folder, distribution=sites) as one:
        yield one


def test_the_fleet_file_says_what_the_hosts_are(lab):
    sites = yaml.safe_load((lab.folder / "fleet.yaml").read_text())["sites"]
    assert [site.get("host") for site in sites] == [
        {"distribution": "rke2"},
        {"distribution": "containerd"},
        None,
    ]


def test_each_host_is_what_its_site_runs(lab):
    commands = ("rke2 --version", "containerd --version", "k3s --version")
    for site, command in zip(lab.info["sites"], commands, strict=True):
        client = log_in(site["nodes"][0])
        try:
            assert run(client, command)[0] == 0
        finally:
            client.close()


def test_only_kubeadms_cluster_has_no_helm_controller(lab):
    found = []
    for site in lab.info["sites"]:
        with kubernetes(site) as api:
            found.append(api.get("/apis/helm.cattle.io/v1").status_code)
    assert found == [200, 404, 200]


def test_kubeadms_api_outlives_a_restart_of_containerd(lab):
    site = lab.info["sites"][1]
    client = log_in(site["nodes"][0])
    try:
        assert run(client, "sudo -n systemctl stop containerd")[0] == 0
        with kubernetes(site) as api:
            assert api.get("/api/v1/nodes").status_code == 200
        assert run(client, "sudo -n systemctl start containerd")[0] == 0
    finally:
        client.close()


def test_round_trips_are_told_by_node_and_counted_anew(lab):
    control = lab.info["control"]
    httpx.delete(f"{control}/round-trips").raise_for_status()
    assert set(lab.round_trips().values()) == {0}
    client = log_in(lab.info["sites"][0]["nodes"][0])
    run(client, "true")
    client.close()
    assert lab.round_trips()["oslo-server-1"] == 2
    state = httpx.get(f"{control}/state").json()
    assert state["sites"][0]["nodes"]["oslo-server-1"] == {
        "round_trips": 2,
        "logins": 1,
        "most_clients": 1,
    }
    lab.reset_round_trips()
    assert set(lab.round_trips().values()) == {0}


def test_a_host_is_rebooted_by_remote_control(lab):
    url = f"{lab.info['control']}/sites/oslo/nodes/oslo-server-1/reboot"
    httpx.post(url).raise_for_status()
    client = log_in(lab.info["sites"][0]["nodes"][0])
    try:
        assert run(client, "systemctl is-active rke2-server")[1] == "active\n"
    finally:
        client.close()
    assert httpx.post(url.replace("oslo-server-1", "nobody")).status_code == 404
