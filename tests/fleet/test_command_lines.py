"""The command lines that messages tell people to run are ones that run."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("clients", "fleet", "flows", "tasks")


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield all strings of a module, those with values in braces as one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


FOUND = {
    command
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    for text in texts(ast.parse(path.read_text()))
    for command in re.findall(r"`(az acr (?:token|connected-registry) [^`]* --[^`]*)`", text)
}


@pytest.mark.parametrize("command", sorted(FOUND))
def test_azures_command_line_is_told_the_registry_and_the_name(command: str) -> None:
    assert "--registry " in command
    assert "--name " in command


def test_command_lines_are_found() -> None:
    assert len(FOUND) > 5
