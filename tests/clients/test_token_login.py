"""Whether a registry in the cloud lets a token in: what it answers, and where the password goes."""

import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from clients.azure_clouds import CloudEndpoints
from clients.azure_transport import BoundedTransport, Patience
from clients.token_login import is_let_in
from fleet.azure_errors import AzureBusyError, AzureRefusedError
from lab.certificates import Authority
from tests.azure_lab_fixture import AzureThread, azure_thread
from tests.flows.nested import wait_until

PASSWORD = SecretStr("canary-password")
QUICK = Patience(connect=2, read=2)
Headers = dict[str, str]


class Registry(ThreadingHTTPServer):
    """Gives the same answers for its two paths to everybody, and remembers who asked."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.name = f"127.0.0.1:{self.server_port}"
        self.challenge: tuple[int, Headers] = (401, _bearer(f"https://{self.name}/oauth2/token"))
        self.token: tuple[int, Headers] = (200, {})
        self.asked: list[tuple[str, str | None]] = []

    def handle_error(self, *_: object) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        is_challenge = self.path == "/v2/"
        status, headers = self.server.challenge if is_challenge else self.server.token
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _bearer(realm: str, service: str = "the service") -> Headers:
    return {"WWW-Authenticate": f'Bearer realm="{realm}",service="{service}"'}


@contextmanager
def _serving(servers: Sequence[Registry]) -> Iterator[None]:
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def registries(authority: Authority) -> Iterator[tuple[Registry, Registry]]:
    context = authority.server_context(["127.0.0.1"])
    pair = (Registry(context), Registry(context))
    with _serving(pair):
        yield pair


@pytest.fixture
def transport(authority: Authority) -> Iterator[BoundedTransport]:
    endpoints = CloudEndpoints(None, "", "", "", ca_file=str(authority.ca_file))
    with BoundedTransport(endpoints, QUICK) as transport:
        yield transport


def _asked(transport: BoundedTransport, registry: Registry) -> bool:
    return is_let_in(transport, registry.name, "oslo-client", PASSWORD, "vessel/navigation")


@pytest.mark.parametrize(("status", "wanted"), [(200, True), (401, False), (403, False)])
def test_the_token_endpoint_decides(
    registries: tuple[Registry, Registry], transport: BoundedTransport, status: int, wanted: bool
) -> None:
    registry, _ = registries
    registry.token = (status, {})
    assert _asked(transport, registry) is wanted
    (first, nothing), (second, login) = registry.asked
    assert (first, nothing) == ("/v2/", None), "the password goes nowhere before the challenge"
    assert login is not None
    assert b64decode(login.removeprefix("Basic ")).decode() == "oslo-client:canary-password"
    assert parse_qs(urlsplit(second).query) == {
        "service": ["the service"],
        "scope": ["repository:vessel/navigation:pull"],
    }
    assert "canary" not in second


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize("where", ["challenge", "token"])
def test_a_busy_registry_is_tried_again_later(
    registries: tuple[Registry, Registry], transport: BoundedTransport, where: str, status: int
) -> None:
    registry, _ = registries
    setattr(registry, where, (status, {"Retry-After": "3600"}))
    with pytest.raises(AzureBusyError, match=f"answered {status}"):
        _asked(transport, registry)


STRANGE: dict[str, tuple[int, Headers]] = {
    "nobody asks for a login": (200, {}),
    "a challenge without a realm": (401, {"WWW-Authenticate": "Basic"}),
    "none at all": (401, {}),
    "a realm without TLS": (401, _bearer("http://HERE/oauth2/token")),
    "a realm at another host": (401, _bearer("https://THERE/oauth2/token")),
    "a realm that only begins like the host": (401, _bearer("https://HERE.evil.example/token")),
    "a realm with the host as a user": (401, _bearer("https://HERE@THERE/oauth2/token")),
    "a way to another host": (307, {"Location": "https://THERE/v2/"}),
}


@pytest.mark.parametrize("challenge", STRANGE.values(), ids=STRANGE.keys())
def test_what_is_no_registry_never_sees_the_password(
    registries: tuple[Registry, Registry],
    transport: BoundedTransport,
    challenge: tuple[int, Headers],
) -> None:
    registry, other = registries
    status, headers = challenge
    places = {"HERE": registry.name, "THERE": other.name}
    for word, name in places.items():
        headers = {key: value.replace(word, name) for key, value in headers.items()}
    registry.challenge = (status, headers)
    with pytest.raises(AzureRefusedError, match=registry.name) as caught:
        _asked(transport, registry)
    assert "canary" not in str(caught.value)
    assert registry.asked == [("/v2/", None)]
    assert other.asked == []


def test_a_token_endpoint_that_sends_people_elsewhere_is_not_followed(
    registries: tuple[Registry, Registry], transport: BoundedTransport
) -> None:
    registry, other = registries
    registry.token = (307, {"Location": f"https://{other.name}/oauth2/token"})
    with pytest.raises(AzureRefusedError, match="token endpoint answered 307"):
        _asked(transport, registry)
    assert other.asked == []


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[AzureThread]:
    with azure_thread(tmp_path, minute=0.2) as azure:
        yield azure


@pytest.mark.lab
def test_a_renewed_password_counts_a_moment_later_and_a_removed_one_never_again(
    azure: AzureThread,
) -> None:
    session = azure.session(azure.add_registry())
    access, catalog = session.access, session.catalog
    access.create_scope_map("oslo-map", frozenset({"repositories/vessel/web/content/read"}), "")
    access.create_token("oslo-client", "oslo-map")
    slow = {"kind": "slow-propagation", "seconds": 600, "times": 1}
    azure.faults.add(part="azure", match="POST *generateCredentials", **slow)
    early = access.renew_password("oslo-client", "password1", None).value
    late = access.renew_password("oslo-client", "password2", None).value
    assert not catalog.lets_in("oslo-client", early, "vessel/web"), "Azure has it, nobody takes it"
    wait_until(lambda: catalog.lets_in("oslo-client", late, "vessel/web"))
    assert not catalog.lets_in("nobody", late, "vessel/web")
    access.keep_passwords("oslo-client", ("password1",))
    assert not catalog.lets_in("oslo-client", late, "vessel/web")
