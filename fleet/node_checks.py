"""What of a node's facts stands in the way of a change, or should be known before it."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from fleet.distributions import DISTRIBUTIONS, Distribution
from fleet.host_files import HostFile
from fleet.node_facts import NodeFacts
from fleet.sites import Host, Node
from fleet.version_table import Row, applies, rows_for
from fleet.yaml_nodes import YamlError, parse, plain

_MIN_FREE_KB = 512 * 1024
_MIN_FREE_INODES = 1000
_MAX_SKEW = timedelta(seconds=60)
_NO_CERTS_D = (
    "containerd {version} reads no certs.d: its configuration has no config_path. Add\n"
    "    [plugins.'io.containerd.{table}'.registry]\n"
    "      config_path = '{path}'\n"
    "to /etc/containerd/config.toml (to the table that is there, if there is one, and without "
    "`mirrors` beside it) and run `systemctl restart containerd` once; later changes need none"
)


def find_obstacles(host: Host, node: Node, facts: NodeFacts) -> Iterator[str]:
    """Yield what must be mended on the machine before anything is written to it.

    Args:
        host: What the fleet file says of the site's nodes.
        node: The node in the fleet file.
        facts: What was found.
    """
    distribution = DISTRIBUTIONS[host.distribution]
    if not facts.has_systemd:
        yield f"systemd is missing; {distribution.title} is restarted through systemctl"
        return
    yield from _service_obstacles(node, facts, distribution)
    if distribution.registries:
        yield from _file_obstacles(facts.registries, distribution)
    yield from _containerd_obstacles(facts, distribution)
    if distribution.crictl == ("crictl",) and not facts.has_crictl:
        yield (
            "the program crictl was not found, and pulls are proven with it, through CRI as the "
            "kubelet's are; install cri-tools (a package of the Kubernetes repositories, or "
            "https://github.com/kubernetes-sigs/cri-tools/releases) into /usr/local/bin"
        )
    for row in _rows(facts, distribution):
        if row.verdict == "refuse":
            yield _say(row, facts, distribution)
    if facts.free_kb is not None and facts.free_kb < _MIN_FREE_KB:
        yield f"only {facts.free_kb // 1024} MiB are free below {facts.data_dir}; free 512 MiB"


def _service_obstacles(node: Node, facts: NodeFacts, distribution: Distribution) -> Iterator[str]:
    unit, title = distribution.unit_of(node.role), distribution.title
    other = distribution.other_unit(node.role)
    if facts.distribution not in (None, distribution.name):
        yield _other_distribution(facts, distribution)
    elif facts.version is None:
        yield (
            f"the program {distribution.name} was not found, or does not tell its version; install "
            f"{title}"
        )
    elif other and facts.services[other].is_running and not facts.services[unit].is_running:
        yield (
            f"the fleet file calls it {'a server' if node.role == 'server' else 'an agent'}, but "
            f"the host runs {other}; correct the role"
        )
    elif not facts.services[unit].exists:
        yield f"there is no unit {unit}; install {title} as a service"
    elif not facts.services[unit].is_running:
        yield f"{facts.services[unit]}; start it and see `journalctl -u {unit}`{_backup(facts)}"


def _other_distribution(facts: NodeFacts, expected: Distribution) -> str:
    found = DISTRIBUTIONS[facts.distribution or ""]
    running = next((str(s) for s in map(facts.services.get, found.units.values()) if s), "")
    version = facts.versions.get(found.name, "of unknown version")
    return (
        f"the fleet file says that it is {expected.title} (host.distribution: {expected.name}), "
        f"but the host has {found.title} {version}{running and f' ({running})'}; write "
        f"host.distribution: {found.name} for the site"
    )


def _containerd_obstacles(facts: NodeFacts, distribution: Distribution) -> Iterator[str]:
    if facts.config_path is not None:
        return
    if distribution.registries is None and facts.containerd:
        table = "cri.v1.images" if facts.has_containerd_2 else "grpc.v1.cri"
        yield _NO_CERTS_D.format(version=facts.containerd, table=table, path=distribution.certs_d)
    rows = rows_for(distribution.name, facts.version or "")
    if facts.templates and facts.config_modified and all(row.certs_d for row in rows):
        path = f"{facts.data_dir}/{distribution.certs_d}"
        yield (
            f"{facts.templates[0]} leaves config_path out of containerd's configuration, so no "
            f'mirror works; add `config_path = "{path}"` to its table of registries, or start it '
            f'with `{{{{ template "base" . }}}}`, and restart {distribution.title}'
        )


def _rows(facts: NodeFacts, distribution: Distribution) -> Iterator[Row]:
    """Yield what the version table says of the node with its present registries file."""
    try:
        registries = plain(parse((facts.registries.content or "").removeprefix("\ufeff")))
    except YamlError:
        registries = None  # `fleet.registries_yaml.check` says what is wrong with it
    found = list(rows_for(distribution.name, facts.version or ""))
    found += rows_for("k0s", facts.versions.get("k0s", ""))
    yield from (row for row in found if applies(row, registries))


def _say(row: Row, facts: NodeFacts, distribution: Distribution) -> str:
    k0s = "k0s" in row.distributions
    name = "k0s" if k0s else distribution.title
    version = facts.versions["k0s"] if k0s else facts.version
    return f"{name} {version}: {row.effect} ({row.source})"


def _backup(facts: NodeFacts) -> str:
    backup = facts.registries.newest_backup
    return f" (the last backup of its registries file is {backup})" if backup else ""


def _file_obstacles(file: HostFile, distribution: Distribution) -> Iterator[str]:
    if not re.fullmatch(r"/[^\n]*/[^/\n]+", file.path):
        yield (
            f"private-registry in {distribution.title}'s configuration is not an absolute path: "
            f"{file.path!r}"
        )
    elif file.kind == "link":
        yield (
            f"{file.path} is a symbolic link, so something else manages it; add the mirror there, "
            "or make it a regular file"
        )
    elif file.kind == "binary":
        yield f"{file.path} is not UTF-8 text; {distribution.title} cannot read it"
    elif file.kind not in ("file", "absent"):
        yield f"{file.path} is not a regular file"


def find_warnings(host: Host, node: Node, facts: NodeFacts, now: datetime) -> Iterator[str]:
    """Yield what an operator should know about the machine, though it stops nothing.

    Args:
        host: What the fleet file says of the site's nodes.
        node: The node in the fleet file.
        facts: What was found.
        now: Our own time, aware, when the facts were read.
    """
    distribution = DISTRIBUTIONS[host.distribution]
    other = distribution.other_unit(node.role)
    if other and facts.services[other].enabled == "enabled":
        yield f"the unit {other} is enabled too; both cannot run, disable it (k3s-ansible#504)"
    skew = abs(facts.now - now)
    if skew > _MAX_SKEW:
        yield f"the clock is {skew.total_seconds():.0f} s off; tokens and certificates may fail"
    for template in facts.templates:
        yield (
            f"{template} replaces {distribution.title}'s containerd configuration; check that it "
            "keeps config_path"
        )
    for row in _rows(facts, distribution):
        if row.verdict == "warn":
            yield _say(row, facts, distribution)
    yield from _network_warnings(facts)
    yield from _left_over_warnings(facts)


def find_notes(host: Host, facts: NodeFacts) -> Iterator[str]:
    """Yield what is good to know of the machine's version, without anything to do about it."""
    distribution = DISTRIBUTIONS[host.distribution]
    for row in _rows(facts, distribution):
        if row.verdict == "note":
            yield _say(row, facts, distribution)


