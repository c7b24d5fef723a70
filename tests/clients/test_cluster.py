"""The cluster client over the wire, against the lab's Kubernetes API."""

import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from clients.cluster import Cluster
from clients.cluster_connection import ClusterConnection
from fleet.cluster_errors import (
    ClusterChangedError,
    ClusterRefusedError,
    ClusterUnreachableError,
    ClusterUntrustedError,
    KubeconfigError,
)
from fleet.helm_chart import read_chart_support
from tests.clients.cluster_lab import ClusterBench, a_cluster_bench
from tests.waiting import wait_until

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterBench]:
    with a_cluster_bench(tmp_path_factory.mktemp("cluster")) as bench:
        yield bench


@pytest.fixture
def cluster(bench: ClusterBench) -> Iterator[Cluster]:
    with ClusterConnection(bench.kubeconfig) as connection:
        yield Cluster(connection)


def _secret(name: str, value: str, **labels: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels, "annotations": {"acrfleet/slot": "password1"}},
        "type": "Opaque",
        "data": {"password": b64encode(value.encode()).decode()},
    }


def test_the_api_says_that_it_is_ready_and_what_it_is(cluster: Cluster) -> None:
    assert cluster.is_ready()
    assert cluster.read_version().startswith("v1.")


def test_nodes_have_a_heartbeat(cluster: Cluster) -> None:
    node = cluster.read_node("oslo-1")
    assert node.ready
    assert node.heartbeat is not None
    assert node.heartbeat.tzinfo is not None
    assert {item.name for item in cluster.list_nodes()} == {"oslo-1", "oslo-2"}


def test_an_unknown_node_is_refused_with_404(cluster: Cluster) -> None:
    with pytest.raises(ClusterRefusedError, match="NotFound") as raised:
        cluster.read_node("nowhere")
    assert raised.value.status == 404


def test_the_helm_controller_and_its_storage_are_found(cluster: Cluster) -> None:
    assert read_chart_support(cluster.find_chart_definition()).failure_policy == "retry"
    assert "local-path" in cluster.list_storage_classes()


def test_a_namespace_is_created_and_found_by_label(cluster: Cluster) -> None:
    assert cluster.find_namespace("by-label") is None
    cluster.create_namespace("by-label", {"team": "blue"})
    found = cluster.find_namespace("by-label")
    assert found is not None
    assert found.labels["team"] == "blue"
    assert "by-label" in [meta.name for meta in cluster.list_namespaces({"team": "blue"})]
    with pytest.raises(ClusterRefusedError, match="AlreadyExists"):
        cluster.create_namespace("by-label", {})


def test_a_secret_is_patched_in_place_and_keeps_its_uid(cluster: Cluster) -> None:
    assert cluster.find_secret("default", "patched") is None
    cluster.create_secret("default", _secret("patched", "first"))
    before = cluster.find_secret("default", "patched")
    assert before is not None
    assert before.data["password"] == SecretStr("first")
    assert before.meta.annotations["acrfleet/slot"] == "password1"
    cluster.patch_secret("default", "patched", _secret("patched", "second"))
    after = cluster.find_secret("default", "patched")
    assert after is not None
    assert after.data["password"] == SecretStr("second")
    assert (after.meta.uid, after.meta.version) != (before.meta.uid, before.meta.version)
    assert after.meta.uid == before.meta.uid
    cluster.delete_secret("default", "patched")
    cluster.delete_secret("default", "patched")
    assert cluster.find_secret("default", "patched") is None


def test_secrets_are_found_by_label_in_all_namespaces(cluster: Cluster) -> None:
    cluster.create_secret("default", _secret("mine", "x", owner="me"))
    cluster.create_secret("kube-system", _secret("mine", "y", owner="me"))
    found = {item.meta.namespace for item in cluster.list_secrets({"owner": "me"})}
    assert found == {"default", "kube-system"}


def test_a_write_over_somebody_elses_is_refused_as_a_conflict(cluster: Cluster) -> None:
    account = cluster.find_service_account("default", "default")
    assert account is not None
    change = {
        "metadata": {"resourceVersion": account.meta.version},
        "imagePullSecrets": [{"name": "theirs"}],
    }
    cluster.patch_service_account("default", "default", change)
    with pytest.raises(ClusterChangedError):
        cluster.patch_service_account("default", "default", change)
    found = cluster.find_service_account("default", "default")
    assert found is not None
    assert found.pull_secrets == ("theirs",)


def test_a_missing_object_is_none_and_a_missing_log_is_empty(cluster: Cluster) -> None:
    assert cluster.find_service_account("default", "nobody") is None
    assert cluster.find_chart("default", "nothing") is None
    assert cluster.find_job("default", "nothing") is None
    assert cluster.read_pod_log("default", "nothing", lines=5) == ""


def test_lists_of_an_empty_namespace_are_empty(cluster: Cluster) -> None:
    cluster.create_namespace("empty", {})
    assert cluster.list_deployments("empty") == ()
    assert cluster.list_pods("empty") == ()
    assert cluster.list_services("empty") == ()
    assert cluster.list_claims("empty") == ()
    assert cluster.list_warnings("empty") == ()
    assert cluster.list_releases("empty", "nothing") == ()


def test_what_the_api_refuses_is_quoted(cluster: Cluster) -> None:
    with pytest.raises(ClusterRefusedError, match=r"Bad_Name|invalid|Invalid"):
        cluster.create_namespace("Bad_Name", {})


