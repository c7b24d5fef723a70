"""What K3s would drop silently or die of in registries.yaml, found before anything is written.

K3s reads the file with a lax parser: unknown and misspelt keys vanish without a word, and broken
YAML stops the node (rancher/wharfie pkg/registries; k3s#1802, k3s#5502, rke2#4744). Messages name
keys and lines but no values: `configs` may hold passwords.
"""

import difflib
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fleet.outcomes import SiteEndpoint
from fleet.sites import Strict
from fleet.yaml_nodes import entries, find, has_aliases, is_null, items, line_of

_TOP = ("mirrors", "configs", "auths")
_MIRROR = ("endpoint", "rewrite")
_CONFIG = ("auth", "tls")
_AUTH = ("username", "password", "auth", "identity_token")
_TLS = ("ca_file", "cert_file", "key_file", "insecure_skip_verify")
_REWRITE = (
    "mirrors.{name} has a rewrite: K3s would apply it to the site's registry too, where the "
    "repositories keep their names; remove it"
)
_TLS_BESIDE_HTTP = (
    "configs.{name} has tls, but the site's registry speaks http: containerd would try https "
    "first; remove it"
)
_OTHER_CA = (
    "configs.{name}.tls.ca_file names another certificate authority than the fleet file does; "
    "remove it here or there"
)
_OTHER_PORT = (
    "the endpoint {url} is at the site's registry, but is not {right}; correct or remove it"
)
_NOT_A_HOST = (
    "the mirror {name} matches no image: K3s compares with host or host:port, without scheme and "
    "path"
)

Found = Iterator[tuple[int, str]]


class RegistriesPlan(Strict):
    """What a node's files shall say: the site's registry serves both names.

    `ca` is the PEM text of the authority that signed the registry's certificate, where the nodes
    do not trust it anyway; `ca_file` is its path on the node, none: the distribution's usual one.
    """

    login_server: str
    endpoint: SiteEndpoint
    ca: str | None = None
    ca_file: str | None = None


def find_lax_spots(root: Node | None) -> Found:
    """Yield (line, what is wrong and what to do) for what K3s would drop silently or die of."""
    if root is None or is_null(root):
        return
    if has_aliases(root):
        yield line_of(root), "YAML anchors or aliases are used; write the values out"
        return
    yield from _check_keys(root, "the file", _TOP)
    for name, key, value in entries(root):
        if name == "mirrors":
            yield from _check_mirrors(key, value)
        if name == "configs":
            yield from _check_configs(key, value)


def find_conflicts(root: Node | None, plan: RegistriesPlan, ours: frozenset[str]) -> Found:
    """Yield (line, what is wrong and what to do) for what would keep our mirrors from working.

    Args:
        root: The parsed file.
        plan: What shall be written.
        ours: Endpoints that an earlier run wrote, and that will be replaced.
    """
    for name, key, mirror in entries(_value(root, "mirrors")):
        yield from _check_our_name(name, line_of(key), plan)
        rewrite = find(mirror, "rewrite")
        if rewrite and name in (plan.login_server, plan.endpoint.host) and not is_null(rewrite[1]):
            yield line_of(rewrite[0]), _REWRITE.format(name=name)
        for item in items(_value(mirror, "endpoint")):
            url = str(item.value)
            if url not in (*ours, plan.endpoint.url) and _is_at(url, plan.endpoint.address):
                yield line_of(item), _OTHER_PORT.format(url=_safe(url), right=plan.endpoint.url)
    tls = find(_value(_value(root, "configs"), plan.endpoint.host), "tls")
    if tls and plan.endpoint.scheme == "http":
        yield line_of(tls[0]), _TLS_BESIDE_HTTP.format(name=plan.endpoint.host)
    ca = find(tls[1], "ca_file") if tls and plan.ca_file else None
    if ca and not is_null(ca[1]) and not _is_ours(str(ca[1].value), plan):
        yield line_of(ca[0]), _OTHER_CA.format(name=plan.endpoint.host)


def _is_ours(ca_file: str, plan: RegistriesPlan) -> bool:
    return ca_file == plan.ca_file or ca_file.endswith(f"/acrfleet-{plan.login_server}-ca.crt")


