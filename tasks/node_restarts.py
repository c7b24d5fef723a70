"""Changing one node: write, restart where it must be, prove it, confirm - or go back.

Until the proof is confirmed the node itself holds a dead-man that undoes the change, so that a run
that is killed in between leaves no broken node behind (docs/decisions/0012-dead-man.md).
"""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from clients.edge_node import Applied, EdgeNode, Restored, new_deadman
from fleet.errors import FleetError, TemporaryError
from fleet.host_errors import (
    CommandFailedError,
    DeadManFiredError,
    HostFileChangedError,
    NodeLostError,
    RestartFailedError,
    RollbackFailedError,
    UnfinishedChangeError,
)
from fleet.node_changes import NodeChange
from fleet.restarts import Health, Look, ServiceState, Verdict, judge
from fleet.sites import Node
from tasks.run_log import say, warn
from tasks.waiting import pause, wait_for

if TYPE_CHECKING:
    from tasks.sessions import SiteSession

_EVERY_SECONDS = 0.5
_LOG_LINES = 30
T = TypeVar("T")


def change_node(session: "SiteSession", change: NodeChange) -> None:
    """Bring a node's files and service to where they shall be, proven.

    Raises:
        HostFileChangedError, UnfinishedChangeError: Look at the node again first; nothing changed.
        DeadManFiredError: The proof came too late and the host went back.
        RestartFailedError: The service did not come back with the new files and runs with the old.
        RollbackFailedError: It came back with neither.
        NodeLostError: The node could not be reached until patience ended, so nothing is
            known about its service; the host goes back by itself.
    """
    if not change.due:
        _restart_alone(session, change)
        return
    node, applied = session.nodes[change.node.name], _apply(session, change)
    verdict = _prove(session, change, applied)
    if not verdict.is_healthy:
        _roll_back(session, change, applied, verdict)
    _insist(session, lambda: node.confirm(applied))
    say(f"{change.node.name}: {verdict.reason}; confirmed")


def undo_change(session: "SiteSession", node: Node, unit: str, deadman: str) -> None:
    """Undo what an earlier run neither confirmed nor undid, and prove that the service runs.

    Raises:
        RollbackFailedError: The service does not run after it.
        HostFileRefusedError: Not everything could be undone.
    """
    client = session.nodes[node.name]
    warn(f"{node.name}: an earlier run stopped before it had proven its change; it is undone first")
    restored = _insist(session, lambda: client.restore(deadman))
    for note in restored.notes:
        say(f"{node.name}: {note}")
    if not restored.restarted and not restored.gone:
        return
    verdict = _watch(session, node, restored.before or ServiceState(unit=unit))
    if not verdict.is_healthy:
        raise RollbackFailedError(
            f"{node.name}: an earlier run's change was undone, but {unit} does not come back: "
            f"{verdict.reason}. Go to the host.\nLog:\n{_read_log(client, unit)}"
        )


def take_over_change(session: "SiteSession", node: Node, unit: str, deadman: str) -> bool:
    """Prove and confirm what an earlier run has changed; return False where it must be undone."""
    client, before = session.nodes[node.name], ServiceState(unit=unit)
    say(f"{node.name}: an earlier run stopped before it had proven its change; proving it now")
    verdict = _watch(session, node, before)
    if not verdict.is_healthy:
        warn(f"{node.name}: {verdict.reason}")
        return False
    try:
        _insist(session, lambda: client.confirm(Applied(deadman, (), (), before)))
    except DeadManFiredError as error:
        say(str(error))
        return False
    say(f"{node.name}: {verdict.reason}; confirmed")
    return True


def _apply(session: "SiteSession", change: NodeChange) -> Applied:
    node, deadman = session.nodes[change.node.name], new_deadman()
    seconds = math.ceil(session.site.patience.unproven.total_seconds())
    applied = _insist(
        session,
        lambda: node.apply(
            change.due,
            unit=change.unit,
            restart=bool(change.restart),
            deadman_seconds=seconds,
            deadman=deadman,
        ),
    )
    written = ", ".join(file.path for file in change.due)
    kept = f", backup {', '.join(applied.backups)}" if applied.backups else ""
    say(f"{change.node.name}: wrote {written}{kept}; undone in {seconds} s unless proven")
    if applied.trouble:
        # An exit code proves neither success nor failure: what follows is looked at.
        warn(f"{change.node.name}: systemctl restart {change.unit} said: {applied.trouble}")
    return applied


def _prove(session: "SiteSession", change: NodeChange, applied: Applied) -> Verdict:
    """Return whether the service is up: since its restart, or undisturbed where none was due."""
    name, before = change.node.name, applied.before
    if change.restart:
        say(f"{name}: restarting {change.unit}, because {change.restart}")
        return _watch(session, change.node, before)
    service = _insist(session, lambda: session.nodes[name].read_service(change.unit))
    if service.is_running and service.entered == before.entered:
        reason = f"{service}, without a restart: {change.without_restart}"
        return Verdict(health=Health.HEALTHY, reason=reason)
    warn(f"{name}: {service}, though nobody told it to restart")
    return _watch(session, change.node, before)


