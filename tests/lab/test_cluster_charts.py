"""A HelmChart comes to life, changes and goes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.lab.cluster_charts import CONNECTION, NS, Site, release_body
from tests.lab.cluster_fixtures import running_cluster
from tests.lab.cluster_target import CHARTS, eventually

pytestmark = pytest.mark.lab


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_cluster(tmp_path, chart_seconds=0.02) as running:
        made = Site(running)
        yield made
        made.target.close()


def test_a_chart_becomes_a_registry(site: Site) -> None:
    site.put_connection()
    site.put_chart()
    eventually(site.told)
    values, namespace, release, address, port, running = site.running.told[0]
    assert (namespace, release, port, running) == (NS, NS, 80, True)
    assert values["connectionString"] == CONNECTION
    assert values["httpEnabled"] is True
    service = site.core("services", NS)
    assert service["spec"]["clusterIP"] == address
    assert [(p["name"], p["port"]) for p in service["spec"]["ports"]] == [("http", 80)]
    assert site.core("persistentvolumeclaims", "connected-registry-pvc")["status"]["phase"] == (
        "Bound"
    )
    assert not site.rolled_out()
    assert site.running.call(site.lab.resolve, address, 80) is None
    site.running.call(site.lab.report_pod, True, "Serving oslo.")
    eventually(site.rolled_out)
    eventually(lambda: site.running.call(site.lab.resolve, address, 80) == (NS, NS))
    assert site.running.call(site.lab.resolve, address, 443) is None
    assert site.log("registry") == "Serving oslo.\n"


def test_the_controller_tells_how_far_it_is(site: Site) -> None:
    site.install()
    job = eventually(lambda: found if (found := site.job())["status"].get("succeeded") else None)
    assert job["metadata"]["labels"]["helmcharts.helm.cattle.io/chart"] == NS
    digest = job["spec"]["template"]["metadata"]["annotations"][
        "helmcharts.helm.cattle.io/configHash"
    ]
    assert digest.startswith("SHA256=")
    assert [c["type"] for c in job["status"]["conditions"] if c["status"] == "True"] == ["Complete"]
    assert site.chart()["status"]["jobName"] == f"helm-install-{NS}"
    assert site.condition("JobCreated")["status"] == "True"
    assert site.condition("Failed")["status"] == "False"
    (release,) = site.releases()
    labels = release["metadata"]["labels"]
    assert release["metadata"]["name"] == f"sh.helm.release.v1.{NS}.v1"
    assert (labels["status"], labels["version"], labels["owner"]) == ("deployed", "1", "helm")
    assert labels["helmcharts.helm.cattle.io/configHash"] == digest.removeprefix("SHA256=")[:63]
    assert release_body(release)["chart"]["metadata"]["version"] == "0.4.0"


def test_the_connection_string_is_only_in_secrets(site: Site) -> None:
    site.install()
    for path in (
        f"/api/v1/namespaces/{NS}/pods",
        f"/api/v1/namespaces/{NS}/events",
        f"/api/v1/namespaces/{NS}/configmaps",
        f"/apis/batch/v1/namespaces/{NS}/jobs",
        f"/apis/apps/v1/namespaces/{NS}/deployments",
        f"{CHARTS}/namespaces/{NS}/helmcharts",
    ):
        assert "canary" not in site.target.ask("GET", path).text
    assert "canary" not in site.log("chart")


def test_later_values_win(site: Site) -> None:
    site.put_connection()
    config = {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChartConfig",
        "metadata": {"name": NS},
        "spec": {"valuesContent": "image: from-config\npvc: {storageRequest: 7Gi}\n"},
    }
    site.target.create(f"{CHARTS}/namespaces/{NS}/helmchartconfigs", config)
    site.put_chart(
        "connectionString: from-content\nimage: from-content\n"
        "pvc: {storageClassName: local-path}\n",
        set={"sync.chunkSizeInMb": 9, "httpEnabled": "true"},
    )
    eventually(site.told)
    values = site.running.told[0][0]
    assert values["connectionString"] == CONNECTION
    assert values["image"] == "from-config"
    assert values["pvc"] == {"storageClassName": "local-path", "storageRequest": "7Gi"}
    assert values["sync"] == {"chunkSizeInMb": 9}
    assert values["httpEnabled"] is True


def test_https_is_served_on_443(site: Site) -> None:
    site.put_connection()
    site.put_chart("httpEnabled: false\n")
    eventually(site.told)
    assert site.running.told[0][4] == 443
    ports = site.core("services", NS)["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [("https", 443)]


def test_a_registry_waits_for_the_secret_with_its_certificate(site: Site) -> None:
    site.put_connection()
    site.put_chart("httpEnabled: false\ntls: {secret: registry-tls}\n")
    eventually(lambda: site.pods("registry"))
    eventually(lambda: "FailedMount" in [event["reason"] for event in site.core("events")["items"]])
    assert site.told() == []
    data = {"tls.crt": "Y2Vy", "tls.key": "a2V5"}
    body = {"metadata": {"name": "registry-tls"}, "type": "kubernetes.io/tls", "data": data}
    site.target.create(f"/api/v1/namespaces/{NS}/secrets", body)
    eventually(site.told)
    assert site.running.call(site.lab.secret_of, NS, "registry-tls") == {
        "tls.crt": b"cer",
        "tls.key": b"key",
    }


def test_a_wanted_address_is_used(site: Site) -> None:
    site.put_connection()
    site.put_chart("httpEnabled: true\nservice: {clusterIP: 10.43.7.7}\n")
    eventually(site.told)
    assert site.running.told[0][3] == "10.43.7.7"


def test_a_changed_secret_upgrades_the_release(site: Site) -> None:
    site.install()
    (before,) = site.pods("registry")
    site.put_connection("another")
    eventually(lambda: site.statuses() == ["superseded", "deployed"])
    eventually(lambda: site.told() == [True, False, True])
    assert site.running.told[-1][0]["connectionString"] == "another"
    eventually(lambda: len(site.pods("registry")) == 1)
    assert site.pods("registry")[0]["metadata"]["uid"] != before["metadata"]["uid"]
    assert not site.rolled_out()


def test_a_changed_chart_upgrades_the_release_and_keeps_the_volume(site: Site) -> None:
    site.install()
    claim = site.core("persistentvolumeclaims", "connected-registry-pvc")["metadata"]["uid"]
    job = site.job()["metadata"]["uid"]
    site.put_chart(version="0.6.0")
    eventually(lambda: site.statuses() == ["superseded", "deployed"])
    assert site.job()["metadata"]["uid"] != job
    after = site.core("persistentvolumeclaims", "connected-registry-pvc")["metadata"]["uid"]
    assert after == claim


def test_an_unchanged_chart_changes_nothing(site: Site) -> None:
    site.install()
    eventually(lambda: site.job()["status"].get("succeeded"))
    job, pods = site.job()["metadata"]["uid"], site.pods("registry")
    site.put_chart()
    site.put_connection()
    site.target.patch(
        f"{CHARTS}/namespaces/{NS}/helmcharts/{NS}", {"metadata": {"labels": {"a": "b"}}}
    )
    site.target.create("/api/v1/namespaces", {"metadata": {"name": "later"}})
    accounts = "/api/v1/namespaces/later/serviceaccounts/default"
    eventually(lambda: site.target.ask("GET", accounts).code == 200)
    assert site.job()["metadata"]["uid"] == job
    assert site.pods("registry") == pods
    assert site.statuses() == ["deployed"]
    assert site.told() == [True]


def test_a_deleted_chart_takes_the_registry_with_it(site: Site) -> None:
    site.install()
    volume = site.running.call(site.lab.volume_of, NS, "connected-registry-pvc")
    path = f"{CHARTS}/namespaces/{NS}/helmcharts/{NS}"
    assert site.target.ask("DELETE", path).body["metadata"]["finalizers"]
    eventually(lambda: site.target.ask("GET", path).code == 404)
    eventually(lambda: site.told() == [True, False])
    for kind in ("services", "persistentvolumeclaims", "pods"):
        eventually(lambda kind=kind: site.core(kind)["items"] == [])
    names = {item["metadata"]["name"] for item in site.core("secrets")["items"]}
    assert names == {"connection"}
    assert site.job()["code"] == 404
    eventually(lambda: site.target.ask("GET", f"/api/v1/persistentvolumes/{volume}").code == 404)


def test_a_deleted_namespace_takes_the_chart_with_it(site: Site) -> None:
    site.install()
    site.target.ask("DELETE", f"/api/v1/namespaces/{NS}")
    eventually(lambda: site.target.ask("GET", f"/api/v1/namespaces/{NS}").code == 404)
    eventually(lambda: site.told() == [True, False])


def test_a_chart_may_create_its_namespace(site: Site) -> None:
    site.put_connection()
    site.put_chart(targetNamespace="elsewhere", createNamespace=True)
    eventually(site.told)
    assert site.running.told[0][1] == "elsewhere"
    assert site.read("/api/v1/namespaces/elsewhere/services")["items"]


def test_an_unmanaged_chart_is_left_alone(site: Site) -> None:
    body = {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": "x", "annotations": {"helmcharts.helm.cattle.io/unmanaged": "1"}},
        "spec": {"chart": "oci://example.invalid/x"},
    }
    site.target.create(f"{CHARTS}/namespaces/{NS}/helmcharts", body)
    site.install()
    found = site.read(f"{CHARTS}/namespaces/{NS}/helmcharts/x")
    assert "status" not in found
    assert "finalizers" not in found["metadata"]


def test_the_registrys_words_are_in_its_log_when_it_dies(site: Site) -> None:
    site.install()
    site.running.call(site.lab.report_pod, False, "ALREADY_ACTIVATED")
    eventually(lambda: "ALREADY_ACTIVATED" in site.log("registry", previous="true"))
    eventually(lambda: site.told() == [True, True])
    (pod,) = site.pods("registry")
    (container,) = pod["status"]["containerStatuses"]
    assert container["restartCount"] == 1
    assert container["lastState"]["terminated"]["exitCode"] == 1
    site.running.call(site.lab.report_pod, False, "ALREADY_ACTIVATED")
    waiting = eventually(
        lambda: site.pods("registry")[0]["status"]["containerStatuses"][0]["state"].get("waiting")
    )
    assert waiting["reason"] == "CrashLoopBackOff"
    assert not site.rolled_out()
    eventually(lambda: site.told() == [True, True, True])
    site.running.call(site.lab.report_pod, True, "Serving oslo.")
    eventually(site.rolled_out)


def test_a_log_is_read_in_parts(site: Site) -> None:
    site.install()
    for line in ("one", "two", "three"):
        site.running.call(site.lab.report_pod, True, line)
    assert site.log("registry", tailLines="2") == "two\nthree\n"
    assert site.log("registry", limitBytes="3") == "Ser"
    stamped = site.log("registry", timestamps="true", tailLines="1")
    assert stamped.startswith("20")
    assert stamped.endswith("Z three\n")
    site.running.call(site.running.clock.jump, timedelta(minutes=5))
    assert site.log("registry", sinceSeconds="60") == ""
    name = site.pods("registry")[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{NS}/pods/{name}/log"
    assert site.target.ask("GET", path, container="never").code == 400
    previous = site.target.ask("GET", path, previous="true")
    assert previous.code == 400
    assert "previous terminated container" in previous.body["message"]
    assert site.target.ask("GET", path, follow="true").code == 501


def test_a_registry_that_lost_its_release_says_so(site: Site) -> None:
    site.install()
    for release in site.releases():
        site.target.ask("DELETE", f"/api/v1/namespaces/{NS}/secrets/{release['metadata']['name']}")
    site.running.call(site.lab.report_pod, False, "bye")
    eventually(lambda: "no deployed release" in site.log("registry"))
