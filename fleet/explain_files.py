"""What is wrong with the files of a node that say where images come from, if anything is.

Each finding names one cause of facts/edge-hosts.md §6.2b. They are tried in the order in which
containerd would stumble over them.
"""

import tomllib
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

from fleet.distributions import DISTRIBUTIONS
from fleet.explain_commands import Commands, in_turn, quoted
from fleet.explain_facts import NodeSeen, Seen
from fleet.explain_verdicts import Cause, CauseName
from fleet.host_errors import HostFileInvalidError
from fleet.host_files import HostFile
from fleet.hosts_toml import folder_names, header_of
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.registries_endpoints import hosts_with_auth, read_sources
from fleet.registries_yaml import RegistriesPlan, check
from fleet.yaml_nodes import YamlError, entries, find, line_of, parse

_CLUSTER_NAMES = (".svc", ".svc.cluster.local", ".cluster.local")


class NodeFiles:
    """The files of one node, as containerd and its distribution read them."""

    def __init__(self, seen: Seen, node: NodeSeen, facts: NodeFacts, commands: Commands) -> None:
        """Take what was seen of the node."""
        self._seen, self._node, self._facts, self._commands = seen, node.node, facts, commands
        self._distribution = DISTRIBUTIONS[seen.site.host.distribution]
        self._text = (facts.registries.content or "").removeprefix("\ufeff")

    def unreadable(self) -> str:
        """Return why the registries file is no YAML, with its line; empty: it is."""
        if self._distribution.registries is None:
            return ""
        try:
            parse(self._text)
        except YamlError as problem:
            line = f"line {problem.line}: " if problem.line else ""
            return f"{self._facts.registries.path}: {line}{problem.what}"
        return ""

    def broken_registries(self, why: str, evidence: tuple[str, ...]) -> Cause:
        """Return the cause of a registries file that the distribution dies of."""
        path, backup = self._facts.registries.path, self._facts.registries.newest_backup
        commands, restart = self._commands, self._commands.restart(self._node)
        title = self._distribution.title
        if backup:
            first = f"This puts back {backup}, the last that acrfleet kept:"
            mend = commands.all_on_node(self._node, quoted("cp", backup, path), restart)
        else:
            first = "Mend the line; there is no backup:"
            edit = commands.edit(self._node, path)
            mend = in_turn(edit, commands.on_node(self._node, restart))
        return Cause(
            name=CauseName.REGISTRIES_BROKEN,
            sentence=f"{title} on {self._node.name} cannot read its registries file, so it dies at"
            " each start.",
            evidence=(why, *evidence),
            first=first,
            command=mend,
        )

    def find(self) -> Iterator[Cause]:
        """Yield what is wrong, the most telling first."""
        yield from self._hosts_files()
        endpoint = self._seen.endpoint
        if self.unreadable() or endpoint is None:
            return
        yield from self._keys(endpoint)
        yield from self._endpoints(endpoint)
        yield from self._tls(endpoint)
        yield from self._logins(endpoint)
        yield from self._ca(endpoint)
        yield from self._missing(endpoint)

    def _names(self) -> tuple[str, ...]:
        endpoint = self._seen.endpoint
        return tuple(filter(None, (self._seen.login_server, endpoint.host if endpoint else "")))

    def _ours(self) -> Iterator[tuple[str, HostFile]]:
        for name in self._names():
            for folder in folder_names(name):
                file = self._facts.hosts_files.get(folder)
                if file and file.kind == "file":
                    yield name, file

    def _hosts_files(self) -> Iterator[Cause]:
        for _, file in self._ours():
            why = _toml_problem(file.content or "")
            if not why:
                continue
            kept = header_of(file.content) == self._distribution.header
            remove = self._commands.on_node(self._node, quoted("rm", file.path))
            onboard = self._commands.onboard()
            yield Cause(
                name=CauseName.HOSTS_FILE,
                sentence=f"containerd on {self._node.name} cannot read {file.path}.",
                evidence=(why,),
                first="It is written again from the registries file:",
                command=onboard if kept else in_turn(remove, onboard),
            )

    def _mirrors(self) -> Iterator[tuple[str, int]]:
        found = find(parse(self._text), "mirrors") if self._text.strip() else None
        for name, key, _ in entries(found[1]) if found else ():
            yield name, line_of(key)

    def _keys(self, endpoint: SiteEndpoint) -> Iterator[Cause]:
        mirrors = dict(self._mirrors())
        wrong = {
            endpoint.address: endpoint.host,
            f"{self._seen.login_server}:443": self._seen.login_server,
        }
        for name, right in wrong.items():
            if name in mirrors and right not in mirrors:
                yield Cause(
                    name=CauseName.KEY_WITHOUT_PORT,
                    sentence=f"The mirror {name} in the registries file of {self._node.name} serves"
                    f" no image: images are named {right}, and the port counts.",
                    evidence=(f"{self._facts.registries.path}:{mirrors[name]}",),
                    first=f"Rename it to {right}, then:",
                    command=in_turn(self._edit(mirrors[name]), self._commands.onboard()),
                )

    def _urls(self, name: str) -> tuple[str, ...]:
        """Return the endpoints of a name in containerd's order, the default one apart."""
        if self._facts.config_path is not None:
            for folder in folder_names(name):
                file = self._facts.hosts_files.get(folder)
                if file and file.kind == "file":
                    return tuple(_hosts(file.content or ""))
            return ()
        if self._distribution.registries is None:
            return ()
        found = read_sources(self._text, name) if self._reads() else None
        return tuple(one.url for one in found.endpoints) if found else ()

    def _reads(self) -> bool:
        try:
            check(self._text, "")
        except HostFileInvalidError:
            return False
        return True

    def before_ours(self, name: str) -> tuple[str, ...]:
        """Return the endpoints that containerd tries for a name before the site's registry."""
        endpoint, urls = self._seen.endpoint, self._urls(name)
        ours = f"{endpoint.url}/v2" if endpoint else ""
        return urls[: urls.index(ours)] if ours in urls else urls

    def _endpoints(self, endpoint: SiteEndpoint) -> Iterator[Cause]:
        for name in self._names():
            for url in self.before_ours(name):
                parts = urlsplit(url)
                if (parts.hostname or "").endswith(_CLUSTER_NAMES):
                    yield Cause(
                        name=CauseName.CLUSTER_NAME,
                        sentence=f"{self._node.name} is told to pull from {_host(parts)}, a name"
                        " that only pods can resolve.",
                        evidence=(f"mirror of {name}: {url}",),
                        first=f"This puts the address {endpoint.host} in front of it:",
                        command=self._commands.onboard(),
                    )
                elif parts.path not in ("", "/", "/v2"):
                    yield self._path(name, url, endpoint)

    def _path(self, name: str, url: str, endpoint: SiteEndpoint) -> Cause:
        parts = urlsplit(url)
        line = self._line_of(f"{parts.netloc}{parts.path}".removesuffix("/v2"))
        return Cause(
            name=CauseName.ENDPOINT_PATH,
            sentence=f"An endpoint of {self._node.name} has the path {parts.path}, which replaces"
            " the registry's API; what answers there is no registry.",
            evidence=(f"mirror of {name}: {url}",),
            first=f"Write {endpoint.url} without a path (other names need `rewrite`), then:",
            command=in_turn(self._edit(line), self._commands.onboard()),
        )

    def _tls(self, endpoint: SiteEndpoint) -> Iterator[Cause]:
        configs = find(parse(self._text), "configs") if self._text.strip() else None
        entry = find(configs[1], endpoint.host) if configs else None
        tls = find(entry[1], "tls") if entry else None
        if tls and endpoint.scheme == "http":
            yield Cause(
                name=CauseName.TLS_BESIDE_HTTP,
                sentence=f"The registries file of {self._node.name} has `tls` settings for the http"
                " registry of the site, so containerd asks it in TLS.",
                evidence=(f"{self._facts.registries.path}:{line_of(tls[0])}",),
                first=f"Remove `tls` below configs.{endpoint.host}, then:",
                command=in_turn(self._edit(line_of(tls[0])), self._commands.onboard()),
            )

    def _logins(self, endpoint: SiteEndpoint) -> Iterator[Cause]:
        held = hosts_with_auth(self._text) if self._text.strip() and self._reads() else frozenset()
        dropped = sorted({self._seen.login_server, endpoint.host} & held - self._facts.auth_hosts)
        if dropped and self._facts.templates:
            template = self._facts.templates[0]
            edit = self._commands.edit(self._node, template)
            restart = self._commands.on_node(self._node, self._commands.restart(self._node))
            yield Cause(
                name=CauseName.NODE_LOGIN,
                sentence=f"A template of {self._node.name} drops the credentials that its"
                f" registries file holds for {', '.join(dropped)}.",
                evidence=(f"{template} replaces containerd's configuration",),
                first='Start it with `{{ template "base" . }}`, or use pull secrets alone:',
                command=in_turn(edit, restart),
            )

    def _ca(self, endpoint: SiteEndpoint) -> Iterator[Cause]:
        ca = self._seen.ca
        if endpoint.scheme != "https" or not isinstance(ca, str):
            return
        file = self._facts.ca_file
        named = [
            one
            for name, one in self._ours()
            if endpoint.url in (one.content or "") and "ca = " not in (one.content or "")
        ]
        if file.content == ca and not named:
            return
        state = "is not there" if file.kind == "absent" else "is another one"
        yield Cause(
            name=CauseName.CA_MISSING,
            sentence=f"{self._node.name} does not trust the CA of the site's registry.",
            evidence=(f"{named[0].path} names no CA" if named else f"{file.path} {state}",),
            command=self._commands.onboard(),
        )

    def _missing(self, endpoint: SiteEndpoint) -> Iterator[Cause]:
        ours = f"{endpoint.url}/v2"
        for name in self._names():
            if ours in self._urls(name) or self._facts.has_embedded_mirror:
                continue
            if any(at == name and _toml_problem(file.content or "") for at, file in self._ours()):
                continue
            cloud = name == self._seen.login_server
            kind = CauseName.SERVED_BY_CLOUD if cloud else CauseName.MIRROR_MISSING
            yield Cause(
                name=kind,
                sentence=f"{self._node.name} does not know that images of {name} come from"
                f" {endpoint.url}, so it asks https://{name}.",
                evidence=self._complaints(endpoint),
                command=self._commands.onboard(),
            )

    def _complaints(self, endpoint: SiteEndpoint) -> tuple[str, ...]:
        """Return what of the registries file is read otherwise than it was meant."""
        path, plan = self._facts.registries.path, None
        if self._seen.login_server:
            plan = RegistriesPlan(login_server=self._seen.login_server, endpoint=endpoint)
        if self._distribution.registries is None:
            return (f"no hosts.toml in {self._facts.certs_d} says so",)
        try:
            check(self._text, path, plan)
        except HostFileInvalidError as error:
            return tuple(one.removesuffix(" The file was left alone.") for one in error.problems)
        return (f"{path} has no such mirror, or was changed since it was last read",)

    def _edit(self, line: int) -> str:
        return self._commands.edit(self._node, self._facts.registries.path, line)

    def _line_of(self, text: str) -> int:
        lines = self._text.splitlines()
        return next((number for number, line in enumerate(lines, 1) if text in line), 1)


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _hosts(text: str) -> Iterator[str]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    hosts = content.get("host")
    for url in hosts if isinstance(hosts, dict) else ():
        yield url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v2"


def _toml_problem(text: str) -> str:
    """Return why containerd cannot use a hosts.toml, in words like its own."""
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return f"failed to parse hosts.toml: {error}"
    hosts = content.get("host", {})
    if not isinstance(hosts, dict) or not all(isinstance(one, dict) for one in hosts.values()):
        return "invalid host tree: `host` must hold one table for each endpoint"
    return ""
