"""registries.yaml: take the site's registry out of it and leave everything else as it is.

The counterpart of `fleet.registries_yaml`: endpoints that we wrote, by the comment that names them
or by the address of the site's registry, the mirrors and entries that then hold nothing, and the
certificate authority that is ours.
"""

from collections.abc import Collection
from typing import cast
from urllib.parse import urlsplit

from ruamel.yaml.nodes import CollectionNode, Node

from fleet.host_errors import HostFileInvalidError
from fleet.registries_ca import expected_ca, put_ca
from fleet.registries_check import RegistriesPlan
from fleet.registries_yaml import MARKED, check, marked_urls
from fleet.yaml_edits import drop
from fleet.yaml_nodes import Plain, YamlError, find, is_null, items, parse, plain

_TOO_EXOTIC = (
    "{where}: the file is laid out in a way that cannot be edited safely. Take the endpoints "
    "{urls} out of it by hand and run this again; the file was left alone."
)


def remove(text: str | None, plan: RegistriesPlan, where: str) -> str | None:
    """Return the file's content without the site's registry; None: nothing is left to say.

    Content that says nothing of it comes back byte for byte.

    Args:
        text: The file's content; None: there is no file.
        plan: The site's registry and the login server that it stood in for.
        where: Node and path, for messages.

    Raises:
        HostFileInvalidError: The file cannot be read or edited safely.
    """
    if text is None:
        return None
    check(text, where)
    bom, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    plan = plan.model_copy(update={"ca": None, "ca_file": None})
    urls = {*marked_urls(body), plan.endpoint.url}
    before = plain(parse(body))
    wanted = _expected(before, plan, urls)
    if wanted == before and not marked_urls(body):
        return text
    try:
        after = _edit(body, plan, urls)
        right = plain(parse(after)) == wanted
    except YamlError:
        after, right = body, False
    if not right:
        shown = ", ".join(sorted(urls))
        raise HostFileInvalidError([_TOO_EXOTIC.format(where=where, urls=shown)])
    return bom + after if after.strip().strip("{}") else None


def _expected(data: Plain, plan: RegistriesPlan, urls: Collection[str]) -> Plain:
    """Return what the file's data must be afterwards; the edits are compared with it."""
    before = cast("dict[str, Plain]", data or {})
    top = expected_ca(before, plan)
    mirrors = cast("dict[str, dict[str, Plain] | None]", top.get("mirrors") or {})
    kept = {}
    for name, mirror in mirrors.items():
        mirror_after = _without(name, mirror, plan, urls)
        if mirror_after or not mirror:
            kept[name] = mirror_after
    found = {**top, "mirrors": cast("Plain", kept)} if "mirrors" in top else dict(top)
    for key in ("mirrors", "configs"):
        if before.get(key) and not found.get(key):
            del found[key]
        elif key in before and not before[key]:
            found[key] = before[key]
    return found or None


def _without(
    name: str, mirror: dict[str, Plain] | None, plan: RegistriesPlan, urls: Collection[str]
) -> dict[str, Plain] | None:
    """Return a mirror without our endpoints; empty when it holds nothing else."""
    if name not in _names(plan, urls) or not mirror or not mirror.get("endpoint"):
        return mirror
    listed = cast("list[Plain]", mirror["endpoint"])
    others = [one for one in listed if one not in urls]
    rest = {key: value for key, value in mirror.items() if key != "endpoint"}
    return {**mirror, "endpoint": cast("Plain", others)} if others else rest


def _names(plan: RegistriesPlan, urls: Collection[str]) -> list[str]:
    return [plan.login_server, *sorted(urlsplit(url).netloc for url in urls)]


def _edit(text: str, plan: RegistriesPlan, urls: Collection[str]) -> str:
    after = put_ca(text, plan)
    text = after if after == text else _drop_if_empty(after, ("configs",))
    for name in _names(plan, urls):
        text = _drop_endpoints(text, name, urls)
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not MARKED.fullmatch(line.rstrip("\r\n")))


def _drop_endpoints(text: str, name: str, urls: Collection[str]) -> str:
    path, before = ("mirrors", name, "endpoint"), ""
    while text != before:
        before = text
        listed = _at(text, path)
        ours = [one for one in items(listed) if one.value in urls]
        if listed is None or not ours:
            return text
        if len(ours) < len(items(listed)):
            text = drop(text, listed, ours[0], ours[0])
            continue
        text = _drop_if_empty(_drop_entry(text, path), path[:2])
        text = _drop_if_empty(text, path[:1])
    return text


def _drop_if_empty(text: str, path: tuple[str, ...]) -> str:
    found = find(_at(text, path[:-1]), path[-1])
    return _drop_entry(text, path) if found and _is_empty(found[1]) else text


def _drop_entry(text: str, path: tuple[str, ...]) -> str:
    parent = _at(text, path[:-1])
    entry = find(parent, path[-1])
    if parent is None or entry is None:
        return text
    key, value = entry
    return drop(text, parent, key, key if is_null(value) else value)


def _at(text: str, path: tuple[str, ...]) -> Node | None:
    node = parse(text)
    for name in path:
        entry = find(node, name)
        node = entry[1] if entry else None
    return node


def _is_flow(node: Node) -> bool:
    return isinstance(node, CollectionNode) and bool(node.flow_style)


def _is_empty(node: Node) -> bool:
    return is_null(node) or (_is_flow(node) and not node.value)
