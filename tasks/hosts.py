"""Steps on a site's nodes: look at them all, then tell each where images come from."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from prefect import task

from fleet.distributions import DISTRIBUTIONS
from fleet.errors import FleetError, TemporaryError
from fleet.holds import NodeBusyError, WindowClosedError
from fleet.host_errors import (
    HostFileChangedError,
    HostFileInvalidError,
    HostsNotReadyError,
    HostsUnreachableError,
    RestartFailedError,
    RestartForbiddenError,
    RollbackFailedError,
    UnfinishedChangeError,
)
from fleet.hosts_toml import folder_names
from fleet.node_changes import NodeChange, plan_change
from fleet.node_checks import find_obstacles, find_warnings
from fleet.node_facts import NodeFacts
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.registries_yaml import RegistriesPlan, check
from fleet.restarts import restart_order
from fleet.sites import Host, Node
from tasks.node_restarts import change_node
from tasks.policy import READ, WAIT, WRITE
from tasks.restart_gate import await_quiet, refuse_restart_now
from tasks.run_log import say, warn
from tasks.unproven_changes import PlanNode, look_at, runs_well, settle, undo_all
from tasks.waiting import finishing, pause

if TYPE_CHECKING:
    from tasks.sessions import SiteSession

_NODES_AT_ONCE = 8


@task(name="check the nodes", task_run_name="check the nodes of {session.site.name}", **READ)
def check_nodes(session: "SiteSession", login_server: str = "") -> tuple[NodeFacts, ...]:
    """Look at every node and return the facts, or everything that stands in the way.

    Nothing is changed. Clock skew, risky versions and the like are warned about.

    Args:
        session: The site.
        login_server: The cloud registry's name, so that its files are looked at too; empty: not
            known yet.

    Raises:
        HostsNotReadyError: All problems of all nodes, each with what to do.
        HostsUnreachableError: Some nodes could not be looked at; worth another try.
    """
    return _judged(session, look_at_nodes(session, restart_order(session.site), login_server))


@task(name="prepare the nodes", task_run_name="prepare the nodes of {session.site.name}", **WRITE)
def prepare_nodes(
    session: "SiteSession", login_server: str = "", endpoint_host: str = ""
) -> tuple[NodeFacts, ...]:
    """Do as `check_nodes`, but first undo unproven changes of earlier runs that broke a service.

    For runs that change nodes and have the site to themselves: a run that was killed may have left
    a service that does not come up, and with it the cluster. Others wait for `configure_nodes`,
    which knows whether they are what is wanted.

    Args:
        session: The site.
        login_server: The cloud registry's name, so that its files are looked at too.
        endpoint_host: Where the site's registry was last seen, for the same reason; saves later
            steps another look.

    Raises:
        RollbackFailedError: A service does not come back with the old files.
        HostsNotReadyError, HostsUnreachableError: As `check_nodes`.
    """
    found = look_at_nodes(session, restart_order(session.site), login_server, endpoint_host)
    for node, facts in found.items():
        if isinstance(facts, NodeFacts) and facts.deadmen and not runs_well(session, node, facts):
            undo_all(session, node, facts)
            found |= look_at_nodes(session, [node], login_server, endpoint_host)
    return _judged(session, found)


def _judged(
    session: "SiteSession", found: dict[Node, NodeFacts | FleetError]
) -> tuple[NodeFacts, ...]:
    problems, unreachable = [], []
    for node, facts in found.items():
        if isinstance(facts, TemporaryError):
            unreachable.append(str(facts))
        elif isinstance(facts, FleetError):
            problems.append(str(facts))
        else:
            problems += find_problems(session.site.host, node, facts)
            for warning in find_warnings(session.site.host, node, facts, datetime.now(UTC)):
                warn(f"{facts.node}: {warning}")
    if problems:
        raise HostsNotReadyError([*problems, *unreachable])
    refuse_silent_nodes(found)
    known = tuple(facts for facts in found.values() if isinstance(facts, NodeFacts))
    session.kubeconfigs = {facts.node: facts.kubeconfig for facts in known}
    return known


@task(
    name="configure the nodes", task_run_name="configure the nodes of {session.site.name}", **WAIT
)
def configure_nodes(
    session: "SiteSession",
    endpoint: SiteEndpoint,
    login_server: str,
    facts: Sequence[NodeFacts] = (),
    ca: str | None = None,
) -> tuple[Outcome, ...]:
    """Make every node pull through the site's registry, servers first, one node at a time.

    All nodes are planned before the first is written; what an earlier run left unproven is undone
    before that. A node whose files are right is left alone; one whose restart has to wait is left
    alone too, and `session.held` says until when. Where containerd reads hosts.toml on
    each pull, files change without a restart; else the service is restarted and proven healthy
    before the next node. What is not proven is undone, by us or by the node's own dead-man.

    Args:
        session: The site.
        endpoint: Where its registry answers.
        login_server: The cloud registry's name, under which pods name their images.
        facts: What `check_nodes` found in this run; nodes it says too little of are read again.
        ca: PEM of the authority that the registry's certificate is verified with; none: as usual.

    Raises:
        HostFileInvalidError: Files that would not be read as meant; nothing was written.
        RestartForbiddenError: A restart is due that the fleet file forbids; nothing was written.
        HostFileChangedError: Somebody else writes a file too; worth another try.
        DeadManFiredError: The proof came too late and the node went back; worth another try.
        RestartFailedError: A service did not come back with the new files and runs with the old.
        RollbackFailedError: It came back with neither.
    """
    plan = RegistriesPlan(login_server=login_server, endpoint=endpoint, ca=ca)
    changes = plan_nodes(session, plan, facts)
    outcomes = []
    for number, change in enumerate(changes):
        session.held.pop(change.node.name, None)
        try:
            outcomes.append(_outcome(session, change_unless_stopped(session, change, plan)))
        except (WindowClosedError, NodeBusyError) as error:
            session.held[change.node.name] = error
            warn(str(error))
        except (RestartFailedError, RollbackFailedError) as error:
            raise type(error)(_with_others(str(error), changes, number)) from error
    return tuple(outcomes)


def _with_others(words: str, changes: Sequence[NodeChange], failed: int) -> str:
    """Return what went wrong on one node, and how that leaves the site's other nodes."""
    done = [change.node.name for change in changes[:failed]]
    untouched = [change.node.name for change in changes[failed + 1 :]]
    has, was = ("has" if len(done) == 1 else "have"), ("was" if len(untouched) == 1 else "were")
    parts = [f"{', '.join(done)} {has} the new files"] * bool(done)
    parts += [f"{', '.join(untouched)} {was} not touched"] * bool(untouched)
    first, _, rest = words.partition("\n")
    return "\n".join(filter(None, (first, "; ".join(parts) + "." * bool(parts), rest)))


