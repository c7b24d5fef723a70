"""One site's cluster: an API on a port, controllers behind it, nodes that send heartbeats."""

import asyncio
import base64
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.audit import AuditLog
from lab.certificates import Authority
from lab.clock import Clock
from lab.cluster import kubeconfig, seeds
from lab.cluster.controllers.claims import Claims
from lab.cluster.controllers.deployments import Deployments, ReplicaSets
from lab.cluster.controllers.endpoints import EndpointLists
from lab.cluster.controllers.events import Recorder
from lab.cluster.controllers.helm_charts import HelmCharts
from lab.cluster.controllers.interface import Controller
from lab.cluster.controllers.jobs import Jobs
from lab.cluster.controllers.local_api import LocalApi
from lab.cluster.controllers.manager import Manager
from lab.cluster.controllers.namespaces import DefaultAccounts, NamespaceRemoval
from lab.cluster.controllers.ownership import GarbageCollection
from lab.cluster.handler import Handler
from lab.cluster.helm.chart_job import CHART_LABEL
from lab.cluster.helm.definitions import FAILURE_POLICIES, chart_definition, config_definition
from lab.cluster.helm.job_program import HelmJob
from lab.cluster.http_server import HttpServer
from lab.cluster.kinds import Object
from lab.cluster.node.containers import Phase, Program
from lab.cluster.node.heartbeats import Nodes
from lab.cluster.node.logs import read_log
from lab.cluster.node.pods import Pods
from lab.cluster.node.programs import PlainProgram
from lab.cluster.node.registry_program import RegistryProgram, Workload, is_registry
from lab.cluster.object_api import ObjectApi
from lab.faults import Faults


@dataclass(frozen=True)
class HelmController:
    """What the cluster's helm-controller offers; older ones lack fields and policies."""

    policies: tuple[str, ...] = FAILURE_POLICIES
    without_fields: tuple[str, ...] = ()


