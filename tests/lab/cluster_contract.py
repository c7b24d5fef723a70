"""What every Kubernetes API does with objects: the emulator's and a real one."""

import base64

import pytest

from tests.lab.cluster_target import CHARTS, Target, chart, eventually, secret


class ObjectContract:
    """Create, read, replace, delete, and what is refused."""

    @pytest.mark.usefixtures("controllers")
    def test_a_new_namespace_gets_a_default_service_account(self, target: Target, ns: str) -> None:
        account = eventually(
            lambda: (
                target.ask("GET", f"/api/v1/namespaces/{ns}/serviceaccounts/default").body["kind"]
                == "ServiceAccount"
            )
        )
        assert account

    def test_a_created_object_gets_an_identity(self, target: Target, ns: str) -> None:
        made = target.core.create_namespaced_secret(ns, secret())
        assert made.metadata.uid
        assert made.metadata.resource_version
        assert made.metadata.creation_timestamp
        assert made.type == "Opaque"
        assert base64.b64decode(made.data["a"]) == b"b"
        assert made.string_data is None
        read = target.core.read_namespaced_secret("one", ns)
        assert read.metadata.uid == made.metadata.uid

    def test_generate_name_makes_names(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/configmaps"
        names = {
            target.create(path, {"metadata": {"generateName": "x-"}}).body["metadata"]["name"]
            for _ in range(3)
        }
        assert len(names) == 3
        assert all(len(name) == 7 and name.startswith("x-") for name in names)

    def test_a_name_that_is_taken_is_refused(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        target.create(path, secret())
        reply = target.create(path, secret())
        assert (reply.code, reply.body["reason"]) == (409, "AlreadyExists")
        assert reply.body["message"] == 'secrets "one" already exists'
        assert reply.body["details"] == {"name": "one", "kind": "secrets"}

    def test_what_makes_no_sense_is_refused_before_what_is_taken(
        self, target: Target, ns: str
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        target.create(path, secret())
        assert target.create(path, secret(type="kubernetes.io/tls")).code == 422

    @pytest.mark.parametrize(
        ("path", "words", "details"),
        [
            ("/api/v1/namespaces/{ns}/secrets/no", 'secrets "no" not found', {"kind": "secrets"}),
            (
                "/apis/apps/v1/namespaces/{ns}/deployments/no",
                'deployments.apps "no" not found',
                {"kind": "deployments", "group": "apps"},
            ),
            (
                CHARTS + "/namespaces/{ns}/helmcharts/no",
                'helmcharts.helm.cattle.io "no" not found',
                {"kind": "helmcharts", "group": "helm.cattle.io"},
            ),
        ],
    )
    def test_a_missing_object_is_named(
        self, target: Target, ns: str, path: str, words: str, details: dict[str, str]
    ) -> None:
        for method in ("GET", "DELETE"):
            reply = target.ask(method, path.format(ns=ns))
            assert (reply.code, reply.body["reason"]) == (404, "NotFound")
            assert reply.body["message"] == words
            assert reply.body["details"] == {"name": "no"} | details

    def test_a_missing_namespace_is_named(self, target: Target) -> None:
        reply = target.create("/api/v1/namespaces/never/secrets", secret())
        assert reply.code == 404
        assert reply.body["message"] == 'namespaces "never" not found'

    def test_nobody_serves_an_unknown_group(self, target: Target) -> None:
        assert target.ask("GET", "/apis/nobody.example/v1/things").code == 404

    @pytest.mark.parametrize(
        ("body", "code", "words"),
        [
            ({"metadata": {"name": "a", "namespace": "other"}}, 400, "namespace"),
            ({"metadata": {}}, 422, "name or generateName is required"),
            ({"metadata": {"name": "Big_Name"}}, 422, "Big_Name"),
            ({"metadata": {"name": "a"}, "kind": "Pod", "apiVersion": "v1"}, 400, "Pod"),
            ({"metadata": {"name": "a", "labels": {"a": 1}}}, 400, "labels"),
            ({"metadata": {"name": "a", "labels": {"a": "-b-"}}}, 422, "metadata.labels"),
            ({"metadata": {"name": "a"}, "data": {"a": "not base64!"}}, 400, "base64"),
            ({"metadata": {"name": "a"}, "stringData": {"a": 1}}, 400, "Secret"),
            ({"metadata": {"name": "a"}, "stringData": {"a b": "c"}}, 422, "data[a b]"),
            (
                {"metadata": {"name": "a"}, "type": "kubernetes.io/dockerconfigjson"},
                422,
                "data[.dockerconfigjson]: Required value",
            ),
            (
                {
                    "metadata": {"name": "a"},
                    "type": "kubernetes.io/dockerconfigjson",
                    "stringData": {".dockerconfigjson": "no json"},
                },
                422,
                "<secret contents redacted>",
            ),
            ({"metadata": {"name": "a"}, "type": "kubernetes.io/tls"}, 422, "data[tls.crt]"),
            (
                {"metadata": {"name": "a"}, "stringData": {"a": "x" * 1024 * 1025}},
                422,
                "data: Too long: must have at most 1048576",
            ),
        ],
    )
    def test_a_secret_that_makes_no_sense_is_refused(
        self, target: Target, ns: str, body: dict[str, object], code: int, words: str
    ) -> None:
        reply = target.create(f"/api/v1/namespaces/{ns}/secrets", body)
        assert reply.code == code
        assert words in reply.body["message"]
        assert reply.body["reason"] == {400: "BadRequest", 422: "Invalid"}[code]
        if code == 422:
            assert reply.body["details"]["causes"][0]["field"]
            assert reply.body["message"].startswith('Secret "')

    def test_a_stale_change_is_a_conflict(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        first = target.create(path, secret()).body
        second = target.ask("PUT", f"{path}/one", first | {"stringData": {"a": "c"}})
        assert second.code == 200
        assert second.version != first["metadata"]["resourceVersion"]
        stale = target.ask("PUT", f"{path}/one", first | {"stringData": {"a": "d"}})
        assert (stale.code, stale.body["reason"]) == (409, "Conflict")
        assert "the object has been modified" in stale.body["message"]
        patched = target.patch(
            f"{path}/one", {"metadata": {"resourceVersion": "1"}, "data": {"a": "ZQ=="}}
        )
        assert patched.code == 409

    def test_a_change_for_another_uid_is_a_conflict(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        target.create(path, secret())
        body = secret() | {"metadata": {"name": "one", "uid": "0-0"}}
        assert target.ask("PUT", f"{path}/one", body).code == 409

    def test_a_secret_may_be_replaced_unseen_but_a_custom_object_may_not(
        self, target: Target, ns: str
    ) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        target.create(path, secret())
        assert target.ask("PUT", f"{path}/one", secret()).code == 200
        charts = f"{CHARTS}/namespaces/{ns}/helmcharts"
        target.create(charts, chart())
        reply = target.ask("PUT", f"{charts}/one", chart())
        assert reply.code == 422
        assert "metadata.resourceVersion" in reply.body["message"]

    def test_a_change_that_changes_nothing_keeps_the_version(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        first = target.create(path, secret())
        assert target.ask("PUT", f"{path}/one", first.body).version == first.version
        same = {"metadata": {"labels": None}, "data": {"a": first.body["data"]["a"]}}
        assert target.patch(f"{path}/one", same).version == first.version

    def test_replacing_what_is_not_there_is_not_creating(self, target: Target, ns: str) -> None:
        assert target.ask("PUT", f"/api/v1/namespaces/{ns}/secrets/one", secret()).code == 404

    def test_the_type_of_a_secret_stays(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        target.create(path, secret())
        reply = target.patch(f"{path}/one", {"type": "example.com/other"})
        assert reply.code == 422
        assert "type: Invalid value" in reply.body["message"]
        assert "field is immutable" in reply.body["message"]

    def test_an_immutable_secret_stays(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        target.create(path, secret(immutable=True))
        assert target.patch(f"{path}/one", {"data": {"a": "ZQ=="}}).code == 422
        assert target.patch(f"{path}/one", {"metadata": {"labels": {"a": "b"}}}).code == 200

    def test_deleting_answers_with_a_status_or_with_the_object(
        self, target: Target, ns: str
    ) -> None:
        made = target.core.create_namespaced_secret(ns, secret())
        gone = target.core.delete_namespaced_secret("one", ns)
        assert (gone["kind"], gone["status"]) == ("Status", "Success")
        assert gone["details"] == {"name": "one", "kind": "secrets", "uid": made.metadata.uid}
        target.core.create_namespaced_service_account(ns, {"metadata": {"name": "one"}})
        assert target.core.delete_namespaced_service_account("one", ns).kind == "ServiceAccount"
        charts = f"{CHARTS}/namespaces/{ns}/helmcharts"
        target.create(charts, chart())
        assert target.ask("DELETE", f"{charts}/one").body["status"] == "Success"

    def test_a_precondition_guards_a_delete(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        uid = target.create(path, secret()).body["metadata"]["uid"]
        wrong = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "0-0"}}
        reply = target.ask("DELETE", f"{path}/one", wrong)
        assert reply.code == 409
        assert (
            "the UID in the precondition (0-0) does not match the UID in record"
            in reply.body["message"]
        )
        right = wrong | {"preconditions": {"uid": uid}}
        assert target.ask("DELETE", f"{path}/one", right).code == 200

    def test_a_dry_run_leaves_nothing_behind(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        tried = target.ask("POST", path, secret(), dryRun="All")
        assert tried.code == 201
        assert tried.body["metadata"]["uid"]
        assert target.ask("GET", f"{path}/one").code == 404
        made = target.create(path, secret())
        tried = target.patch(f"{path}/one", {"data": {"a": "ZQ=="}}, dryRun="All")
        assert tried.body["data"] == {"a": "ZQ=="}
        target.ask("DELETE", f"{path}/one", dryRun="All")
        assert target.ask("GET", f"{path}/one").version == made.version

    def test_deleting_a_collection_deletes_what_is_selected(self, target: Target, ns: str) -> None:
        path = f"/api/v1/namespaces/{ns}/secrets"
        for name, label in (("one", "x"), ("two", "y")):
            target.create(path, secret() | {"metadata": {"name": name, "labels": {"l": label}}})
        assert target.ask("DELETE", path, labelSelector="l=x").code == 200
        assert target.ask("GET", f"{path}/one").code == 404
        assert target.ask("GET", f"{path}/two").code == 200
