"""What is known about one node's machine, and what of it stands in the way."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from fleet.restarts import ServiceState, parse_service, unit_of
from fleet.sites import Node, Strict

_MIN_FREE_KB = 512 * 1024
_MAX_SKEW = timedelta(seconds=60)
_SECRETS = (
    re.compile(r"(?i)\b((?:[\w-]*(?:token|password|passwd|secret))[\"']?\s*[=:]\s*)\S+"),
    re.compile(r"\bK10[0-9a-f]{16,}::\S+"),
)


class HostFile(Strict):
    """A file on a host. `text` is secret because registries.yaml may hold passwords of others."""

    path: str
    kind: str = "absent"
    text: SecretStr | None = None
    sha256: str = "absent"
    modified: datetime | None = None
    newest_backup: str | None = None

    @property
    def content(self) -> str | None:
        """Return the text, or None when there is no file."""
        return None if self.text is None else self.text.get_secret_value()


class NodeFacts(Strict):
    """What one look at a node's machine found. Times are the host's own."""

    node: str
    user: str
    now: datetime
    os: str
    arch: str
    version: str | None
    has_systemd: bool
    services: dict[str, ServiceState]
    data_dir: str
    free_kb: int | None
    templates: tuple[str, ...]
    registries: HostFile


def sha256_of(text: str) -> str:
    """Return what `sha256sum` prints for a file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_lines(output: str) -> dict[str, list[str]]:
    """Return the values of `key=value` lines, each key's in order."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        key, separator, value = line.partition("=")
        if separator:
            found.setdefault(key, []).append(value)
    return found


def parse_host_file(lines: Mapping[str, list[str]]) -> HostFile:
    """Return the file that the lines `file.*` describe."""

    def last(key: str) -> str:
        return lines.get(f"file.{key}", [""])[-1]

    kind, path, backup = last("kind") or "other", last("path"), last("backup") or None
    if kind != "file":
        return HostFile(path=path, kind=kind, newest_backup=backup)
    try:
        data = base64.b64decode(last("text"), validate=True)
        text = data.decode()
    except (binascii.Error, UnicodeDecodeError):
        return HostFile(path=path, kind="binary", newest_backup=backup)
    return HostFile(
        path=path,
        kind=kind,
        text=SecretStr(text),
        sha256=hashlib.sha256(data).hexdigest(),
        modified=_time(last("mtime")),
        newest_backup=backup,
    )


def parse_facts(node: str, output: str) -> NodeFacts:
    """Return the facts from the output of `clients.host_scripts.READ_FACTS`."""
    lines = parse_lines(output)

    def last(key: str) -> str:
        return lines.get(key, [""])[-1].strip()

    free, version = last("free_kb"), re.search(r"\bv\d\S*", last("version"))
    return NodeFacts(
        node=node,
        user=last("user"),
        now=_time(last("now")) or datetime.fromtimestamp(0, UTC),
        os=last("os"),
        arch=last("arch"),
        version=version[0] if version else None,
        has_systemd=bool(last("systemd")),
        services={unit: _service(unit, lines) for unit in ("k3s", "k3s-agent")},
        data_dir=last("data_dir"),
        free_kb=int(free) if free.isdigit() else None,
        templates=tuple(lines.get("template", ())),
        registries=parse_host_file(lines),
    )


def find_obstacles(node: Node, facts: NodeFacts) -> Iterator[str]:
    """Yield what must be mended on the machine before anything is written to it."""
    if not facts.has_systemd:
        yield "systemd is missing; K3s is restarted through systemctl"
        return
    unit, other = unit_of(node), ("k3s-agent" if node.role == "server" else "k3s")
    if facts.version is None:
        yield "the program k3s was not found, or does not tell its version; install K3s"
    elif not facts.services[unit].exists and facts.services[other].exists:
        yield (
            f"the fleet file calls it {'a server' if node.role == 'server' else 'an agent'}, but "
            f"the host runs {other}; correct the role"
        )
    elif not facts.services[unit].exists:
        yield f"there is no unit {unit}; install K3s as a service"
    elif not facts.services[unit].is_running:
        yield f"{facts.services[unit]}; start it and see `journalctl -u {unit}`{_backup(facts)}"
    yield from _file_obstacles(facts.registries)
    if facts.free_kb is not None and facts.free_kb < _MIN_FREE_KB:
        yield f"only {facts.free_kb // 1024} MiB are free below {facts.data_dir}; free 512 MiB"


def _backup(facts: NodeFacts) -> str:
    backup = facts.registries.newest_backup
    return f" (the last backup of its registries file is {backup})" if backup else ""


def _file_obstacles(file: HostFile) -> Iterator[str]:
    if not re.fullmatch(r"/[^\n]*/[^/\n]+", file.path):
        yield f"private-registry in K3s's configuration is not an absolute path: {file.path!r}"
    elif file.kind == "link":
        yield (
            f"{file.path} is a symbolic link, so something else manages it; add the mirror there, "
            "or make it a regular file"
        )
    elif file.kind == "binary":
        yield f"{file.path} is not UTF-8 text; K3s cannot read it"
    elif file.kind not in ("file", "absent"):
        yield f"{file.path} is not a regular file"


def find_warnings(node: Node, facts: NodeFacts, now: datetime) -> Iterator[str]:
    """Yield what an operator should know about the machine, though it stops nothing.

    Args:
        node: The node in the fleet file.
        facts: What was found.
        now: Our own time, aware, when the facts were read.
    """
    other = "k3s-agent" if node.role == "server" else "k3s"
    if facts.services[other].enabled == "enabled":
        yield f"the unit {other} is enabled too; both cannot run, disable it (k3s-ansible#504)"
    skew = abs(facts.now - now)
    if skew > _MAX_SKEW:
        yield f"the clock is {skew.total_seconds():.0f} s off; tokens and certificates may fail"
    for template in facts.templates:
        yield f"{template} replaces K3s's containerd configuration; check that it keeps config_path"
    yield from _version_warnings(facts.version)


def _version_warnings(version: str | None) -> Iterator[str]:
    match = re.match(r"v1\.(\d+)\.(\d+)", version or "")
    if not match:
        return
    minor, patch = int(match[1]), int(match[2])
    for first, (low, high), effect in _LANDMINES:
        if minor == first and low <= patch <= high:
            yield f"K3s {version}: {effect}"
    if minor < 26:
        yield f"K3s {version}: {_INLINE}"


_INLINE = "mirrors are written into containerd's main configuration (k3s#8972); upgrade if you can"
_DEFAULT = "a mirror that lists the default endpoint breaks hosts.toml (k3s#9341); upgrade"
_LANDMINES: tuple[tuple[int, tuple[int, int], str], ...] = (
    (26, (0, 12), _INLINE),
    (27, (0, 9), _INLINE),
    (28, (0, 5), _INLINE),
    (29, (0, 0), _INLINE),
    (27, (10, 10), "endpoints that are bare host names are broken (k3s#9322); upgrade"),
    (27, (11, 11), _DEFAULT),
    (28, (7, 7), _DEFAULT),
    (29, (3, 3), "TLS settings without a mirror are ignored (k3s#9839); upgrade"),
)


def redact(log: str) -> str:
    """Return log lines without what looks like a token or password."""
    log = _SECRETS[1].sub("K10...", log)
    return _SECRETS[0].sub(r"\1...", log)


def _service(unit: str, lines: Mapping[str, list[str]]) -> ServiceState:
    prefix = f"{unit}."
    found = {
        key[len(prefix) :]: value[-1] for key, value in lines.items() if key.startswith(prefix)
    }
    return parse_service(unit, found)


def _time(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if text.isdigit() else None
