"""A site's registry as a whole: starts with its pod, serves on a loopback port, stops with it."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from lab.audit import AuditLog
from lab.certificates import Authority, context_of
from lab.clock import Clock
from lab.faults import Faults
from lab.registry.agent import Agent, Surroundings
from lab.registry.answers import errors_as_answers
from lab.registry.connection_string import (
    BadConnectionStringError,
    ConnectionString,
    parse_connection_string,
)
from lab.registry.faulty import faults_middleware
from lab.registry.heartbeats import Heartbeats
from lab.registry.parent import Parent
from lab.registry.ports import ReservedPort
from lab.registry.server import RegistryServer
from lab.registry.volume import Repository, Volume

FindParent = Callable[[ConnectionString], Parent | None]
ReportPod = Callable[[bool, str], None]


@dataclass(frozen=True)
class Installation:
    """What the chart's objects say: how this pod is started.

    `certificate` is what the Secret of `tls.secret` holds, as certificate and key in PEM; without
    it the lab's authority signs one for the cluster's address, as cert-manager would.
    """

    connection_string: str = field(repr=False)
    cluster_ip: str
    port: int
    http_enabled: bool
    claim: str
    certificate: tuple[bytes, bytes] | None = field(default=None, repr=False)


class EdgeRegistry:
    """The registry of one site; it outlives its pods, as the site's disk does."""

    def __init__(
        self,
        audit: AuditLog,
        faults: Faults,
        clock: Clock,
        find_parent: FindParent,
        site: str,
        *,
        authority: Authority,
        sync_seconds: float = 0.2,
        port: int = 0,
    ) -> None:
        """Reserve the loopback port; `find_parent` knows who is behind a gateway.

        Args:
            audit: Gets a line for each start, stop and activation.
            faults: Consulted for requests and syncs.
            clock: Tells when passwords expire and how long a minute is.
            find_parent: Returns what is behind a connection string's ParentGatewayEndpoint.
            site: The site's name.
            authority: Signs the certificate when the chart asks for https.
            sync_seconds: How long it takes to copy all repositories once.
            port: Loopback port; 0 for any.
        """
        self._audit, self._faults, self._clock = audit, faults, clock
        self._find_parent, self._site = find_parent, site
        self._authority, self._sync_seconds = authority, sync_seconds
        self._reserved = ReservedPort(port)
        self._volumes: dict[str, Volume] = {}
        self._heartbeats = Heartbeats(clock)
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.Task[None] | None = None
        self._volume: Volume | None = None
        self._installation: Installation | None = None
        self._identity: ConnectionString | None = None
        self._parent: Parent | None = None
        self.port = self._reserved.number
        self.has_link = True
        self.log: list[str] = []

    @property
    def is_serving(self) -> bool:
        """Tell whether anything listens on the port."""
        return self._runner is not None

    @property
    def serves(self) -> str | None:
        """Return the connected registry that the running pod is; None without a pod."""
        return self._identity.connected_registry if self._identity and self.is_serving else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return where others reach it: in its cluster, and on this machine."""
        inside = _host(self._installation) if self._installation else ""
        return inside, f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def scheme(self) -> str:
        """Return what it speaks."""
        return "http" if self._installation and self._installation.http_enabled else "https"

    @property
    def passes_messages(self) -> bool:
        """Tell whether it is active and in touch with the cloud, so that a child may be, too."""
        active = self._volume is not None and self._volume.activated
        up = self._parent is not None and self._parent.passes_messages
        return active and self.has_link and up

    @property
    def repositories(self) -> dict[str, Repository]:
        """Return what it holds."""
        return self._volume.repositories if self._volume else {}

    @property
    def state(self) -> dict[str, Any]:
        """Return what an operator of the lab wants to know; no secrets."""
        volume = self._volume
        return {
            "serving": self.is_serving,
            "has_link": self.has_link,
            "activated": volume is not None and volume.activated,
            "repositories": sorted(volume.repositories) if volume else [],
            "tokens": sorted(volume.tokens) if volume else [],
            "last_sync": volume.last_sync.isoformat() if volume and volume.last_sync else None,
            "log": self.log[-5:],
        }

    async def start(self, installation: Installation, report_pod: ReportPod) -> None:
        """Start the pod's process; a bad connection string is the pod's last word."""
        await self.stop()
        try:
            identity, parent = self._identify(installation.connection_string)
        except BadConnectionStringError as error:
            self.log.append(str(error))
            report_pod(False, str(error))
            return
        volume = self._volumes.setdefault(installation.claim, Volume())
        self._volume, self._installation = volume, installation
        self._identity, self._parent = identity, parent
        self._audit.write("registry", self._site, "start", identity.connected_registry)
        await self._listen(volume, installation)
        self._say(f"Serving {identity.connected_registry}.", report_pod)
        self._loop = asyncio.create_task(
            self._agent(identity, parent, volume, installation, report_pod).run()
        )

    async def stop(self) -> None:
        """Stop the pod's process; the volume stays."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
            self._audit.write("registry", self._site, "stop", self._site)
        if self._volume is not None:
            self._volume.silent_since = self._volume.silent_since or self._clock.now()

    async def close(self) -> None:
        """Stop for good and give the port back."""
        await self.stop()
        await self._heartbeats.close()
        self._reserved.release()

    def _identify(self, text: str) -> tuple[ConnectionString, Parent]:
        identity = parse_connection_string(text)
        parent = self._find_parent(identity)
        if parent is None:
            raise BadConnectionStringError(
                f"Name or service not known: ParentGatewayEndpoint {identity.gateway}"
            )
        return identity, parent

    def _agent(
        self,
        identity: ConnectionString,
        parent: Parent,
        volume: Volume,
        installation: Installation,
        report_pod: ReportPod,
    ) -> Agent:
        around = Surroundings(
            clock=self._clock,
            faults=self._faults,
            site=self._site,
            heartbeats=self._heartbeats,
            has_link=lambda: self.has_link,
            say=lambda line: self._say(line, report_pod),
            activated=lambda: self._audit.write(
                "registry", self._site, "activate", identity.connected_registry
            ),
            sync_seconds=self._sync_seconds,
        )
        return Agent(identity, parent, volume, _host(installation), around)

    def _say(self, line: str, report_pod: ReportPod) -> None:
        if self.log[-1:] != [line]:
            self.log.append(line)
        report_pod(True, line)

    async def _listen(self, volume: Volume, installation: Installation) -> None:
        server = RegistryServer(
            volume,
            self._clock,
            scheme="http" if installation.http_enabled else "https",
            note_push=lambda image: self._audit.write("registry", self._site, "push", image),
        )
        middlewares = [errors_as_answers, faults_middleware(self._faults, self._site)]
        application = web.Application(middlewares=middlewares)
        application.add_routes(server.routes())
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        context = self._trust(installation)
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_port=True, ssl_context=context)
        await site.start()
        self._runner = runner

    def _trust(self, installation: Installation) -> ssl.SSLContext | None:
        if installation.http_enabled:
            return None
        if installation.certificate is None:
            return self._authority.server_context([installation.cluster_ip, "127.0.0.1"])
        bundle = self._authority.folder / f"registry-{self._site}.pem"
        return context_of(bundle, *installation.certificate)


def _host(installation: Installation) -> str:
    address, port = installation.cluster_ip, installation.port
    host = f"[{address}]" if ":" in address else address
    return host if port == (80 if installation.http_enabled else 443) else f"{host}:{port}"
