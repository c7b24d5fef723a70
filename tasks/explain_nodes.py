"""What a site's nodes show of an image: their machines, the way to the registry, a pull tried."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from pydantic import SecretStr

from clients.edge_node import EdgeNode
from fleet.errors import FleetError
from fleet.explain_commands import Commands
from fleet.explain_facts import NodeSeen, Pull, Seen, Unread, secret_of
from fleet.explain_files import NodeFiles
from fleet.host_errors import PortClosedError
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.restarts import restart_order
from tasks.hosts import look_at_nodes
from tasks.sessions import SiteSession

_AT_ONCE = 8
_SECONDS_TO_CONNECT = 5.0
_SECONDS_TO_PULL = 600.0


def look_at_machines(session: SiteSession, login_server: str) -> tuple[NodeSeen, ...]:
    """Return every node's machine; the kubeconfigs that were found are kept for the session."""
    found = look_at_nodes(session, restart_order(session.site), login_server)
    known = [facts for facts in found.values() if isinstance(facts, NodeFacts)]
    session.kubeconfigs = {facts.node: facts.kubeconfig for facts in known}
    return tuple(
        NodeSeen(
            node=node,
            facts=facts if isinstance(facts, NodeFacts) else Unread(why=str(facts)),
        )
        for node, facts in found.items()
    )


def try_pulls(session: SiteSession, seen: Seen, *, pull: bool) -> Seen:
    """Return what was seen with what each node does to get the image, all nodes at once."""

    def look(node: NodeSeen) -> NodeSeen:
        return _look(session.nodes[node.node.name], seen, node, pull)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return seen.model_copy(update={"nodes": tuple(pool.map(look, seen.nodes))})


def _look(node: EdgeNode, seen: Seen, shown: NodeSeen, pull: bool) -> NodeSeen:
    if isinstance(shown.facts, Unread):
        return shown
    try:
        facts = shown.facts
        if seen.endpoint is not None:
            facts = node.read_facts(seen.login_server, seen.endpoint.host)
        unit = node.distribution.unit_of(shown.node.role)
        shown = shown.model_copy(update={"facts": facts, "journal": _journal(node, facts, unit)})
        if seen.endpoint is not None:
            shown = shown.model_copy(update=_reach(node, seen, shown, facts, seen.endpoint))
        if not facts.services[unit].is_running:
            return shown
        pulls = _pull(node, seen) if pull else {}
        name = seen.image.under(seen.login_server)
        traces = node.read_pull_traces(facts.data_dir, unit, name)
        kept = tuple(line for line in traces.log if _is_about(seen.image.repository, line))
        return shown.model_copy(update={**pulls, "cached": traces.cached, "log": kept})
    except FleetError as error:
        return shown.model_copy(update={"facts": Unread(why=str(error))})


def _is_about(repository: str, line: str) -> bool:
    """Return whether a line of containerd's log is about an image, or about none that it names."""
    return repository in line or not any(word in line for word in ("/manifests/", "/blobs/"))


def _journal(node: EdgeNode, facts: NodeFacts, unit: str) -> str:
    if facts.services[unit].is_running or not facts.services[unit].exists:
        return ""
    return node.read_journal(unit)


def _reach(
    node: EdgeNode, seen: Seen, shown: NodeSeen, facts: NodeFacts, endpoint: SiteEndpoint
) -> Mapping[str, object]:
    """Return whether the node reaches the registry, and which endpoints before it are dead."""
    commands = Commands(seen.site, seen.registry, seen.fleet_file)
    files = NodeFiles(seen, shown, facts, commands)
    others = {
        url: urlsplit(url)
        for name in (seen.login_server, endpoint.host)
        for url in files.before_ours(name)
    }
    dead = {
        url: why
        for url, parts in others.items()
        if (why := _closed(node, parts.hostname or "", parts.port or _usual(parts.scheme)))
    }
    return {"closed": _closed(node, endpoint.address, endpoint.port), "dead": dead}


def _usual(scheme: str) -> int:
    return 80 if scheme == "http" else 443


def _closed(node: EdgeNode, address: str, port: int) -> str:
    try:
        node.host.probe(address, port, _SECONDS_TO_CONNECT)
    except PortClosedError as error:
        return str(error)
    return ""


def _pull(node: EdgeNode, seen: Seen) -> Mapping[str, Pull]:
    """Pull the image by the cloud's name and by the site's address, each on its own."""
    user, password = secret_of(seen.login)
    names = {"by_cloud": seen.image.under(seen.login_server)} if seen.login_server else {}
    if seen.endpoint is not None:
        names["by_site"] = seen.image.under(seen.endpoint.host)
    return {name: _try(node, image, user, password) for name, image in names.items()}


def _try(node: EdgeNode, image: str, user: str, password: SecretStr) -> Pull:
    try:
        (result,) = node.pull_images((image,), user, password, _SECONDS_TO_PULL)
    except FleetError as error:
        return Pull(name=image, ok=False, words=str(error))
    return Pull(name=image, ok=result.ok, words=result.words, seconds=result.seconds)
