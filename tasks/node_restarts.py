"""Restarting K3s on one node, proving that it came back, and going back when it did not."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, TypeVar

from clients.k3s_node import K3sNode
from fleet.errors import (
    CommandFailedError,
    FleetError,
    HostFileChangedError,
    RestartFailedError,
    RollbackFailedError,
    SiteUnreachableError,
    TemporaryError,
)
from fleet.node_changes import NodeChange
from fleet.node_facts import HostFile
from fleet.registries_yaml import RegistriesPlan, merge
from fleet.restarts import Health, Look, ServiceState, Verdict, judge
from tasks.run_log import say, warn
from tasks.waiting import pause, wait_for

if TYPE_CHECKING:
    from tasks.sessions import SiteSession

_EVERY_SECONDS = 0.5
_LOG_LINES = 30
_PATIENCE_OF_A_STEP = timedelta(minutes=2)
T = TypeVar("T")


def restart_node(session: "SiteSession", change: NodeChange) -> Verdict:
    """Restart K3s on a node and return whether it came back.

    Raises:
        SiteUnreachableError: The node could not be reached until patience ended, so nothing is
            known about K3s.
    """
    node = session.nodes[change.node.name]
    before = _insist(lambda: node.read_service(change.unit))
    watch = _Watch(session, change, node, before)
    verdict, phrase = wait_for(
        watch.look, patience=session.site.patience.node_ready, every=_EVERY_SECONDS
    )
    if verdict is not None:
        return verdict
    if watch.unreachable:
        raise SiteUnreachableError(
            f"{node.name}: {change.unit} was told to restart, and since then the host could not be "
            f"reached: {watch.unreachable}"
        )
    return Verdict(health=Health.WAITING, reason=phrase)


class _Watch:
    """Looks at a node again and again, and repeats an order that may have got lost."""

    def __init__(
        self, session: "SiteSession", change: NodeChange, node: K3sNode, before: ServiceState
    ) -> None:
        self._session, self._change, self._node, self._before = session, change, node, before
        self._looks: list[Look] = []
        self._order_is_due, self._in_doubt = True, False
        self.unreachable = ""

    def look(self) -> tuple[Verdict | None, str]:
        """Return a final verdict, or None and what is still missing."""
        try:
            self._order()
            service = self._node.read_service(self._change.unit)
        except TemporaryError as error:
            self.unreachable = str(error)
            return None, f"{self._node.name}: {error}"
        self.unreachable = ""
        # An order whose answer got lost is repeated only where it certainly had no effect.
        untouched = service.is_running and service.entered == self._before.entered
        self._order_is_due = self._in_doubt and untouched
        self._in_doubt = self._in_doubt and untouched
        self._looks.append(self._ask_cluster(service))
        verdict = judge(self._before, self._looks, self._change.node.role)
        phrase = f"{self._node.name}: {verdict.reason}"
        return (None if verdict.health is Health.WAITING else verdict), phrase

    def _order(self) -> None:
        if not self._order_is_due:
            return
        self._order_is_due, self._in_doubt = False, True
        try:
            self._node.restart(self._change.unit)
        except CommandFailedError as error:
            # An exit code proves neither success nor failure: what follows is looked at.
            warn(str(error))
        self._in_doubt = False

    def _ask_cluster(self, service: ServiceState) -> Look:
        if not service.is_running or service.entered == self._before.entered:
            return Look(service=service)
        try:
            server = self._change.node.role == "server"
            api_ready = self._session.cluster.is_ready() if server else None
            state = self._session.cluster.read_node(self._change.node.name)
        except FleetError as error:
            return Look(service=service, trouble=str(error))
        return Look(
            service=service, ready=state.ready, heartbeat=state.heartbeat, api_ready=api_ready
        )


def roll_back(
    session: "SiteSession", change: NodeChange, plan: RegistriesPlan, verdict: Verdict
) -> NoReturn:
    """Put the old file back, restart, prove it, and raise what happened with both logs.

    Raises:
        RestartFailedError: K3s runs again with the old file.
        RollbackFailedError: It does not; the text says in which state the host is.
    """
    node, path = session.nodes[change.node.name], change.file.path
    failed = (
        f"{node.name}: {change.unit} did not come back after {path} was written: {verdict.reason}."
    )
    warn(f"{failed} Restoring the old file.")
    log = _read_log(node, change.unit)
    try:
        restored = _insist(lambda: _restore(node, change, plan))
        again = restart_node(session, change)
    except FleetError as error:
        raise RollbackFailedError(
            f"{failed} The old file could not be brought back: {error}\nOn the host, put the "
            f"newest {path}.acrfleet.* (if there is one) back in place of {path} and run "
            f"`systemctl restart {change.unit}`.\nLog with the new file:\n{log}"
        ) from error
    logs = f"Log with the new file:\n{log}\nLog after going back:\n{_read_log(node, change.unit)}"
    if again.is_healthy:
        raise RestartFailedError(f"{failed} {restored}, and {again.reason}.\n{logs}")
    raise RollbackFailedError(
        f"{failed} {restored}, but {change.unit} does not come back with it either: "
        f"{again.reason}. Go to the host.\n{logs}"
    )


def _restore(node: K3sNode, change: NodeChange, plan: RegistriesPlan) -> str:
    """Put the file back as it was before us; return what was done, in words."""
    path, now = change.file.path, node.read_file(change.file.path)
    old = change.file if change.must_write else _before_us(node, now, plan)
    if now.sha256 == old.sha256:
        return f"The old {path} is back"
    if now.sha256 != change.wanted_sha256:
        raise HostFileChangedError(f"{node.name}: somebody else has written {path} meanwhile")
    if old.content is None:
        kept = node.remove_registries(path, now.sha256)
        return f"{path} did not exist before and was removed (kept as {kept})"
    node.write_registries(path, old.content, now.sha256)
    return f"The old {path} is back"


def _before_us(node: K3sNode, now: HostFile, plan: RegistriesPlan) -> HostFile:
    """Return the file as it was before a run that was killed wrote it."""
    if now.newest_backup:
        return node.read_file(now.newest_backup)
    if now.content == merge(None, plan, node.name):
        return HostFile(path=now.path)
    raise RollbackFailedError(f"{now.path} has no backup, and more than our own entries is in it")


def _read_log(node: K3sNode, unit: str) -> str:
    try:
        return node.read_journal(unit, _LOG_LINES)
    except FleetError as error:
        return f"(the journal could not be read: {error})"


def _insist(step: Callable[[], T]) -> T:
    """Do a step that must not fail because of a passing trouble with the network."""
    end = time.monotonic() + _PATIENCE_OF_A_STEP.total_seconds()
    while True:
        try:
            return step()
        except HostFileChangedError:
            raise
        except TemporaryError as error:
            if time.monotonic() > end:
                raise
            say(f"trying again: {error}")
            pause(4 * _EVERY_SECONDS)
