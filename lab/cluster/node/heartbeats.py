"""Nodes: who they are, the Leases they renew, and what happens when they fall silent."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from lab.clock import Clock
from lab.cluster.controllers.conditions import has_condition, set_condition
from lab.cluster.controllers.interface import Api
from lab.cluster.kinds import Object
from lab.cluster.metadata import micro_timestamp, timestamp
from lab.cluster.store import clone

KUBELET_VERSION = "v1.31.4+k3s1"
_NAMESPACE = "kube-node-lease"
_BEAT_SECONDS = 1.0
_GRACE = timedelta(seconds=40)
_SILENT = "Kubelet stopped posting node status."


class Nodes:
    """The nodes of a cluster; each renews its Lease every second while its K3s runs."""

    def __init__(self, api: Api, clock: Clock, nodes: Sequence[tuple[str, str]]) -> None:
        """Make `nodes`, given as name and role (server or agent); all of them run."""
        self._api = api
        self._clock = clock
        self._roles = dict(nodes)
        self._running = dict.fromkeys(self._roles, True)
        self._silent_since: dict[str, float] = {}
        self._api_up = True
        self._task: asyncio.Task[None] | None = None
        self._beat_now = asyncio.Event()

    def is_running(self, name: str) -> bool:
        """Return whether K3s runs on a node."""
        return self._running.get(name, False)

    def set_running(self, name: str, running: bool) -> None:
        """Start or stop K3s on a node; its pods go on."""
        if running and not self._running[name]:
            self._silent_since.pop(name, None)
        elif not running and self._running[name]:
            self._silent_since[name] = asyncio.get_running_loop().time()
        self._running[name] = running
        self._beat_now.set()

    def set_api_up(self, up: bool) -> None:
        """Note whether heartbeats arrive at all."""
        self._api_up = up
        self._beat_now.set()

    def address(self, name: str) -> str:
        """Return a node's internal address."""
        return f"192.168.10.{11 + list(self._roles).index(name)}"

    def addresses(self) -> set[str]:
        """Return the internal addresses of all nodes."""
        return {self.address(name) for name in self._roles}

    def server_addresses(self) -> list[str]:
        """Return the internal addresses of the servers."""
        return [self.address(name) for name, role in self._roles.items() if role == "server"]

    async def start(self) -> None:
        """Create the Node and Lease objects and start renewing."""
        for name, role in self._roles.items():
            status = self._status(name)
            node = await self._api.create(self._node(name, role))
            await self._api.update_status(node | {"status": status})
            await self._api.create(self._lease(node))
        self._task = asyncio.get_running_loop().create_task(self._beat_for_ever())

    async def stop(self) -> None:
        """Stop renewing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _beat_for_ever(self) -> None:
        while True:
            if self._api_up:
                for name in self._roles:
                    await self._beat(name)
            timer = asyncio.get_running_loop().call_later(self._pause(), self._beat_now.set)
            await self._beat_now.wait()
            timer.cancel()
            self._beat_now.clear()

    def _pause(self) -> float:
        """Return seconds to the next beat, or to the moment when a silent node is given up."""
        now, grace = asyncio.get_running_loop().time(), self._clock.real_seconds(_GRACE)
        left = [since + grace - now for since in self._silent_since.values()]
        return min([_BEAT_SECONDS, *(max(seconds, 0.01) for seconds in left if seconds > 0)])

    async def _beat(self, name: str) -> None:
        node = await self._api.find("Node", None, name)
        if node is None:
            return
        if self._running[name]:
            await self._renew(node)
            await self._set_ready(node, "True", "KubeletReady", "kubelet is posting ready status")
            return
        silent = asyncio.get_running_loop().time() - self._silent_since[name]
        if silent >= self._clock.real_seconds(_GRACE):
            await self._set_ready(node, "Unknown", "NodeStatusUnknown", _SILENT)

    async def _renew(self, node: Object) -> None:
        lease = await self._api.find("Lease", _NAMESPACE, node["metadata"]["name"])
        if lease is None:
            await self._api.create(self._lease(node))
            return
        lease["spec"]["renewTime"] = micro_timestamp(self._clock.now())
        await self._api.update(lease)

    async def _set_ready(self, node: Object, value: str, reason: str, words: str) -> None:
        if value == "True" and has_condition(node, "Ready"):
            return
        status = clone(node["status"])
        set_condition(status, "Ready", value, self._clock.now(), reason, words)
        if value == "True":
            _stamp(status, timestamp(self._clock.now()))
        if status != node["status"]:
            await self._api.update_status(node | {"status": status})

    def _node(self, name: str, role: str) -> Object:
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": "k3s",
        }
        if role == "server":
            labels["node-role.kubernetes.io/control-plane"] = "true"
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"providerID": f"k3s://{name}"},
        }

    def _status(self, name: str) -> Object:
        now = self._clock.now()
        status: Object = {
            "addresses": [
                {"type": "InternalIP", "address": self.address(name)},
                {"type": "Hostname", "address": name},
            ],
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "lab",
                "containerRuntimeVersion": "containerd://1.7.23-k3s2",
                "kernelVersion": "6.1.0",
                "kubeProxyVersion": KUBELET_VERSION,
                "kubeletVersion": KUBELET_VERSION,
                "machineID": "lab",
                "operatingSystem": "linux",
                "osImage": "Debian GNU/Linux 12 (bookworm)",
                "systemUUID": "lab",
            },
        }
        words = "kubelet is posting ready status"
        set_condition(status, "Ready", "True", now, "KubeletReady", words)
        _stamp(status, timestamp(now))
        return status

    def _lease(self, node: Object) -> Object:
        name = node["metadata"]["name"]
        owner = {key: node["metadata"][key] for key in ("name", "uid")}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": _NAMESPACE,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node"} | owner],
            },
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": 40,
                "renewTime": micro_timestamp(self._clock.now()),
            },
        }


def _stamp(status: Object, now: str) -> None:
    for condition in status["conditions"]:
        condition["lastHeartbeatTime"] = now
