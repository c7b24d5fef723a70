"""registries.yaml: put the site's registry into it and leave everything else as it is.

Two mirrors are ours: the one of the Azure registry's login server, in which the site's registry
comes first, and the one of the site registry's own address. A comment line names the address that
we wrote, so that a later run recognises and replaces it when the address changes. The file is
edited as text at the positions that the parser gives; no byte outside of our entries changes.
"""

import re
from typing import cast
from urllib.parse import urlsplit

from ruamel.yaml.nodes import Node

from fleet.host_errors import HostFileInvalidError
from fleet.registries_ca import expected_ca, put_ca
from fleet.registries_check import RegistriesPlan, find_conflicts, find_lax_spots
from fleet.yaml_edits import add_first, add_last, append_entry, drop_lines, insert_lines, put
from fleet.yaml_nodes import Plain, YamlError, find, items, parse, plain

__all__ = ["MARKED", "RegistriesPlan", "check", "marked_urls", "merge"]

_UNREADABLE = (
    "{where}: this is not YAML that K3s can read: {what}. K3s does not start with it. Mend the "
    "line on the host; the file was left alone."
)
_TOO_EXOTIC = (
    "{where}: the file is laid out in a way that cannot be edited safely. Put the endpoint {url} "
    'first under mirrors.{login_server} and under mirrors."{host}" by hand; the file was left '
    "alone."
)
_MARK = "# acrfleet: site registry"
MARKED = re.compile(rf"^[ \t]*{_MARK} (\S+)[ \t]*\r?$", re.MULTILINE)


def check(text: str | None, where: str, plan: RegistriesPlan | None = None) -> None:
    """Return if the file is safe to keep and, with a plan, to merge into.

    Args:
        text: The file's content; None: there is no file.
        where: Node and path, for messages.
        plan: What shall be written, once it is known.

    Raises:
        HostFileInvalidError: Everything that K3s would drop or die of, with its line.
    """
    try:
        root = parse(text or "")
    except YamlError as problem:
        line = f":{problem.line}" if problem.line else ""
        raise HostFileInvalidError(
            [_UNREADABLE.format(where=f"{where}{line}", what=problem.what)]
        ) from None
    found = list(find_lax_spots(root))
    if plan:
        found += find_conflicts(root, plan, frozenset(marked_urls(text or "")))
    problems = [f"{where}:{line}: {what}. The file was left alone." for line, what in sorted(found)]
    if problems:
        raise HostFileInvalidError(problems)


def merge(text: str | None, plan: RegistriesPlan, where: str) -> str:
    """Return the file's content with the site's registry in it.

    Content that says so already comes back byte for byte. Endpoints that others put under our
    mirrors stay, behind ours.

    Args:
        text: The file's content; None: there is no file.
        plan: What shall be written.
        where: Node and path, for messages.

    Raises:
        HostFileInvalidError: The file is not safe to merge into, see `check`.
    """
    check(text, where, plan)
    before = text or ""
    bom, body = ("\ufeff", before[1:]) if before.startswith("\ufeff") else ("", before)
    url, host = plan.endpoint.url, plan.endpoint.host
    wanted = _expected(plain(parse(body)), plan, marked_urls(body))
    try:
        after = _edit(body, plan)
        right = plain(parse(after)) == wanted
    except YamlError:
        after, right = body, False
    if not right:
        raise HostFileInvalidError(
            [_TOO_EXOTIC.format(where=where, url=url, login_server=plan.login_server, host=host)]
        )
    check(after, where, plan)
    return bom + after


def _edit(text: str, plan: RegistriesPlan) -> str:
    url, host = plan.endpoint.url, plan.endpoint.host
    text = _rename_ours(text, plan)
    text = _ensure_mirror(text, plan.login_server, url, "")
    known = _mirror(text, host) is not None or url in marked_urls(text)
    mark = "" if known else f"{_MARK} {url}"
    text = put_ca(_ensure_mirror(text, host, url, mark), plan)
    return text if mark in text else insert_lines(text, len(text), [mark], 0)


