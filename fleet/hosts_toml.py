"""hosts.toml: the file that containerd reads on each pull, written as K3s renders it.

K3s writes one such file per registry when it starts, from registries.yaml. What is written here
from the same registries.yaml is that text, so that K3s finds its own file when it starts again.
One line is ours: a short dial timeout for the site's registry, which registries.yaml cannot
express. containerd waits 30 s for an address that does not answer; before 2.1 it ignores the line.
"""

import json
import tomllib
from typing import Any

from fleet.registries_endpoints import Endpoint, Sources

DIAL_TIMEOUT = '  dial_timeout = "2s"'


def render(sources: Sources, header: str, *, trimmed: bool, our_url: str | None = None) -> str:
    """Return the text of a hosts.toml.

    K3s with containerd 2 removes empty lines and puts one before each table; with containerd 1 it
    leaves its template's gaps [k3s pkg/agent/templates `HostsTomlTemplate`, `trimEmpty`].

    Args:
        sources: Where the host's images come from.
        header: The first line.
        trimmed: Whether to lay the file out as K3s does with containerd 2.
        our_url: The endpoint that gets the dial timeout, as rendered (`.../v2`); None: none.
    """
    lines = [header]
    default = sources.default
    if default:
        lines += ["", f'server = "{default.url}"', 'capabilities = ["pull", "resolve", "push"]']
        lines += [line.strip() for line in _details(default, is_default=True)]
    lines += ["", "[host]"]
    for endpoint in sources.endpoints:
        lines += [f'[host."{endpoint.url}"]', '  capabilities = ["pull", "resolve"]']
        lines += _details(endpoint)
        lines += [DIAL_TIMEOUT] if endpoint.url == our_url else []
        lines += [""] if endpoint.tls else []
    text = "\n".join(lines) + "\n"
    return _trim(text) if trimmed else text


def _details(endpoint: Endpoint, *, is_default: bool = False) -> list[str]:
    lines = ["  override_path = true"] if endpoint.override_path and not is_default else []
    tls = endpoint.tls
    if tls is None:
        return lines
    if tls.ca_file:
        lines.append(f"  ca = [{_quoted(tls.ca_file)}]")
    if tls.cert_file or tls.key_file:
        lines.append(f"  client = [[{_quoted(tls.cert_file)}, {_quoted(tls.key_file)}]]")
    if tls.skip_verify:
        lines.append("  skip_verify = true")
    return lines


def _trim(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "".join(f"\n{line}\n" if line.startswith("[") else f"{line}\n" for line in lines)


def means_the_same(
    one: str | None, other: str | None, ignored: frozenset[str] = frozenset()
) -> bool:
    """Return whether containerd does the same with two files, dial timeouts apart.

    Layout is not compared: K3s has changed it between versions. The order of endpoints is.

    Args:
        one: A file's text; None: there is no file.
        other: The other's.
        ignored: Endpoint URLs that do not count, in either.
    """
    if one is None or other is None:
        return one is other
    return _meaning(one, ignored) == _meaning(other, ignored)


def _meaning(text: str, ignored: frozenset[str]) -> object:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return text
    hosts = content.pop("host", {})
    if not isinstance(hosts, dict):
        return text
    tables = [(url, _settings(table, "server")) for url, table in hosts.items()]
    return _settings(content), [(url, table) for url, table in tables if url not in ignored]


def _settings(table: Any, *more: str) -> object:
    """Leave out what changes nothing: timeouts, and the `server` that some K3s put into [host]."""
    if not isinstance(table, dict):
        return table
    return {key: value for key, value in table.items() if key not in ("dial_timeout", *more)}


def header_of(text: str | None) -> str:
    """Return a file's first line, which says whose it is; empty without a file."""
    return (text or "").partition("\n")[0].rstrip("\r")


def folder_names(name: str) -> tuple[str, ...]:
    """Return the folders in which containerd looks for a host, in its order [docs/hosts.md]."""
    host, colon, port = name.rpartition(":")
    return (f"{host}_{port}_", name) if colon else (name,)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
