"""What is known about one node's machine, as one look at it found."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from fleet.distributions import DISTRIBUTIONS, UNITS, Distribution, detect
from fleet.host_errors import CommandTimedOutError
from fleet.host_files import HostFile
from fleet.hosts_toml import folder_names
from fleet.restarts import ServiceState, parse_service
from fleet.script_output import as_bytes, as_number, as_time, as_version, below, last
from fleet.strict import Strict

_SECRETS = (
    re.compile(r"(?i)\b((?:[\w-]*(?:token|password|passwd|secret))[\"']?\s*[=:]\s*)\S+"),
    re.compile(r"\bK10[0-9a-f]{16,}::\S+"),
)
_FILE_KEYS = ("kind", "path", "backup", "text", "mtime")
_EMBEDDED = re.compile(r'^\[host\."https://127\.0\.0\.1:(6443|9345)/v2"\]', re.MULTILINE)


class CertsFolder(Strict):
    """A folder in certs.d. `header` is the first line of its hosts.toml, empty without such."""

    name: str
    header: str = ""


class DeadMan(Strict):
    """A timer of an earlier run that puts files back, still armed or fired but not cleaned up."""

    id: str
    armed_by: str = ""
    armed_at: datetime | None = None
    fired_at: datetime | None = None


class NodeFacts(Strict):
    """What one look at a node's machine found. Times are the host's own.

    Attributes:
        distribution: What was detected, whatever the fleet file says; None: nothing we know.
        versions: What the programs of distributions say of themselves, by distribution.
        version: The version of the fleet file's distribution.
        containerd: The version of its containerd.
        init: systemd, openrc, or empty for anything else.
        services: Every unit of every distribution.
        config_path: Where the containerd that runs looks for hosts.toml files, from its rendered
            configuration; None: it does not.
        config_version: The form of that configuration: 2 of containerd 1, 3 of containerd 2.
        config_modified: When that configuration was written.
        certs_d: The folder of hosts.toml files that was looked at.
        auth_hosts: Hosts for which the rendered configuration holds credentials.
        templates: The operator's templates for that configuration.
        registries: The registries file; on plain containerd without path.
        ca_file: The site registry's certificate authority on the node.
        hosts_files: The hosts.toml of our names, by folder name, missing ones too.
        certs_folders: Every folder in certs.d.
        settings: Options of the distribution that matter here; no secret is among them.
        modes: Mode and owner by path of files that exist, as `600 root:root`.
        has_crictl: Whether `crictl` is on root's PATH; K3s and RKE2 bring their own.
        pulls: Image downloads in progress; None: not known.
        kubeconfig: The administrator's, on a server.
    """

    node: str
    user: str
    now: datetime
    os: str
    arch: str
    distribution: str | None
    versions: dict[str, str]
    version: str | None
    containerd: str | None
    init: str
    services: dict[str, ServiceState]
    data_dir: str
    config_path: str | None
    config_version: int | None
    config_modified: datetime | None
    certs_d: str
    auth_hosts: frozenset[str]
    templates: tuple[str, ...]
    free_kb: int | None
    free_inodes: int | None
    registries: HostFile
    ca_file: HostFile
    hosts_files: dict[str, HostFile]
    certs_folders: tuple[CertsFolder, ...]
    settings: dict[str, str]
    modes: dict[str, str]
    selinux: str
    proxies: dict[str, str]
    pulls: int | None
    has_systemd_run: bool
    has_crictl: bool
    deadmen: tuple[DeadMan, ...]
    kubeconfig: SecretStr | None

    def knows(self, registry: str) -> bool:
        """Return whether a file of its containerd is about a registry of this name."""
        files = (self.hosts_files.get(name) for name in folder_names(registry))
        has_own = any(file is not None and file.content for file in files)
        return has_own or registry in (self.registries.content or "")

    @property
    def has_systemd(self) -> bool:
        """Return whether systemd runs the services."""
        return self.init == "systemd"

    @property
    def has_containerd_2(self) -> bool:
        """Return whether its containerd is 2.0 or newer; its rendered configuration tells, too."""
        if self.containerd is None:
            return (self.config_version or 0) >= 3
        return bool(re.match(r"v?[2-9]\.", self.containerd))

    @property
    def has_embedded_mirror(self) -> bool:
        """Return whether the nodes share images among themselves (Spegel inside K3s and RKE2).

        Agents are told by their server, so there only the rendered files show it.
        """
        rendered = (file.content or "" for file in self.hosts_files.values())
        return self.is_set("embedded-registry") or any(map(_EMBEDDED.search, rendered))

    def is_set(self, option: str) -> bool:
        """Return whether an option that is a flag is on."""
        return self.settings.get(option, "").lower() in ("true", "yes", "on", "1")


def parse_lines(output: str) -> dict[str, list[str]]:
    """Return the values of `key=value` lines, each key's in order."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        key, separator, value = line.partition("=")
        if separator:
            found.setdefault(key, []).append(value)
    return found


def parse_host_file(lines: Mapping[str, list[str]], prefix: str = "file") -> HostFile:
    """Return the file that the lines `PREFIX.*` describe."""
    told = {key: lines.get(f"{prefix}.{key}", [""])[-1] for key in _FILE_KEYS}
    kind, path, backup = told["kind"] or "absent", told["path"], told["backup"] or None
    if kind != "file":
        return HostFile(path=path, kind=kind, newest_backup=backup)
    data = as_bytes(told["text"])
    try:
        text = None if data is None else data.decode()
    except UnicodeDecodeError:
        text = None
    if data is None or text is None:
        return HostFile(path=path, kind="binary", newest_backup=backup)
    return HostFile(
        path=path,
        kind=kind,
        text=SecretStr(text),
        sha256=hashlib.sha256(data).hexdigest(),
        modified=as_time(told["mtime"]),
        newest_backup=backup,
    )