def marked_urls(text: str) -> list[str]:
    """Return the endpoints that our comment lines name."""
    return MARKED.findall(text)


def _expected(data: Plain, plan: RegistriesPlan, marked: list[str]) -> Plain:
    """Return what the file's data must be afterwards; the edits are compared with it."""
    top = cast("dict[str, Plain]", data or {})
    mirrors = dict(cast("dict[str, dict[str, Plain] | None]", top.get("mirrors") or {}))
    url, host = plan.endpoint.url, plan.endpoint.host
    old = [found for found in marked if found != url]
    for gone in old:
        name = urlsplit(gone).netloc
        if mirrors.get(name) == {"endpoint": [gone]}:
            del mirrors[name]
    for name, stale in ((plan.login_server, [url, *old]), (host, [url])):
        mirror = mirrors.get(name) or {}
        others = [e for e in cast("list[Plain]", mirror.get("endpoint") or []) if e not in stale]
        mirrors[name] = {**mirror, "endpoint": [url, *others]}
    return expected_ca({**top, "mirrors": cast("Plain", mirrors)}, plan)


def _rename_ours(text: str, plan: RegistriesPlan) -> str:
    """Replace what an earlier run wrote for another address, in place."""
    url, host = plan.endpoint.url, plan.endpoint.host
    for old in [found for found in marked_urls(text) if found != url]:
        name = urlsplit(old).netloc
        own = _mirror(text, name)
        if own and plain(own[1]) == {"endpoint": [old]}:
            if _mirror(text, host):
                text = drop_lines(text, own[0], own[1])
            else:
                text = put(text, own[0], f'"{host}"')
                text = _replace_endpoint(text, host, old, url)
        text = _replace_endpoint(text, plan.login_server, old, url)
        text = re.sub(
            rf"{_MARK} {re.escape(old)}(?=[ \t]*\r?$)", f"{_MARK} {url}", text, flags=re.MULTILINE
        )
    return text


def _replace_endpoint(text: str, name: str, old: str, url: str) -> str:
    listed = {item.value: item for item in _endpoints(text, name)}
    if old not in listed:
        return text
    if url in listed:
        return drop_lines(text, listed[old], listed[old])
    return put(text, listed[old], f'"{url}"')


def _ensure_mirror(text: str, name: str, url: str, mark: str) -> str:
    """Make `url` the first endpoint of the mirror `name`; `mark` is put above a new mirror."""
    listed = _endpoints(text, name)
    urls = [item.value for item in listed]
    if urls[:1] == [url]:
        return text
    if url in urls:
        order = [url, *(other for other in urls if other != url)]
        for item, value in reversed(list(zip(listed, order, strict=True))):
            text = put(text, item, f'"{value}"')
        return text
    return _insert_endpoint(text, name, url, mark)


def _insert_endpoint(text: str, name: str, url: str, mark: str) -> str:
    block = ["endpoint:", f'  - "{url}"']
    mirror_block = [mark] * bool(mark) + [f'"{name}":', *(f"  {line}" for line in block)]
    root = parse(text)
    mirrors, mirror = find(root, "mirrors"), _mirror(text, name)
    if mirror is None:
        if mirrors is None:
            lines = ["mirrors:", *(f"  {line}" for line in mirror_block)]
            return append_entry(
                text, root, lines, f'"mirrors": {{"{name}": {{"endpoint": ["{url}"]}}}}'
            )
        return add_last(text, mirrors, mirror_block, f'"{name}": {{"endpoint": ["{url}"]}}')
    endpoint = find(mirror[1], "endpoint")
    if endpoint is None:
        return add_first(text, mirror, block, f'"endpoint": ["{url}"]')
    return add_first(text, endpoint, [f'- "{url}"'], f'"{url}"')


def _mirror(text: str, name: str) -> tuple[Node, Node] | None:
    mirrors = find(parse(text), "mirrors")
    return find(mirrors[1], name) if mirrors else None


def _endpoints(text: str, name: str) -> list[Node]:
    mirror = _mirror(text, name)
    endpoint = find(mirror[1], "endpoint") if mirror else None
    return items(endpoint[1]) if endpoint else []
