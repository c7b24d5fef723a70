"""The site's Kubernetes: a real API server with its controllers, and what K3s adds to it.

Real: etcd, kube-apiserver, kube-controller-manager (Deployments, Jobs, ServiceAccounts, Endpoints,
node life). Stood in for, by the lab's controllers over the real API: helm-controller with helm,
scheduler and kubelet, local-path. The registry's pod is `ConnectedRegistry`.
"""

import asyncio
import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from lab.azure import AzureLab, RegistryLab
from lab.certificates import Authority
from lab.clock import Clock
from lab.cluster import seeds
from lab.cluster.controllers.claims import Claims
from lab.cluster.controllers.conditions import has_condition
from lab.cluster.controllers.events import Recorder
from lab.cluster.controllers.helm_charts import HelmCharts
from lab.cluster.controllers.manager import Manager
from lab.cluster.errors import ApiError
from lab.cluster.helm.chart_job import CHART_LABEL
from lab.cluster.helm.definitions import chart_definition, config_definition
from lab.cluster.helm.job_program import HelmJob
from lab.cluster.kinds import Object
from lab.cluster.node.containers import Container, Program
from lab.cluster.node.logs import read_log
from lab.cluster.node.pods import Pods
from lab.cluster.node.programs import PlainProgram
from lab.cluster.node.registry_program import is_registry
from tests.acceptance.connected_registry import ConnectedRegistry
from tests.acceptance.machine import GATEWAY
from tests.acceptance.remote_api import RemoteApi
from tests.lab.real_cluster import real_cluster

API_PORT, KUBELET_PORT = 6443, 10250
_WATCHED = ("HelmChart", "HelmChartConfig", "Job", "Secret", "Pod", "PersistentVolumeClaim", "Node")
_CONNECTION = "ACR_REGISTRY_CONNECTION_STRING"


@contextmanager
def control_plane(folder: Path) -> Iterator[tuple[Path, ssl.SSLContext]]:
    """Run the API server on the bridge; yields its folder of keys and an administrator's login."""
    folder.mkdir()
    flags = ["--kubelet-preferred-address-types=ExternalIP", "--max-requests-inflight=800"]
    with real_cluster(folder, GATEWAY, API_PORT, flags):
        context = ssl.create_default_context(cafile=str(folder / "pki/ca.pem"))
        context.load_cert_chain(folder / "probe.crt", folder / "probe.key")
        yield folder, context