def look_at_nodes(
    session: "SiteSession", nodes: Sequence[Node], login_server: str = "", endpoint_host: str = ""
) -> dict[Node, NodeFacts | FleetError]:
    """Return each node's facts, or why it could not be looked at; all at once."""

    def look(node: Node) -> NodeFacts | FleetError:
        try:
            return session.nodes[node.name].read_facts(login_server, endpoint_host)
        except FleetError as error:
            return error

    with ThreadPoolExecutor(_NODES_AT_ONCE) as pool:
        return dict(zip(nodes, pool.map(look, nodes), strict=True))


def refuse_silent_nodes(found: Mapping[Node, NodeFacts | FleetError]) -> None:
    """Refuse to go on where some nodes could not be looked at.

    Raises:
        HostsUnreachableError: It tells them apart from a site of which no node answers.
    """
    silent = [str(one) for one in found.values() if isinstance(one, TemporaryError)]
    if silent:
        raise HostsUnreachableError("\n".join(silent), are_all=len(silent) == len(found))


def find_problems(host: Host, node: Node, facts: NodeFacts) -> list[str]:
    """Return what stands in the way on a node, each with the node's name."""
    problems = [f"{facts.node}: {problem}." for problem in find_obstacles(host, node, facts)]
    return problems + _invalid(
        partial(check, facts.registries.content, f"{facts.node}: {facts.registries.path}")
    )


