"""A whole lab for a test, in a thread of its own."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.faults import Faults
from lab.latency import Latency
from lab.loops import LoopThread
from lab.places import DISTRIBUTION
from lab.world import World

_PATIENCE = 120.0


class LabThread:
    """Starts a world on entering, ends it on leaving; the test's own thread stays free.

    Example:
        with LabThread(sites=1, folder=tmp_path) as lab:
            lab.faults.add(part="azure", kind="status", status=429, times=3)
            lab.call(lab.world.set_offline, "oslo", True)
            url = lab.info["sites"][0]["registry_endpoint"]
    """

    def __init__(
        self,
        *,
        folder: Path,
        sites: int = 3,
        minute: float = 0.2,
        latency: Latency | None = None,
        faults: Faults | None = None,
        profile: str = "recorded",
        distribution: str | Mapping[str, str] = DISTRIBUTION,
    ) -> None:
        """Plan a world below `folder`; see lab.world.World for the arguments."""
        self.folder = folder
        self._options: dict[str, Any] = {
            "sites": sites,
            "minute": minute,
            "latency": latency,
            "faults": faults,
            "profile": profile,
            "distribution": distribution,
        }

    def __enter__(self) -> "LabThread":
        """Start the world; what fails leaves nothing running."""
        self._loop = LoopThread("lab")
        try:
            self.world: World = self.call(World, self.folder, **self._options)
            self.call(self.world.start, wait=_PATIENCE)
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the world and the thread."""
        try:
            self.call(self.world.stop, wait=_PATIENCE)
        finally:
            self._loop.close()

    @property
    def info(self) -> dict[str, Any]:
        """Return the content of lab.json."""
        return self.world.info

    @property
    def faults(self) -> Faults:
        """Return the faults that are switched on."""
        return self.world.faults

    @property
    def audit(self) -> list[dict[str, Any]]:
        """Return the audit log's lines so far."""
        return self.world.audit.read()

    def round_trips(self) -> dict[str, int]:
        """Return how often a client waited for each node since the last reset, by node."""
        counted: dict[str, int] = self.call(self.world.round_trips)
        return counted

    def reset_round_trips(self) -> None:
        """Count every node's round trips and logins anew."""
        self.call(self.world.reset_round_trips)

    def call(
        self, work: Callable[..., Any] | Awaitable[Any], *args: Any, wait: float = 30, **named: Any
    ) -> Any:
        """Run a function or await a coroutine on the lab's loop and return its result."""
        return self._loop.call(work, *args, wait=wait, **named)
