"""Edits of YAML text at the positions of its nodes: everything else keeps its bytes.

Block style gets new lines in the indentation that is there; flow style gets new members. What these
edits make is parsed again and compared by their caller, so an exotic layout is found, not broken.
"""

import re
from collections.abc import Sequence

from ruamel.yaml.nodes import CollectionNode, Node

from fleet.yaml_nodes import end_of, is_null

Entry = tuple[Node, Node]


def put(text: str, node: Node, new: str) -> str:
    """Replace a scalar by other text."""
    return text[: node.start_mark.index] + new + text[node.end_mark.index :]


def drop_lines(text: str, first: Node, last: Node) -> str:
    """Remove the lines from the start of one node to the end of another."""
    start = text.rfind("\n", 0, first.start_mark.index) + 1
    return text[:start] + text[_line_end(text, end_of(last)) :]


def drop(text: str, parent: Node, first: Node, last: Node) -> str:
    """Remove a member of `parent`: its lines in block style, it and its comma in flow style."""
    if not _is_flow(parent):
        return drop_lines(text, first, last)
    start, end = first.start_mark.index, max(end_of(last), first.end_mark.index)
    comma = re.match(r"\s*:?\s*,[ \t]*", text[end:])
    if comma:
        return text[:start] + text[end + comma.end() :]
    colon = re.match(r"\s*:", text[end:])
    return re.sub(r"\s*,\s*$", "", text[:start]) + text[end + (colon.end() if colon else 0) :]


def add_first(text: str, entry: Entry, lines: Sequence[str], member: str) -> str:
    """Add to the front of an entry's collection: `lines` in block style, `member` in flow style."""
    key, value = entry
    if _is_empty(value):
        return _fill(text, entry, lines, member)
    if _is_flow(value):
        return _add_to_flow(text, value, member)
    return insert_lines(text, _line_end(text, end_of(key)), lines, _column(value))


def add_last(text: str, entry: Entry, lines: Sequence[str], member: str) -> str:
    """Add to the end of an entry's collection; members of flow style go to the front."""
    _, value = entry
    if _is_empty(value):
        return _fill(text, entry, lines, member)
    if _is_flow(value):
        return _add_to_flow(text, value, member)
    return insert_lines(text, _line_end(text, end_of(value)), lines, _column(value))


def append_entry(text: str, root: Node | None, lines: Sequence[str], member: str) -> str:
    """Add an entry to the document's top level."""
    if root is None or is_null(root):
        return insert_lines(text, len(text), lines, 0)
    if _is_flow(root):
        return _add_to_flow(text, root, member)
    return insert_lines(text, len(text), lines, _column(root))


def _is_flow(node: Node) -> bool:
    return isinstance(node, CollectionNode) and bool(node.flow_style)


def _is_empty(node: Node) -> bool:
    return is_null(node) or (_is_flow(node) and not node.value)


def _column(node: Node) -> int:
    return int(node.start_mark.column)


def _add_to_flow(text: str, node: Node, member: str) -> str:
    behind = node.start_mark.index + 1
    return text[:behind] + member + (", " if node.value else "") + text[behind:]


def _fill(text: str, entry: Entry, lines: Sequence[str], member: str) -> str:
    """Give an entry without a value a block of lines below it; inside flow style, a member."""
    key, value = entry
    line_start = text.rfind("\n", 0, key.start_mark.index) + 1
    behind = text[max(end_of(key), end_of(value)) : _line_end(text, end_of(key))].strip(" \t\r\n:")
    if text[line_start : key.start_mark.index].strip() or (behind and not behind.startswith("#")):
        brackets = "[]" if member.startswith('"http') else "{}"
        return put(text, value, f" {brackets[0]}{member}{brackets[1]}")
    if value.end_mark.index > value.start_mark.index:
        text = text[: value.start_mark.index].rstrip(" ") + text[value.end_mark.index :]
    return insert_lines(text, _line_end(text, end_of(key)), lines, _column(key) + 2)


def insert_lines(text: str, offset: int, lines: Sequence[str], column: int) -> str:
    """Add indented lines at the start of a line, with the newlines that the text uses."""
    newline = "\r\n" if "\r\n" in text else "\n"
    before = text[:offset]
    if before and not before.endswith("\n"):
        before += newline
    return before + "".join(" " * column + line + newline for line in lines) + text[offset:]


def _line_end(text: str, offset: int) -> int:
    """Return the offset behind the line that holds `offset`."""
    if offset and text[offset - 1] == "\n":
        return offset
    found = text.find("\n", offset)
    return len(text) if found < 0 else found + 1
