"""A real OCI registry (distribution) with token authentication, as a site's connected registry.

`docker-registry` serves /v2/. In front of it, on the Service's address, stands a small proxy that
serves the token endpoint on the same host and port, as a connected registry does.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from lab.registry.access import grant, parse_scopes

REALM = "/acr/oauth2/token"
ISSUER = "acrfleet-acceptance"
_SKIPPED = {"connection", "keep-alive", "transfer-encoding", "host"}
_VERBS = {"pull", "push", "delete"}

Login = Callable[[str, str], frozenset[str] | None]


class Distribution:
    """One registry on one address. `log` holds a line per request: method, path, status.

    Args:
        folder: Its data, configuration and log.
        login: Returns what a user with a password may do, as scope-map actions, or None.
    """

    def __init__(self, folder: Path, login: Login) -> None:
        self.folder, self._login = folder, login
        self.log: list[str] = []
        self._key = _SigningKey(folder)
        self._process: asyncio.subprocess.Process | None = None
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._agent_password = secrets.token_urlsafe(16)
        self._host, self._behind = "", 0

    @property
    def is_running(self) -> bool:
        """Return whether it serves."""
        return self._runner is not None

    async def start(self, address: str, port: int, context: ssl.SSLContext | None = None) -> None:
        """Serve on an address; with a TLS context by https."""
        usual = 443 if context else 80
        self._host = address if port == usual else f"{address}:{port}"
        self._behind = _free_port()
        scheme = "https" if context else "http"
        await self._start_registry(f"{scheme}://{self._host}{REALM}")
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**30)
        app.router.add_get(REALM, self._issue)
        app.router.add_post(REALM, _no_post)
        app.router.add_route("*", "/v2/{rest:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, address, port, ssl_context=context).start()

    async def stop(self) -> None:
        """End it; the data stays. Two may do so at once: the pod and the end of the test."""
        runner, self._runner = self._runner, None
        process, self._process = self._process, None
        if runner is not None:
            await runner.cleanup()
        if self._session is not None:
            await self._session.close()
        if process is not None:
            process.kill()
            await process.wait()

    async def copy_from(self, source: str, login: str, ca_folder: Path, name: str) -> None:
        """Copy `repository:tag` from another registry with skopeo; raises RuntimeError.

        Args:
            source: The other registry's host and port.
            login: `user:password` there.
            ca_folder: Folder with the CA that vouches for it.
            name: `repository:tag`.
        """
        logins = self.folder / "auth.json"
        logins.touch(mode=0o600)
        mine = f"agent:{self._agent_password}"
        entries = {source: {"auth": _base64(login)}, f"127.0.0.1:{self._behind}": {}}
        entries[self._host] = {"auth": _base64(mine)}
        logins.write_text(json.dumps({"auths": entries}))
        command = [
            "skopeo",
            "copy",
            "--quiet",
            "--authfile",
            str(logins),
            "--dest-tls-verify=false",
        ]
        command += ["--src-cert-dir", str(ca_folder), "--retry-times", "0"]
        command += [f"docker://{source}/{name}", f"docker://{self._host}/{name}"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, words = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{name}: {words.decode(errors='replace').strip()[-500:]}")

    async def _start_registry(self, realm: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        token = {"realm": realm, "service": self._host, "issuer": ISSUER}
        token["rootcertbundle"] = str(self._key.certificate_file)
        config = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": f"127.0.0.1:{self._behind}", "relativeurls": True},
            "auth": {"token": token},
        }
        (self.folder / "config.json").write_text(json.dumps(config))
        with (self.folder / "registry.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "docker-registry",
                "serve",
                str(self.folder / "config.json"),
                stdout=log,
                stderr=log,
                env={"OTEL_TRACES_EXPORTER": "none", "PATH": "/usr/bin:/bin"},
            )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._behind)) == 0:
                    return
            await asyncio.sleep(0.02)
        raise RuntimeError((self.folder / "registry.log").read_text()[-1000:])

    async def _issue(self, request: web.Request) -> web.Response:
        user, password = _basic(request.headers.get("Authorization", ""))
        is_agent = user == "agent" and secrets.compare_digest(password, self._agent_password)
        actions = frozenset() if is_agent else self._login(user, password)
        status = 401 if actions is None else 200
        self.log.append(f"GET {REALM} {status}")
        if actions is None:
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=status)
        access = []
        for wanted in parse_scopes(request.query.getall("scope", [])):
            granted = wanted if is_agent else grant(wanted, actions)
            if granted:
                verbs = sorted(granted.verbs & _VERBS) or sorted(granted.verbs)
                access.append({"type": granted.kind, "name": granted.name, "actions": verbs})
        token = self._key.sign(user, self._host, access)
        return web.json_response({"access_token": token, "token": token, "expires_in": 300})

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        """Hand a request to the registry behind, and its answer back, byte for byte."""
        assert self._session is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _SKIPPED}
        url = f"http://127.0.0.1:{self._behind}{request.raw_path}"
        body = await request.read() if request.can_read_body else None
        async with self._session.request(
            request.method, url, headers=headers | {"Host": self._host}, data=body,
            allow_redirects=False,
        ) as answer:  # fmt: skip
            self.log.append(f"{request.method} {request.path} {answer.status}")
            content = b"" if request.method == "HEAD" else await answer.read()
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _SKIPPED}
            return web.Response(status=answer.status, headers=kept, body=content)


class _SigningKey:
    """Signs the tokens; distribution finds the key by a `kid` made from the public key."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file = folder / "tokens.pem"
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = self._key.public_key().public_bytes(serialization.Encoding.DER, form)
        code = base64.b32encode(hashlib.sha256(public).digest()[:30]).decode()
        self._kid = ":".join(code[start : start + 4] for start in range(0, 48, 4))

    def sign(self, subject: str, audience: str, access: list[dict[str, object]]) -> str:
        """Return a token in the form that distribution reads (JWT, ES256)."""
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": subject, "aud": audience, "iat": now, "nbf": now - 5}
        claims |= {"exp": now + 300, "jti": secrets.token_hex(8), "access": access}
        header = {"typ": "JWT", "alg": "ES256", "kid": self._kid}
        text = f"{_url64(json.dumps(header).encode())}.{_url64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_url64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


async def _no_post(_: web.Request) -> web.Response:
    """Make clients fall back to GET, as an old Docker token server does."""
    return web.Response(status=404)


def _basic(header: str) -> tuple[str, str]:
    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        return int(holder.getsockname()[1])
