"""The progress bar of a run over many sites, as the Prefect UI shows it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from fleet.pages import artifact_key
from tasks.best_effort import best_effort
from tasks.progress import Step, observing

_WHAT = "the progress bar"
_WORTH_TELLING = ("failed", "stopped", "not started", "waiting")


@contextmanager
def showing_progress(fleet: str, verb: str, sites: int) -> Iterator[None]:
    """Keep a progress bar in the UI while sites are worked on; a single site needs none.

    It moves with every site that ends, however it ends, and says at the end whether the run got
    through.
    """
    if sites < 2:
        yield
        return
    bar = _Bar(fleet, verb, sites)
    try:
        with observing(bar.take):
            yield
    except BaseException:
        bar.break_off()
        raise


class _Bar:
    """Where a run stands, in words and as a share; its methods may be called from any thread."""

    def __init__(self, fleet: str, verb: str, sites: int) -> None:
        self._title, self._sites = f"{verb} {fleet}", sites
        self._ended: dict[str, str] = {}
        self._news = ""
        self._lock = threading.Lock()
        self._artifact: UUID | None = None
        key = artifact_key("progress", fleet)
        with best_effort(_WHAT):
            made = create_progress_artifact(progress=0.0, key=key, description=self._text())
            self._artifact = made if isinstance(made, UUID) else None

    def take(self, step: Step) -> None:
        """Count a site that ended, and show news about the whole run."""
        if step.site and step.state == "running":
            return
        with self._lock:
            if step.site:
                self._ended[step.site] = step.state
            else:
                self._news = f"; {step.text}"
            self._show()

    def break_off(self) -> None:
        """Say that the run ended before all sites had their turn."""
        with self._lock:
            self._news = "; the run was broken off"
            self._show()

    def _show(self) -> None:
        if self._artifact is None:
            return
        share = 100.0 * len(self._ended) / self._sites
        with best_effort(_WHAT):
            update_progress_artifact(self._artifact, min(100.0, share), self._text())

    def _text(self) -> str:
        counts = Counter(self._ended.values())
        bad = [f"{counts[state]} {state}" for state in _WORTH_TELLING if counts[state]]
        done = f"{self._title}: {len(self._ended)} of {self._sites} sites"
        return ", ".join([done, *bad]) + self._news
