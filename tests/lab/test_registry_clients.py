"""The edge registry as a Docker client on the site's nodes sees it."""

import hashlib
import ssl
from datetime import timedelta

import httpx
import pytest
from cryptography import x509

from lab.certificates import Authority
from tests.lab.edge_bench import a_bench, a_password, a_repository, a_token

pytestmark = pytest.mark.lab


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as one:
        yield one


@pytest.fixture
def synced(bench):
    bench.start()
    bench.wait_synced()
    return bench


def test_nothing_listens_before_the_pod_runs_and_after_it_stopped(bench):
    with pytest.raises(httpx.ConnectError):
        bench.get("/v2/")
    bench.start()
    assert bench.get("/v2/").status_code == 401
    bench.stop()
    with pytest.raises(httpx.ConnectError):
        bench.get("/v2/")


def test_a_docker_client_follows_the_challenge_to_a_pull(synced):
    challenge = synced.get("/v2/").headers["www-authenticate"]
    host = f"127.0.0.1:{synced.edge.port}"
    assert challenge == f'Bearer realm="http://{host}/acr/oauth2/token",service="{host}"'
    token = synced.token()
    head = synced.get("/v2/vessel/nav/manifests/1.0", token, "HEAD")
    digest = head.headers["docker-content-digest"]
    assert (head.status_code, head.content) == (200, b"")
    manifest = synced.get(f"/v2/vessel/nav/manifests/{digest}", token)
    assert f"sha256:{hashlib.sha256(manifest.content).hexdigest()}" == digest
    layer = manifest.json()["layers"][0]["digest"]
    assert synced.get(f"/v2/vessel/nav/blobs/{layer}", token).content == b"1.0"
    assert synced.get("/v2/vessel/nav/tags/list", token).json()["tags"] == ["1.0"]


def test_the_challenge_names_the_scope_that_is_needed(synced):
    answer = synced.get("/v2/vessel/nav/manifests/1.0")
    assert answer.status_code == 401
    assert 'scope="repository:vessel/nav:pull"' in answer.headers["www-authenticate"]


def test_the_catalog_shows_what_is_synced_and_readable_only(synced):
    token = synced.token(scope="registry:catalog:*")
    assert synced.get("/v2/_catalog", token).json() == {"repositories": ["vessel/nav"]}


def test_lists_come_in_pages_with_a_link_to_the_next(synced):
    synced.parent.repositories["vessel/nav"] = a_repository("1", "2", "3")
    synced.wait(
        lambda: len(synced.get("/v2/vessel/nav/tags/list", synced.token()).json()["tags"]) == 3
    )
    page = synced.get("/v2/vessel/nav/tags/list?n=2", synced.token())
    assert page.json()["tags"] == ["1", "2"]
    rest = synced.get(page.links["next"]["url"], synced.token())
    assert rest.json()["tags"] == ["3"]
    assert "link" not in rest.headers


def test_bad_credentials_and_scopes_outside_the_map_are_401(synced):
    assert synced.login("wrong").status_code == 401
    refused = synced.login("first", "repository:vessel/crew:pull")
    assert refused.status_code == 401
    assert "Insufficient scopes" in refused.text
    token = synced.token()
    assert synced.get("/v2/vessel/crew/tags/list", token).status_code == 401
    assert synced.get("/v2/vessel/nav/tags/list", token[:-3]).status_code == 401


def test_what_is_allowed_but_not_synced_is_404(synced):
    synced.parent.token = a_token(
        a_password("password1", "first"), repositories=("vessel/nav", "vessel/later")
    )
    synced.wait(lambda: synced.login("first", "repository:vessel/later:pull").status_code == 200)
    token = synced.token(scope="repository:vessel/later:pull")
    assert synced.get("/v2/vessel/later/manifests/1.0", token).status_code == 404
    missing = synced.get("/v2/vessel/nav/manifests/9.9", synced.token())
    assert missing.json()["errors"][0]["message"] == "manifest unknown"


def test_a_push_to_a_read_only_registry_is_refused_in_its_words(synced):
    token = synced.token(scope="repository:vessel/nav:pull,push")
    answer = synced.get("/v2/vessel/nav/blobs/uploads/", token, "POST")
    assert answer.status_code == 405
    assert (
        answer.json()["errors"][0]["message"] == "This operation is not allowed on this registry."
    )


def test_an_expired_password_and_an_expired_bearer_are_refused(synced):
    end = synced.clock.now() + timedelta(days=30)
    synced.parent.token = a_token(
        a_password("password1", "first", end), a_password("password2", "second")
    )
    synced.wait_synced()
    token = synced.token()
    synced.clock.jump(timedelta(days=31))
    assert synced.login("first").status_code == 401
    assert synced.login("second").status_code == 200
    assert synced.get("/v2/", token).status_code == 401


def test_requests_go_wrong_as_ordered(synced):
    synced.faults.add(
        part="registry", kind="status", match="GET /v2/", status=429, retry_after=2, times=1
    )
    answer = synced.get("/v2/")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert synced.get("/v2/").status_code == 401
    synced.faults.add(part="registry", kind="drop", match="GET /acr/*", times=1)
    with pytest.raises(httpx.TransportError):
        synced.login("first")
    synced.faults.add(part="registry", kind="hang", match="GET /v2/", times=1)
    with pytest.raises(httpx.ReadTimeout):
        synced.get("/v2/", timeout=0.2)


def test_https_comes_with_a_certificate_for_the_service_address(bench, tmp_path):
    bench.start(http=False)
    answer = httpx.get(
        f"https://127.0.0.1:{bench.edge.port}/v2/",
        headers={"Host": "10.43.200.10"},
        verify=ssl.create_default_context(cafile=tmp_path / "ca" / "ca.pem"),
    )
    assert answer.headers["www-authenticate"].startswith('Bearer realm="https://10.43.200.10/acr')


def test_https_shows_the_certificate_of_the_secret(bench, tmp_path):
    owner = Authority(tmp_path / "owner", "somebody's CA")
    bench.start(http=False, certificate=owner.issue("registry", names=["10.43.200.10"]))
    pem = ssl.get_server_certificate(("127.0.0.1", bench.edge.port), timeout=5)
    shown = x509.load_pem_x509_certificate(pem.encode())
    assert shown.issuer.rfc4514_string() == "CN=somebody's CA"


def test_a_certificate_without_its_key_is_the_pods_last_word(bench, tmp_path):
    certificate, _ = Authority(tmp_path / "owner").issue("registry")
    with pytest.raises(ssl.SSLError):
        bench.start(http=False, certificate=(certificate, b""))
    assert not bench.edge.is_serving


def test_a_page_is_answered_where_a_fault_orders_one(synced):
    synced.faults.add(part="registry", kind="page", match="GET /images/*")
    page = synced.get("/images/v2/vessel/nav/manifests/1.0")
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert synced.get("/v2/").status_code == 401
