"""What every Kubernetes API does with patches: the emulator's and a real one."""

import pytest

from tests.lab.cluster_target import (
    CHARTS,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Target,
    chart,
    eventually,
    secret,
)


def deployment(name: str = "web") -> dict[str, object]:
    labels = {"app": name}
    containers = [
        {"name": "a", "image": "example.invalid/a:1", "env": [{"name": "X", "value": "1"}]},
        {"name": "b", "image": "example.invalid/b:1"},
    ]
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


class PatchContract:
    """JSON, merge and strategic patches; the status subresource."""

    def test_a_merge_patch_removes_with_null_and_replaces_lists(
        self, target: Target, ns: str
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/serviceaccounts"
        secrets = [{"name": "one"}, {"name": "two"}]
        body = {"metadata": {"name": "a", "labels": {"x": "1", "y": "2"}}, "secrets": secrets}
        target.create(path, body)
        change = {"metadata": {"labels": {"x": None, "z": "3"}}, "secrets": [{"name": "three"}]}
        changed = target.patch(f"{path}/a", change).body
        assert changed["metadata"]["labels"] == {"y": "2", "z": "3"}
        assert {"name": "one"} not in changed["secrets"]
        assert {"name": "three"} in changed["secrets"]

    def test_a_strategic_patch_replaces_image_pull_secrets_but_merges_secrets(
        self, target: Target, ns: str
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/serviceaccounts"
        body = {
            "metadata": {"name": "a"},
            "imagePullSecrets": [{"name": "theirs"}],
            "secrets": [{"name": "theirs"}],
        }
        target.create(path, body)
        change = {"imagePullSecrets": [{"name": "ours"}], "secrets": [{"name": "ours"}]}
        changed = target.patch(f"{path}/a", change, STRATEGIC).body
        assert changed["imagePullSecrets"] == [{"name": "ours"}]
        assert {"ours", "theirs"} <= {entry["name"] for entry in changed["secrets"]}

    def test_a_strategic_patch_merges_containers_by_name(self, target: Target, ns: str) -> None:
        path = f"/apis/apps/v1/namespaces/{ns}/deployments"
        target.create(path, deployment())
        wanted = [
            {"name": "a", "image": "example.invalid/a:2", "env": [{"name": "Y", "value": "2"}]},
            {"name": "b", "$patch": "delete"},
        ]
        change = {"spec": {"template": {"spec": {"containers": wanted}}}}
        changed = target.patch(f"{path}/web", change, STRATEGIC).body
        (container,) = changed["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "example.invalid/a:2"
        assert {entry["name"] for entry in container["env"]} == {"X", "Y"}
        assert changed["metadata"]["generation"] == 2

    def test_a_strategic_patch_can_replace_a_map(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        target.create(path, {"metadata": {"name": "a"}, "data": {"x": "1", "y": "2"}})
        change = {"data": {"$patch": "replace", "z": "3"}}
        assert target.patch(f"{path}/a", change, STRATEGIC).body["data"] == {"z": "3"}

    def test_json_patch_operations(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/serviceaccounts"
        body = {
            "metadata": {"name": "a", "annotations": {"a/b": "1"}},
            "imagePullSecrets": [{"name": "theirs"}],
        }
        target.create(path, body)
        change = [
            {"op": "test", "path": "/imagePullSecrets/0/name", "value": "theirs"},
            {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": "ours"}},
            {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "2"},
            {"op": "copy", "from": "/metadata/annotations/a~1b", "path": "/metadata/annotations/c"},
        ]
        changed = target.patch(f"{path}/a", change, JSON_PATCH).body
        assert [entry["name"] for entry in changed["imagePullSecrets"]] == ["theirs", "ours"]
        assert changed["metadata"]["annotations"] == {"a/b": "2", "c": "2"}
        removed = [{"op": "remove", "path": "/imagePullSecrets/0"}]
        changed = target.patch(f"{path}/a", removed, JSON_PATCH).body
        assert changed["imagePullSecrets"] == [{"name": "ours"}]

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/type", "value": "something else"},
            {"op": "remove", "path": "/metadata/annotations/never"},
            {"op": "replace", "path": "/data/never/deep", "value": "x"},
        ],
    )
    def test_a_json_patch_that_does_not_fit_is_refused(
        self, target: Target, ns: str, operation: dict[str, str]
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        made = target.create(path, secret())
        reply = target.patch(f"{path}/one", [operation], JSON_PATCH)
        assert (reply.code, reply.body["reason"]) == (422, "Invalid")
        assert target.ask("GET", f"{path}/one").version == made.version

    def test_a_custom_object_takes_no_strategic_patch(self, target: Target, ns: str) -> None:
        path = f"{CHARTS}/namespaces/{ns}/helmcharts"
        target.create(path, chart())
        change = {"spec": {"version": "1.0.0"}}
        reply = target.patch(f"{path}/one", change, STRATEGIC)
        assert (reply.code, reply.body["reason"]) == (415, "UnsupportedMediaType")
        assert "application/merge-patch+json" in reply.body["message"]
        assert target.patch(f"{path}/one", change, MERGE).body["spec"]["version"] == "1.0.0"

    def test_an_unknown_kind_of_patch_is_refused(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        target.create(path, secret())
        for name in ("one", "never"):
            reply = target.patch(f"{path}/{name}", {"data": {}}, "application/vnd.example+json")
            assert reply.code == 415

    def test_patching_what_is_not_there(self, target: Target, ns: str) -> None:
        assert target.patch(f"/api/v1/namespaces/{ns}/secrets/no", {"data": {}}).code == 404

    def test_the_name_and_uid_cannot_be_patched_away(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        made = target.create(path, secret())
        assert target.patch(f"{path}/one", {"metadata": {"name": "two"}}).code == 400
        reply = target.patch(f"{path}/one", {"metadata": {"uid": "0-0"}})
        assert reply.code == 422
        assert "field is immutable" in reply.body["message"]
        assert target.ask("GET", f"{path}/one").version == made.version

    def test_the_status_is_written_through_its_own_door(self, target: Target, ns: str) -> None:
        path = f"{CHARTS}/namespaces/{ns}/helmcharts"
        made = target.create(path, chart() | {"status": {"jobName": "mine"}}).body
        assert "status" not in made
        change = {"spec": {"version": "9"}, "status": {"jobName": "ours"}}
        changed = target.patch(f"{path}/one/status", change).body
        assert changed["status"] == {"jobName": "ours"}
        assert "version" not in changed["spec"]
        assert changed["metadata"]["generation"] == 1
        changed = target.patch(f"{path}/one", change | {"status": {"jobName": "theirs"}}).body
        assert changed["status"] == {"jobName": "ours"}
        assert changed["spec"]["version"] == "9"
        assert changed["metadata"]["generation"] == 2

    def test_labels_do_not_move_the_generation(self, target: Target, ns: str) -> None:
        path = f"/apis/apps/v1/namespaces/{ns}/deployments"
        target.create(path, deployment())
        changed = target.patch(f"{path}/web", {"metadata": {"labels": {"a": "b"}}}).body
        assert changed["metadata"]["generation"] == 1

    @pytest.mark.usefixtures("controllers")
    def test_a_deployment_says_which_generation_it_has_seen(self, target: Target, ns: str) -> None:
        path = f"/apis/apps/v1/namespaces/{ns}/deployments"
        target.create(path, deployment())
        eventually(
            lambda: target.ask("GET", f"{path}/web").body["status"].get("observedGeneration") == 1
        )