def _invalid(step: Callable[[], object]) -> list[str]:
    try:
        step()
    except HostFileInvalidError as error:
        return list(error.problems)
    return []


def plan_nodes(
    session: "SiteSession",
    plan: RegistriesPlan,
    known: Sequence[NodeFacts] = (),
    plan_node: PlanNode = plan_change,
) -> list[NodeChange]:
    """Return the changes of all nodes in the order of the work, or all that forbids them.

    What an earlier run left unproven on a node is proven or undone here, before it is planned.
    """
    host, problems, forbidden = session.site.host, list[str](), list[str]()
    changes = []
    for node, facts in _facts_for(session, plan, known, plan_node).items():
        try:
            changes.append(plan_node(host, node, facts, plan))
        except HostFileInvalidError as error:
            problems += error.problems
        except RestartForbiddenError as error:
            forbidden.append(str(error))
    if problems:
        raise HostFileInvalidError(problems)
    if forbidden:
        raise RestartForbiddenError("\n".join(forbidden))
    return changes


def _facts_for(
    session: "SiteSession", plan: RegistriesPlan, known: Sequence[NodeFacts], plan_node: PlanNode
) -> dict[Node, NodeFacts]:
    """Return the facts of all nodes in the order of the work, read anew only where they must be."""
    nodes = restart_order(session.site)
    found = {node: one for node in nodes for one in known if one.node == node.name}
    found = {node: one for node, one in found.items() if tells_enough(one, plan)}
    missing = [node for node in nodes if node not in found]
    looked = look_at_nodes(session, missing, plan.login_server, plan.endpoint.host)
    for node, facts in looked.items():
        found[node] = settle(session, node, facts, plan, plan_node)
    return {node: found[node] for node in nodes}


def tells_enough(facts: NodeFacts, plan: RegistriesPlan) -> bool:
    """Return whether the facts hold every file that the plan is about, and nothing is left over."""
    there = {folder.name for folder in facts.certs_folders}
    names = (*folder_names(plan.login_server), *folder_names(plan.endpoint.host))
    ca_file = DISTRIBUTIONS[facts.distribution or "k3s"].ca_file(plan.login_server)
    return (
        not facts.deadmen
        and all(name in facts.hosts_files or name not in there for name in names)
        and (plan.ca is None or facts.ca_file.path == ca_file)
    )


def change_unless_stopped(
    session: "SiteSession",
    change: NodeChange,
    plan: RegistriesPlan,
    plan_node: PlanNode = plan_change,
) -> NodeChange:
    """Stop between two nodes, never between a node's new files and the proof of them.

    Raises:
        WindowClosedError, NodeBusyError: The node needs a restart that may not begin now; nothing
            was written.
    """
    pause(0)
    if change.restart:
        await_quiet(session, change)
    with finishing():
        return _change(session, change, plan, plan_node)


def _change(
    session: "SiteSession", change: NodeChange, plan: RegistriesPlan, plan_node: PlanNode
) -> NodeChange:
    """Change one node; where something moved since it was looked at, look again, once."""
    if change.must_write or change.restart:
        try:
            change_node(session, change)
        except (HostFileChangedError, UnfinishedChangeError) as error:
            say(f"looking at {change.node.name} again: {error}")
            seen = look_at(session, change.node, plan)
            facts = settle(session, change.node, seen, plan, plan_node)
            change = plan_node(session.site.host, change.node, facts, plan)
            if change.restart:
                refuse_restart_now(session, change)
            if change.must_write or change.restart:
                change_node(session, change)
    return change


def _outcome(session: "SiteSession", change: NodeChange) -> Outcome:
    new = all(file.before.kind == "absent" for file in change.due)
    action, detail = Action.CHANGED, f"{change.unit} restarted: {change.restart}"
    if not change.restart:
        detail = f"no restart: {change.without_restart}"
    if not change.must_write and not change.restart:
        action = Action.UNCHANGED
    elif change.must_write and new:
        action = Action.CREATED
    what = "registries.yaml" if change.distribution.registries else "hosts.toml"
    return Outcome(
        kind=f"{what} on",
        name=f"{session.site.name}/{change.node.name}",
        action=action,
        detail=detail if action is not Action.UNCHANGED else "",
    )