class ClusterLab:
    """A Kubernetes API on loopback for one site, with what makes a HelmChart come to life.

    Attributes:
        port: Where the API listens, also while it is down.
    """

    def __init__(
        self,
        audit: AuditLog,
        faults: Faults,
        clock: Clock,
        authority: Authority,
        *,
        site: str,
        nodes: Sequence[tuple[str, str]],
        latency: float = 0.0,
        chart_seconds: float = 0.2,
        pod_seconds: float = 0.05,
        helm_controller: HelmController | None = HelmController(),
        service_cidr: str = "10.43.0.0/16",
    ) -> None:
        """Make a cluster; nothing listens yet.

        Args:
            audit: Gets a line for every client request that changes something.
            faults: Asked with operation `METHOD /path`.
            clock: Tells the time; back-offs and grace periods last lab minutes.
            authority: Signs the server's certificate, and is asked about clients'.
            site: The site's name, for audit and faults.
            nodes: Name and role (server or agent) of each node.
            latency: Seconds that every answer takes longer.
            chart_seconds: Seconds that one run of helm takes.
            pod_seconds: Seconds from a pod's scheduling to its start.
            helm_controller: What HelmChart knows; None for a cluster without it.
            service_cidr: Where cluster addresses come from.
        """
        self._clock, self._authority, self.site = clock, authority, site
        self._chart_seconds = chart_seconds
        self._service_cidr, self._helm_controller = service_cidr, helm_controller
        self.objects = ObjectApi(clock, service_cidr)
        self._api = LocalApi(self.objects)
        self._workload: Workload = lambda *told: None
        self._nodes = Nodes(self._api, clock, nodes)
        self._pods = Pods(
            self._api, clock, self._nodes, self._recorder("kubelet"), self._choose, pod_seconds
        )
        self._manager = Manager(self.objects.store, self._controllers())
        self._pods.on_change(lambda key: self._manager.enqueue(self._pods, key))
        handler = Handler(self.objects, self._read_log)
        self._server = HttpServer(
            handler, self.objects.store, authority, audit, faults, site, latency
        )
        self._wanted_up = True
        self._switching: asyncio.Task[None] | None = None

    @property
    def requests(self) -> int:
        """Return how many requests came to the API so far; the lab's own do not come this way."""
        return self._server.requests

    @property
    def port(self) -> int:
        """Return the API's port; 0 before `start`."""
        return self._server.port

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Create what every cluster has and serve the API."""
        for name in seeds.NAMESPACES:
            await self._api.create(seeds.namespace(name))
        await self._api.create(seeds.local_path())
        await self._api.create(seeds.cluster_admin())
        first = ipaddress.ip_network(self._service_cidr)[1]
        await self._api.create(seeds.kubernetes_service(str(first)))
        await self._api.create(seeds.kubernetes_endpoints(self._nodes.server_addresses()))
        if self._helm_controller is not None:
            offered = self._helm_controller
            await self._api.create(chart_definition(offered.policies, offered.without_fields))
            await self._api.create(config_definition(offered.policies))
        await self._nodes.start()
        self._manager.start()
        await self._server.start(host, port)

    async def stop(self) -> None:
        """End everything."""
        if self._switching is not None:
            await asyncio.gather(self._switching, return_exceptions=True)
        await self._manager.stop()
        await self._nodes.stop()
        self._pods.stop()
        await self._server.stop()

    def kubeconfig(self, server_url: str = "") -> str:
        """Return an administrator's kubeconfig for `server_url`, or for the port itself."""
        return kubeconfig.render(self._authority, server_url or f"https://127.0.0.1:{self.port}")

    def set_api_up(self, up: bool) -> None:
        """Have the port accept connections or refuse them; controllers rest while it is down."""
        self._wanted_up = up
        self._manager.set_running(up)
        self._nodes.set_api_up(up)
        if not up:
            self._server.cut()
        if self._switching is None or self._switching.done():
            self._switching = asyncio.get_running_loop().create_task(self._switch())

    def set_node_running(self, node: str, running: bool) -> None:
        """Start or stop K3s on a node: heartbeats stop, after 40 lab seconds Ready is Unknown."""
        self._nodes.set_running(node, running)

    def on_workload(self, callback: Workload) -> None:
        """Have the world told when the registry's pod starts, starts again, or stops.

        Args:
            callback: Gets the chart's values, namespace, release, the Service's address and port,
                and whether the registry shall run.
        """
        self._workload = callback

    def report_pod(self, ready: bool, message: str) -> None:
        """Let the running registry pod say something; not ready means that it exits with it."""
        for container in self._pods.containers.values():
            if is_registry(container.pod) and container.phase is Phase.RUNNING:
                container.log(message)
                if ready:
                    container.set_ready(True)
                else:
                    container.exit(1)

    def resolve(self, address: str, port: int) -> tuple[str, str] | None:
        """Return namespace and name of the Service that kube-proxy would reach, or None.

        A Service without ready endpoints is refused, as kube-proxy refuses it.
        """
        for service in self.objects.store.each(self.objects.kinds.named("Service")):
            if _serves(service, address, port, self._nodes.addresses()):
                namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
                return (namespace, name) if self._has_endpoints(namespace, name) else None
        return None

    def volume_of(self, namespace: str, claim: str) -> str | None:
        """Return the name of the volume behind a claim; a new one is empty."""
        kind = self.objects.kinds.named("PersistentVolumeClaim")
        found = self.objects.store.find(kind, namespace, claim)
        return found["spec"].get("volumeName") if found else None

    def secret_of(self, namespace: str, name: str) -> dict[str, bytes]:
        """Return what a Secret holds; one that is not there holds nothing."""
        found = self.objects.store.find(self.objects.kinds.named("Secret"), namespace, name) or {}
        return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}

    async def _switch(self) -> None:
        await self._server.close()
        while self._server.up != self._wanted_up:
            await (self._server.open() if self._wanted_up else self._server.close())

    def _has_endpoints(self, namespace: str, name: str) -> bool:
        kind = self.objects.kinds.named("Endpoints")
        found = self.objects.store.find(kind, namespace, name) or {}
        return any(subset.get("addresses") for subset in found.get("subsets", ()))

    def _read_log(self, namespace: str, pod: str, query: Mapping[str, str]) -> str:
        return read_log(pod, self._pods.find((namespace, pod)), query)

    def _choose(self, pod: Object) -> Program:
        if CHART_LABEL in pod["metadata"].get("labels", {}):
            return HelmJob(self._api, self._clock, self._chart_seconds)
        if is_registry(pod):
            return RegistryProgram(self.objects, self._tell)
        return PlainProgram()

    def _tell(self, *told: Any) -> None:
        self._workload(*told)

    def _recorder(self, component: str) -> Recorder:
        return Recorder(self._api, self._clock, component)

    def _controllers(self) -> list[Controller]:
        api, clock, recorder = self._api, self._clock, self._recorder
        found: list[Controller] = [
            DefaultAccounts(api, self._authority.pem.decode()),
            NamespaceRemoval(api),
            GarbageCollection(api),
            Deployments(api, clock),
            ReplicaSets(api, recorder("replicaset-controller")),
            Jobs(api, clock, recorder("job-controller")),
            Claims(api, recorder("rancher.io/local-path"), 0.05),
            EndpointLists(api),
            self._pods,
        ]
        if self._helm_controller is not None:
            found.append(HelmCharts(api, recorder("helm-controller")))
        return found


def _serves(service: Object, address: str, port: int, nodes: set[str]) -> bool:
    spec = service["spec"]
    ports = spec.get("ports", ())
    if spec.get("clusterIP") == address:
        return any(item["port"] == port for item in ports)
    if address not in nodes:
        return False
    balanced = spec["type"] == "LoadBalancer" and any(item["port"] == port for item in ports)
    return balanced or any(item.get("nodePort") == port for item in ports)
