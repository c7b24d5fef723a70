"""What `acrfleet inspect` shows of a node: what was found, and what follows from it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from fleet.distributions import DISTRIBUTIONS
from fleet.host_errors import HostFileInvalidError
from fleet.host_files import HostFile
from fleet.node_checks import find_notes, find_obstacles, find_warnings
from fleet.node_facts import NodeFacts
from fleet.registries_yaml import check
from fleet.sites import Host, Node, Site
from fleet.strict import Strict

COLUMNS = ("node", "role", "runs", "containerd", "service", "a change needs", "free", "clock")


class NodeReport(Strict):
    """One node of a site; without facts it could not be looked at, and `obstacles` says why.

    Secrets in the facts stay secret: printed or dumped, they are asterisks.
    """

    site: str
    node: str
    role: str
    facts: NodeFacts | None = None
    obstacles: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    clock_skew_seconds: float | None = None


def inspect_node(site: Site, node: Node, facts: NodeFacts, now: datetime) -> NodeReport:
    """Return the report of a node that was looked at.

    Args:
        site: The node's site.
        node: The node in the fleet file.
        facts: What was found.
        now: Our own time, aware, when it was found.
    """
    problems = [*find_obstacles(site.host, node, facts), *_file_problems(site.host, facts)]
    return NodeReport(
        site=site.name,
        node=node.name,
        role=node.role,
        facts=facts,
        obstacles=tuple(problems),
        warnings=tuple(find_warnings(site.host, node, facts, now)),
        notes=tuple(find_notes(site.host, facts)),
        clock_skew_seconds=round((facts.now - now).total_seconds(), 1),
    )


def _file_problems(host: Host, facts: NodeFacts) -> tuple[str, ...]:
    if DISTRIBUTIONS[host.distribution].registries is None:
        return ()
    try:
        check(facts.registries.content, facts.registries.path)
    except HostFileInvalidError as error:
        return error.problems
    return ()


def summarise(report: NodeReport, host: Host) -> tuple[str, ...]:
    """Return a node's row, in the order of `COLUMNS`."""
    facts = report.facts
    if facts is None:
        return (report.node, report.role, "could not be looked at", *[""] * (len(COLUMNS) - 3))
    unit = DISTRIBUTIONS[host.distribution].unit_of(report.role)
    service = facts.services[unit]
    return (
        report.node,
        report.role,
        _runs(facts),
        facts.containerd or "unknown",
        f"{unit} {service.active} ({service.sub})" if service.exists else f"no {unit}",
        what_a_change_needs(facts),
        "unknown" if facts.free_kb is None else f"{facts.free_kb / 1024**2:.1f} GiB",
        _clock(report.clock_skew_seconds or 0.0),
    )


def _clock(skew: float) -> str:
    """Say how far the clock is off; the host's seconds are whole, and the answer takes a while."""
    return "in step" if abs(skew) < 10 else f"{skew:+.0f} s"


def _runs(facts: NodeFacts) -> str:
    if facts.distribution is None:
        return "nothing we know"
    return f"{facts.distribution} {facts.versions.get(facts.distribution, '')}".strip()


def what_a_change_needs(facts: NodeFacts) -> str:
    """Return in two words whether a change of mirrors restarts the node."""
    if facts.has_embedded_mirror or facts.config_path is None:
        return "a restart"
    return "no restart"


def group_findings(reports: Sequence[NodeReport]) -> Iterator[tuple[str, str, str]]:
    """Yield (obstacle, warning or note; nodes; text), what is the same on several nodes once."""
    for kind in ("obstacle", "warning", "note"):
        nodes: dict[str, list[str]] = {}
        for report in reports:
            found = {
                "obstacle": report.obstacles,
                "warning": report.warnings,
                "note": report.notes,
            }
            for text in found[kind]:
                nodes.setdefault(text, []).append(report.node)
        for text, names in nodes.items():
            yield kind, ", ".join(names), text


def facts_in_words(facts: NodeFacts) -> Iterator[tuple[str, str]]:
    """Yield (what, how it is) for everything else that was found."""
    yield "system", f"{facts.os or 'unknown'}, {facts.arch or 'unknown'}, {facts.init or 'no init'}"
    yield "login", facts.user
    yield "data folder", facts.data_dir
    yield "registries file", _file(facts, facts.registries)
    yield "containerd looks in", facts.config_path or "its own configuration only"
    yield "certs.d", _certs(facts) or "empty"
    for name, value in facts.settings.items():
        yield f"option {name}", value
    for template in facts.templates:
        yield "template", template
    yield "inodes free", "unknown" if facts.free_inodes is None else str(facts.free_inodes)
    yield "SELinux", facts.selinux
    for name, value in facts.proxies.items():
        yield name, value
    yield "pulls in progress", "unknown" if facts.pulls is None else str(facts.pulls)
    yield "undo after a lost run", "systemd-run" if facts.has_systemd_run else "a process"
    yield "kubeconfig", f"{len(facts.kubeconfig)} characters" if facts.kubeconfig else "none"


def _file(facts: NodeFacts, file: HostFile) -> str:
    if file.kind == "absent":
        return f"{file.path}: not there" if file.path else "none"
    when = f", {file.modified:%Y-%m-%d %H:%M:%S} UTC" if file.modified else ""
    mode = facts.modes.get(file.path)
    return f"{file.path}: {file.kind}{when}{f', {mode}' if mode else ''}"


def _certs(facts: NodeFacts) -> str:
    folders = sorted(facts.certs_folders, key=lambda one: one.name)
    return ", ".join(f"{one.name} ({_writer(one.header)})" for one in folders)


def _writer(header: str) -> str:
    if not header:
        return "no hosts.toml"
    for one in DISTRIBUTIONS.values():
        if header == one.header:
            return f"by {one.title if one.registries else 'acrfleet'}"
    return "by others"
