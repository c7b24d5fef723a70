"""Differences of files that may hold passwords of others: shown with the secrets masked.

Masked is what the formats define as secret: logins below `configs` of a registries.yaml, and
user:password in front of a host in any URL. A hosts.toml that sends headers is not shown at all.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

MASK = "********"
_IN_URL = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")
_TELLING = re.compile(r"(?i)pass|secret|token|connectionstring|credential|key$")
_CONTEXT = 3


def file_difference(path: str, before: str | None, after: str | None) -> tuple[str, ...]:
    """Return a unified difference of a host's file, without a secret of either side.

    Args:
        path: The file's path, which tells its format.
        before: The text that is there; None: no file.
        after: The text that shall be there; None: no file.

    Returns:
        The lines, or one that says so where only secrets differ. A file that cannot be read is not
        shown at all.
    """
    if before == after:
        return ()
    one, other = mask_secrets(path, before), mask_secrets(path, after)
    if one is None or other is None:
        return ("@ not shown: it cannot be told where its secrets are",)
    return text_difference(one, other) or ("@ only what is secret differs",)


def mask_urls(text: str) -> str:
    """Return text without the logins that stand in URLs, as registries.yaml allows them to."""
    return _IN_URL.sub(MASK, text)


def text_difference(before: str, after: str) -> tuple[str, ...]:
    """Return a unified difference of two texts that hold no secret, without the file's names."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=_CONTEXT, lineterm="")
    return tuple(lines)[2:]


def mask_secrets(path: str, text: str | None) -> str | None:
    """Return a file's text with its secrets masked; None: it can't be read, so nothing is shown."""
    if not text:
        return ""
    try:
        if path.endswith(".toml"):
            return None if _has_headers(tomllib.loads(text)) else mask_urls(text)
        spans = list(_in_yaml(text))
    except (yaml.YAMLError, tomllib.TOMLDecodeError):
        return None
    for start, end in sorted(spans, reverse=True):
        newline = "\n" if text[start:end].endswith("\n") else ""
        text = text[:start] + MASK + newline + text[end:]
    return mask_urls(text)


def _in_yaml(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the values of `configs.HOST.auth` are."""
    skipped = len(text) - len(text.lstrip("\ufeff"))
    root = yaml.compose(text[skipped:], Loader=yaml.SafeLoader)
    for start, end in _below(root, ()):
        yield start + skipped, end + skipped


def _below(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _below(value, (*path, str(getattr(key, "value", "")).lower()))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _below(value, path)
    elif isinstance(node, yaml.ScalarNode) and {"auth", "header", "headers"} & set(path):
        yield node.start_mark.index, node.end_mark.index


def _has_headers(table: Any) -> bool:
    """Return whether a hosts.toml sends headers; K3s writes none, somebody may have by hand."""
    if isinstance(table, dict):
        return "header" in table or any(map(_has_headers, table.values()))
    return isinstance(table, list) and any(map(_has_headers, table))


def mask_values(found: Any, wanted: Any, key: str = "") -> Any:
    """Return values with those masked that may be secret: by their key, or by what is in a URL.

    Args:
        found: Plain data that somebody may have put a password into.
        wanted: Data of the same shape that holds no secret; what is equal to it stays readable.
        key: The key under which they stand.
    """
    if found == wanted:
        return found
    if isinstance(found, dict):
        others = wanted if isinstance(wanted, dict) else {}
        return {
            name: mask_values(value, others.get(name), str(name)) for name, value in found.items()
        }
    if isinstance(found, list):
        return [mask_values(value, None, key) for value in found]
    if _TELLING.search(key) and found is not None and not isinstance(found, bool):
        return MASK
    return mask_urls(found) if isinstance(found, str) else found
