"""What happens at a site when somebody changes something."""

import httpx
import paramiko
import pytest

from lab.thread import LabThread
from tests.lab.world_clients import (
    NAMESPACE,
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

pytestmark = pytest.mark.lab
CHARTS = f"/apis/helm.cattle.io/v1/namespaces/{NAMESPACE}/helmcharts"


@pytest.fixture
def lab(tmp_path):
    with LabThread(folder=tmp_path / "lab", sites=2) as one:
        yield one


def edge(lab, name="oslo"):
    return lab.world.sites[name].edge


def on_server(lab, *commands, site="oslo"):
    client = log_in(site_of(lab, site)["nodes"][0])
    try:
        return [run(client, command) for command in commands]
    finally:
        client.close()


def test_an_uninstalled_chart_stops_the_registry_and_the_cloud_notices(lab):
    onboard(lab)
    with kubernetes(site_of(lab)) as api, arm(lab.info) as azure:
        assert api.delete(f"{CHARTS}/connected-registry").status_code in (200, 202)
        wait(lambda: not edge(lab).is_serving, why="it still serves")
        wait(lambda: azure.read("oslo01")["connectionState"] == "Offline")


def test_a_new_volume_is_a_new_instance_that_waits_for_deactivation(lab):
    onboard(lab)
    claim = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/connected-registry-pvc"
    with kubernetes(site_of(lab)) as api, arm(lab.info) as azure:
        api.delete(f"{CHARTS}/connected-registry")
        wait(lambda: api.get(claim).status_code == 404, why="the claim stays")
        wait(lambda: api.get(f"{CHARTS}/connected-registry").status_code == 404)
        text = azure.connection_string("oslo01", "password2")
        api.delete(f"/api/v1/namespaces/{NAMESPACE}")
        wait(lambda: api.get(f"/api/v1/namespaces/{NAMESPACE}").status_code == 404)
        install_chart(api, text)
        wait(lambda: "ALREADY_ACTIVATED" in " ".join(edge(lab).log), why=edge(lab).log)
        azure.call("POST", "connectedRegistries/oslo01/deactivate")
        wait(lambda: azure.read("oslo01")["connectionState"] == "Online")


def test_a_push_to_a_read_write_site_reaches_the_cloud(lab):
    with arm(lab.info) as azure, kubernetes(site_of(lab)) as api:
        install_chart(api, azure.connected_registry("oslo01", ["vessel/logs"], "ReadWrite"))
        password = azure.password("oslo01-client")
    wait(lambda: "oslo01-client" in edge(lab).state["tokens"])
    endpoint, scope = site_of(lab)["registry_endpoint"], "repository:vessel/logs:pull,push"
    token = docker_token(endpoint, "oslo01-client", password, scope).json()["access_token"]
    answer = httpx.put(
        f"{endpoint}/v2/vessel/logs/manifests/today",
        content=b'{"layers": []}',
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 201, answer.text
    cloud = lab.world.azure.registry(lab.info["registries"][0]["name"])
    wait(lambda: "vessel/logs" in cloud.repositories)
    assert list(cloud.repositories["vessel/logs"].tags) == ["today"]


def test_a_new_sync_password_needs_the_chart_to_be_upgraded(lab):
    onboard(lab)
    with kubernetes(site_of(lab)) as api, arm(lab.info) as azure:
        text = azure.connection_string("oslo01", "password1")
        wait(lambda: azure.read("oslo01")["connectionState"] == "Offline")
        install_chart(api, text)
        wait(lambda: azure.read("oslo01")["connectionState"] == "Online")
        assert azure.read("oslo01")["activation"]["status"] == "Active"


def test_a_restart_of_k3s_takes_the_api_down_but_not_the_registry(lab):
    password = onboard(lab)
    lab.world.sites["oslo"].hosts["oslo-server-1"].service.restart_seconds = 0.5
    stopped, refused, registry = on_server(
        lab,
        "sudo -n systemctl stop k3s",
        "sudo -n k3s kubectl get --raw /readyz || exit 1",
        "true",
    )
    assert (stopped[0], refused[0], registry[0]) == (0, 1, 0)
    endpoint, scope = site_of(lab)["registry_endpoint"], f"repository:{VESSEL[0]}:pull"
    assert docker_token(endpoint, "oslo01-client", password, scope).status_code == 200
    assert on_server(lab, "sudo -n systemctl start k3s")[0][0] == 0
    with kubernetes(site_of(lab)) as api:
        wait(lambda: api.get("/readyz").status_code == 200)
    assert [line["action"] for line in lab.audit if line["part"] == "hosts"]


def test_a_node_reaches_the_cloud_while_its_site_has_a_link(lab):
    host, _, port = lab.info["registries"][0]["login_server"].rpartition(":")

    def connect():
        client = log_in(site_of(lab)["nodes"][0])
        try:
            client.get_transport().open_channel("direct-tcpip", (host, int(port)), ("", 0)).close()
        finally:
            client.close()

    connect()
    lab.world.sites["oslo"].edge.has_link = False
    with pytest.raises(paramiko.ChannelException):
        connect()


def test_a_host_can_be_the_way_to_another_host(lab):
    target = site_of(lab, "rotterdam")["nodes"][1]
    client = log_in(site_of(lab)["nodes"][0])
    try:
        link = client.get_transport().open_channel(
            "direct-tcpip", (target["host"], target["port"]), ("", 0)
        )
        behind = log_in(target, link)
        assert run(behind, "hostname")[1] == "rotterdam-agent-1\n"
        behind.close()
    finally:
        client.close()


def test_addresses_that_are_nobodys_are_refused(lab):
    client = log_in(site_of(lab)["nodes"][0])
    try:
        for address in (("10.43.99.99", 80), ("192.0.2.1", 443), ("127.0.0.1", 1)):
            with pytest.raises(Exception, match=r"(?i)connect|refused|prohibited|route"):
                client.get_transport().open_channel("direct-tcpip", address, ("", 0))
    finally:
        client.close()
