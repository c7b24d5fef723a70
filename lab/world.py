"""The whole outside world: Azure, sites with hosts and clusters, registries at the edge."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from lab.audit import AuditLog
from lab.azure import AzureLab, RegistryLab
from lab.azure.standalone import describe, describe_registry
from lab.certificates import Authority
from lab.clock import Clock
from lab.control import Control
from lab.faults import Faults
from lab.files import make_room, write_files, write_kubeconfig
from lab.hosts import HostLab
from lab.latency import Latency
from lab.places import DISTRIBUTION, REPOSITORIES, RESOURCE_GROUP, plan_sites
from lab.registry.cloud_parent import CloudParent
from lab.registry.connection_string import ConnectionString
from lab.registry.edge import EdgeRegistry
from lab.registry.edge_parent import EdgeParent
from lab.site import Shared, SiteLab, Streams


class World:
    """Builds the world below one folder; `start` and `stop` once each, on one event loop."""

    def __init__(
        self,
        folder: Path,
        *,
        sites: int = 3,
        port: int = 0,
        latency: Latency | None = None,
        faults: Faults | None = None,
        minute: float = 1.0,
        profile: str = "recorded",
        distribution: str | Mapping[str, str] = DISTRIBUTION,
    ) -> None:
        """Plan a world.

        Args:
            folder: Where everything is kept; an earlier lab in it is removed at `start`.
            sites: How many sites.
            port: Port of Azure Resource Manager, and of the remote control one above; 0: any.
            latency: How slow the world is; none: as fast as it can be.
            faults: What goes wrong from the start on.
            minute: Real seconds that a lab minute lasts.
            profile: Which Azure: `recorded` or `spec` (connected-registry.md 10).
            distribution: What runs on the hosts; see `lab.places.plan_sites`.
        """
        self.folder = folder.resolve()
        self.faults = faults or Faults()
        self.clock = Clock(minute)
        self.latency = latency or Latency()
        self.sites: dict[str, SiteLab] = {}
        self._started = AsyncExitStack()
        self._plans = plan_sites(sites, distribution)
        self._port, self._profile = port, profile
        self.stopping = asyncio.Event()
        self.control = Control(self, self.stopping.set)
        self.info: dict[str, Any] = {}

    async def start(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Start everything; `say` gets a line per stage. What started is stopped on failure.

        Raises:
            ValueError: The folder holds something else than an earlier lab.
            OSError: A port that was asked for is taken.
        """
        make_room(self.folder)
        try:
            await self._start_azure()
            say(f"azure: {self.azure.resource_manager}, {len(self._registries())} registries")
            await self._start_sites()
            hosts = sum(len(site.hosts) for site in self.sites.values())
            say(f"sites: {len(self.sites)} with {hosts} hosts")
            await self.control.start(self._port + 1 if self._port else 0)
            self._started.push_async_callback(self.control.stop)
            self.info = self._describe()
            write_files(self.folder, self.info)
            self._slow_down()
            self.audit.path.write_text("")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything that was started; the files stay."""
        await self._started.aclose()

    def clear_faults(self) -> None:
        """Switch every fault off, but not the latency of the profile."""
        self.faults.clear()
        self._slow_down()

    def round_trips(self) -> dict[str, int]:
        """Return how often a client waited for each node since the last reset, by node."""
        return {name: host.round_trips for name, host in self._hosts()}

    def reset_round_trips(self) -> None:
        """Count every node's round trips and logins anew."""
        for _, host in self._hosts():
            host.round_trips = host.logins = 0

    async def reboot(self, site: str, node: str) -> None:
        """Cut a host's power for a moment; raises KeyError for a host that is not there."""
        await self.sites[site].hosts[node].reboot()

    async def set_offline(self, site: str, offline: bool) -> None:
        """Cut or mend a site's link; raises KeyError for a site that is not there."""
        self.sites[site].set_offline(offline)

    @property
    def state(self) -> dict[str, Any]:
        """Return what GET /state shows."""
        return {"folder": str(self.folder), "sites": [site.state for site in self.sites.values()]}

    async def _start_azure(self) -> None:
        self.authority = Authority(self.folder / "ca")
        self.audit = AuditLog(self.folder / "audit.jsonl")
        self.azure = AzureLab(
            self.audit, self.faults, self.clock, self.authority, profile=self._profile
        )
        self.azure.sites.names = [plan.name for plan in self._plans]
        await self.azure.start(port=self._port)
        self._started.push_async_callback(self.azure.stop)
        for name in dict.fromkeys(plan.registry for plan in self._plans):
            await self.azure.add_registry(name, RESOURCE_GROUP, repositories=REPOSITORIES)

    async def _start_sites(self) -> None:
        shared = Shared(
            self.audit,
            self.faults,
            self.clock,
            self.authority,
            self.latency,
            self.folder,
            self._find_parent,
            self._dial_cloud,
            set(),
        )
        self._started.push_async_callback(self._stop_sites)
        for plan in self._plans:
            self.sites[plan.name] = SiteLab(plan, shared)
        try:
            async with asyncio.TaskGroup() as group:
                for site in self.sites.values():
                    group.create_task(site.start())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _stop_sites(self) -> None:
        await asyncio.gather(*(site.stop() for site in self.sites.values()))

    def _hosts(self) -> list[tuple[str, HostLab]]:
        return [pair for site in self.sites.values() for pair in site.hosts.items()]

    def _slow_down(self) -> None:
        if self.latency.arm_ms:
            self.faults.add(part="azure", kind="latency", seconds=self.latency.arm_ms / 1000)

    def _find_parent(self, identity: ConnectionString) -> CloudParent | None:
        """Return the registry in the cloud behind a gateway, or the parent at another site."""
        for registry in self._registries():
            if registry.gateway_endpoint == identity.gateway.lower():
                return CloudParent(registry)
        for registry in self._registries():
            if registry.parent_of(identity.connected_registry) is not None:
                find = partial(self._find_neighbour, registry, identity)
                return EdgeParent(registry, identity, find)
        return None

    def _find_neighbour(
        self, registry: RegistryLab, identity: ConnectionString
    ) -> EdgeRegistry | None:
        """Return the parent's registry if it runs and is reached at the gateway."""
        above = registry.parent_of(identity.connected_registry)
        for site in self.sites.values():
            if above is not None and site.edge.serves == above:
                return site.edge if identity.gateway in site.edge.addresses else None
        return None

    async def _dial_cloud(self, host: str, port: int) -> Streams:
        if f"{host}:{port}" not in {one.login_server for one in self._registries()}:
            raise OSError(113, f"No route to host: {host}:{port}")
        return await asyncio.open_connection(host, port)

    def _registries(self) -> list[RegistryLab]:
        return [self.azure.registry(name) for name in self.azure.cloud.registries]

    def _describe(self) -> dict[str, Any]:
        """Return the content of lab.json, and write the kubeconfigs that it names."""
        azure = {**describe(self.azure), "audience": self.azure.resource_manager}
        return {
            "azure": azure,
            "registries": [describe_registry(registry) for registry in self._registries()],
            "sites": [self._describe_site(site) for site in self.sites.values()],
            "audit_log": str(self.audit.path),
            "control": self.control.url,
        }

    def _describe_site(self, site: SiteLab) -> dict[str, Any]:
        server = f"https://127.0.0.1:{site.cluster.port}"
        kubeconfig = site.cluster.kubeconfig(server)
        return {
            "name": site.name,
            "registry": site.plan.registry,
            "distribution": site.plan.distribution.partition("@")[0],
            "kubeconfig": write_kubeconfig(self.folder, site.name, kubeconfig),
            "registry_endpoint": f"http://127.0.0.1:{site.edge.port}",
            "nodes": site.describe_nodes(),
        }
