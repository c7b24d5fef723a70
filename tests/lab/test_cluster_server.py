"""The cluster's server: what it refuses, what it writes down, how it fails on order."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from kubernetes import watch

from tests.lab.cluster_fixtures import RunningCluster, running_cluster
from tests.lab.cluster_target import MERGE, Target, chart, eventually, secret

pytestmark = pytest.mark.lab
SECRETS = "/api/v1/namespaces/default/secrets"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path) as made:
        yield made


@pytest.fixture
def target(running: RunningCluster) -> Iterator[Target]:
    made = Target(running.kubeconfig, real=False)
    yield made
    made.close()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("GET", "/apis/networking.k8s.io/v1/ingresses", "ingresses in networking.k8s.io/v1"),
        (
            "GET",
            "/api/v1/namespaces/default/replicationcontrollers",
            "replicationcontrollers in v1",
        ),
        ("POST", "/apis/apps/v1/namespaces/default/statefulsets", "statefulsets in apps/v1"),
        ("GET", "/api/v1/namespaces/default/pods/a/exec", "pods/exec"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", "accounts/token"),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/a/scale", "deployments/scale"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    target: Target, method: str, path: str, what: str
) -> None:
    reply = target.ask(method, path, {} if method == "POST" else None)
    assert (reply.code, reply.body["reason"]) == (501, "NotImplemented")
    assert what in reply.body["message"]


def test_server_side_apply_is_refused_by_name(target: Target) -> None:
    target.create(SECRETS, secret())
    reply = target.patch(f"{SECRETS}/one", "{}", "application/apply-patch+yaml")
    assert reply.code == 501
    assert "server-side apply" in reply.body["message"]


def test_protobuf_of_a_kind_that_is_not_known_is_refused_with_a_reason(target: Target) -> None:
    request = target.api.rest_client.pool_manager.request(
        "POST",
        target.settings.host + SECRETS,
        body=b"k8s\x00",
        headers={"Content-Type": "application/vnd.kubernetes.protobuf"},
    )
    body = json.loads(request.data)
    assert (request.status, body["reason"]) == (415, "UnsupportedMediaType")
    assert "does not read untyped as protobuf" in body["message"]


def test_every_change_is_written_down_once(running: RunningCluster, target: Target) -> None:
    target.create(SECRETS, secret())
    target.ask("PUT", f"{SECRETS}/one", secret())
    target.patch(f"{SECRETS}/one", {"data": {"a": "ZQ=="}})
    target.ask("DELETE", f"{SECRETS}/one")
    lines = [(line["action"], line["target"]) for line in running.audit.read()]
    one = f"{SECRETS}/one"
    assert lines == [("POST", SECRETS), ("PUT", one), ("PATCH", one), ("DELETE", one)]
    assert {(line["part"], line["site"]) for line in running.audit.read()} == {("cluster", "oslo")}


def test_reads_refusals_and_dry_runs_are_no_changes(
    running: RunningCluster, target: Target
) -> None:
    target.ask("GET", SECRETS)
    assert target.create(SECRETS, {"metadata": {}}).code == 422
    assert target.ask("DELETE", f"{SECRETS}/never").code == 404
    assert target.ask("POST", SECRETS, secret(), dryRun="All").code == 201
    assert running.audit.read() == []


def test_controllers_leave_no_trace_in_the_audit(running: RunningCluster, target: Target) -> None:
    target.create("/api/v1/namespaces", {"metadata": {"name": "new"}})
    path = "/api/v1/namespaces/new/serviceaccounts/default"
    eventually(lambda: target.ask("GET", path).code == 200)
    assert [line["target"] for line in running.audit.read()] == ["/api/v1/namespaces"]


def test_the_port_refuses_connections_while_the_api_is_down(
    running: RunningCluster, target: Target
) -> None:
    port = running.lab.port
    target.create(SECRETS, secret())
    running.call(running.lab.set_api_up, False)
    assert not accepts(port)
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        target.ask("GET", "/readyz")
    running.call(running.lab.set_api_up, True)
    eventually(lambda: accepts(port))
    assert running.lab.port == port
    assert target.ask("GET", f"{SECRETS}/one").code == 200


def test_the_api_survives_being_switched_quickly(running: RunningCluster, target: Target) -> None:
    def flicker() -> None:
        for up in (False, True, False, True, False):
            running.lab.set_api_up(up)

    running.call(flicker)
    time.sleep(0.05)
    assert not accepts(running.lab.port)
    running.call(running.lab.set_api_up, True)
    eventually(lambda: accepts(running.lab.port))
    assert target.ask("GET", "/readyz").text == "ok"


def test_a_watch_ends_when_the_api_goes_down(running: RunningCluster, target: Target) -> None:
    ended = threading.Event()

    def follow() -> None:
        try:
            for _ in watch.Watch().stream(target.core.list_node, timeout_seconds=30):
                pass
        except (urllib3.exceptions.HTTPError, OSError):
            ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.3)
    running.call(running.lab.set_api_up, False)
    assert ended.wait(5)
    thread.join()
    running.call(running.lab.set_api_up, True)


def test_controllers_rest_while_the_api_is_down(running: RunningCluster, target: Target) -> None:
    running.call(running.lab.set_api_up, False)
    kind = running.lab.objects.kinds.named("Namespace")
    body = {"metadata": {"name": "meanwhile"}}
    running.call(running.lab.objects.create, kind, None, body)
    time.sleep(0.2)
    account = running.lab.objects.kinds.named("ServiceAccount")
    assert not running.call(running.lab.objects.store.each, account, "meanwhile")
    running.call(running.lab.set_api_up, True)
    eventually(lambda: running.call(running.lab.objects.store.each, account, "meanwhile"))


def test_faults_come_before_or_after_the_change(running: RunningCluster, target: Target) -> None:
    running.faults.add(part="cluster", kind="status", status=503, match=f"POST {SECRETS}", times=2)
    assert target.create(SECRETS, secret()).code == 503
    assert target.ask("GET", f"{SECRETS}/one").code == 404
    running.faults.clear()
    running.faults.add(part="cluster", kind="status-after", status=503, match="POST *", times=1)
    assert target.create(SECRETS, secret()).code == 503
    assert target.ask("GET", f"{SECRETS}/one").code == 200
    assert [line["action"] for line in running.audit.read()] == ["POST"]


def test_a_busy_server_says_when_to_come_back(running: RunningCluster, target: Target) -> None:
    running.faults.add(part="cluster", kind="status", status=429, retry_after=2, times=1)
    address = target.settings.host + SECRETS
    answer = target.api.rest_client.pool_manager.request("GET", address, retries=False)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
    body = json.loads(answer.data)
    assert body["reason"] == "TooManyRequests"
    assert body["details"]["retryAfterSeconds"] == 2
    assert target.ask("GET", SECRETS).code == 200


def test_a_dropped_answer_hides_the_change(running: RunningCluster, target: Target) -> None:
    target.create(SECRETS, secret())
    running.faults.add(part="cluster", kind="drop-after", match="PATCH *", times=1)
    running.faults.add(part="cluster", kind="drop", match="DELETE *", times=1)
    with pytest.raises(urllib3.exceptions.HTTPError):
        target.patch(f"{SECRETS}/one", {"data": {"a": "ZQ=="}}, MERGE)
    assert target.ask("GET", f"{SECRETS}/one").body["data"]["a"] == "ZQ=="


def test_faults_of_other_sites_do_no_harm(running: RunningCluster, target: Target) -> None:
    running.faults.add(part="cluster", kind="status", status=503, site="bergen")
    assert target.ask("GET", SECRETS).code == 200


def test_latency_slows_every_answer(tmp_path: Path) -> None:
    with running_cluster(tmp_path, latency=0.2) as running:
        target = Target(running.kubeconfig, real=False)
        before = time.monotonic()
        assert target.ask("GET", "/readyz").text == "ok"
        assert time.monotonic() - before >= 0.2
        target.close()


def test_a_watch_can_ask_for_what_is_there_and_where_it_ends(target: Target) -> None:
    target.create(SECRETS, secret())
    query = {"watch": "true", "sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    text = target.ask(
        "GET", SECRETS, resourceVersionMatch="NotOlderThan", timeoutSeconds="1", **query
    ).text
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    marks = events[1]["object"]["metadata"]["annotations"]
    assert marks == {"k8s.io/initial-events-end": "true"}


def test_history_ends_somewhere(target: Target) -> None:
    made = target.create(SECRETS, secret())
    for number in range(250):
        target.patch(f"{SECRETS}/one", {"metadata": {"labels": {"n": str(number)}}})
    text = target.ask(
        "GET", SECRETS, watch="true", resourceVersion=made.version, timeoutSeconds="1"
    ).text
    event = json.loads(text)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_a_chart_definition_of_ones_own_is_served(target: Target) -> None:
    group = "example.com"
    definition = {
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Thing", "plural": "things"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert target.create(path, definition).code == 201
    things = f"/apis/{group}/v1/namespaces/default/things"
    body = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}}
    assert target.create(things, body).code == 201
    target.ask("DELETE", f"{path}/things.{group}")
    assert target.ask("GET", things).code == 404


def test_the_kubeconfig_can_name_another_server(running: RunningCluster) -> None:
    assert "server: https://127.0.0.1:6443" in running.lab.kubeconfig("https://127.0.0.1:6443")


def test_charts_are_listed_across_namespaces(target: Target) -> None:
    target.create("/apis/helm.cattle.io/v1/namespaces/default/helmcharts", chart())
    listed = target.ask("GET", "/apis/helm.cattle.io/v1/helmcharts").body
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
