"""The progress bar of a run over many sites, as the Prefect UI shows it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from fleet.pages import artifact_key
from tasks.best_effort import best_effort
from tasks.progress import Step, observing

_WHAT = "the progress bar"
_REST = 1.0
"""Seconds between two movements: the UI asks no more often, and each one is a write."""
_WORTH_TELLING = ("failed", "stopped", "not started", "waiting")


@contextmanager
def showing_progress(fleet: str, verb: str, sites: int) -> Iterator[None]:
    """Keep a progress bar in the UI while sites are worked on; a single site needs none.

    It counts every site that ends, however it ends, and says at the end whether the run got
    through. It moves once a second at most, and no site waits for it.
    """
    if sites < 2:
        yield
        return
    bar = _Bar(fleet, verb, sites)
    try:
        with observing(bar.take):
            yield
    except BaseException:
        bar.end("; the run was broken off")
        raise
    bar.end()


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
        self._moved, self._is_over = threading.Event(), threading.Event()
        # In the run's context: it says which server there is.
        show = copy_context().run
        self._thread = threading.Thread(target=show, args=(self._keep_moving,), daemon=True)
        self._thread.start()

    def take(self, step: Step) -> None:
        """Count a site that ended, and show news about the whole run."""
        if step.site and step.state == "running":
            return
        with self._lock:
            if step.site:
                self._ended[step.site] = step.state
            else:
                self._news = f"; {step.text}"
        self._moved.set()

    def end(self, news: str = "") -> None:
        """Show how it ended; `news` says so where sites have not had their turn."""
        self._is_over.set()
        self._moved.set()
        self._thread.join()
        with self._lock:
            self._news = news or self._news
        self._show()

    def _keep_moving(self) -> None:
        while self._moved.wait() and not self._is_over.is_set():
            self._moved.clear()
            self._show()
            self._is_over.wait(_REST)

    def _show(self) -> None:
        if self._artifact is None:
            return
        with self._lock:
            share, text = 100.0 * len(self._ended) / self._sites, self._text()
        with best_effort(_WHAT):
            update_progress_artifact(self._artifact, min(100.0, share), text)

    def _text(self) -> str:
        counts = Counter(self._ended.values())
        bad = [f"{counts[state]} {state}" for state in _WORTH_TELLING if counts[state]]
        done = f"{self._title}: {len(self._ended)} of {self._sites} sites"
        return ", ".join([done, *bad]) + self._news
