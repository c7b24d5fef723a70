"""Steps on a site's nodes: look at them all, then bring registries.yaml onto each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from prefect import task

from fleet.errors import (
    FleetError,
    HostFileInvalidError,
    HostsNotReadyError,
    HostsUnreachableError,
    TemporaryError,
)
from fleet.node_changes import NodeChange, plan_change, wanted_text
from fleet.node_facts import NodeFacts, find_obstacles, find_warnings
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.registries_yaml import RegistriesPlan, check
from fleet.restarts import restart_order
from fleet.sites import Node
from tasks.node_restarts import restart_node, roll_back
from tasks.policy import READ, WAIT
from tasks.run_log import say, warn
from tasks.waiting import finishing, pause

if TYPE_CHECKING:
    from tasks.sessions import SiteSession

_NODES_AT_ONCE = 8
T = TypeVar("T")


@task(name="check the nodes", task_run_name="check the nodes of {session.site.name}", **READ)
def check_nodes(session: "SiteSession") -> tuple[NodeFacts, ...]:
    """Look at every node and return the facts, or everything that stands in the way.

    Nothing is changed. Clock skew, risky K3s versions and the like are warned about.

    Raises:
        HostsNotReadyError: All problems of all nodes, each with what to do.
        HostsUnreachableError: Some nodes could not be looked at; worth another try.
    """
    found = _look_at_all(session)
    problems, unreachable = [], []
    for node, facts in found.items():
        if isinstance(facts, TemporaryError):
            unreachable.append(str(facts))
        elif isinstance(facts, FleetError):
            problems.append(str(facts))
        else:
            problems += _problems(node, facts)
            for warning in find_warnings(node, facts, datetime.now(UTC)):
                warn(f"{facts.node}: {warning}")
    if problems:
        raise HostsNotReadyError([*problems, *unreachable])
    if unreachable:
        raise HostsUnreachableError("\n".join(unreachable))
    return tuple(facts for facts in found.values() if isinstance(facts, NodeFacts))


@task(
    name="configure the nodes", task_run_name="configure the nodes of {session.site.name}", **WAIT
)
def configure_nodes(
    session: "SiteSession", endpoint: SiteEndpoint, login_server: str
) -> tuple[Outcome, ...]:
    """Make every node pull through the site's registry, servers first, one node at a time.

    All nodes are read and planned before the first is written. A node whose file is right and was
    read by its K3s is left alone. After a change K3s is restarted and proven healthy before the
    next node; if it does not come back, the old file is restored.

    Raises:
        HostFileInvalidError: Files that K3s would not read as meant; nothing was written.
        HostFileChangedError: Somebody else writes the file too; worth another try.
        RestartFailedError: K3s did not come back with the new file and runs with the old one.
        RollbackFailedError: K3s came back with neither.
    """
    plan = RegistriesPlan(login_server=login_server, endpoint=endpoint)
    changes = _plan_all(session, plan)
    return tuple(_apply_unless_stopped(session, change, plan) for change in changes)


def _look_at_all(session: "SiteSession") -> dict[Node, NodeFacts | FleetError]:
    def look(node: Node) -> NodeFacts | FleetError:
        try:
            return session.nodes[node.name].read_facts()
        except FleetError as error:
            return error

    nodes = restart_order(session.site)
    with ThreadPoolExecutor(_NODES_AT_ONCE) as pool:
        return dict(zip(nodes, pool.map(look, nodes), strict=True))


def _problems(node: Node, facts: NodeFacts) -> list[str]:
    problems = [f"{facts.node}: {problem}." for problem in find_obstacles(node, facts)]
    return problems + _invalid(
        partial(check, facts.registries.content, f"{facts.node}: {facts.registries.path}")
    )


def _invalid(step: Callable[[], object]) -> list[str]:
    try:
        step()
    except HostFileInvalidError as error:
        return list(error.problems)
    return []


def _plan_all(session: "SiteSession", plan: RegistriesPlan) -> list[NodeChange]:
    found = _look_at_all(session)
    for facts in found.values():
        if isinstance(facts, FleetError):
            raise facts
    pairs = [(node, facts) for node, facts in found.items() if isinstance(facts, NodeFacts)]
    problems = [
        problem
        for _, facts in pairs
        for problem in _invalid(partial(wanted_text, facts.node, facts.registries, plan))
    ]
    if problems:
        raise HostFileInvalidError(problems)
    return [plan_change(node, facts, plan) for node, facts in pairs]


def _apply_unless_stopped(
    session: "SiteSession", change: NodeChange, plan: RegistriesPlan
) -> Outcome:
    """Stop between two nodes, never between a node's new file and the proof that K3s took it."""
    pause(0)
    with finishing():
        return _apply(session, change, plan)


def _apply(session: "SiteSession", change: NodeChange, plan: RegistriesPlan) -> Outcome:
    name = f"{session.site.name}/{change.node.name}"
    if not change.restart:
        return Outcome(kind="registries.yaml on", name=name, action=Action.UNCHANGED)
    node, action = session.nodes[change.node.name], Action.CHANGED
    if change.must_write:
        text = wanted_text(node.name, change.file, plan)
        backup = node.write_registries(change.file.path, text, change.file.sha256)
        action = Action.CHANGED if backup else Action.CREATED
        say(
            f"{change.node.name}: wrote {change.file.path}"
            + (f", backup {backup}" if backup else "")
        )
    say(f"{change.node.name}: restarting {change.unit}, because {change.restart}")
    verdict = restart_node(session, change)
    if not verdict.is_healthy:
        roll_back(session, change, plan, verdict)
    say(f"{change.node.name}: {verdict.reason}")
    return Outcome(
        kind="registries.yaml on", name=name, action=action, detail=f"{change.unit} restarted"
    )
