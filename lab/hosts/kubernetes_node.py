"""Kubernetes on a host: its distribution's files, services, programs and images, put together."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.clock import Clock
from lab.faults import Fault
from lab.hosts.changes import Changes
from lab.hosts.containerd_node import ContainerdNode
from lab.hosts.crictl import Crictl
from lab.hosts.ctr import Ctr
from lab.hosts.distributions import Distribution
from lab.hosts.http_exchange import Network
from lab.hosts.image_names import Image
from lab.hosts.image_pull import ImagePuller
from lab.hosts.journal import Journal
from lab.hosts.k3s_node import K3sNode
from lab.hosts.node import Node
from lab.hosts.node_service import NodeService
from lab.hosts.programs import Programs


@dataclass(frozen=True)
class NodeParts:
    """What a node shares with its host."""

    root: Path
    clock: Clock
    journal: Journal
    changes: Changes
    network: Network
    take_faults: Callable[[str], list[Fault]]
    report: Callable[[str, str], None]


class KubernetesNode:
    """The node of one host.

    Attributes:
        services: The distribution's services by unit name, the main one first.
        main: The one that a registries change restarts.
        files: The distribution's files.
    """

    def __init__(
        self, distribution: Distribution, parts: NodeParts, restart_seconds: float
    ) -> None:
        """Make a node whose services do not run yet."""
        self.distribution = distribution
        self.files = _files(distribution, parts)
        self.services = {
            unit.name: NodeService(
                unit,
                clock=parts.clock,
                journal=parts.journal,
                read_configuration=self.files.start if number == 0 else list,
                restart_seconds=restart_seconds,
            )
            for number, unit in enumerate(distribution.units)
        }
        self.main = self.services[distribution.units[0].name]
        self._puller = ImagePuller(parts.network, self.files.log_containerd)
        self._listeners: list[Callable[[bool], None]] = []
        self._was_running = False
        self.programs = self._make_programs(parts)
        for service in self.services.values():
            service.on_running.append(self._tell)

    @property
    def is_running(self) -> bool:
        """Return whether all its services run."""
        return all(service.is_running for service in self.services.values())

    @property
    def images(self) -> dict[str, Image]:
        """Return the images on the node by reference."""
        return self._puller.images

    def on_running(self, callback: Callable[[bool], None]) -> None:
        """Call back when the node begins to run (True) or ends (False), and once now."""
        self._listeners.append(callback)
        callback(self.is_running)

    async def boot(self) -> None:
        """Start the services as a machine's boot does."""
        for service in self.services.values():
            await service.boot()

    async def stop(self) -> None:
        """Stop the services, the last first."""
        for service in reversed(self.services.values()):
            await service.stop()

    def _make_programs(self, parts: NodeParts) -> Programs:
        crictl = Crictl(parts.root, self.distribution, parts.clock, self.files, self._puller)
        crictl.take_faults = parts.take_faults
        crictl.on_new_image = partial(parts.report, "pull")
        ctr = Ctr(parts.root, self.distribution, self._puller, crictl.pulls)
        self.main.on_running.append(crictl.set_running)
        self.main.on_running.append(ctr.set_running)
        return Programs(self.distribution, crictl, ctr)

    def _tell(self, _: bool) -> None:
        if self.is_running != self._was_running:
            self._was_running = self.is_running
            for listener in self._listeners:
                listener(self._was_running)


def _files(distribution: Distribution, parts: NodeParts) -> Node:
    shared = (parts.root, distribution, parts.changes, parts.take_faults)
    if distribution.kind == "containerd":
        return ContainerdNode(*shared, parts.journal)
    return K3sNode(*shared)
