"""A whole world, driven by clients that know nothing but lab.json."""

import json
import socket
from pathlib import Path

import httpx
import paramiko
import pytest

from lab.thread import LabThread
from tests.lab.world_clients import (
    VESSEL,
    arm,
    docker_token,
    install_chart,
    kubernetes,
    log_in,
    onboard,
    run,
    site_of,
    wait,
)

pytestmark = [pytest.mark.lab]


@pytest.fixture
def lab(tmp_path):
    with LabThread(folder=tmp_path / "lab", sites=2) as one:
        yield one


def state(lab, name):
    return lab.world.sites[name].state


def test_every_host_lets_an_independent_client_in_and_is_its_folder(lab):
    nodes = [node for site in lab.info["sites"] for node in site["nodes"]]
    assert [node["name"] for node in nodes] == [
        "oslo-server-1",
        "rotterdam-server-1",
        "rotterdam-agent-1",
        "rotterdam-agent-2",
    ]
    for node in nodes:
        client = log_in(node)
        try:
            assert run(client, "echo hello > /tmp/greeting; hostname")[:2] == (
                0,
                f"{node['name']}\n",
            )
        finally:
            client.close()
        assert (Path(node["root"]) / "tmp/greeting").read_text() == "hello\n"


def test_the_cluster_answers_to_its_kubeconfig_with_all_nodes_ready(lab):
    with kubernetes(site_of(lab, "rotterdam")) as api:
        nodes = api.get("/api/v1/nodes").json()["items"]
    ready = {
        node["metadata"]["name"]: condition["status"]
        for node in nodes
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert ready == {
        "rotterdam-server-1": "True",
        "rotterdam-agent-1": "True",
        "rotterdam-agent-2": "True",
    }


def test_a_chart_with_a_good_connection_string_brings_a_registry_online_that_serves_images(lab):
    endpoint = site_of(lab)["registry_endpoint"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{endpoint}/v2/")
    password = onboard(lab)
    answer = docker_token(endpoint, "oslo01-client", password, f"repository:{VESSEL[0]}:pull")
    headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
    headers["Accept"] = "application/vnd.oci.image.manifest.v1+json"
    manifest = httpx.get(f"{endpoint}/v2/{VESSEL[0]}/manifests/1.5.0", headers=headers)
    layer = manifest.raise_for_status().json()["layers"][0]["digest"]
    assert httpx.get(f"{endpoint}/v2/{VESSEL[0]}/blobs/{layer}", headers=headers).content


def test_a_node_reaches_the_registry_under_its_service_address_through_ssh(lab):
    onboard(lab)
    with kubernetes(site_of(lab)) as api:
        services = api.get("/api/v1/namespaces/connected-registry/services").json()["items"]
    address = services[0]["spec"]["clusterIP"]
    client = log_in(site_of(lab)["nodes"][0])
    try:
        channel = client.get_transport().open_channel("direct-tcpip", (address, 80), ("", 0))
        channel.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {address}:80\r\n\r\n".encode())
        answer = channel.recv(4096).decode()
        channel.close()
    finally:
        client.close()
    assert answer.startswith("HTTP/1.1 401")
    assert f'realm="http://{address}:80/acr/oauth2/token"' in answer


def test_an_image_pulls_on_a_node_through_the_sites_registry(lab):
    password = onboard(lab)
    with kubernetes(site_of(lab)) as api:
        services = api.get("/api/v1/namespaces/connected-registry/services").json()["items"]
    address = services[0]["spec"]["clusterIP"]
    node = site_of(lab)["nodes"][0]
    registries = f'mirrors:\n  "{address}:80":\n    endpoint: ["http://{address}:80"]\n'
    client = log_in(node)
    try:
        write = f"sudo -n sh -c 'cat > /etc/rancher/k3s/registries.yaml' <<'END'\n{registries}END"
        assert run(client, write)[0] == 0
        assert run(client, "sudo -n systemctl restart k3s")[0] == 0
        pull = (
            f"sudo -n k3s crictl pull --creds oslo01-client:'{password}' {address}:80/{VESSEL[0]}"
        )
        status, out, err = run(client, f"{pull}:1.5.0")
    finally:
        client.close()
    assert (status, "sha256:" in out) == (0, True), err


def test_a_wrong_sync_password_is_in_the_pods_log_and_the_registry_is_not_online(lab):
    with arm(lab.info) as azure, kubernetes(site_of(lab)) as api:
        good = azure.connected_registry("oslo01", VESSEL)
        azure.password("oslo01-sync", "password1")
        install_chart(api, good)
        wait(lambda: "Incorrect Password" in pod_log(api), why="no words in the pod's log")
        assert azure.read("oslo01")["connectionState"] == "Offline"


def pod_log(api):
    pods = api.get("/api/v1/namespaces/connected-registry/pods").json()["items"]
    names = [
        pod["metadata"]["name"]
        for pod in pods
        if pod["metadata"]["labels"].get("app.kubernetes.io/name") == "connected-registry"
    ]
    if not names:
        return ""
    return api.get(f"/api/v1/namespaces/connected-registry/pods/{names[0]}/log").text


def test_an_offline_site_refuses_ssh_and_keeps_serving(lab):
    password = onboard(lab)
    lab.call(lab.world.set_offline, "oslo", True)
    with pytest.raises((paramiko.SSHException, OSError)):
        log_in(site_of(lab)["nodes"][0])
    with arm(lab.info) as azure:
        wait(lambda: azure.read("oslo01")["connectionState"] == "Offline")
        fresh = azure.password("oslo01-client", "password2")
    endpoint, scope = site_of(lab)["registry_endpoint"], f"repository:{VESSEL[0]}:pull"
    assert docker_token(endpoint, "oslo01-client", password, scope).status_code == 200
    assert docker_token(endpoint, "oslo01-client", fresh, scope).status_code == 401
    lab.call(lab.world.set_offline, "oslo", False)
    wait(lambda: docker_token(endpoint, "oslo01-client", fresh, scope).status_code == 200)
    log_in(site_of(lab)["nodes"][0]).close()


def test_the_audit_log_starts_empty_and_names_part_site_and_action(lab):
    assert lab.audit == []
    onboard(lab)
    lines = lab.audit
    assert {line["part"] for line in lines} == {"azure", "cluster", "registry"}
    assert all({"time", "part", "site", "action", "target"} <= set(line) for line in lines)
    seen = len(lines)
    wait(lambda: state(lab, "oslo")["registry"]["last_sync"])
    with arm(lab.info) as azure:
        before = azure.read("oslo01")["parent"]["syncProperties"]["lastSyncTime"]
        wait(lambda: azure.read("oslo01")["parent"]["syncProperties"]["lastSyncTime"] != before)
    assert len(lab.audit) == seen


def test_the_remote_control_shows_and_changes_the_world(lab):
    with httpx.Client(base_url=lab.info["control"]) as control:
        fault = {"part": "azure", "kind": "status", "status": 429, "times": 1}
        assert control.post("/faults", json=[fault]).json()["faults"][0]["status"] == 429
        assert control.delete("/faults").json()["faults"] == []
        assert control.post("/faults", json=[{"part": "azure"}]).status_code == 400
        assert control.post("/faults", json=fault).status_code == 400
        cut = control.post("/sites/oslo/offline").json()["sites"]
        assert [(site["name"], site["offline"]) for site in cut] == [
            ("oslo", True),
            ("rotterdam", False),
        ]
        assert control.post("/sites/oslo/online").json()["sites"][0]["offline"] is False
        assert control.post("/sites/atlantis/offline").status_code == 404
        before = lab.world.clock.now()
        control.post("/clock", json={"days": 30}).raise_for_status()
        assert (lab.world.clock.now() - before).days == 30
        assert control.post("/clock", json={"days": "x"}).status_code == 400


def test_lab_json_is_what_the_thread_knows(lab):
    assert json.loads((lab.folder / "lab.json").read_text()) == lab.info


def test_a_host_knows_no_names_of_the_cluster_and_packets_to_it_get_lost_on_order(lab):
    site = lab.world.sites["oslo"]
    (node,) = site.plan.nodes
    with pytest.raises(socket.gaierror, match="no such host"):
        lab.call(site.dial, node, "registry.connected-registry.svc.cluster.local", 80)
    lab.faults.add(part="hosts", kind="drop-packets", match="dial 192.0.2.7:*", seconds=0.1)
    lab.faults.add(part="hosts", kind="refuse", match="dial 192.0.2.8:80", site="oslo")
    with pytest.raises(TimeoutError):
        lab.call(site.dial, node, "192.0.2.7", 80)
    with pytest.raises(ConnectionRefusedError):
        lab.call(site.dial, node, "192.0.2.8", 80)
