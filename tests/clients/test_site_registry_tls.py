"""The client of a site's registry over TLS: whom it talks to, and what it says of others."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from clients.site_registry import Challenge, SiteRegistry
from fleet.outcomes import SiteEndpoint
from fleet.pull_errors import SiteCertificateError, SiteRegistryUnreachableError, SiteSchemeError
from fleet.site_certificates import Authorities, read_authorities
from lab.certificates import Authority, context_of

HTTPS = SiteEndpoint(address="10.43.7.7", port=443, scheme="https")
HTTP = SiteEndpoint(address="10.43.7.7", port=443)
Serve = Callable[..., "Server"]


class Server(ThreadingHTTPServer):
    """Answers everything with 200 or, without TLS, as it is told; counts the requests."""

    daemon_threads = True
    status, asked = 200, 0

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread; one that fails is over."""
        try:
            if self.context is not None:
                request = self.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        super().finish_request(request, client_address)
        request.close()

    def handle_error(self, *_: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(context: ssl.SSLContext | None) -> Iterator[Server]:
    with Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", "site CA")


@pytest.fixture
def serve(authority: Authority, tmp_path: Path) -> Iterator[Serve]:
    """Start servers whose certificates name what a test wants."""
    with ExitStack() as stack:

        def start(*names: str, life: timedelta = timedelta(days=90), tls: bool = True) -> Server:
            pair = authority.issue("registry", names=names, life=life)
            context = context_of(tmp_path / "server.pem", *pair) if tls else None
            return stack.enter_context(running(context))

        yield start


def trust(authority: Authority) -> Authorities:
    return read_authorities(authority.pem.decode(), "ca.pem", datetime.now(UTC))


def refusal(server: Server, ca: Authorities | None, endpoint: SiteEndpoint = HTTPS) -> str:
    """Return why the client refuses a server; not one request may reach it."""
    challenge = Challenge(realm=f"{endpoint.url}/token")
    with (
        SiteRegistry(endpoint, server.server_port, ca=ca) as registry,
        pytest.raises(SiteCertificateError) as raised,
    ):
        registry.fetch_token(challenge, "user", SecretStr("canary-6"), "scope")
    assert server.asked == 0
    assert "canary-6" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("address", ["10.43.7.7", "fd00::7"])
def test_a_certificate_for_the_sites_address_is_accepted_behind_a_forwarded_port(
    serve: Serve, authority: Authority, address: str
) -> None:
    server = serve(address, "registry.local")
    endpoint = SiteEndpoint(address=address, port=443, scheme="https")
    with SiteRegistry(endpoint, server.server_port, ca=trust(authority)) as registry:
        assert registry.read_challenge() == Challenge()
        shown = registry.read_certificate()
    assert shown is not None
    assert shown.names == ("DNS:registry.local", f"IP:{address}")
    assert shown.issuer == "CN=site CA"


def test_a_certificate_without_the_address_is_refused_with_the_names_it_has(
    serve: Serve, authority: Authority
) -> None:
    text = refusal(serve("127.0.0.1", "registry.local"), trust(authority))
    assert "does not name 10.43.7.7: its subject alternative names are DNS:registry.local" in text
    assert "issue it again with IP:10.43.7.7 among them" in text


def test_a_certificate_of_another_ca_is_refused_with_both_names(
    serve: Serve, tmp_path: Path
) -> None:
    other = trust(Authority(tmp_path / "other", "other CA"))
    text = refusal(serve("10.43.7.7"), other)
    assert "issued by CN=site CA, but the CA of chart.tls is CN=other CA" in text
    assert "does not name" not in text


def test_a_private_ca_that_nobody_named_is_asked_for(serve: Serve) -> None:
    assert "give its certificate as chart.tls.ca_file" in refusal(serve("10.43.7.7"), None)


def test_an_expired_certificate_is_refused_with_its_day(serve: Serve, authority: Authority) -> None:
    day = timedelta(days=1)
    before = datetime.now(UTC) - day
    text = refusal(serve("10.43.7.7", life=-day), trust(authority))
    days = {before, datetime.now(UTC) - day}  # two, where it is midnight
    assert any(f"it expired on {one:%Y-%m-%d}" in text for one in days)


def test_either_ca_of_a_bundle_vouches_for_the_registry(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    """So a site stays reachable while its CA is being replaced."""
    bundle = Authority(tmp_path / "next", "next CA").pem.decode() + authority.pem.decode()
    ca = read_authorities(bundle, "ca.pem", datetime.now(UTC))
    with SiteRegistry(HTTPS, serve("10.43.7.7").server_port, ca=ca) as registry:
        assert registry.read_challenge() == Challenge()


def test_http_where_https_is_expected_is_said(serve: Serve, authority: Authority) -> None:
    server = serve(tls=False)
    with (
        SiteRegistry(HTTPS, server.server_port, ca=trust(authority)) as registry,
        pytest.raises(SiteSchemeError, match="answers in http, but https was expected: set chart"),
    ):
        registry.read_challenge()


def test_https_where_http_is_expected_is_said(serve: Serve) -> None:
    server = serve("10.43.7.7")
    with (
        SiteRegistry(HTTP, server.server_port) as registry,
        pytest.raises(SiteSchemeError, match="http_enabled: false, or have the chart serve http"),
    ):
        registry.read_challenge()
    assert server.asked == 0


def test_a_400_of_an_http_registry_is_not_taken_for_tls(serve: Serve) -> None:
    server = serve(tls=False)
    server.status = 400
    with SiteRegistry(HTTP, server.server_port) as registry:
        assert registry.read_certificate() is None


def test_an_https_registry_that_is_gone_is_worth_another_try(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        SiteRegistry(HTTPS, port, ca=trust(authority)) as registry,
        pytest.raises(SiteRegistryUnreachableError, match="did not answer GET /v2/"),
    ):
        registry.read_challenge()


def test_a_connection_that_breaks_in_the_handshake_is_worth_another_try(
    authority: Authority,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with suppress(OSError):  # the end: nobody listens any more
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with (
            SiteRegistry(HTTPS, server.getsockname()[1], ca=trust(authority)) as registry,
            pytest.raises(SiteRegistryUnreachableError),
        ):
            registry.read_challenge()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
