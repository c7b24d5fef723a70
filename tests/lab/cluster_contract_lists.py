"""What every Kubernetes API does with lists and watches: the emulator's and a real one."""

from typing import Any

import pytest
from kubernetes import watch

from tests.lab.cluster_target import CHARTS, Target, chart, secret


def make_three(target: Target, ns: str) -> None:
    for name, labels in (("one", {"l": "x"}), ("two", {"l": "y"}), ("three", {})):
        body = {"metadata": {"name": name, "labels": labels | {"own": "1"}}}
        target.create(f"/api/v1/namespaces/{ns}/configmaps", body)


def names(body: dict[str, Any]) -> list[str]:
    found = [item["metadata"]["name"] for item in body["items"]]
    return [name for name in found if name != "kube-root-ca.crt"]


class ListContract:
    """Selectors, pages, watches."""

    @pytest.mark.parametrize(
        ("selector", "found"),
        [
            ("l=x", ["one"]),
            ("l==x", ["one"]),
            ("l!=x,own", ["three", "two"]),
            ("l in (x,y)", ["one", "two"]),
            ("l notin (x),own=1", ["three", "two"]),
            ("l", ["one", "two"]),
            ("!l,own", ["three"]),
            ("l=z", []),
        ],
    )
    def test_labels_select(self, target: Target, ns: str, selector: str, found: list[str]) -> None:
        make_three(target, ns)
        path = f"/api/v1/namespaces/{ns}/configmaps"
        assert names(target.ask("GET", path, labelSelector=selector).body) == found

    def test_fields_select(self, target: Target, ns: str) -> None:
        make_three(target, ns)
        path = f"/api/v1/namespaces/{ns}/configmaps"
        assert names(target.ask("GET", path, fieldSelector="metadata.name=two").body) == ["two"]
        target.create(f"/api/v1/namespaces/{ns}/secrets", secret(type="example.com/x"))
        path = f"/api/v1/namespaces/{ns}/secrets"
        assert names(target.ask("GET", path, fieldSelector="type=example.com/x").body) == ["one"]

    @pytest.mark.parametrize(
        "query",
        [{"labelSelector": "a=b=c"}, {"labelSelector": "((("}, {"fieldSelector": "data.x=1"}],
    )
    def test_a_selector_that_cannot_be_read_is_refused(
        self, target: Target, ns: str, query: dict[str, str]
    ) -> None:
        reply = target.ask("GET", f"/api/v1/namespaces/{ns}/configmaps", **query)
        assert (reply.code, reply.body["reason"]) == (400, "BadRequest")

    def test_lists_come_in_pages(self, target: Target, ns: str) -> None:
        make_three(target, ns)
        path = f"/api/v1/namespaces/{ns}/configmaps"
        everything = names(target.ask("GET", path).body)
        found: list[str] = []
        token = ""
        for _ in range(9):
            more = {"continue": token} if token else {}
            body = target.ask("GET", path, limit="1", **more).body
            found += names(body)
            token = body["metadata"].get("continue", "")
            if not token:
                break
        assert found == everything == ["one", "three", "two"]

    def test_items_of_built_in_lists_do_not_repeat_their_kind(
        self, target: Target, ns: str
    ) -> None:
        make_three(target, ns)
        body = target.ask("GET", f"/api/v1/namespaces/{ns}/configmaps").body
        assert body["kind"] == "ConfigMapList"
        assert all("kind" not in item for item in body["items"])
        target.create(f"{CHARTS}/namespaces/{ns}/helmcharts", chart())
        body = target.ask("GET", f"{CHARTS}/namespaces/{ns}/helmcharts").body
        assert body["kind"] == "HelmChartList"
        assert [item["kind"] for item in body["items"]] == ["HelmChart"]

    def test_all_namespaces_are_listed_together(self, target: Target, ns: str) -> None:
        make_three(target, ns)
        body = target.ask("GET", "/api/v1/configmaps", labelSelector="own=1").body
        assert ns in {item["metadata"]["namespace"] for item in body["items"]}

    def test_an_empty_list_is_a_list(self, target: Target, ns: str) -> None:
        body = target.ask("GET", f"/apis/batch/v1/namespaces/{ns}/jobs").body
        assert (body["kind"], body["items"]) == ("JobList", [])

    def test_a_watch_tells_what_happens_after_a_list(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        since = target.ask("GET", path).body["metadata"]["resourceVersion"]
        make_three(target, ns)
        target.patch(f"{path}/one", {"data": {"a": "b"}})
        target.ask("DELETE", f"{path}/one")
        seen = [
            (event["type"], event["object"].metadata.name)
            for event in watch.Watch().stream(
                target.core.list_namespaced_config_map,
                ns,
                resource_version=since,
                field_selector="metadata.name=one",
                timeout_seconds=1,
            )
        ]
        assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]

    def test_a_watch_without_a_version_starts_with_what_is_there(
        self, target: Target, ns: str
    ) -> None:
        make_three(target, ns)
        seen = {
            event["object"].metadata.name
            for event in watch.Watch().stream(
                target.core.list_namespaced_config_map,
                ns,
                label_selector="own",
                timeout_seconds=1,
            )
            if event["type"] == "ADDED"
        }
        assert seen == {"one", "two", "three"}

    def test_an_object_that_leaves_the_selection_is_deleted_for_the_watcher(
        self, target: Target, ns: str
    ) -> None:
        make_three(target, ns)
        path = f"/api/v1/namespaces/{ns}/configmaps"
        since = target.ask("GET", path).body["metadata"]["resourceVersion"]
        target.patch(f"{path}/one", {"metadata": {"labels": {"l": "y"}}})
        target.patch(f"{path}/one", {"metadata": {"labels": {"l": "x"}}})
        seen = [
            event["type"]
            for event in watch.Watch().stream(
                target.core.list_namespaced_config_map,
                ns,
                resource_version=since,
                label_selector="l=x",
                timeout_seconds=1,
            )
        ]
        assert seen == ["DELETED", "ADDED"]
