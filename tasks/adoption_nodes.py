"""What an adoption has to know of a site's nodes, read once and planned without a write."""

from dataclasses import dataclass
from typing import Any

from prefect import task

from fleet.adoption import Finding
from fleet.adoption_nodes import file_logins, node_findings, node_obstacle
from fleet.adoption_pulls import HeldPassword
from fleet.errors import FleetError
from fleet.host_errors import HostFileInvalidError
from fleet.node_changes import plan_change
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.registries_yaml import RegistriesPlan
from fleet.restarts import restart_order
from fleet.sites import Node
from tasks.hosts import find_problems, look_at_nodes
from tasks.policy import READ
from tasks.sessions import SiteSession
from tasks.site_certificates import look_at_ca


@dataclass(frozen=True)
class NodesView:
    """What was found on the nodes of a site: facts, or why a node could not be looked at."""

    found: dict[Node, NodeFacts | FleetError]

    @property
    def logins(self) -> tuple[HeldPassword, ...]:
        """Return the logins that registries files hold."""
        return tuple(
            HeldPassword(where=f"{facts.registries.path} on {node.name}", user=user, value=password)
            for node, facts in self.found.items()
            if isinstance(facts, NodeFacts)
            for user, password in file_logins(facts.registries.content)
        )

    def findings_for(
        self, session: SiteSession, endpoint: SiteEndpoint, login_server: str
    ) -> tuple[Finding, ...]:
        """Return what an adoption does on every node, or what stands in the way there."""
        ca = look_at_ca(session)
        plan = RegistriesPlan(login_server=login_server, endpoint=endpoint, ca=ca)
        found = look_at_nodes(session, restart_order(session.site), login_server, endpoint.host)
        return tuple(
            finding
            for node, facts in found.items()
            for finding in _plan_node(session, node, facts, plan)
        )


@task(name="look at the nodes", task_run_name="look at the nodes of {session.site.name}", **READ)
def view_nodes(session: SiteSession, login_server: str) -> NodesView:
    """Look at every node; one that can't be reached is an obstacle, not an end.

    The kubeconfigs that were found are kept for the session.
    """
    found = look_at_nodes(session, restart_order(session.site), login_server)
    known: list[Any] = [facts for facts in found.values() if isinstance(facts, NodeFacts)]
    session.kubeconfigs = {facts.node: facts.kubeconfig for facts in known}
    return NodesView(found)


def _plan_node(
    session: SiteSession, node: Node, facts: NodeFacts | FleetError, plan: RegistriesPlan
) -> list[Finding]:
    if isinstance(facts, FleetError):
        return [node_obstacle(node.name, str(facts))]
    problems = find_problems(session.site.host, node, facts)
    if problems:
        return [node_obstacle(node.name, problem) for problem in problems]
    try:
        return list(node_findings(plan_change(session.site.host, node, facts, plan)))
    except HostFileInvalidError as error:
        return [node_obstacle(node.name, problem) for problem in error.problems]
    except FleetError as error:
        return [node_obstacle(node.name, str(error))]
