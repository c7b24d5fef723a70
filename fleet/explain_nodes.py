"""The rungs on each node: its service, its disk and clock, its files, the port, the pull."""

from collections.abc import Iterator
from datetime import timedelta

from fleet.distributions import DISTRIBUTIONS
from fleet.explain_commands import Commands, in_turn, quoted
from fleet.explain_facts import AzureSeen, NodeSeen, Pull, Seen, Unread
from fleet.explain_files import NodeFiles
from fleet.explain_verdicts import (
    Cause,
    CauseName,
    Step,
    Steps,
    failed,
    passed,
    softened,
    unknown,
    warned,
)
from fleet.node_checks import find_obstacles
from fleet.node_facts import NodeFacts
from fleet.verification import explain_pull_failure

_REACHED, _SERVICE, _ROOM = "node reached", "node's service runs", "node has room"
_CLOCK, _FILES, _PORT = "node's clock", "node's mirrors", "port reached from the node"
_SITE, _CLOUD = "pull by the site's address", "pull by the cloud's name"
_FIRST = "no dead endpoint first"
_MIN_FREE_KB, _MIN_INODES = 512 * 1024, 1000
_SKEW, _MUCH_SKEW = timedelta(seconds=60), timedelta(minutes=5)
_SLOW = 20.0
_UNDATED = ("not yet valid", "has expired")


def climb_machine(seen: Seen, node: NodeSeen, commands: Commands) -> Steps:
    """Yield whether a node's machine is fit to pull at all."""
    name, facts = node.node.name, node.facts
    if isinstance(facts, Unread):
        yield unknown(_REACHED, facts.why, name)
        for rung in (_SERVICE, _ROOM, _CLOCK):
            yield unknown(rung, "the node was not reached", name)
        return
    yield passed(_REACHED, "", name)
    yield _service(seen, node, facts, commands)
    yield _room(node, facts, commands)
    yield _clock(seen, node, facts, commands)


def _service(seen: Seen, node: NodeSeen, facts: NodeFacts, commands: Commands) -> Step:
    name = node.node.name
    service = facts.services[DISTRIBUTIONS[seen.site.host.distribution].unit_of(node.node.role)]
    files = NodeFiles(seen, node, facts, commands)
    why = files.unreadable()
    fatal = tuple(line for line in node.journal.splitlines() if "level=fatal" in line)[-1:]
    if service.is_running:
        if why:
            return warned(_SERVICE, f"it runs, but will not start again: {why}", name)
        return passed(_SERVICE, str(service), name)
    if why:
        return failed(_SERVICE, files.broken_registries(why, (str(service), *fatal)), name)
    last = fatal or tuple(node.journal.splitlines()[-1:])
    return failed(
        _SERVICE,
        Cause(
            name=CauseName.SERVICE_DOWN,
            sentence=f"{service.unit} does not run on {name}, so nothing can pull there.",
            evidence=(str(service), *last),
            first=f"If it does not come up, see `journalctl -u {service.unit}` there:",
            command=commands.on_node(node.node, commands.restart(node.node)),
        ),
        name,
    )


def _room(node: NodeSeen, facts: NodeFacts, commands: Commands) -> Step:
    name, free, inodes = node.node.name, facts.free_kb, facts.free_inodes
    told = any("no space left on device" in one.words for one in node.pulls)
    full = free is not None and free < _MIN_FREE_KB
    if told or full or (inodes is not None and inodes < _MIN_INODES):
        return failed(_ROOM, _disk(node, facts, commands), name)
    return passed(_ROOM, "" if free is None else f"{free / 1024**2:.1f} GiB free", name)


def _disk(node: NodeSeen, facts: NodeFacts, commands: Commands) -> Cause:
    distribution = DISTRIBUTIONS[facts.distribution or "k3s"]
    found = (
        None if facts.free_kb is None else f"{facts.free_kb // 1024} MiB free",
        None if facts.free_inodes is None else f"{facts.free_inodes} inodes free",
    )
    return Cause(
        name=CauseName.NODE_DISK,
        sentence=f"The disk of {node.node.name} below {facts.data_dir} is full, so no image fits.",
        evidence=tuple(one for one in found if one),
        first="This removes images that no pod uses; if that is not enough, free space there:",
        command=commands.on_node(node.node, f"{' '.join(distribution.crictl)} rmi --prune"),
    )


def _clock(seen: Seen, node: NodeSeen, facts: NodeFacts, commands: Commands) -> Step:
    name = node.node.name
    if not isinstance(seen.azure, AzureSeen):
        return unknown(_CLOCK, "Azure's clock is not known", name)
    skew = facts.now - seen.azure.now
    if abs(skew) <= _SKEW:
        return passed(_CLOCK, "in step", name)
    words = f"it is {skew.total_seconds():+.0f} s off Azure's"
    told = any(sign in one.words for one in node.pulls for sign in _UNDATED)
    if not told or abs(skew) < _MUCH_SKEW:
        return warned(_CLOCK, words, name)
    return failed(
        _CLOCK,
        Cause(
            name=CauseName.NODE_CLOCK,
            sentence=f"The clock of {name} is wrong, so it takes good certificates for bad ones.",
            evidence=(words,),
            command=commands.on_node(node.node, "timedatectl set-ntp true"),
        ),
        name,
    )