def _value(node: Node | None, name: str) -> Node | None:
    found = find(node, name)
    return found[1] if found else None


def _check_our_name(name: str, line: int, plan: RegistriesPlan) -> Found:
    lower, wanted = name.lower(), (plan.login_server, plan.endpoint.host)
    if name not in wanted and lower in wanted:
        yield line, f"the mirror {name} matches no image: write it in lower case"
    elif lower in (f"{plan.login_server}:443", plan.endpoint.address):
        right = plan.login_server if lower.endswith(":443") else plan.endpoint.host
        yield line, f"the mirror {name} matches no image of ours: the name is {right}"


def _is_at(url: str, address: str) -> bool:
    parts = _split(url)
    return parts is not None and parts.hostname == address.lower()


def _check_mirrors(key: Node, mirrors: Node) -> Found:
    yield from _check_map(mirrors, "mirrors", line_of(key))
    for name, name_node, mirror in entries(mirrors):
        if "/" in name or name != name.strip():
            yield line_of(name_node), _NOT_A_HOST.format(name=_safe(name))
        yield from _check_keys(mirror, f"mirrors.{name}", _MIRROR, line_of(name_node))
        endpoint, rewrite = find(mirror, "endpoint"), find(mirror, "rewrite")
        if endpoint and not is_null(endpoint[1]):
            yield from _check_endpoints(name, endpoint)
        if rewrite:
            yield from _check_map(rewrite[1], f"mirrors.{name}.rewrite", line_of(rewrite[0]))


def _check_endpoints(name: str, endpoint: tuple[Node, Node]) -> Found:
    key, value = endpoint
    if not isinstance(value, SequenceNode):
        yield line_of(key), f"mirrors.{name}.endpoint must be a list of URLs"
    for item in items(value):
        if not isinstance(item, ScalarNode) or is_null(item):
            yield line_of(item), f"mirrors.{name}.endpoint must hold URLs only"
        else:
            yield from _check_url(name, str(item.value), line_of(item))


def _check_url(name: str, url: str, line: int) -> Found:
    parts = _split(url)
    where = f"the endpoint {_safe(url)} of mirrors.{name}"
    if parts is None or not parts.hostname:
        yield line, f"{where} is not a URL; K3s would skip it"
    elif parts.scheme not in ("http", "https"):
        yield line, f"{where} has the scheme {parts.scheme}; K3s knows http and https"


def _check_configs(key: Node, configs: Node) -> Found:
    yield from _check_map(configs, "configs", line_of(key))
    for name, name_node, config in entries(configs):
        yield from _check_keys(config, f"configs.{name}", _CONFIG, line_of(name_node))
        auth, tls = find(config, "auth"), find(config, "tls")
        if auth:
            yield from _check_keys(auth[1], f"configs.{name}.auth", _AUTH, line_of(auth[0]))
        if not tls:
            continue
        yield from _check_keys(tls[1], f"configs.{name}.tls", _TLS, line_of(tls[0]))
        if (find(tls[1], "cert_file") is None) != (find(tls[1], "key_file") is None):
            yield line_of(tls[0]), f"configs.{name}.tls needs cert_file and key_file together"


def _check_map(node: Node, what: str, line: int) -> Found:
    if is_null(node):
        return
    if not isinstance(node, MappingNode):
        kind = "a list" if isinstance(node, SequenceNode) else "a single value"
        yield line, f"{what} must be a map, but is {kind}"
        return
    seen: set[str] = set()
    for name, key, _ in entries(node):
        if name in seen:
            yield line_of(key), f"{what} has the key {_safe(name)} twice; one would be lost"
        seen.add(name)


def _check_keys(node: Node, what: str, known: tuple[str, ...], line: int | None = None) -> Found:
    yield from _check_map(node, what, line or line_of(node))
    for name, key, _ in entries(node):
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"K3s knows {', '.join(known)}"
        yield line_of(key), f"{what} has the key {_safe(name)}, which K3s ignores silently; {hint}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        _ = parts.port
    except ValueError:
        return None
    return parts


def _safe(text: str) -> str:
    """Return the text without what may be a password in a URL, and not at endless length."""
    scheme, separator, rest = text.rpartition("://")
    return (scheme + separator + rest.rpartition("@")[2])[:120]
