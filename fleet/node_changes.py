"""What has to be done on one node, decided before anything is done on any."""

from fleet.node_facts import HostFile, NodeFacts, sha256_of
from fleet.registries_yaml import RegistriesPlan, merge
from fleet.restarts import ServiceState, missed_restart, unit_of
from fleet.sites import Node, Strict


class NodeChange(Strict):
    """The change of one node's registries file and service; the text is secret in `file` only."""

    node: Node
    file: HostFile
    service: ServiceState
    wanted_sha256: str
    restart: str = ""

    @property
    def must_write(self) -> bool:
        """Return whether the file differs from what it should be."""
        return self.file.sha256 != self.wanted_sha256

    @property
    def unit(self) -> str:
        """Return the unit to restart."""
        return self.service.unit


def plan_change(node: Node, facts: NodeFacts, plan: RegistriesPlan) -> NodeChange:
    """Return what to do on a node.

    Raises:
        HostFileInvalidError: The node's file is not safe to merge into.
    """
    service, file = facts.services[unit_of(node)], facts.registries
    wanted = sha256_of(wanted_text(facts.node, file, plan))
    restart = ""
    if wanted != file.sha256:
        restart = f"{file.path} changes"
    elif missed_restart(service, file.modified):
        restart = f"{file.path} was written after {service.unit} started"
    elif not service.is_running:
        restart = str(service)
    return NodeChange(node=node, file=file, service=service, wanted_sha256=wanted, restart=restart)


def wanted_text(name: str, file: HostFile, plan: RegistriesPlan) -> str:
    """Return the content that a node's registries file should have.

    Raises:
        HostFileInvalidError: The file is not safe to merge into.
    """
    return merge(file.content, plan, f"{name}: {file.path}")