def _restart_alone(session: "SiteSession", change: NodeChange) -> None:
    """Restart a service whose files are right already; there is nothing to go back to."""
    node = session.nodes[change.node.name]
    say(f"{change.node.name}: restarting {change.unit}, because {change.restart}")
    before = change.service  # as it was when the restart was decided: not again after a retry
    try:
        _insist(session, lambda: node.restart(change.unit, before.entered))
    except CommandFailedError as error:
        warn(str(error))
    verdict = _watch(session, change.node, before)
    if not verdict.is_healthy:
        raise RollbackFailedError(
            f"{node.name}: {change.unit} was restarted, because {change.restart}, and did not come "
            f"back: {verdict.reason}. No file was changed, so there is nothing to go back to: go "
            f"to the host.\nLog:\n{_read_log(node, change.unit)}"
        )
    say(f"{change.node.name}: {verdict.reason}")


def _watch(session: "SiteSession", node: Node, before: ServiceState) -> Verdict:
    """Look until the service is up again, surely broken, or patience ends."""
    watch = _Watch(session, node, before)
    verdict, phrase = wait_for(
        watch.look, patience=session.site.patience.node_ready, every=_EVERY_SECONDS
    )
    if verdict is not None:
        return verdict
    if watch.unreachable:
        raise NodeLostError(
            f"{node.name}: {before.unit} was told to restart, and since then the host could not be "
            f"reached: {watch.unreachable} A change that is not proven is undone by the host."
        )
    return Verdict(health=Health.WAITING, reason=phrase)


class _Watch:
    """Looks at a node again and again."""

    def __init__(self, session: "SiteSession", node: Node, before: ServiceState) -> None:
        self._session, self._node, self._before = session, node, before
        self._client = session.nodes[node.name]
        self._looks: list[Look] = []
        self.unreachable = ""

    def look(self) -> tuple[Verdict | None, str]:
        """Return a final verdict, or None and what is still missing."""
        try:
            service = self._client.read_service(self._before.unit)
        except TemporaryError as error:
            self.unreachable = str(error)
            return None, f"{self._node.name}: {error}"
        self.unreachable = ""
        self._looks.append(self._ask_cluster(service))
        verdict = judge(self._before, self._looks, self._node.role)
        phrase = f"{self._node.name}: {verdict.reason}"
        return (None if verdict.health is Health.WAITING else verdict), phrase

    def _ask_cluster(self, service: ServiceState) -> Look:
        if not service.is_running or service.entered == self._before.entered:
            return Look(service=service)
        try:
            server = self._node.role == "server"
            api_ready = self._session.cluster.is_ready() if server else None
            state = self._session.cluster.read_node(self._node.name)
        except FleetError as error:
            return Look(service=service, trouble=str(error))
        return Look(
            service=service, ready=state.ready, heartbeat=state.heartbeat, api_ready=api_ready
        )


def _roll_back(
    session: "SiteSession", change: NodeChange, applied: Applied, verdict: Verdict
) -> NoReturn:
    """Go back as the host would by itself, prove it, and raise what happened with both logs."""
    node, unit = session.nodes[change.node.name], change.unit
    written = ", ".join(file.path for file in change.due)
    failed = f"{node.name}: {unit} did not come back after {written} was written: {verdict.reason}."
    warn(f"{failed} Going back to the old files.")
    log = _read_log(node, unit)
    try:
        restored = _insist(session, lambda: node.restore(applied.deadman))
        again = _watch(session, change.node, restored.before or ServiceState(unit=unit))
    except FleetError as error:
        raise RollbackFailedError(
            f"{failed} The old files could not be brought back and proven: {error}\nUnless the "
            f"host has gone back by itself (`journalctl -t acrfleet` tells), put the newest "
            f"backups NAME.acrfleet.TIME back in place of {written} and run `systemctl restart "
            f"{unit}`.\nLog with the new files:\n{log}"
        ) from error
    told = f"{failed} {_in_words(restored)}"
    logs = f"Log with the new files:\n{log}\nLog after going back:\n{_read_log(node, unit)}"
    if again.is_healthy:
        raise RestartFailedError(f"{told}, and {again.reason}.\n{logs}")
    raise RollbackFailedError(
        f"{told}, but {unit} does not come back with the old files either: {again.reason}. Go to "
        f"the host.\n{logs}"
    )


def _in_words(restored: Restored) -> str:
    if restored.gone:
        return "The host had gone back to the old files by itself"
    return f"It went back: {'; '.join(restored.notes)}"


def _read_log(node: EdgeNode, unit: str) -> str:
    try:
        return node.read_journal(unit, _LOG_LINES)
    except FleetError as error:
        return f"(the journal could not be read: {error})"


def _insist(session: "SiteSession", step: Callable[[], T]) -> T:
    """Do a step that must not fail because of a passing trouble with the network."""
    end = time.monotonic() + session.site.patience.node_step.total_seconds()
    while True:
        try:
            return step()
        except (HostFileChangedError, UnfinishedChangeError, DeadManFiredError):
            raise
        except TemporaryError as error:
            if time.monotonic() > end:
                raise
            say(f"trying again: {error}")
            pause(4 * _EVERY_SECONDS)
