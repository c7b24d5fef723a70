"""YAML as nodes with positions: what a file holds and where, so that edits touch nothing else."""

import re
from collections.abc import Iterator
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.error import YAMLError as RuamelError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

# The parser quotes names of aliases and tags, and single characters; only the latter are harmless.
_QUOTED = re.compile(r"""(['"])[^'"]{4,}\1""")

Plain: TypeAlias = "str | list[Plain] | dict[str, Plain] | None"


class YamlError(Exception):
    """YAML that cannot be read. The text of the file is left out: it may hold credentials."""

    def __init__(self, line: int | None, what: str) -> None:
        """Take the line, counted from 1, and the parser's words."""
        self.line, self.what = line, what
        super().__init__(what)


def parse(text: str) -> Node | None:
    """Return the document's root node, or None for an empty document.

    Raises:
        YamlError: It is not one well-formed YAML document.
    """
    try:
        root = YAML(pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(mark.line + 1 if mark else None, _QUOTED.sub("'...'", what)) from None
    except (RuamelError, ValueError) as error:
        raise YamlError(None, str(error).splitlines()[0]) from None
    return root if isinstance(root, Node) else None


def is_null(node: Node | None) -> bool:
    """Return whether the node stands for no value."""
    return node is None or (
        isinstance(node, ScalarNode)
        and node.style not in ("'", '"', "|", ">")
        and node.value in ("", "~", "null", "Null", "NULL")
    )


def plain(node: Node | None) -> Plain:
    """Return the node's data; every scalar is the string that the file holds."""
    if node is None or is_null(node):
        return None
    if isinstance(node, MappingNode):
        return {str(key.value): plain(value) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.value]
    return str(node.value)


def entries(node: Node | None) -> Iterator[tuple[str, Node, Node]]:
    """Yield (name, key node, value node) of a mapping; nothing for anything else."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield str(key.value), key, value


def find(node: Node | None, name: str) -> tuple[Node, Node] | None:
    """Return the key and value nodes of a mapping's entry, or None."""
    return next(((key, value) for found, key, value in entries(node) if found == name), None)


def items(node: Node | None) -> list[Node]:
    """Return the items of a sequence; none for anything else."""
    return list(node.value) if isinstance(node, SequenceNode) else []


def line_of(node: Node) -> int:
    """Return the line on which the node starts, counted from 1."""
    return int(node.start_mark.line) + 1


def end_of(node: Node) -> int:
    """Return the offset behind the node's last character.

    A block collection's own end mark lies behind the comments that follow it, so its last scalar
    is asked instead.
    """
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            return max(end_of(last[0]), end_of(last[1]))
        return end_of(last)
    return int(node.end_mark.index)


def has_aliases(root: Node | None) -> bool:
    """Return whether the document uses anchors, aliases or merge keys."""
    seen: set[int] = set()

    def visit(node: Node) -> bool:
        if id(node) in seen or node.anchor:
            return True
        seen.add(id(node))
        children: list[Node] = []
        if isinstance(node, MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            children = node.value
        return any(visit(child) for child in children)

    return root is not None and visit(root)