def test_a_server_with_another_certificate_authority_is_not_believed(
    bench: ClusterBench, tmp_path: Path
) -> None:
    config = yaml.safe_load(bench.kubeconfig)
    stranger = b64encode(bench.another_authority(tmp_path)).decode()
    config["clusters"][0]["cluster"]["certificate-authority-data"] = stranger
    with (
        ClusterConnection(yaml.safe_dump(config)) as connection,
        pytest.raises(ClusterUntrustedError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        Cluster(connection).read_version()


def test_a_forwarded_port_is_verified_for_the_server_that_the_kubeconfig_names(
    bench: ClusterBench,
) -> None:
    config = yaml.safe_load(bench.kubeconfig)
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:6443"
    with ClusterConnection(yaml.safe_dump(config), local_port=bench.port) as connection:
        assert Cluster(connection).is_ready()
    config["clusters"][0]["cluster"]["server"] = "https://elsewhere.example:6443"
    with (
        ClusterConnection(yaml.safe_dump(config), local_port=bench.port) as connection,
        pytest.raises(ClusterUntrustedError, match=r"elsewhere\.example"),
    ):
        Cluster(connection).read_version()


def test_an_api_that_is_gone_is_worth_another_try_and_is_not_ready(bench: ClusterBench) -> None:
    with ClusterConnection(bench.kubeconfig, local_port=1) as connection:
        cluster = Cluster(connection)
        assert not cluster.is_ready()
        with pytest.raises(ClusterUnreachableError, match="did not answer GET /version"):
            cluster.read_version()


def test_a_connection_that_broke_meanwhile_is_opened_again(
    bench: ClusterBench, cluster: Cluster
) -> None:
    cluster.create_secret("default", _secret("broken", "first"))
    for method in ("GET", "PATCH", "DELETE"):
        bench.faults.add(part="cluster", kind="drop", match=f"{method} *", times=1)
    cluster.patch_secret("default", "broken", _secret("broken", "second"))
    found = cluster.find_secret("default", "broken")
    assert found is not None
    assert found.data["password"] == SecretStr("second")
    cluster.delete_secret("default", "broken")
    assert bench.faults.take("cluster", "GET /version", "oslo") == []


def test_an_overloaded_api_is_worth_another_try_and_is_not_waited_for(
    bench: ClusterBench, cluster: Cluster
) -> None:
    bench.faults.add(part="cluster", kind="status", status=429, retry_after=60, times=1)
    started = time.monotonic()
    with pytest.raises(ClusterUnreachableError, match="429"):
        cluster.read_version()
    assert time.monotonic() - started < 5


def test_a_refusal_that_may_quote_a_secret_is_not_shown(
    bench: ClusterBench, cluster: Cluster
) -> None:
    for path in ("*/secrets", "*/namespaces"):
        bench.faults.add(part="cluster", kind="status", status=400, match=f"POST {path}", times=1)
    with pytest.raises(ClusterRefusedError, match=r"400 .*not shown"):
        cluster.create_secret("default", _secret("quoted", "canary"))
    with pytest.raises(ClusterRefusedError) as raised:
        cluster.create_namespace("quoted", {})
    assert "not shown" not in str(raised.value)


def test_an_api_that_is_down_for_a_while_is_found_again(
    bench: ClusterBench, cluster: Cluster
) -> None:
    assert cluster.is_ready()
    bench.loop.call(bench.lab.set_api_up, False)
    wait_until(lambda: not cluster.is_ready(), 10)
    bench.loop.call(bench.lab.set_api_up, True)
    wait_until(cluster.is_ready, 10)


def test_an_open_connection_has_no_key_file(bench: ClusterBench, tmp_path: Path) -> None:
    """In a process of its own, because other tests open clusters at the same time."""
    (tmp_path / "kubeconfig").write_text(bench.kubeconfig)
    script = """
import os, sys, tempfile
from pathlib import Path
written = []
sys.addaudithook(lambda name, args: name == "os.mkdir" and written.append(Path(args[0])))
from clients.cluster_connection import ClusterConnection
with ClusterConnection(Path(sys.argv[1]).read_text()) as connection:
    assert connection.read_text("/readyz") == "ok"
    folders = [path for path in written if path.name.startswith("acrfleet-")]
    assert len(folders) == 1, written
    assert not folders[0].exists()
    in_memory = os.access("/dev/shm", os.W_OK)
    assert folders[0].parent == Path("/dev/shm" if in_memory else tempfile.gettempdir())
"""
    command = [sys.executable, "-c", script, str(tmp_path / "kubeconfig")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "user",
    [
        {"client-certificate": "/not/there", "client-key": "/nor/this"},
        {"client-certificate-data": "not base64!", "client-key-data": "eA=="},
        {"client-certificate-data": "bm90IGEga2V5", "client-key-data": "bm90IGEga2V5"},
    ],
)
def test_keys_that_cannot_be_read_are_an_error_of_the_kubeconfig(
    bench: ClusterBench, user: dict[str, str]
) -> None:
    config = yaml.safe_load(bench.kubeconfig)
    config["users"][0]["user"] = user
    with pytest.raises(KubeconfigError, match="keys cannot be read"):
        ClusterConnection(yaml.safe_dump(config))
