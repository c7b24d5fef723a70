"""Nodes, their heartbeats, and pods that are not the registry's."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster_fixtures import RunningCluster, running_cluster
from tests.lab.cluster_target import Target, eventually

pytestmark = pytest.mark.lab


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path, minute=0.3) as made:
        yield made


@pytest.fixture
def target(running: RunningCluster) -> Iterator[Target]:
    made = Target(running.kubeconfig, real=False)
    yield made
    made.close()


def ready(target: Target, name: str) -> dict[str, str]:
    conditions = target.ask("GET", f"/api/v1/nodes/{name}").body["status"]["conditions"]
    (found,) = [condition for condition in conditions if condition["type"] == "Ready"]
    return dict(found)


def renewed(target: Target, name: str) -> datetime:
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
    return datetime.fromisoformat(target.ask("GET", path).body["spec"]["renewTime"])


def run_pod(target: Target, name: str, **spec: Any) -> str:
    path = "/api/v1/namespaces/default/pods"
    containers = [{"name": "a", "image": "example.invalid/a:1"}]
    body = {"metadata": {"name": name}, "spec": {"containers": containers} | spec}
    eventually(lambda: target.create(path, body).code == 201)
    return f"{path}/{name}"


def test_nodes_are_ready_and_say_what_they_are(target: Target) -> None:
    nodes = {node.metadata.name: node for node in target.core.list_node().items}
    assert set(nodes) == {"oslo-1", "oslo-2"}
    for node in nodes.values():
        assert node.status.node_info.kubelet_version == "v1.31.4+k3s1"
        assert {address.type for address in node.status.addresses} == {"InternalIP", "Hostname"}
    assert "node-role.kubernetes.io/control-plane" in nodes["oslo-1"].metadata.labels
    assert "node-role.kubernetes.io/control-plane" not in nodes["oslo-2"].metadata.labels
    assert ready(target, "oslo-1")["status"] == "True"


def test_leases_are_renewed_about_every_second(running: RunningCluster, target: Target) -> None:
    first = renewed(target, "oslo-1")
    later = eventually(lambda: moved if (moved := renewed(target, "oslo-1")) > first else None, 3)
    assert timedelta(seconds=0.5) < later - first < timedelta(seconds=2.5)
    running.call(running.clock.jump, timedelta(days=30))
    eventually(lambda: renewed(target, "oslo-1") > datetime.now(UTC) + timedelta(days=29), 3)


def test_a_silent_node_is_unknown_after_its_grace(running: RunningCluster, target: Target) -> None:
    running.call(running.lab.set_node_running, "oslo-2", False)
    last = renewed(target, "oslo-2")
    assert ready(target, "oslo-2")["status"] == "True"
    eventually(lambda: ready(target, "oslo-2")["status"] == "Unknown", 3)
    assert ready(target, "oslo-2")["message"] == "Kubelet stopped posting node status."
    time.sleep(1.2)
    assert renewed(target, "oslo-2") == last
    assert ready(target, "oslo-1")["status"] == "True"
    running.call(running.lab.set_node_running, "oslo-2", True)
    eventually(lambda: ready(target, "oslo-2")["status"] == "True", 3)
    assert renewed(target, "oslo-2") > last


def test_no_heartbeat_arrives_while_the_api_is_down(
    running: RunningCluster, target: Target
) -> None:
    before = renewed(target, "oslo-1")
    running.call(running.lab.set_api_up, False)
    time.sleep(1.3)
    lease = running.lab.objects.kinds.named("Lease")
    found = running.call(running.lab.objects.store.find, lease, "kube-node-lease", "oslo-1")
    assert datetime.fromisoformat(found["spec"]["renewTime"]) == before
    running.call(running.lab.set_api_up, True)
    eventually(lambda: renewed(target, "oslo-1") > before)


def test_a_server_pod_becomes_ready_and_a_task_ends(target: Target) -> None:
    server = run_pod(target, "server")
    task = run_pod(target, "task", restartPolicy="Never")
    eventually(lambda: target.ask("GET", server).body["status"]["phase"] == "Running")
    eventually(lambda: target.ask("GET", task).body["status"]["phase"] == "Succeeded")
    assert target.ask("GET", server).body["spec"]["nodeName"] in {"oslo-1", "oslo-2"}
    target.ask("DELETE", server)
    eventually(lambda: target.ask("GET", server).code == 404)


def test_a_pod_may_ask_for_a_node(target: Target) -> None:
    wanted = run_pod(target, "a", nodeSelector={"kubernetes.io/hostname": "oslo-2"})
    eventually(lambda: target.ask("GET", wanted).body["spec"].get("nodeName") == "oslo-2")
    nowhere = run_pod(target, "b", nodeSelector={"kubernetes.io/hostname": "never"})
    conditions = eventually(lambda: target.ask("GET", nowhere).body["status"].get("conditions"))
    assert conditions[0]["reason"] == "Unschedulable"
    assert conditions[0]["message"].startswith("0/2 nodes are available")


def test_a_missing_secret_in_the_environment_is_named(target: Target) -> None:
    reference = {"secretKeyRef": {"name": "never", "key": "a"}}
    container = {
        "name": "a",
        "image": "example.invalid/a:1",
        "env": [{"name": "A", "valueFrom": reference}],
    }
    path = run_pod(target, "a", containers=[container])
    waiting = eventually(
        lambda: [
            entry["state"]["waiting"]
            for entry in target.ask("GET", path).body["status"].get("containerStatuses", [])
        ]
    )
    assert waiting == [
        {"reason": "CreateContainerConfigError", "message": 'secret "never" not found'}
    ]


def test_a_node_without_k3s_starts_nothing(running: RunningCluster, target: Target) -> None:
    running.call(running.lab.set_node_running, "oslo-2", False)
    path = run_pod(target, "a", nodeSelector={"kubernetes.io/hostname": "oslo-2"})
    eventually(lambda: target.ask("GET", path).body["status"].get("conditions"))
    assert "nodeName" not in target.ask("GET", path).body["spec"]
    running.call(running.lab.set_node_running, "oslo-2", True)
    eventually(lambda: target.ask("GET", path).body["status"]["phase"] == "Running")


def test_a_load_balancer_answers_on_the_nodes(running: RunningCluster, target: Target) -> None:
    path = "/api/v1/namespaces/default/pods"
    body = {"metadata": {"name": "a", "labels": {"app": "web"}}}
    containers = [{"name": "a", "image": "example.invalid/a:1"}]
    eventually(lambda: target.create(path, body | {"spec": {"containers": containers}}).code == 201)
    service = {
        "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 8080}]},
    }
    services = "/api/v1/namespaces/default/services"
    made = target.create(services, service).body
    eventually(
        lambda: running.call(running.lab.resolve, "192.168.10.11", 8080) == ("default", "web")
    )
    port = made["spec"]["ports"][0]["nodePort"]
    assert running.call(running.lab.resolve, "192.168.10.12", port) == ("default", "web")
    assert running.call(running.lab.resolve, "192.168.10.12", 22) is None
    status = target.ask("GET", f"{services}/web").body["status"]
    addresses = [entry["ip"] for entry in status["loadBalancer"]["ingress"]]
    assert addresses == ["192.168.10.11", "192.168.10.12"]


def test_the_api_has_a_service(running: RunningCluster) -> None:
    found = running.call(running.lab.resolve, "10.43.0.1", 443)
    assert found == ("default", "kubernetes")


def test_a_hundred_clusters_start_quickly(tmp_path: Path) -> None:
    from lab.cluster import ClusterLab

    with running_cluster(tmp_path) as running:
        tools = (running.audit, running.faults, running.clock, running.authority)
        before = time.monotonic()
        labs = [
            running.call(lambda n=number: ClusterLab(*tools, site=f"s{n}", nodes=[("a", "server")]))
            for number in range(100)
        ]
        for lab in labs:
            running.wait(lab.start())
        assert time.monotonic() - before < 3
        for lab in labs:
            running.wait(lab.stop())