def _network_warnings(facts: NodeFacts) -> Iterator[str]:
    proxied = [name for name in facts.proxies if name.endswith(("HTTP_PROXY", "HTTPS_PROXY"))]
    if proxied and not any(name.endswith("NO_PROXY") for name in facts.proxies):
        yield (
            f"{', '.join(sorted(proxied))} is set without NO_PROXY, so containerd asks the proxy "
            "for the site's registry; add the site's addresses and service CIDR to NO_PROXY"
        )
    if facts.is_set("disable-kube-proxy"):
        yield (
            "kube-proxy is disabled; a cluster address answers on the node only if its "
            "replacement serves the host too"
        )
    if facts.has_embedded_mirror:
        yield (
            "the embedded mirror is on: nodes share the registry's images among themselves, "
            "without asking for credentials, and mirrors change at a restart only"
        )


def _left_over_warnings(facts: NodeFacts) -> Iterator[str]:
    for one in facts.deadmen:
        when = f" of {one.armed_at:%Y-%m-%d %H:%M:%S} UTC" if one.armed_at else ""
        if one.fired_at:
            yield (
                f"the host undid a change{when} that nobody confirmed, but could not finish; see "
                f"/var/lib/acrfleet/deadman-{one.id} and `journalctl -t acrfleet`"
            )
        else:
            yield (
                f"a change{when} was never confirmed (dead-man {one.id}); the host undoes it when "
                "its time is over, or the next run does"
            )
    if facts.free_inodes is not None and facts.free_inodes < _MIN_FREE_INODES:
        yield f"only {facts.free_inodes} inodes are free below {facts.data_dir}"
