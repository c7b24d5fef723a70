"""What a plan says about a site's nodes: files that change, and restarts with their length."""

from collections.abc import Iterator

from fleet.host_files import FileChange
from fleet.masking import file_difference
from fleet.node_changes import NodeChange
from fleet.outcomes import Action
from fleet.restarts import ServiceState
from fleet.site_plan import Part, PlannedChange

_USUAL_SECONDS = 15.0
_PROOF_SECONDS = 5.0
_CERTIFICATES = (".pem", ".crt")


def node_changes(change: NodeChange) -> Iterator[PlannedChange]:
    """Yield what happens to one node, each file by itself and the restart last."""
    node = change.node.name
    for file in change.due:
        gone = file.wanted is None
        yield PlannedChange(
            part=Part.NODES,
            kind="file",
            name=f"{node}:{file.path}",
            action=_action(file),
            detail=_detail(file),
            diff=_difference(file),
            takes_away=gone,
        )
    if change.restart:
        yield PlannedChange(
            part=Part.NODES,
            kind="service",
            name=f"{node}:{change.unit}",
            action=Action.CHANGED,
            detail=f"restarted, because {change.restart}",
            restart_seconds=expected_seconds(change.service),
        )


def expected_seconds(service: ServiceState) -> float:
    """Return how long a restart is expected to take: as the last start took, and the proof of it.

    systemd knows that of a unit that reports when it is up, as a K3s server does; an agent's counts
    as up at once, and then what is usual is returned.
    """
    if service.started is None or service.active_since is None:
        return _USUAL_SECONDS
    seconds = (service.active_since - service.started).total_seconds()
    return seconds + _PROOF_SECONDS if seconds >= 1 else _USUAL_SECONDS


def _action(file: FileChange) -> Action:
    if file.wanted is None:
        return Action.DELETED
    return Action.CREATED if file.before.kind == "absent" else Action.CHANGED


def _detail(file: FileChange) -> str:
    """Tell certificates apart by their hash; they are public and no pleasure to read."""
    return f"sha256 {file.wanted_sha256[:16]}" if file.path.endswith(_CERTIFICATES) else ""


def _difference(file: FileChange) -> tuple[str, ...]:
    if file.path.endswith(_CERTIFICATES):
        return ()
    wanted = None if file.wanted is None else file.wanted.get_secret_value()
    return file_difference(file.path, file.before.content, wanted)