def climb_pull(seen: Seen, node: NodeSeen, commands: Commands) -> Steps:
    """Yield whether a node knows its site's registry, reaches it, and pulls from it."""
    name, facts = node.node.name, node.facts
    if isinstance(facts, Unread):
        for rung in (_FILES, _PORT, _SITE, _CLOUD):
            yield unknown(rung, "the node was not reached", name)
        return
    files = NodeFiles(seen, node, facts, commands)
    yield from _files(seen, node, facts, files, commands)
    yield _port(seen, node, commands)
    for rung, pull in ((_SITE, node.by_site), (_CLOUD, node.by_cloud)):
        yield _pull(seen, node, rung, pull, commands)
    yield from _dead(seen, node, files, commands)


def _files(
    seen: Seen, node: NodeSeen, facts: NodeFacts, files: NodeFiles, commands: Commands
) -> Iterator[Step]:
    name = node.node.name
    certs = [
        one for one in find_obstacles(seen.site.host, node.node, facts) if "config_path" in one
    ]
    if certs:
        step = failed(_FILES, _no_certs(node, facts, certs[0], commands), name)
        yield softened(step, _works(node)) if node.works else step
        return
    found = list(files.find())
    for cause in found:
        step = failed(_FILES, cause, name)
        lasting = cause.name is CauseName.SERVED_BY_CLOUD or not node.works
        yield step if lasting else softened(step, _works(node))
    if not found and seen.endpoint is None:
        yield unknown(_FILES, "where the site's registry answers is not known", name)
    elif not found:
        yield passed(_FILES, "", name)


def _works(node: NodeSeen) -> str:
    return f"pulls on {node.node.name} work all the same"


def _no_certs(node: NodeSeen, facts: NodeFacts, words: str, commands: Commands) -> Cause:
    file = facts.templates[0] if facts.templates else "/etc/containerd/config.toml"
    restart = commands.on_node(node.node, commands.restart(node.node))
    return Cause(
        name=CauseName.CERTS_D,
        sentence=f"containerd on {node.node.name} reads no mirrors: its configuration lacks"
        " config_path.",
        evidence=tuple(words.splitlines()),
        first="Write into it what is said above:",
        command=in_turn(commands.edit(node.node, file), restart),
    )


def _port(seen: Seen, node: NodeSeen, commands: Commands) -> Step:
    name, endpoint = node.node.name, seen.endpoint
    if node.closed is None or endpoint is None:
        return unknown(_PORT, "where the site's registry answers is not known", name)
    if not node.closed:
        return passed(_PORT, endpoint.host, name)
    rules = f"sh -c {quoted(f'iptables-save | grep -e {endpoint.address} -e DROP -e REJECT')}"
    return failed(
        _PORT,
        Cause(
            name=CauseName.PORT_CLOSED,
            sentence=f"{name} does not reach the site's registry at {endpoint.host}.",
            evidence=(node.closed, *node.log[-1:]),
            first="A firewall on the node, or kube-proxy, which the node's service starts anew "
            f"with `{commands.restart(node.node)}`; these are the rules:",
            command=commands.on_node(node.node, rules),
        ),
        name,
    )


def _pull(seen: Seen, node: NodeSeen, rung: str, pull: Pull | None, commands: Commands) -> Step:
    name = node.node.name
    if pull is None:
        return unknown(rung, "not tried", name)
    if pull.ok:
        return passed(rung, f"{pull.name} in {pull.seconds:.1f} s", name)
    usual = explain_pull_failure(pull.words)
    return failed(
        rung,
        Cause(
            name=CauseName.UNKNOWN_FAILURE,
            sentence=f"{name} cannot pull {pull.name}"
            + (f"; usually: {usual}." if usual else ", and everything below it looks right."),
            evidence=(pull.words, *node.log[-3:]),
            first="What containerd logged of it:",
            command=commands.on_node(node.node, _log(seen, node)),
        ),
        name,
    )


def _log(seen: Seen, node: NodeSeen) -> str:
    mine = DISTRIBUTIONS[seen.site.host.distribution]
    data = node.facts.data_dir if isinstance(node.facts, NodeFacts) else mine.data_dir
    if mine.containerd_log:
        return quoted("tail", "-n", "50", mine.below(data, mine.containerd_log))
    return quoted("journalctl", "-u", mine.unit_of(node.node.role), "-n", "50", "--no-pager")


def _dead(seen: Seen, node: NodeSeen, files: NodeFiles, commands: Commands) -> Iterator[Step]:
    """Yield endpoints that take no connection and stand before the site's registry."""
    pull, name = node.by_cloud, node.node.name
    names = filter(None, (seen.login_server, seen.endpoint.host if seen.endpoint else ""))
    first = [
        url for one in names for url in dict.fromkeys(files.before_ours(one)) if url in node.dead
    ]
    if not first:
        return
    took = f"the pull took {pull.seconds:.0f} s" if pull else "the pull was not tried"
    yield failed(
        _FIRST,
        Cause(
            name=CauseName.DEAD_ENDPOINT,
            sentence=f"{name} tries {first[0]} before the site's registry, and nothing answers"
            " there: each pull waits up to 30 s for it.",
            evidence=(node.dead[first[0]], took),
            first="This puts the site's registry first, with a short dial timeout; take the dead "
            "endpoint out of the registries file, too:",
            command=commands.onboard(),
        ),
        name,
    )
