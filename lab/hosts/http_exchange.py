"""One HTTP/1.1 request over a stream that somebody else connected."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[str, int], Awaitable[Stream]]
_TIMEOUT = 30.0


class ExchangeError(Exception):
    """The request got no answer; the text is what Go's HTTP client says.

    `is_plain`: somebody answered, but not in TLS.
    """

    def __init__(self, text: str, *, is_plain: bool = False) -> None:
        """Keep the words."""
        super().__init__(text)
        self.is_plain = is_plain


@dataclass(frozen=True)
class Answer:
    """A response with its headers in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Network:
    """How a host reaches addresses, and which certificates it trusts.

    Attributes:
        dial: Connects to a host and port.
        ca_file: The authorities of the host's system; None: this machine's.
        authorities: PEM texts of further ones.
        skip_verify: Whether any certificate is good enough.
        dial_timeout: Seconds until a connection must stand.
    """

    dial: Dial
    ca_file: Path | None = None
    authorities: tuple[str, ...] = ()
    skip_verify: bool = False
    dial_timeout: float = _TIMEOUT

    def changed(
        self, authorities: tuple[str, ...], skip_verify: bool, dial_timeout: float | None
    ) -> "Network":
        """Return the network as one endpoint's settings want it; ValueError: no certificates."""
        return replace(
            self,
            authorities=authorities,
            skip_verify=skip_verify,
            dial_timeout=_TIMEOUT if dial_timeout is None else dial_timeout,
        )

    @property
    def trust(self) -> ssl.SSLContext:
        """Return how TLS checks certificates."""
        return _trust(self.ca_file, self.authorities, self.skip_verify)

    async def request(
        self, method: str, url: str, headers: dict[str, str], body: bytes = b""
    ) -> Answer:
        """Send a request and read the whole answer.

        Raises:
            ExchangeError: No connection, no valid certificate, no HTTP, or no end within 30 s.
        """
        what = f'{method.capitalize()} "{url}"'
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._exchange((host, port), method, url, headers, body)
        except TimeoutError:
            raise ExchangeError(f"{what}: dial tcp {host}:{port}: i/o timeout") from None
        except ssl.SSLCertVerificationError as error:
            raise ExchangeError(f"{what}: {_certificate_problem(error)}") from None
        except ssl.SSLError:
            raise ExchangeError(
                f"{what}: http: server gave HTTP response to HTTPS client", is_plain=True
            ) from None
        except (asyncio.IncompleteReadError, ValueError):
            raise ExchangeError(f"{what}: EOF") from None
        except socket.gaierror:
            raise ExchangeError(f"{what}: dial tcp: lookup {host}: no such host") from None
        except OSError as error:
            reason = (error.strerror or "connection refused").lower()
            raise ExchangeError(f"{what}: dial tcp {host}:{port}: connect: {reason}") from None

    async def _exchange(
        self, address: tuple[str, int], method: str, url: str, headers: dict[str, str], body: bytes
    ) -> Answer:
        async with asyncio.timeout(self.dial_timeout):
            reader, writer = await self.dial(*address)
        parts = urlsplit(url)
        try:
            if parts.scheme == "https":
                await writer.start_tls(self.trust, server_hostname=address[0])
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            fields = {"Host": parts.netloc, "Connection": "close", **headers}
            if body:
                fields["Content-Length"] = str(len(body))
            lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
            return await _read_answer(reader, has_body=method != "HEAD")
        finally:
            writer.close()


@cache
def _trust(ca_file: Path | None, authorities: tuple[str, ...], skip_verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    for text in authorities:
        context.load_verify_locations(cadata=text)
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _read_answer(reader: asyncio.StreamReader, *, has_body: bool) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    protocol, status, *reason = head[0].split(" ", 2)
    if not protocol.startswith("HTTP/"):
        raise ValueError("no HTTP")
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await _read_body(reader, headers) if has_body and status != "204" else b""
    return Answer(int(status), reason[0] if reason else "", headers, body)


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def _certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    text = "tls: failed to verify certificate: x509: "
    if "mismatch" in error.verify_message or "not valid for" in error.verify_message:
        return text + "certificate is not valid for this name"
    return text + "certificate signed by unknown authority"
