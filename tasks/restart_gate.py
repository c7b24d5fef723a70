"""Whether a restart may begin now: the site's window, what the node downloads, the first sync."""

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from fleet.azure_objects import ConnectedRegistryState
from fleet.holds import (
    NodeBusyError,
    PullWatch,
    all_held,
    first_sync_words,
    moves_endpoint,
    restarting_changes,
    window_error,
)
from fleet.node_changes import NodeChange
from tasks.azure_limits import azure_slot
from tasks.run_log import warn
from tasks.waiting import wait_for

if TYPE_CHECKING:
    from tasks.sessions import SiteSession

CHART, CONNECTION = "chart", "connection string"
_EVERY = 5.0


def refuse_restart_now(session: "SiteSession", change: NodeChange) -> None:
    """Refuse to restart a node outside of the site's window, without a look at the node.

    Raises:
        WindowClosedError: It says when the next window opens.
    """
    error = window_error(session.site, _what(change), datetime.now(UTC))
    if error:
        raise error


def await_quiet(session: "SiteSession", change: NodeChange) -> None:
    """Wait until a node may be restarted, as long as patience lasts and the window is open.

    Raises:
        WindowClosedError: The window is closed, or closes before a restart can be over.
        NodeBusyError: Images are still downloaded, or the first sync is still going on.
    """
    look = _Look(session, change)
    quiet, phrase = wait_for(look, patience=session.site.patience.quiet, every=_EVERY)
    if quiet is None:
        node = change.node.name
        told = phrase.removeprefix(f"{node}: ")
        raise NodeBusyError(
            f"{_what(change)}; it waits, because after "
            f"{session.site.patience.quiet.total_seconds():.0f} s {told}."
        )


class _Look:
    """Looks at a node again and again, and at Azure until the first sync is over."""

    def __init__(self, session: "SiteSession", change: NodeChange) -> None:
        self._session, self._change = session, change
        self._watch, self._is_synced = PullWatch(), False

    def __call__(self) -> tuple[Literal[True] | None, str]:
        """Return True when the node is quiet, or what goes on there."""
        refuse_restart_now(self._session, self._change)
        name = self._change.node.name
        words = self._first_sync() or self._watch.see(
            self._session.nodes[name].read_pulls(), time.monotonic()
        )
        return (None, f"{name}: {words}") if words else (True, "")

    def _first_sync(self) -> str:
        if self._is_synced:
            return ""
        session = self._session
        with azure_slot(session.cloud.registry):
            state = session.cloud.access.read_connected_registry(
                session.site.names.connected_registry
            )
        words = first_sync_words(state)
        self._is_synced = not words
        return words


def hold_chart(session: "SiteSession", names: Sequence[str]) -> bool:
    """Return whether a change of the chart that runs has to wait for the site's window.

    A change of labels does not: it restarts nothing.

    Args:
        session: The site; its `held` says what waits.
        names: What differs.

    Raises:
        WindowClosedError: The registry would answer otherwise, so that what follows has to wait.
    """
    changes = restarting_changes(names)
    what = f"the chart's change ({', '.join(changes)}) restarts the site's registry"
    error = window_error(session.site, what, datetime.now(UTC)) if changes else None
    if error is None:
        return False
    if moves_endpoint(changes):
        raise error
    session.held[CHART] = error
    warn(str(error))
    return True


def hold_connection(session: "SiteSession", state: ConnectedRegistryState) -> bool:
    """Return whether another connection string has to wait for the site's window.

    It restarts the registry: the helm-controller follows the Secret by itself. A registry that
    Azure does not see has nothing to lose by it, and is not waited for.

    Args:
        session: The site; its `held` says what waits.
        state: The connected registry.
    """
    what = "another connection string (where its parent answers) restarts the site's registry"
    error = window_error(session.site, what, datetime.now(UTC)) if state.is_online else None
    if error is None:
        return False
    session.held[CONNECTION] = error
    warn(str(error))
    return True


def raise_held(session: "SiteSession", but: Collection[str] = ()) -> None:
    """End a site's work as waiting when a restart had to wait; else do nothing.

    Args:
        session: The site.
        but: Go on when nothing else had to wait.

    Raises:
        WindowClosedError, NodeBusyError: What waits, and until when.
    """
    error = all_held(session.site.name, session.held.values())
    if error and not session.held.keys() <= set(but):
        raise error


def _what(change: NodeChange) -> str:
    return f"{change.node.name}: {change.unit} must be restarted, because {change.restart}"
