"""What every Kubernetes API does at the edges: odd requests, rarer patches, what may not change."""

from typing import Any

import pytest

from tests.lab.cluster_contract_patches import deployment
from tests.lab.cluster_contract_rules import pod_spec, service
from tests.lab.cluster_target import JSON_PATCH, MERGE, STRATEGIC, Target, eventually, secret


def claim(**spec: Any) -> dict[str, Any]:
    size = {"requests": {"storage": "1Gi"}}
    base = {"accessModes": ["ReadWriteOnce"], "resources": size, "storageClassName": "never"}
    return {"metadata": {"name": "a"}, "spec": base | spec}


class EdgeContract:
    """What nobody does on purpose, and what everybody does sometimes."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/api/v1/secrets"),
            ("PUT", "/api/v1/namespaces/{ns}/secrets"),
            ("POST", "/api/v1/namespaces/{ns}/secrets/one"),
        ],
    )
    def test_a_method_that_does_not_fit_is_refused(
        self, target: Target, ns: str, method: str, path: str
    ) -> None:
        reply = target.ask(method, path.format(ns=ns), secret())
        assert (reply.code, reply.body["reason"]) == (405, "MethodNotAllowed")

    @pytest.mark.parametrize("query", [{"limit": "few"}, {"continue": "nonsense"}])
    def test_a_page_that_makes_no_sense_is_refused(
        self, target: Target, ns: str, query: dict[str, str]
    ) -> None:
        assert target.ask("GET", f"/api/v1/namespaces/{ns}/secrets", **query).code == 400

    @pytest.mark.parametrize("body", ["just text", [1], 7])
    def test_a_body_that_is_no_object_is_refused(self, target: Target, ns: str, body: Any) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        assert target.ask("POST", path, body).code == 400
        target.create(path, secret())
        assert target.ask("PUT", f"{path}/one", body).code == 400
        assert target.patch(f"{path}/one", body, MERGE).code >= 400

    def test_a_json_patch_is_a_list(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        target.create(path, {"metadata": {"name": "a"}, "data": {"x": "1"}})
        moved = [
            {"op": "move", "from": "/data/x", "path": "/data/y"},
            {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/b"]},
            {"op": "add", "path": "/metadata/finalizers/0", "value": "example.com/a"},
        ]
        changed = target.patch(f"{path}/a", moved, JSON_PATCH).body
        assert changed["data"] == {"y": "1"}
        assert changed["metadata"]["finalizers"] == ["example.com/a", "example.com/b"]
        target.patch(f"{path}/a", {"metadata": {"finalizers": None}})

    def test_a_strategic_patch_adds_and_removes_finalizers(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        target.create(path, {"metadata": {"name": "a", "finalizers": ["example.com/a"]}})
        change: dict[str, Any] = {"metadata": {"finalizers": ["example.com/b"]}}
        changed = target.patch(f"{path}/a", change, STRATEGIC).body
        assert set(changed["metadata"]["finalizers"]) == {"example.com/a", "example.com/b"}
        change = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}
        changed = target.patch(f"{path}/a", change, STRATEGIC).body
        assert changed["metadata"]["finalizers"] == ["example.com/b"]
        target.patch(f"{path}/a", {"metadata": {"finalizers": None}})

    def test_a_strategic_patch_merges_ports_and_volumes(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/services"
        target.create(path, service())
        more = {"spec": {"ports": [{"name": "https", "port": 443}]}}
        changed = target.patch(f"{path}/web", more, STRATEGIC).body
        assert {port["port"] for port in changed["spec"]["ports"]} == {80, 443}
        path = f"/apis/apps/v1/namespaces/{ns}/deployments"
        target.create(path, deployment())
        for name in ("x", "y"):
            volume = {"name": name, "emptyDir": {}}
            change = {"spec": {"template": {"spec": {"volumes": [volume]}}}}
            changed = target.patch(f"{path}/web", change, STRATEGIC).body
        volumes = changed["spec"]["template"]["spec"]["volumes"]
        assert {volume["name"] for volume in volumes} == {"x", "y"}

    def test_a_strategic_patch_can_replace_a_list_and_drop_a_map(
        self, target: Target, ns: str
    ) -> None:
        path = f"/apis/apps/v1/namespaces/{ns}/deployments"
        target.create(path, deployment())
        only: list[dict[str, Any]] = [
            {"$patch": "replace"},
            {"name": "c", "image": "example.invalid/c:1"},
        ]
        change: dict[str, Any] = {"spec": {"template": {"spec": {"containers": only}}}}
        changed = target.patch(f"{path}/web", change, STRATEGIC).body
        containers = changed["spec"]["template"]["spec"]["containers"]
        assert [container["name"] for container in containers] == ["c"]
        change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
        changed = target.patch(f"{path}/web", change, STRATEGIC).body
        assert changed["spec"]["strategy"] == {"type": "Recreate"}

    @pytest.mark.parametrize(
        ("kind", "body", "change"),
        [
            (
                "/apis/apps/v1/namespaces/{ns}/deployments/web",
                deployment(),
                {"spec": {"selector": {"matchLabels": {"app": "x"}}}},
            ),
            (
                "/apis/batch/v1/namespaces/{ns}/jobs/a",
                {
                    "metadata": {"name": "a"},
                    "spec": {"template": {"spec": pod_spec(restartPolicy="Never")}},
                },
                {"spec": {"template": {"spec": {"serviceAccountName": "x"}}}},
            ),
            (
                "/api/v1/namespaces/{ns}/persistentvolumeclaims/a",
                claim(),
                {"spec": {"storageClassName": "other"}},
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings/a:b",
                {
                    "metadata": {"name": "a:b"},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": "cluster-admin",
                    },
                },
                {"roleRef": {"name": "x"}},
            ),
        ],
    )
    def test_what_may_not_change_stays(
        self, target: Target, ns: str, kind: str, body: dict[str, Any], change: dict[str, Any]
    ) -> None:
        path = kind.format(ns=ns)
        made = target.create(path.rpartition("/")[0], body)
        assert made.code == 201
        reply = target.patch(path, change)
        assert (reply.code, reply.body["reason"]) == (422, "Invalid")

    @pytest.mark.usefixtures("controllers")
    @pytest.mark.parametrize(
        ("kind", "body", "words"),
        [
            ("configmaps", {"metadata": {"name": "a"}, "data": {"x": 1}}, "ConfigMap"),
            ("pods", {"metadata": {"name": "a"}, "spec": {}}, "spec.containers: Required value"),
            (
                "pods",
                {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}},
                "spec.containers[0].image: Required value",
            ),
            (
                "configmaps",
                {"metadata": {"name": "a", "ownerReferences": [{"kind": "X", "name": "x"}]}},
                "metadata.ownerReferences",
            ),
            (
                "events",
                {"metadata": {"name": "a"}, "involvedObject": {"namespace": "other"}},
                "involvedObject.namespace",
            ),
        ],
    )
    def test_more_that_makes_no_sense_is_refused(
        self, target: Target, ns: str, kind: str, body: dict[str, Any], words: str
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/{kind}"
        waiting_for_account = {403, 500}
        reply = eventually(
            lambda: (
                found
                if (found := target.create(path, body)).code not in waiting_for_account
                else None
            )
        )
        assert reply.code in {400, 422}
        assert words in reply.body["message"]

    def test_a_lease_is_renewed_with_its_version(self, target: Target, ns: str) -> None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
        made = target.create(path, {"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}})
        assert target.ask("PUT", f"{path}/a", {"metadata": {"name": "a"}}).code == 422
        made.body["spec"]["renewTime"] = "2026-11-24T10:00:00.000000Z"
        renewed = target.ask("PUT", f"{path}/a", made.body)
        assert renewed.body["spec"]["renewTime"] == "2026-11-24T10:00:00.000000Z"

    def test_a_namespace_is_its_own_label(self, target: Target, ns: str) -> None:
        if target.real and target.minor < 21:
            pytest.skip("the label came with Kubernetes 1.21")
        labels = target.ask("GET", f"/api/v1/namespaces/{ns}").body["metadata"]["labels"]
        assert labels["kubernetes.io/metadata.name"] == ns

    def test_a_pod_without_a_node_is_gone_at_once(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/pods"
        target.create(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "a"}})
        spec = pod_spec(
            serviceAccountName="a",
            automountServiceAccountToken=False,
            nodeSelector={"never": "never"},
        )
        body = {"metadata": {"name": "one"}, "spec": spec}
        assert target.create(path, body).code == 201
        gone = target.ask("DELETE", f"{path}/one")
        assert gone.body["kind"] == "Pod"
        assert target.ask("GET", f"{path}/one").code == 404
