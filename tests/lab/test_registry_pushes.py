"""Pushing to a site's registry, as a Docker client does it."""

import hashlib
import json

import pytest

from lab.registry.volume import ClientToken, Settings
from tests.lab.edge_bench import a_bench, a_password

pytestmark = pytest.mark.lab
REPOSITORY = "vessel/logs"
ACTIONS = ("content/read", "content/write", "metadata/read")


@pytest.fixture
def writable(tmp_path):
    with a_bench(tmp_path) as bench:
        bench.parent.settings = Settings(mode="ReadWrite")
        actions = frozenset(f"repositories/{REPOSITORY}/{verb}" for verb in ACTIONS)
        passwords = (a_password("password1", "first"),)
        bench.parent.token = ClientToken("oslo-client", True, actions, passwords)
        bench.start()
        bench.wait_synced()
        yield bench


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def bearer(bench, verbs="pull,push"):
    return bench.token(scope=f"repository:{REPOSITORY}:{verbs}")


def upload(bench, data, token):
    begun = bench.get(f"/v2/{REPOSITORY}/blobs/uploads/", token, "POST")
    assert begun.status_code == 202
    place = begun.headers["location"]
    assert bench.get(place, token, "PATCH", content=data[:3]).headers["range"] == "0-2"
    end = bench.get(f"{place}?digest={digest_of(data)}", token, "PUT", content=data[3:])
    assert (end.status_code, end.headers["docker-content-digest"]) == (201, digest_of(data))


def put_manifest(bench, layers, token, tag="1.0"):
    content = json.dumps({"layers": [{"digest": digest_of(layer)} for layer in layers]}).encode()
    path = f"/v2/{REPOSITORY}/manifests/{tag}"
    return content, bench.get(path, token, "PUT", content=content)


def push(bench):
    token = bearer(bench)
    upload(bench, b"a layer", token)
    content, answer = put_manifest(bench, [b"a layer"], token)
    assert answer.status_code == 201
    return content


def test_an_image_that_is_pushed_is_served_at_once_and_sent_with_the_next_sync(writable):
    hold = writable.faults.add(part="registry", kind="skip", match="sync")
    content = push(writable)
    token = bearer(writable)
    assert writable.get(f"/v2/{REPOSITORY}/manifests/1.0", token).content == content
    assert writable.get(f"/v2/{REPOSITORY}/blobs/{digest_of(b'a layer')}", token).content
    assert REPOSITORY not in writable.parent.repositories
    writable.faults.active.remove(hold)
    writable.wait(lambda: REPOSITORY in writable.parent.repositories)
    writable.wait_synced()
    assert writable.get(f"/v2/{REPOSITORY}/manifests/1.0", token).content == content


def test_a_blob_outlives_the_syncs_until_its_manifest_comes(writable):
    token = bearer(writable)
    upload(writable, b"a layer", token)
    writable.wait_synced()
    assert put_manifest(writable, [b"a layer"], token)[1].status_code == 201


def test_an_upload_in_one_piece_works_too(writable):
    digest = digest_of(b"whole")
    path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}"
    assert writable.get(path, bearer(writable), "POST", content=b"whole").status_code == 201


def test_what_does_not_fit_together_is_refused(writable):
    token = bearer(writable)
    wrong = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(b'other')}"
    answer = writable.get(wrong, token, "POST", content=b"whole")
    assert answer.json()["errors"][0]["code"] == "DIGEST_INVALID"
    answer = put_manifest(writable, [b"never uploaded"], token)[1]
    assert answer.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    path = f"/v2/{REPOSITORY}/manifests/1.0"
    answer = writable.get(path, token, "PUT", content=b"[]")
    assert answer.json()["errors"][0]["code"] == "MANIFEST_INVALID"
    answer = writable.get(f"/v2/{REPOSITORY}/blobs/uploads/none", token, "PATCH", content=b"x")
    assert answer.json()["errors"][0]["code"] == "BLOB_UPLOAD_UNKNOWN"


def test_a_token_that_may_only_pull_cannot_push(writable):
    answer = writable.get(f"/v2/{REPOSITORY}/blobs/uploads/", bearer(writable, "pull"), "POST")
    assert answer.status_code == 401
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_what_the_sync_scope_map_does_not_let_through_is_said_and_lost(writable):
    writable.parent.takes_pushes = False
    push(writable)
    writable.wait(lambda: "Could not send vessel/logs" in " ".join(writable.edge.log))
    writable.wait(lambda: REPOSITORY not in writable.edge.state["repositories"])


def test_deleting_is_refused_by_name(writable):
    answer = writable.get(f"/v2/{REPOSITORY}/manifests/1.0", bearer(writable), "DELETE")
    assert answer.status_code == 501
    assert "does not delete" in answer.text


def test_a_push_is_a_line_in_the_audit_log(writable):
    push(writable)
    assert [line["target"] for line in writable.audit.read() if line["action"] == "push"] == [
        f"{REPOSITORY}:1.0"
    ]
