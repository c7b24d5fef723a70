"""The emulated cloud: one port for the login service and ARM, one more per registry."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from aiohttp import web
from cryptography import x509

from lab.audit import AuditLog
from lab.azure.arm import ResourceManager, arm_refusal
from lab.azure.data_plane import DataPlane, docker_refusal
from lab.azure.entra import Entra
from lab.azure.errors import not_found
from lab.azure.ordered_faults import Refuse, fault_middleware
from lab.azure.registries import new_registry
from lab.azure.registry_lab import RegistryLab
from lab.azure.registry_login import RegistryLogin
from lab.azure.sites import Sites
from lab.azure.state import Cloud, Group, Registry
from lab.certificates import Authority
from lab.clock import Clock
from lab.faults import Faults

_NAMES = ("127.0.0.1", "localhost")
_PROFILES = ("recorded", "spec")


class AzureLab:
    """Azure on the loopback interface.

    `profile` is `recorded` (long-running operations as the real service was recorded) or `spec`
    (as the specification says). `page_size` is how many entries ARM lists at once, `retry_after`
    the seconds that answers to long-running operations ask to wait (None for no such header),
    `token_life` how many seconds an Entra token lives.
    """

    def __init__(
        self,
        audit: AuditLog,
        faults: Faults,
        clock: Clock,
        authority: Authority,
        *,
        profile: str = "recorded",
        page_size: int = 100,
        retry_after: int | None = None,
        token_life: float = 3599.0,
    ) -> None:
        """Make an empty cloud with one tenant, subscription and application."""
        if profile not in _PROFILES:
            raise ValueError(f"profile is {profile!r}, expected one of {_PROFILES}")
        self._audit = audit
        self._faults = faults
        self._clock = clock
        self._tls = authority.server_context(_NAMES)
        self.ca_file = authority.ca_file
        self.cloud = Cloud(profile, page_size, retry_after)
        self.entra = Entra(self.cloud, token_life)
        self.sites = Sites(self.cloud)
        self.port = 0
        self._host = _NAMES[0]
        self._runners: dict[str, web.AppRunner] = {}

    @property
    def resource_manager(self) -> str:
        """The https URL of ARM."""
        return f"https://{self._host}:{self.port}"

    @property
    def authority_url(self) -> str:
        """The https URL of the login service, without the tenant."""
        return self.resource_manager

    @property
    def tenant_id(self) -> str:
        """The one tenant."""
        return self.cloud.tenant

    @property
    def subscription_id(self) -> str:
        """The one subscription."""
        return self.cloud.subscription

    @property
    def client_id(self) -> str:
        """The application that may do everything."""
        return self.cloud.client

    @property
    def client_secret(self) -> str:
        """The application's secret."""
        return self.entra.secret

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve the login service and ARM on `port`; 0 takes a free one."""
        self._host = host
        manager = ResourceManager(
            self.cloud,
            self.entra,
            self._audit,
            self._clock,
            self.sites,
            self._serve,
            self._stop_serving,
        )
        app = self._app(arm_refusal)
        self.entra.add_routes(app)
        manager.add_routes(app)
        self.port = await self._listen("arm", app, port)

    async def stop(self) -> None:
        """Close all ports."""
        await asyncio.gather(*(_close(self._runners.pop(name)) for name in list(self._runners)))

    async def add_registry(
        self,
        name: str,
        resource_group: str,
        *,
        repositories: Mapping[str, Sequence[str]],
        sku: str = "Premium",
        data_endpoint: bool = True,
        location: str = "westeurope",
        port: int = 0,
    ) -> RegistryLab:
        """Make a registry with one image per repository and tag, and serve it on its own port."""
        groups = self.cloud.groups
        group = groups.setdefault(resource_group, Group(resource_group, location))
        registry = new_registry(self.cloud, group.name, name, self._clock.now(), location)
        registry.sku, registry.data_endpoint = sku, data_endpoint
        for repository, tags in repositories.items():
            for tag in tags:
                registry.content.add_image(repository, tag, self._clock.now())
        self.cloud.registries[name] = registry
        await self._serve(registry, port)
        return self.registry(name)

    def registry(self, name: str) -> RegistryLab:
        """Return a registry of the lab by name, also one that was made through ARM."""
        if name not in self.cloud.registries:
            raise not_found(name)
        registry = self.cloud.registries[name]
        return RegistryLab(registry, self._login(registry), self._clock)

    def trust_certificate(self, pem: bytes) -> None:
        """Let the application also log in with this certificate (RSA)."""
        self.entra.trust(x509.load_pem_x509_certificate(pem))

    def _login(self, registry: Registry) -> RegistryLogin:
        return RegistryLogin(registry, self.entra, lambda: f"{self._host}:{self.port}", self._clock)

    async def _serve(self, registry: Registry, port: int = 0) -> None:
        app = self._app(docker_refusal)
        DataPlane(registry, self._login(registry)).add_routes(app)
        taken = await self._listen(registry.id, app, port)
        registry.login_server = f"{self._host}:{taken}"

    async def _stop_serving(self, registry: Registry) -> None:
        await _close(self._runners.pop(registry.id))

    def _app(self, refuse: Refuse) -> web.Application:
        meddle = fault_middleware(self._faults, self.sites.of_request, refuse)
        return web.Application(middlewares=[meddle])

    async def _listen(self, name: str, app: web.Application, port: int) -> int:
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        self._runners[name] = runner
        site = web.TCPSite(runner, self._host, port, ssl_context=self._tls)
        await site.start()
        return int(runner.addresses[0][1])


async def _close(runner: web.AppRunner) -> None:
    """Close a port and its connections at once, without waiting for the clients' goodbye."""
    connections = runner.server.connections if runner.server else []
    transports = [each.transport for each in connections if each.transport is not None]
    await runner.cleanup()
    for transport in transports:
        with contextlib.suppress(AttributeError):  # Python 3.11.2: a TLS transport that has ended
            transport.abort()
    await asyncio.sleep(0.01)
