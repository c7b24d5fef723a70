"""The client of a site's registry, against a server that says what a test wants."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from clients.site_registry import Challenge, SiteRegistry
from fleet.outcomes import SiteEndpoint
from fleet.pull_errors import SiteRegistrySilentError, SiteRegistryUnreachableError

ENDPOINT = SiteEndpoint(address="10.43.7.7", port=80)
MANIFEST = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
REALM = 'Bearer realm="http://10.43.7.7/acr/oauth2/token",service="10.43.7.7"'


class PaperRegistry(ThreadingHTTPServer):
    """Answers each path as the test wrote it and keeps the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {
            "/v2/": (401, {"WWW-Authenticate": REALM}, b""),
            "/acr/oauth2/token": (200, {}, b'{"access_token": "a.b.c"}'),
            "/v2/vessel/nav/manifests/1.0": (200, {"Docker-Content-Digest": DIGEST}, MANIFEST),
        }
        self.asked: list[tuple[str, str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: PaperRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.server.asked.append((self.command, self.path, dict(self.headers)))
        status, headers, body = self.server.answers.get(url.path, (404, {}, b"{}"))
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[PaperRegistry]:
    with PaperRegistry() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def registry(server: PaperRegistry) -> Iterator[SiteRegistry]:
    with SiteRegistry(ENDPOINT, server.server_port) as registry:
        yield registry


def test_the_registry_is_addressed_by_its_own_name(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    challenge = registry.read_challenge()
    assert challenge == Challenge(realm="http://10.43.7.7/acr/oauth2/token", service="10.43.7.7")
    assert server.asked[0][2]["Host"] == "10.43.7.7:80"


def test_an_open_registry_needs_no_token(registry: SiteRegistry, server: PaperRegistry) -> None:
    server.answers["/v2/"] = (200, {}, b"{}")
    challenge = registry.read_challenge()
    assert challenge == Challenge()
    assert registry.fetch_token(challenge, "u", SecretStr("p"), "repository:a:pull") is not None


def test_the_token_is_asked_for_with_basic_credentials_at_the_forwarded_port(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    challenge = registry.read_challenge()
    token = registry.fetch_token(
        challenge, "oslo-client", SecretStr("p=+/"), "repository:vessel/nav:pull"
    )
    assert token == SecretStr("a.b.c")
    _, path, headers = server.asked[-1]
    assert parse_qs(urlsplit(path).query) == {
        "service": ["10.43.7.7"],
        "scope": ["repository:vessel/nav:pull"],
    }
    assert base64.b64decode(headers["Authorization"].split()[1]).decode() == "oslo-client:p=+/"


def test_a_refused_password_is_none_and_not_an_error(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    server.answers["/acr/oauth2/token"] = (401, {}, b"{}")
    challenge = registry.read_challenge()
    assert registry.fetch_token(challenge, "u", SecretStr("p"), "repository:a:pull") is None


def test_the_digest_is_computed_from_what_is_served(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    assert registry.find_digest("vessel/nav", "1.0", SecretStr("a.b.c")) == DIGEST
    head, get = server.asked
    assert (head[0], get[0]) == ("HEAD", "GET")
    assert "application/vnd.oci.image.index.v1+json" in head[2]["Accept"]
    assert get[2]["Authorization"] == "Bearer a.b.c"


def test_a_digest_that_does_not_fit_the_content_is_an_error(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    headers = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    server.answers["/v2/vessel/nav/manifests/1.0"] = (200, headers, MANIFEST)
    with pytest.raises(SiteRegistrySilentError, match="but its content is sha256:"):
        registry.find_digest("vessel/nav", "1.0", SecretStr("x"))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_image_that_is_not_there_has_no_digest(
    registry: SiteRegistry, server: PaperRegistry, status: int
) -> None:
    server.answers["/v2/vessel/nav/manifests/1.0"] = (status, {}, b"{}")
    assert registry.find_digest("vessel/nav", "1.0", SecretStr("x")) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {"WWW-Authenticate": 'Basic realm="x"'}, b""), "expected a Bearer challenge"),
        ((401, {"WWW-Authenticate": 'Bearer service="x"'}, b""), "has no realm"),
        (
            (401, {"WWW-Authenticate": 'Bearer realm="https://evil.example/token"'}, b""),
            "sends clients to evil.example for a token, expected 10.43.7.7:80",
        ),
        ((301, {"Location": "/login"}, b""), "/v2/ answered 301"),
    ],
)
def test_what_no_registry_says_is_an_error_of_its_own(
    registry: SiteRegistry,
    server: PaperRegistry,
    answer: tuple[int, dict[str, str], bytes],
    words: str,
) -> None:
    server.answers["/v2/"] = answer
    with pytest.raises(SiteRegistrySilentError, match=words):
        registry.read_challenge()


@pytest.mark.parametrize("body", [b"[]", b"<html>", b"{}"])
def test_a_token_endpoint_without_a_token_is_an_error(
    registry: SiteRegistry, server: PaperRegistry, body: bytes
) -> None:
    server.answers["/acr/oauth2/token"] = (200, {}, body)
    with pytest.raises(SiteRegistrySilentError, match="without a token"):
        registry.fetch_token(registry.read_challenge(), "u", SecretStr("p"), "s")


def test_an_overloaded_registry_is_worth_another_try(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    server.answers["/v2/"] = (503, {}, b"")
    with pytest.raises(SiteRegistryUnreachableError, match="answered 503"):
        registry.read_challenge()


def test_a_registry_that_is_gone_is_worth_another_try(server: PaperRegistry) -> None:
    port = server.server_port
    server.server_close()
    with (
        SiteRegistry(ENDPOINT, port) as registry,
        pytest.raises(SiteRegistryUnreachableError, match=r"10\.43\.7\.7:80 did not answer"),
    ):
        registry.read_challenge()


def test_the_password_is_in_no_error(registry: SiteRegistry, server: PaperRegistry) -> None:
    server.answers["/acr/oauth2/token"] = (500, {}, b"boom")
    challenge = registry.read_challenge()
    with pytest.raises(SiteRegistrySilentError) as raised:
        registry.fetch_token(challenge, "u", SecretStr("canary-4"), "s")
    assert "canary-4" not in f"{raised.value!r}{raised.value.__context__!r}"


TAGS = "/v2/vessel/nav/tags/list"


def test_tags_are_listed_page_by_page(registry: SiteRegistry, server: PaperRegistry) -> None:
    link = {"Link": '</v2/more?last=1.1>; rel="next"'}
    server.answers[TAGS] = (200, link, b'{"name": "vessel/nav", "tags": ["1.0", "1.1"]}')
    server.answers["/v2/more"] = (200, {}, b'{"name": "vessel/nav", "tags": ["1.2"]}')
    assert registry.list_tags("vessel/nav", SecretStr("a.b.c")) == ("1.0", "1.1", "1.2")
    assert server.asked[-1][2]["Authorization"] == "Bearer a.b.c"


def test_a_page_on_another_host_is_asked_for_here(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    link = {"Link": '<http://evil.example/v2/more?last=1.0>; rel="next"'}
    server.answers[TAGS] = (200, link, b'{"tags": ["1.0"]}')
    server.answers["/v2/more"] = (200, {}, b'{"tags": ["1.1"]}')
    assert registry.list_tags("vessel/nav", SecretStr("a.b.c")) == ("1.0", "1.1")


def test_pages_of_tags_without_end_are_no_registry(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    server.answers[TAGS] = (200, {"Link": f'<{TAGS}>; rel="next"'}, b'{"tags": ["1.0"]}')
    with pytest.raises(SiteRegistrySilentError, match="goes on after 100 pages"):
        registry.list_tags("vessel/nav", SecretStr("a.b.c"))


@pytest.mark.parametrize(
    ("answer", "tags"),
    [
        ((200, {}, b'{"name": "vessel/nav", "tags": null}'), ()),
        ((404, {}, b"{}"), ()),
        ((401, {}, b"{}"), None),
        ((403, {}, b"{}"), None),
    ],
)
def test_no_tags_and_no_right_to_list_them_are_two_things(
    registry: SiteRegistry,
    server: PaperRegistry,
    answer: tuple[int, dict[str, str], bytes],
    tags: tuple[str, ...] | None,
) -> None:
    server.answers[TAGS] = answer
    assert registry.list_tags("vessel/nav", SecretStr("a.b.c")) == tags


def test_a_list_of_tags_that_breaks_is_no_empty_list(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    server.answers[TAGS] = (500, {}, b"")
    with pytest.raises(SiteRegistrySilentError, match="answered 500"):
        registry.list_tags("vessel/nav", SecretStr("a.b.c"))


def test_an_unchecked_digest_costs_one_request_as_long_as_the_registry_names_it(
    registry: SiteRegistry, server: PaperRegistry
) -> None:
    path, token = "/v2/vessel/nav/manifests/1.0", SecretStr("a.b.c")
    assert registry.find_digest("vessel/nav", "1.0", token, checked=False) == DIGEST
    assert [method for method, _, _ in server.asked] == ["HEAD"]
    server.answers[path] = (200, {}, MANIFEST)
    assert registry.find_digest("vessel/nav", "1.0", token, checked=False) == DIGEST
    assert [method for method, _, _ in server.asked] == ["HEAD", "HEAD", "GET"]
