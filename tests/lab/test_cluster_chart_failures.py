"""HelmCharts that fail: in helm's words, and with the traps of the real controller."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import HelmController
from tests.lab.cluster_charts import NS, REFERENCE, Site
from tests.lab.cluster_fixtures import running_cluster
from tests.lab.cluster_target import CHARTS, eventually

pytestmark = pytest.mark.lab
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/helmcharts.helm.cattle.io"
OUTSIDE = "httpEnabled: true\nservice: {clusterIP: 10.99.0.1}\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_cluster(tmp_path, chart_seconds=0.02) as running:
        made = Site(running)
        yield made
        made.target.close()


@pytest.mark.parametrize(
    ("values", "spec", "words"),
    [
        (
            "httpEnabled: true\n",
            {"valuesSecrets": []},
            "connected-registry:\n- (root): connectionString is required",
        ),
        (
            "httpEnabled: 'yes'\n",
            {},
            "- httpEnabled: Invalid type. Expected: boolean, given: string",
        ),
        (
            "service: {type: Magic}\n",
            {},
            '- service.type must be one of the following: "ClusterIP", "NodePort", "LoadBalancer"',
        ),
        ("a: [\n", {}, "error converting YAML to JSON"),
        ("just words\n", {}, "cannot unmarshal str"),
        ("", {"version": "9.9.9"}, "connected-registry/chart:9.9.9: not found"),
        ("", {"chart": REFERENCE + "s"}, "mcr.microsoft.com/acr/connected-registry/charts"),
        ("", {"chart": "oci://nowhere.example/x"}, "lookup nowhere.example: no such host"),
        ("", {"targetNamespace": "never"}, 'namespaces "never" not found'),
        (OUTSIDE, {}, "the provided IP (10.99.0.1) is not in the valid range"),
    ],
)
def test_a_failing_job_says_why_until_it_gives_up(
    site: Site, values: str, spec: dict[str, Any], words: str
) -> None:
    site.put_connection()
    site.put_chart(values, **spec)
    log = eventually(lambda: text if "Error:" in (text := site.log()) else None)
    assert words in log
    eventually(site.gave_up)
    assert site.condition("Failed")["message"] == (
        "Job has reached configured number of retries without succeeding"
    )
    failed = {c["type"]: c for c in site.job()["status"]["conditions"]}["Failed"]
    assert (failed["status"], failed["reason"]) == ("True", "BackoffLimitExceeded")
    assert site.job()["status"]["failed"] == 1
    eventually(lambda: site.pods("chart") == [])
    assert not site.running.told


def test_a_missing_values_secret_keeps_the_job_from_starting(site: Site) -> None:
    site.put_chart()
    words = eventually(site.warnings)
    assert (
        words[0] == 'MountVolume.SetUp failed for volume "values" : secret "connection" not found'
    )
    (pod,) = site.pods("chart")
    assert pod["status"]["phase"] == "Pending"
    assert pod["status"]["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "ContainerCreating"}
    }
    name = pod["metadata"]["name"]
    reply = site.target.ask("GET", f"/api/v1/namespaces/{NS}/pods/{name}/log")
    assert reply.code == 400
    assert "is waiting to start: ContainerCreating" in reply.body["message"]
    site.put_connection()
    eventually(site.told)


def test_a_missing_key_is_named(site: Site) -> None:
    site.put_connection()
    site.put_chart(valuesSecrets=[{"name": "connection", "keys": ["other.yaml"]}])
    words = eventually(site.warnings)
    assert "references non-existent secret key: other.yaml" in words[0]


def test_a_values_secret_that_may_change_unseen_may_be_missing(site: Site) -> None:
    optional = [{"name": "connection", "keys": ["values.yaml"], "ignoreUpdates": True}]
    site.put_chart(valuesSecrets=optional)
    eventually(lambda: "connectionString is required" in site.log())


def test_retry_upgrades_what_failed_and_keeps_the_volume(site: Site) -> None:
    site.put_connection()
    site.put_chart(OUTSIDE)
    eventually(site.gave_up)
    assert set(site.statuses()) == {"failed"}
    claim = site.core("persistentvolumeclaims", "connected-registry-pvc")["metadata"]["uid"]
    site.put_chart()
    eventually(site.told)
    assert site.statuses()[-1] == "deployed"
    assert site.condition("Failed")["status"] == "False"
    after = site.core("persistentvolumeclaims", "connected-registry-pvc")["metadata"]["uid"]
    assert after == claim


def test_reinstall_uninstalls_first_and_loses_the_volume(site: Site) -> None:
    site.put_connection()
    site.put_chart(OUTSIDE, failurePolicy="reinstall")
    eventually(site.gave_up)
    claim = site.core("persistentvolumeclaims", "connected-registry-pvc")["metadata"]["uid"]
    site.put_chart(failurePolicy="reinstall")
    eventually(site.told)
    assert site.statuses() == ["deployed"]
    after = site.core("persistentvolumeclaims", "connected-registry-pvc")["metadata"]["uid"]
    assert after != claim


def test_abort_leaves_what_failed_alone(site: Site) -> None:
    site.put_connection()
    site.put_chart(OUTSIDE, failurePolicy="abort")
    eventually(site.gave_up)
    site.put_chart(failurePolicy="abort")
    eventually(lambda: "FAILURE_POLICY is abort" in site.log())
    assert site.statuses() == ["failed"]


def test_an_address_cannot_move(site: Site) -> None:
    site.install()
    site.put_chart("httpEnabled: true\nservice: {clusterIP: 10.43.8.8}\n")
    log = eventually(lambda: text if "UPGRADE FAILED" in (text := site.log()) else None)
    assert "may not change once set" in log
    assert site.told() == [True]


def test_objects_of_others_are_not_taken_over(site: Site) -> None:
    site.put_connection()
    body = {"metadata": {"name": NS}, "spec": {"ports": [{"port": 80}]}}
    site.target.create(f"/api/v1/namespaces/{NS}/services", body)
    site.put_chart()
    eventually(lambda: "cannot be imported into the current release" in site.log())


def test_an_unknown_storage_class_keeps_the_pod_waiting(site: Site) -> None:
    site.put_connection()
    site.put_chart("httpEnabled: true\npvc: {storageClassName: never}\n")
    eventually(lambda: 'storageclass.storage.k8s.io "never" not found' in site.warnings())
    (pod,) = eventually(lambda: site.pods("registry"))
    scheduled = eventually(
        lambda: [
            item
            for item in site.pods("registry")[0]["status"].get("conditions", [])
            if item["type"] == "PodScheduled"
        ]
    )
    assert scheduled[0]["reason"] == "Unschedulable"
    assert "unbound immediate PersistentVolumeClaims" in scheduled[0]["message"]
    assert pod["status"]["phase"] == "Pending"
    assert not site.running.told


def test_an_older_controller_drops_what_it_does_not_know(tmp_path: Path) -> None:
    older = HelmController(policies=("abort", "reinstall"), without_fields=("valuesSecrets",))
    with running_cluster(tmp_path, helm_controller=older) as running:
        site = Site(running)
        (version,) = site.read(CRD)["spec"]["versions"]
        fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        assert "valuesSecrets" not in fields
        assert fields["failurePolicy"]["enum"] == ["abort", "reinstall"]
        path = f"{CHARTS}/namespaces/{NS}/helmcharts"
        body = {"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": {"name": "x"}}
        spec = {"chart": "oci://x.example/y", "valuesSecrets": [{"name": "a", "keys": ["b"]}]}
        made = site.target.create(path, body | {"spec": spec}).body
        assert "valuesSecrets" not in made["spec"]
        refused = site.target.create(path, body | {"spec": spec | {"failurePolicy": "retry"}})
        assert refused.code == 422
        site.target.close()


def test_a_cluster_without_a_helm_controller_has_no_charts(tmp_path: Path) -> None:
    with running_cluster(tmp_path, helm_controller=None) as running:
        site = Site(running)
        assert site.target.ask("GET", CRD).code == 404
        assert site.target.ask("GET", f"{CHARTS}/helmcharts").code == 404
        site.target.close()
