"""What every Kubernetes cluster sees to: finalizers, owners, addresses, custom resources."""

import ipaddress
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from lab.certificates import Authority
from tests.lab.cluster_target import CHARTS, Target, chart, eventually, secret


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80}]
    return {"metadata": {"name": name}, "spec": {"ports": ports} | spec}


def pod_spec(**more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "example.invalid/a:1"}]} | more


def status_of(url: str, context: ssl.SSLContext) -> int:
    try:
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class RulesContract:
    """What controllers and admission see to."""

    def test_a_finalizer_holds_an_object(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        target.create(path, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
        held = target.ask("DELETE", f"{path}/a").body
        assert held["kind"] == "ConfigMap"
        assert held["metadata"]["deletionTimestamp"]
        assert target.ask("DELETE", f"{path}/a").code == 200
        released = target.patch(f"{path}/a", {"metadata": {"finalizers": None}})
        assert released.code == 200
        assert target.ask("GET", f"{path}/a").code == 404

    @pytest.mark.usefixtures("controllers")
    @pytest.mark.parametrize(
        ("policy", "survives"), [("Background", False), ("Foreground", False), ("Orphan", True)]
    )
    def test_what_is_owned_goes_with_its_owner(
        self, target: Target, ns: str, policy: str, survives: bool
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        owner = target.create(path, {"metadata": {"name": "owner"}}).body
        reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "owner",
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        metadata = {"name": "owned", "ownerReferences": [reference]}
        target.create(f"/api/v1/namespaces/{ns}/secrets", secret() | {"metadata": metadata})
        target.ask("DELETE", f"{path}/owner", propagationPolicy=policy)
        eventually(lambda: target.ask("GET", f"{path}/owner").code == 404)
        owned = f"/api/v1/namespaces/{ns}/secrets/owned"
        if survives:
            left = target.ask("GET", owned).body
            assert "ownerReferences" not in left["metadata"]
        else:
            eventually(lambda: target.ask("GET", owned).code == 404)

    @pytest.mark.usefixtures("controllers")
    def test_a_namespace_takes_everything_with_it(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        target.create(path, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
        target.create(f"/api/v1/namespaces/{ns}/secrets", secret())
        ending = target.ask("DELETE", f"/api/v1/namespaces/{ns}")
        assert ending.body["kind"] == "Namespace"
        assert ending.body["status"]["phase"] == "Terminating"
        eventually(lambda: target.ask("GET", f"/api/v1/namespaces/{ns}/secrets/one").code == 404)
        refused = target.create(f"/api/v1/namespaces/{ns}/secrets", secret("two"))
        assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
        assert "because it is being terminated" in refused.body["message"]
        eventually(lambda: "deletionTimestamp" in target.ask("GET", f"{path}/a").body["metadata"])
        target.patch(f"{path}/a", {"metadata": {"finalizers": None}})
        eventually(lambda: target.ask("GET", f"/api/v1/namespaces/{ns}").code == 404, 30)

    def test_a_service_gets_an_address_of_the_service_network(
        self, target: Target, ns: str
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/services"
        made = target.create(path, service()).body
        address = made["spec"]["clusterIP"]
        assert ipaddress.ip_address(address) in ipaddress.ip_network("10.43.0.0/16")
        assert (
            made["spec"]["ports"][0] | {"protocol": "TCP", "targetPort": 80}
            == (made["spec"]["ports"][0])
        )
        taken = target.create(path, service("two", clusterIP=address))
        assert taken.code == 422
        assert "provided IP is already allocated" in taken.body["message"]
        outside = target.create(path, service("two", clusterIP="10.99.0.1"))
        assert outside.code == 422
        assert "10.43.0.0/16" in outside.body["message"]
        moved = target.patch(f"{path}/web", {"spec": {"clusterIP": "10.43.9.9"}})
        assert moved.code == 422

    @pytest.mark.parametrize(
        "spec",
        [{"ports": []}, {"ports": [{"port": 0}]}, {"ports": [{"port": 1}, {"port": 2}]}],
    )
    def test_a_service_needs_ports_that_make_sense(
        self, target: Target, ns: str, spec: dict[str, Any]
    ) -> None:
        reply = target.create(f"/api/v1/namespaces/{ns}/services", service(**spec))
        assert reply.code == 422
        assert "spec.ports" in reply.body["message"]

    @pytest.mark.usefixtures("controllers")
    def test_a_pod_takes_its_pull_secrets_from_its_account(self, target: Target, ns: str) -> None:
        accounts, pods = f"/api/v1/namespaces/{ns}/serviceaccounts", f"/api/v1/namespaces/{ns}/pods"
        target.create(accounts, {"metadata": {"name": "a"}, "imagePullSecrets": [{"name": "x"}]})
        body = {"metadata": {"name": "one"}, "spec": pod_spec(serviceAccountName="a")}
        made = eventually(
            lambda: reply.body if (reply := target.create(pods, body)).code == 201 else None
        )
        assert made["spec"]["imagePullSecrets"] == [{"name": "x"}]
        target.patch(f"{accounts}/a", {"imagePullSecrets": [{"name": "y"}]})
        assert target.ask("GET", f"{pods}/one").body["spec"]["imagePullSecrets"] == [{"name": "x"}]
        body = {"metadata": {"name": "two"}, "spec": pod_spec(serviceAccountName="never")}
        refused = target.create(pods, body)
        assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
        assert "never" in refused.body["message"]

    @pytest.mark.usefixtures("controllers")
    def test_a_deployment_makes_pods(self, target: Target, ns: str) -> None:
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": pod_spec()}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        body = {"metadata": {"name": "web"}, "spec": spec}
        eventually(
            lambda: (
                target.ask("GET", f"/api/v1/namespaces/{ns}/serviceaccounts/default").code == 200
            )
        )
        target.create(f"/apis/apps/v1/namespaces/{ns}/deployments", body)
        pods = eventually(
            lambda: found if len(found := target.core.list_namespaced_pod(ns).items) == 2 else None
        )
        assert all(pod.metadata.labels["pod-template-hash"] for pod in pods)
        wrong = body | {
            "metadata": {"name": "x"},
            "spec": spec | {"selector": {"matchLabels": {"b": "c"}}},
        }
        refused = target.create(f"/apis/apps/v1/namespaces/{ns}/deployments", wrong)
        assert refused.code == 422
        target.ask("DELETE", f"/apis/apps/v1/namespaces/{ns}/deployments/web")
        eventually(lambda: not target.core.list_namespaced_pod(ns).items)

    @pytest.mark.usefixtures("controllers")
    def test_a_job_makes_a_labelled_pod(self, target: Target, ns: str) -> None:
        eventually(
            lambda: (
                target.ask("GET", f"/api/v1/namespaces/{ns}/serviceaccounts/default").code == 200
            )
        )
        path = f"/apis/batch/v1/namespaces/{ns}/jobs"
        spec = {"template": {"spec": pod_spec(restartPolicy="Never")}}
        target.create(path, {"metadata": {"name": "once"}, "spec": spec})
        selector = "job-name=once"
        eventually(lambda: target.core.list_namespaced_pod(ns, label_selector=selector).items)
        wrong = {"metadata": {"name": "x"}, "spec": {"template": {"spec": pod_spec()}}}
        assert target.create(path, wrong).code == 422

    @pytest.mark.usefixtures("controllers")
    def test_a_claim_without_its_class_waits(self, target: Target, ns: str) -> None:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "never",
            "resources": {"requests": {"storage": "1Gi"}},
        }
        path = f"/api/v1/namespaces/{ns}/persistentvolumeclaims"
        made = target.create(path, {"metadata": {"name": "a"}, "spec": spec}).body
        assert made["status"]["phase"] == "Pending"
        events = f"/api/v1/namespaces/{ns}/events"
        words = eventually(
            lambda: [
                event["message"]
                for event in target.ask("GET", events).body["items"]
                if event["reason"] == "ProvisioningFailed"
            ]
        )
        assert words[0] == 'storageclass.storage.k8s.io "never" not found'
        assert target.create(path, {"metadata": {"name": "b"}, "spec": {}}).code == 422

    def test_the_chart_definition_says_what_a_chart_may_hold(self, target: Target) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/helmcharts.helm.cattle.io"
        (version,) = target.ask("GET", path).body["spec"]["versions"]
        fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        assert fields["valuesSecrets"]["items"]["properties"]["keys"]["type"] == "array"
        assert fields["failurePolicy"]["enum"] == ["abort", "reinstall", "retry"]

    def test_custom_objects_are_pruned_defaulted_and_checked(self, target: Target, ns: str) -> None:
        path = f"{CHARTS}/namespaces/{ns}/helmcharts"
        made = target.create(path, chart(nonsense=1, set={"a": 1, "b": "c"})).body
        assert "nonsense" not in made["spec"]
        assert made["spec"]["set"] == {"a": 1, "b": "c"}
        assert made["spec"]["failurePolicy"] == "reinstall"
        wrong = target.create(path, chart("two", failurePolicy="pray"))
        assert wrong.code == 422
        assert "spec.failurePolicy: Unsupported value" in wrong.body["message"]
        wrong = target.create(path, chart("two", valuesContent=1))
        assert wrong.code == 422
        assert 'must be of type string: "integer"' in wrong.body["message"]

    def test_health_and_version_answer(self, target: Target) -> None:
        assert target.ask("GET", "/readyz").text == "ok"
        assert target.ask("GET", "/livez").text == "ok"
        assert target.ask("GET", "/version/").body["gitVersion"].startswith("v1.")

    def test_discovery_names_the_kinds(self, target: Target) -> None:
        groups = {item["name"] for item in target.ask("GET", "/apis").body["groups"]}
        assert {"apps", "batch", "helm.cattle.io", "coordination.k8s.io"} <= groups
        kinds = {item["name"]: item for item in target.ask("GET", "/api/v1").body["resources"]}
        assert kinds["secrets"]["kind"] == "Secret"
        assert kinds["secrets"]["namespaced"]
        assert not kinds["nodes"]["namespaced"]
        assert "pods/log" in kinds

    def test_nobody_comes_in_without_a_certificate(self, target: Target) -> None:
        context = ssl.create_default_context(cafile=target.settings.ssl_ca_cert)
        assert status_of(f"{target.settings.host}/api/v1/nodes", context) == 401

    def test_nobody_comes_in_with_somebody_elses_certificate(
        self, target: Target, tmp_path: Path
    ) -> None:
        certificate, key = Authority(tmp_path).issue("admin", organization="system:masters")
        (tmp_path / "pair.pem").write_bytes(certificate + key)
        context = ssl.create_default_context(cafile=target.settings.ssl_ca_cert)
        context.load_cert_chain(tmp_path / "pair.pem")
        try:
            code = status_of(f"{target.settings.host}/api/v1/nodes", context)
        except OSError:
            code = 401
        assert code == 401
