"""What an earlier run has changed on a node and not proven: proven now, or undone."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.distributions import DISTRIBUTIONS
from fleet.errors import FleetError
from fleet.node_changes import NodeChange
from fleet.node_facts import NodeFacts
from fleet.registries_yaml import RegistriesPlan
from fleet.sites import Host, Node
from tasks.node_restarts import take_over_change, undo_change
from tasks.waiting import finishing

if TYPE_CHECKING:
    from tasks.sessions import SiteSession

PlanNode = Callable[[Host, Node, NodeFacts, RegistriesPlan], NodeChange]


def settle(
    session: "SiteSession",
    node: Node,
    facts: NodeFacts | FleetError,
    plan: RegistriesPlan,
    plan_node: PlanNode,
) -> NodeFacts:
    """Prove or undo what an earlier run left unproven, and return the facts after it.

    Args:
        session: The site.
        node: The node.
        facts: What was found there, or why it could not be looked at, which is raised.
        plan: What the files shall say.
        plan_node: Decides from facts and plan what is left to do.

    Raises:
        RollbackFailedError: A service does not come back with the old files.
        HostFileRefusedError: Not everything could be undone.
    """
    if isinstance(facts, FleetError):
        raise facts
    if not facts.deadmen:
        return facts
    with finishing():
        if _takes_over(session, node, facts, plan, plan_node):
            return facts.model_copy(update={"deadmen": ()})
        undo_all(session, node, facts)
    return look_at(session, node, plan)


def _takes_over(
    session: "SiteSession",
    node: Node,
    facts: NodeFacts,
    plan: RegistriesPlan,
    plan_node: PlanNode,
) -> bool:
    """Prove an earlier run's change where nothing is left to do; return whether that worked.

    So runs that are killed again and again get on, and a service is not restarted for nothing.
    """
    try:
        change = plan_node(session.site.host, node, facts, plan)
    except FleetError:
        return False
    if change.due or change.restart or len(facts.deadmen) != 1:
        return False
    return take_over_change(session, node, change.unit, facts.deadmen[0].id)


def runs_well(session: "SiteSession", node: Node, facts: NodeFacts) -> bool:
    """Return whether a node's service is up and has not crashed since it was started."""
    service = facts.services[_unit_of(session, node)]
    return service.is_running and not service.crashes


def _unit_of(session: "SiteSession", node: Node) -> str:
    return DISTRIBUTIONS[session.site.host.distribution].unit_of(node.role)


def undo_all(session: "SiteSession", node: Node, facts: NodeFacts) -> None:
    """Undo every unproven change on a node, and prove that its service runs after it."""
    with finishing():
        for deadman in facts.deadmen:
            undo_change(session, node, _unit_of(session, node), deadman.id)


def look_at(session: "SiteSession", node: Node, plan: RegistriesPlan) -> NodeFacts:
    """Return what is found on a node now."""
    return session.nodes[node.name].read_facts(plan.login_server, plan.endpoint.host)