class Controllers:
    """What K3s adds to the API. Use it on one event loop.

    Attributes:
        registries: The running registry pods by (namespace, release).
    """

    def __init__(
        self, folder: Path, context: ssl.SSLContext, authority: Authority, azure: AzureLab
    ) -> None:
        """Take the API server's keys and the cloud that registries connect to."""
        self._folder, self._authority, self._azure = folder, authority, azure
        self.clock = Clock(minute=1.0)
        self.api = RemoteApi(f"https://{GATEWAY}:{API_PORT}", context)
        self.registries: dict[tuple[str, str], ConnectedRegistry] = {}
        self._nodes = _Nodes()
        self._pods = Pods(
            self.api, self.clock, self._nodes, self._recorder("kubelet"), self._choose, 0.05
        )
        helm = HelmCharts(self.api, self._recorder("helm-controller"))
        claims = Claims(self.api, self._recorder("rancher.io/local-path"), 0.05)
        self._manager = Manager(self.api, [helm, claims, self._pods, self._nodes])
        self._pods.on_change(lambda key: self._manager.enqueue(self._pods, key))
        self._kubelet: web.AppRunner | None = None

    async def start(self) -> None:
        """Create what every K3s cluster has, and begin."""
        self._manager.start()
        await self.api.open()
        for obj in (chart_definition(), config_definition(), seeds.local_path()):
            await self.api.create(obj)
        await self._until_served()
        await self.api.close()
        await self.api.open(*_WATCHED)
        await self._serve_logs()

    async def stop(self) -> None:
        """End everything that runs here; the API server stays."""
        await self._manager.stop()
        self._pods.stop()
        for registry in self.registries.values():
            await registry.stop()
        await self.api.close()
        if self._kubelet is not None:
            await self._kubelet.cleanup()

    async def _until_served(self) -> None:
        """Wait until the new kinds are there: after their creation they answer 404 for a moment."""
        for _ in range(200):
            try:
                await self.api.select("HelmChart")
                await self.api.select("HelmChartConfig")
            except ApiError:
                await asyncio.sleep(0.05)
            else:
                return
        raise RuntimeError("the API server does not serve HelmCharts")

    async def _serve_logs(self) -> None:
        """Be the kubelet whom the API server asks for a pod's log."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        self._kubelet = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._kubelet.setup()
        context = self._authority.server_context([GATEWAY])
        await web.TCPSite(self._kubelet, GATEWAY, KUBELET_PORT, ssl_context=context).start()

    async def _log(self, request: web.Request) -> web.Response:
        key = request.match_info["namespace"], request.match_info["pod"]
        query = dict(request.query) | {"container": request.match_info["container"]}
        try:
            return web.Response(text=read_log(key[1], self._pods.find(key), query))
        except ApiError as error:
            return web.Response(status=error.code, text=error.message)

    def _choose(self, pod: Object) -> Program:
        if CHART_LABEL in pod["metadata"].get("labels", {}):
            return HelmJob(self.api, self.clock, 0.2)
        return _RegistryPod(self) if is_registry(pod) else PlainProgram()

    def _recorder(self, component: str) -> Recorder:
        return Recorder(self.api, self.clock, component)

    async def run_registry(self, container: Container) -> ConnectedRegistry | None:
        """Start the registry that a pod describes; without a usable description the pod exits."""
        pod = container.pod
        namespace = pod["metadata"]["namespace"]
        release = pod["metadata"]["labels"]["app.kubernetes.io/instance"]
        spec = pod["spec"]["containers"][0]
        reference = next(e for e in spec["env"] if e["name"] == _CONNECTION)["valueFrom"]
        secret = await self.api.find("Secret", namespace, reference["secretKeyRef"]["name"])
        service = await self.api.find("Service", namespace, release)
        if secret is None or service is None:
            return None
        text = base64.b64decode(secret["data"][reference["secretKeyRef"]["key"]]).decode()
        port = service["spec"]["ports"][0]
        address = service["spec"]["clusterIP"]
        plain = spec["ports"][0]["containerPort"] == 8080
        context = None if plain else await self._tls(pod, address)
        registry = self._registry(namespace, release, text)
        self.registries[namespace, release] = registry
        await registry.start(address, port["port"], context, lambda: container.set_ready(True))
        return registry

    async def _tls(self, pod: Object, address: str) -> ssl.SSLContext:
        """Return the certificate that the pod mounts, or one of the suite's own authority."""
        namespace = pod["metadata"]["namespace"]
        for volume in pod["spec"]["volumes"]:
            if volume["name"] == "tls":
                name = volume["secret"]["secretName"]
                secret = await self.api.find("Secret", namespace, name)
                assert secret is not None
                pair = [base64.b64decode(secret["data"][key]) for key in ("tls.crt", "tls.key")]
                bundle = self._folder / f"{namespace}-tls.pem"
                bundle.touch(mode=0o600)
                bundle.write_bytes(b"".join(pair))
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(bundle)
                return context
        return self._authority.server_context([address])

    def _registry(self, namespace: str, release: str, text: str) -> ConnectedRegistry:
        volume = self._folder / "volumes" / namespace / release
        volume.mkdir(parents=True, exist_ok=True)
        gateway = dict(part.split("=", 1) for part in text.split(";"))["ParentGatewayEndpoint"]
        parent = next(one for one in self._parents() if one.gateway_endpoint == gateway)
        folder = self._folder / "ca"
        folder.mkdir(exist_ok=True)
        (folder / "ca.crt").write_bytes(self._authority.pem)
        return ConnectedRegistry(volume, text, parent, folder, self.clock)

    def _parents(self) -> list[RegistryLab]:
        return [self._azure.registry(name) for name in self._azure.cloud.registries]


class _Nodes:
    """What the pods have to know of nodes, watched on the API; also a controller without work."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}

    def keys(self, event: object) -> list[tuple[str, str]]:
        """Take note of a node's state."""
        obj: Object = getattr(event, "object", {})
        if obj.get("kind") == "Node":
            name, status = obj["metadata"]["name"], obj.get("status", {})
            self._addresses.pop(name, None)
            if getattr(event, "type", "") != "DELETED" and has_condition(obj, "Ready"):
                first = next(a for a in status["addresses"] if a["type"] == "InternalIP")
                self._addresses[name] = first["address"]
        return []

    async def reconcile(self, _: tuple[str, str]) -> float | None:
        """Do nothing."""
        return None

    def is_running(self, name: str) -> bool:
        """Return whether a node is ready."""
        return name in self._addresses

    def address(self, name: str) -> str:
        """Return a node's address."""
        return self._addresses.get(name, "")


class _RegistryPod:
    """Runs the connected registry of one pod."""

    def __init__(self, controllers: Controllers) -> None:
        self._controllers = controllers
        self._task: asyncio.Task[None] | None = None
        self._registry: ConnectedRegistry | None = None

    def start(self, container: Container) -> None:
        """Start it in the background."""
        self._task = asyncio.get_running_loop().create_task(self._run(container))

    def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
        if self._registry is not None:
            asyncio.get_running_loop().create_task(self._registry.stop())

    async def _run(self, container: Container) -> None:
        self._registry = await self._controllers.run_registry(container)
        if self._registry is None:
            container.log("no connection string or no Service")
            container.exit(1)
            return
        told = 0
        while True:
            for line in self._registry.lines[told:]:
                container.log(line)
                told += 1
            await asyncio.sleep(0.1)