def parse_facts(
    node: str, output: str, distribution: Distribution = DISTRIBUTIONS["k3s"]
) -> NodeFacts:
    """Return the facts from the output of `clients.host_facts_script.READ_FACTS`.

    Args:
        node: The node's name, for messages.
        output: What the script said; a missing line is an unknown fact.
        distribution: The one whose places the script looked at.

    Raises:
        CommandTimedOutError: A program did not say its version in time: it is there, and nothing
            may be concluded from what it did not say.
    """
    lines = parse_lines(output)
    slow = last(lines, "slow")
    if slow:
        raise CommandTimedOutError(
            f"{node}: `{slow}` gave no answer within 15 s; the node is very busy, or its disk slow"
        )
    versions = _versions(lines)
    services = {unit: _service(unit, lines) for unit in UNITS}
    return NodeFacts(
        node=node,
        user=last(lines, "user"),
        now=as_time(last(lines, "now")) or datetime.fromtimestamp(0, UTC),
        os=last(lines, "os"),
        arch=last(lines, "arch"),
        distribution=detect(versions, services),
        versions=versions,
        version=versions.get(distribution.name),
        init="systemd" if last(lines, "systemd") else "openrc" if last(lines, "openrc") else "",
        services=services,
        data_dir=last(lines, "data_dir") or distribution.data_dir,
        templates=tuple(lines.get("template", ())),
        free_kb=as_number(last(lines, "free_kb")),
        free_inodes=as_number(last(lines, "free_inodes")),
        registries=parse_host_file(lines),
        settings=below("setting.", lines),
        selinux={"1": "enforcing", "0": "permissive"}.get(last(lines, "selinux"), "off"),
        proxies=below("proxy.", lines),
        has_systemd_run=bool(last(lines, "systemd_run")),
        has_crictl=bool(last(lines, "crictl")),
        deadmen=tuple(_dead_man(one, lines) for one in lines.get("deadman", ())),
        kubeconfig=_secret(last(lines, "kubeconfig")),
        **_parse_containerd(lines, versions, distribution),
    )


def _parse_containerd(
    lines: Mapping[str, list[str]], versions: Mapping[str, str], distribution: Distribution
) -> dict[str, Any]:
    own = distribution.name == "containerd"
    bundled = as_version(last(lines, "containerd"))
    containerd = versions.get("containerd") if own else bundled
    return {
        "containerd": containerd,
        "config_path": _config_path(lines, containerd, distribution),
        "config_version": as_number(last(lines, "config_version")),
        "config_modified": as_time(last(lines, "config_mtime")),
        "auth_hosts": frozenset(lines.get("auth_host", ())),
        "certs_d": last(lines, "certs_d")
        or distribution.below(distribution.data_dir, distribution.certs_d),
        "pulls": as_number(last(lines, "pulls")),
        "ca_file": parse_host_file(lines, "ca"),
        "hosts_files": {
            value[-1]: parse_host_file(lines, key.removesuffix(".folder"))
            for key, value in lines.items()
            if re.fullmatch(r"hosts\.\d+\.folder", key)
        },
        "certs_folders": tuple(
            CertsFolder(name=name, header=header)
            for header, _, name in (one.rpartition("|") for one in lines.get("certs", ()))
        ),
        "modes": {
            path: f"{mode} {owner}"
            for mode, owner, path in (
                (*one.split(" ", 2), "", "")[:3] for one in lines.get("mode", ())
            )
        },
    }


def _config_path(
    lines: Mapping[str, list[str]], containerd: str | None, distribution: Distribution
) -> str | None:
    """Return the first folder of containerd's list.

    Where its configuration could not be printed, containerd 2 looks in its usual place (edge-hosts
    3: plain containerd).
    """
    found = last(lines, "config_path").partition(":")[0]
    if found:
        return found
    if distribution.name != "containerd" or last(lines, "config_dump"):
        return None
    return distribution.certs_d if re.match(r"v?[2-9]\.", containerd or "") else None


def redact(log: str) -> str:
    """Return log lines without what looks like a token or password."""
    log = _SECRETS[1].sub("K10...", log)
    return _SECRETS[0].sub(r"\1...", log)


def _versions(lines: Mapping[str, list[str]]) -> dict[str, str]:
    found = below("version.", lines)
    read = {name: as_version(text) for name, text in found.items()}
    return {name: version for name, version in read.items() if version}


def _service(unit: str, lines: Mapping[str, list[str]]) -> ServiceState:
    return parse_service(unit, below(f"{unit}.", lines))


def _dead_man(name: str, lines: Mapping[str, list[str]]) -> DeadMan:
    return DeadMan(
        id=name,
        armed_by=last(lines, f"deadman.{name}.armed_by"),
        armed_at=as_time(last(lines, f"deadman.{name}.armed_at")),
        fired_at=as_time(last(lines, f"deadman.{name}.fired_at")),
    )


def _secret(text: str) -> SecretStr | None:
    data = as_bytes(text) if text else None
    return SecretStr(data.decode(errors="replace")) if data else None
