"""What has to wait at a site because it restarts something, and until when.

Nothing is restarted outside of a site's maintenance window, nor a node while it downloads images or
while the site's registry synchronises for the first time (docs/decisions/0017-waves.md).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from fleet.azure_objects import ConnectedRegistryState
from fleet.connected_registries import CONTINUOUS
from fleet.errors import WaitingError, WaitingForSiteError
from fleet.maintenance import why_not_now
from fleet.sites import Site

STILL_SECONDS = 60.0
"""A download that has not grown for so long is what an interrupted one left behind: containerd
keeps those for a day. CRI itself gives up on one that stands still for 5 minutes."""

_ENDPOINT = frozenset({"httpEnabled", "service", "tls", "cert-manager"})


class WindowClosedError(WaitingForSiteError):
    """Come back when the site's maintenance window is open, or say `--ignore-windows`."""


class NodeBusyError(WaitingForSiteError):
    """Come back later: a node that must restart downloads images, or the first sync goes on."""


def window_error(site: Site, what: str, now: datetime) -> WindowClosedError | None:
    """Return the error of a restart that may not begin now; None: it may.

    The window must stay open for as long as a restarted node may take: `patience.node_ready`.

    Args:
        site: The site.
        what: What would be restarted and why, as the beginning of a sentence.
        now: Aware.
    """
    why = why_not_now(site.maintenance, now, site.patience.node_ready)
    return WindowClosedError(f"{what}; it waits: {why}.") if why else None


def first_sync_words(state: ConnectedRegistryState | None) -> str:
    """Return how the first sync is still under way; empty: it is over, or has not begun.

    Azure tells the time of the last sync once there was one. A registry that only synchronises at
    certain hours is not waited for until its hour comes.
    """
    if state is None or state.last_sync is not None:
        return ""
    connection = state.connection_state.casefold()
    begun = connection == "syncing"
    begun |= connection == "online" and state.settings.schedule == CONTINUOUS
    return "the site's registry synchronises for the first time" if begun else ""


class PullWatch:
    """What a node downloads, from look to look."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._known: dict[str, tuple[str, float]] = {}

    def see(self, pulls: Mapping[str, str] | None, at: float) -> str:
        """Take a look and return what goes on; empty: nothing does, or it can't be known.

        Args:
            pulls: For each part of an image that is being downloaded how much of it is there, as
                `ctr content active` says it; None: not known.
            at: When, in seconds of any clock that only goes forward.
        """
        before, self._known = self._known, {}
        for part, size in (pulls or {}).items():
            seen, since = before.get(part, ("", at))
            self._known[part] = (size, since if seen == size else at)
        alive = [since for _, since in self._known.values() if at - since < STILL_SECONDS]
        if not alive:
            return ""
        parts = "1 part" if len(alive) == 1 else f"{len(alive)} parts"
        return f"it downloads {parts} of images"


def restarting_changes(names: Iterable[str]) -> tuple[str, ...]:
    """Return which changes of a chart restart the site's registry: all but our own labels."""
    return tuple(name for name in names if name != "labels")


def moves_endpoint(names: Iterable[str]) -> bool:
    """Return whether the registry would answer elsewhere or otherwise after a change of a chart."""
    return bool(_ENDPOINT & set(names))


def all_held(site: str, held: Iterable[WaitingError]) -> WaitingError | None:
    """Return one error for everything that waits at a site; a closed window comes first."""
    errors = sorted(held, key=lambda error: isinstance(error, NodeBusyError))
    if not errors:
        return None
    told = "\n".join(str(error) for error in errors)
    kind = type(errors[0])
    return kind(f"{site}: what restarts nothing is done.\n{told}")
