"""What an adoption does on the nodes, and what their files tell about how the site pulls today."""

from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from fleet.adoption import Fate, Finding, Place
from fleet.node_changes import NodeChange
from fleet.yaml_nodes import YamlError, parse, plain


def node_findings(change: NodeChange) -> Iterator[Finding]:
    """Yield what becomes of each file of a node, and whether its service is restarted."""
    for file in change.files:
        fate = Fate.KEPT
        if file.is_due:
            fate = Fate.CREATED if file.before.kind == "absent" else Fate.CHANGED
        yield _finding("file", f"{change.node.name}: {file.path}", fate, _words(fate))
    if change.restart:
        name = f"{change.node.name}: {change.unit}"
        yield _finding("service", name, Fate.CHANGED, f"restarted, because {change.restart}")


def node_obstacle(name: str, problem: str) -> Finding:
    """Return the finding that a problem on a node is."""
    return _finding("node", name, Fate.OBSTACLE, problem.removeprefix(f"{name}: "))


def file_logins(text: str | None) -> Iterator[tuple[str, SecretStr]]:
    """Yield user and password of every login in a registries file; none when it is not readable."""
    try:
        data: Any = plain(parse(text or ""))
    except YamlError:
        return
    configs = data.get("configs") if isinstance(data, dict) else None
    for config in configs.values() if isinstance(configs, dict) else ():
        auth = config.get("auth") if isinstance(config, dict) else None
        if isinstance(auth, dict) and auth.get("username") and auth.get("password"):
            yield str(auth["username"]), SecretStr(str(auth["password"]))


def _words(fate: Fate) -> str:
    if fate is Fate.CHANGED:
        return "the site's registry goes in front, everything else in it stays"
    return ""


def _finding(kind: str, name: str, fate: Fate, detail: str) -> Finding:
    return Finding(place=Place.NODES, kind=kind, name=name, fate=fate, detail=detail)
