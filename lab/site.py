"""One site of the lab: a cluster, its hosts and, when the chart runs, its registry."""

import asyncio
import ipaddress
import shutil
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh

from lab.audit import AuditLog
from lab.certificates import Authority
from lab.clock import Clock
from lab.cluster import ClusterLab
from lab.cluster.cluster_lab import HelmController
from lab.faults import Faults
from lab.hosts import HostLab
from lab.latency import Latency
from lab.places import NodePlan, SitePlan
from lab.registry.edge import EdgeRegistry, FindParent, Installation

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
KUBERNETES_PORT = 6443
_CLAIM = "connected-registry-pvc"
_HERE = ("127.0.0.1", "localhost", "::1")


@dataclass
class Shared:
    """What the sites of one world share.

    `dial_cloud` connects to a cloud registry's address and raises OSError for any other address;
    `ssh_ports` are the loopback ports that are hosts, which may serve each other as jump hosts.
    """

    audit: AuditLog
    faults: Faults
    clock: Clock
    authority: Authority
    latency: Latency
    folder: Path
    find_parent: FindParent
    dial_cloud: Callable[[str, int], Awaitable[Streams]]
    ssh_ports: set[int]


class SiteLab:
    """Builds a site and connects its parts; `start` and `stop` once each."""

    def __init__(self, plan: SitePlan, shared: Shared) -> None:
        """Make the parts; nothing listens yet, but the registry's port is reserved."""
        self.plan, self.name = plan, plan.name
        self._shared = shared
        self._folder = shared.folder / "hosts" / plan.name
        self._known_hosts = self._folder / "known_hosts"
        self._key_file = self._folder / "id_ed25519"
        self._make_key()
        tools = (shared.audit, shared.faults, shared.clock)
        self.edge = EdgeRegistry(
            *tools,
            shared.find_parent,
            plan.name,
            authority=shared.authority,
            sync_seconds=shared.latency.sync_seconds,
        )
        self.cluster = ClusterLab(
            *tools,
            shared.authority,
            site=plan.name,
            nodes=[(node.name, node.role) for node in plan.nodes],
            chart_seconds=shared.latency.chart_seconds,
            helm_controller=None if self._api_is_a_pod else HelmController(),
        )
        self.hosts = {node.name: self._host(node) for node in plan.nodes}
        self._workloads: asyncio.Queue[tuple[Installation, bool]] = asyncio.Queue()
        self._service: tuple[str, str] | None = None
        self._started = AsyncExitStack()
        self._started.push_async_callback(self.edge.close)

    @property
    def _api_is_a_pod(self) -> bool:
        """Tell whether this is kubeadm's: an API that outlives containerd, no helm-controller."""
        return self.plan.distribution.partition("@")[0] == "containerd"

    @property
    def is_offline(self) -> bool:
        """Tell whether the site's link is cut."""
        return not self.edge.has_link

    @property
    def state(self) -> dict[str, Any]:
        """Return what GET /state shows of this site."""
        nodes = {
            name: {
                "round_trips": host.round_trips,
                "logins": host.logins,
                "most_clients": host.most_clients,
            }
            for name, host in self.hosts.items()
        }
        state = {"name": self.name, "offline": self.is_offline, "registry": self.edge.state}
        return {**state, "nodes": nodes}

    def describe_nodes(self) -> list[dict[str, Any]]:
        """Return the nodes as lab.json has them."""
        return [
            {
                "name": node.name,
                "role": node.role,
                "host": "127.0.0.1",
                "port": self.hosts[node.name].port,
                "user": self.hosts[node.name].user,
                "key_file": str(self._key_file),
                "known_hosts": str(self._known_hosts),
                "root": str(self.hosts[node.name].root),
            }
            for node in self.plan.nodes
        ]

    async def start(self) -> None:
        """Start the cluster, then the hosts whose K3s makes it answer."""
        self.cluster.on_workload(self._note_workload)
        await self.cluster.start()
        self._started.push_async_callback(self.cluster.stop)
        for node in self.plan.nodes:
            await self._switch_on(node)
        self._write_known_hosts()
        following = asyncio.create_task(self._follow_workloads())
        self._started.push_async_callback(_end, following)

    async def stop(self) -> None:
        """End what was started of this site, the last first."""
        await self._started.aclose()

    def set_offline(self, offline: bool) -> None:
        """Cut or mend the link: no SSH and no sync while it is cut; the site works on."""
        self.edge.has_link = not offline
        for host in self.hosts.values():
            host.set_offline(offline)

    async def dial(self, node: NodePlan, host: str, port: int) -> Streams:
        """Connect the way a process on `node` would; raises OSError where that cannot reach.

        Faults of part `hosts` match `dial HOST:PORT`: `drop-packets` gives up after `seconds`
        (a node's own patience is 30), `refuse` at once.
        """
        await self._misbehave(f"dial {host}:{port}")
        if host in _HERE and port == KUBERNETES_PORT and node.role == "server":
            return await asyncio.open_connection("127.0.0.1", self.cluster.port)
        service = self.cluster.resolve(host, port)
        if service is not None:
            return await asyncio.open_connection("127.0.0.1", self._port_behind(service))
        if host in _HERE and port in self._shared.ssh_ports:
            return await asyncio.open_connection("127.0.0.1", port)
        if self.is_offline:
            raise OSError(101, f"Network is unreachable: {host}:{port}")
        if not _is_address(host):
            raise socket.gaierror(socket.EAI_NONAME, f"lookup {host}: no such host")
        return await self._shared.dial_cloud(host, port)

    async def _misbehave(self, operation: str) -> None:
        for fault in self._shared.faults.take("hosts", operation, self.name):
            if fault.kind == "drop-packets":
                await asyncio.sleep(fault.seconds)
                raise TimeoutError
            if fault.kind == "refuse":
                raise ConnectionRefusedError(111, "Connection refused")

    def _port_behind(self, service: tuple[str, str]) -> int:
        """Return the loopback port that stands for a Service; nothing else in a pod listens."""
        if service == ("default", "kubernetes"):
            return self.cluster.port
        if service == self._service:
            return self.edge.port
        raise ConnectionRefusedError(111, "Connection refused")

    def _host(self, node: NodePlan) -> HostLab:
        shared = self._shared
        folder = self._folder / node.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._key_file, folder / self._key_file.name)
        host = HostLab(
            shared.audit,
            shared.faults,
            shared.clock,
            site=self.name,
            name=node.name,
            role=node.role,
            folder=folder,
            ca_file=shared.authority.ca_file,
            restart_seconds=shared.latency.restart_seconds,
            distribution=self.plan.distribution,
        )
        host.dial = partial(self.dial, node)
        host.rtt = shared.latency.ssh_rtt_ms / 1000
        return host

    async def _switch_on(self, node: NodePlan) -> None:
        host = self.hosts[node.name]
        if node.role == "server":
            host.write_kubeconfig(self.cluster.kubeconfig(f"https://127.0.0.1:{KUBERNETES_PORT}"))
        await host.start()
        self._started.push_async_callback(host.stop)
        self._shared.ssh_ports.add(host.port)
        host.on_service(partial(self._service_changed, node))

    def _write_known_hosts(self) -> None:
        lines = [f"{host.known_hosts}\n" for host in self.hosts.values()]
        self._known_hosts.write_text("".join(lines))

    def _make_key(self) -> None:
        """Make the one key that logs in to every host of the site."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._key_file.touch(mode=0o600)
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(self._key_file)

    def _service_changed(self, node: NodePlan, running: bool) -> None:
        self.cluster.set_node_running(node.name, running)
        if node.role == "server" and not self._api_is_a_pod:
            self.cluster.set_api_up(running)

    def _note_workload(
        self,
        values: dict[str, Any],
        namespace: str,
        release: str,
        cluster_ip: str,
        port: int,
        running: bool,
    ) -> None:
        self._service = (namespace, release) if running else None
        claim = self.cluster.volume_of(namespace, _CLAIM) or f"{namespace}/{release}"
        text, http = str(values.get("connectionString", "")), bool(values.get("httpEnabled"))
        secret = values.get("tls", {}).get("secret")
        files = self.cluster.secret_of(namespace, secret) if secret else {}
        pair = (files.get("tls.crt", b""), files.get("tls.key", b"")) if secret else None
        installation = Installation(text, cluster_ip, port, http, claim, pair)
        self._workloads.put_nowait((installation, running))

    async def _follow_workloads(self) -> None:
        """Start and stop the registry as its pod does, one after the other."""
        while True:
            installation, running = await self._workloads.get()
            if not running:
                await self.edge.stop()
                continue
            try:
                await self.edge.start(installation, self.cluster.report_pod)
            except OSError as error:
                self.cluster.report_pod(False, str(error))


def _is_address(host: str) -> bool:
    """Return whether a host's resolver has nothing to do: it knows no names of the cluster."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host in _HERE
    return True


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
