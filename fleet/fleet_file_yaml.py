"""Read YAML into plain data and remember on which line everything stood.

ruamel.yaml parses; we walk its nodes ourselves because the data types it would build stop at the
first duplicate key, and the fleet file's problems are to be shown all at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path: TypeAlias = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_TYPED = {_TAG + kind for kind in ("int", "float", "bool", "null")}
_TEXT = {_TAG + kind for kind in ("str", "timestamp", "value", "merge")}


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, and the line on which it can be mended (from 1)."""

    line: int
    text: str


@dataclass
class Document:
    """Plain data with its lines; a path leads from the top through keys and list positions."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Return the line of a path, or of the closest thing around it that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def text(self, path: Path) -> str | None:
        """Return a value as it is written, or None where the file holds no single value."""
        return self.texts.get(path)


def read_document(text: str) -> Document:
    """Return the data of a YAML text with its lines; what cannot be read is among the problems."""
    document = Document()
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        if node is not None:
            document.data = _Walk(document, yaml.constructor.construct_object).value(node, ())
    except YAMLError as error:
        document.problems.append(_syntax_problem(error, text))
    except RecursionError:
        document.problems.append(Problem(1, "the YAML is nested too deeply; flatten it"))
    return document


class _Walk:
    """One walk over the nodes of a document."""

    def __init__(self, document: Document, construct: Callable[[Node], Any]) -> None:
        """Take the document to fill and ruamel's way from a node to a value."""
        self._document = document
        self._construct = construct
        self._open: set[int] = set()

    def value(self, node: Node, path: Path) -> Any:
        self._document.lines.setdefault(path, _line(node))
        if id(node) in self._open:
            self._problem(node, f"the alias *{node.anchor} is part of itself; write it out")
            return None
        self._open.add(id(node))
        try:
            return self._by_kind(node, path)
        finally:
            self._open.discard(id(node))

    def _by_kind(self, node: Node, path: Path) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, place)) for place, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in self._merged(node):
            key = str(key_node.value)
            if key in first:
                self._problem(
                    key_node, f"the key {key} is there twice, first on line {first[key]}; keep one"
                )
                continue
            first[key] = _line(key_node)
            self._document.lines[(*path, key)] = _line(key_node)
            result[key] = self.value(value_node, (*path, key))
        return result

    def _merged(self, node: MappingNode) -> list[tuple[Node, Node]]:
        """Return the pairs of a mapping; what `<<` merges in gives way to the mapping's own."""
        own: list[tuple[Node, Node]] = []
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                merged += self._pairs_to_merge(value)
            elif isinstance(key, ScalarNode):
                own.append((key, value))
            else:
                self._problem(key, "a key is a list or a mapping: allowed is text; write a name")
        taken = {key.value for key, _ in own}
        for key, value in merged:
            if key.value not in taken:
                taken.add(key.value)
                own.append((key, value))
        return own

    def _pairs_to_merge(self, node: Node) -> list[tuple[Node, Node]]:
        parts = node.value if isinstance(node, SequenceNode) else [node]
        pairs: list[tuple[Node, Node]] = []
        for part in parts:
            if isinstance(part, MappingNode) and id(part) not in self._open:
                self._open.add(id(part))
                pairs += self._merged(part)
                self._open.discard(id(part))
            else:
                self._problem(node, "<< merges something else than mappings; name an anchor of one")
        return pairs

    def _scalar(self, node: Node, path: Path) -> Any:
        self._document.texts[path] = node.value
        if node.tag in _TYPED:
            try:
                return self._construct(node)
            except (YAMLError, ValueError):
                return node.value
        if node.tag not in _TEXT:
            self._problem(node, f"the tag {node.tag} is not allowed; remove it")
        return node.value

    def _problem(self, node: Node, text: str) -> None:
        self._document.problems.append(Problem(_line(node), text))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _syntax_problem(error: YAMLError, text: str) -> Problem:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        position = getattr(error, "position", 0)
        line = text[:position].count("\n") + 1
        return Problem(line, "this is not YAML: a control character; remove it")
    line = error.problem_mark.line + 1
    words = [part for part in (error.context, error.problem) if part]
    start = error.context_mark
    begun = f" (begun on line {start.line + 1})" if start and start.line + 1 != line else ""
    return Problem(line, f"this is not YAML: {', '.join(words)}{begun}{_hint(text, line)}")


def _hint(text: str, line: int) -> str:
    lines = text.splitlines()
    shown = lines[line - 1].lstrip() if line <= len(lines) else ""
    if ": *" in shown or shown.startswith("- *"):
        return '; put what begins with * in quotes, such as "* * * * *"'
    if "\t" in (lines[line - 1] if line <= len(lines) else ""):
        return "; indent with spaces"
    return "; mend the line or the one before it"
