"""Who is told how far each site is: the terminal, the Prefect UI, a test.

Observers are functions; they are called from the thread that works on the site and must be quick.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

from fleet.results import FleetReport, SiteResult

State = Literal["running", "done", "waiting", "failed", "stopped", "not started", "skipped"]


class Step(NamedTuple):
    """One piece of news about a site; without a site, about the whole run."""

    site: str
    text: str
    state: State = "running"


Observer = Callable[[Step], None]

_observers: list[Observer] = []
_reports: list[list[FleetReport]] = []
_hearers: list[Callable[[SiteResult], None]] = []
_lock = threading.Lock()
_site: ContextVar[str | None] = ContextVar("site", default=None)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Call `observer` for every step while the block runs."""
    with _lock:
        _observers.append(observer)
    try:
        yield
    finally:
        with _lock:
            _observers.remove(observer)


@contextmanager
def working_on(site: str) -> Iterator[None]:
    """Count what is said inside the block as news about `site`."""
    token = _site.set(site)
    try:
        yield
    finally:
        _site.reset(token)


def tell(text: str, state: State = "running", site: str | None = None) -> None:
    """Give the observers news about a site, by default the one being worked on."""
    name = site or _site.get()
    if name is None:
        return
    _tell_all(Step(name, text, state))


def announce(text: str) -> None:
    """Give the observers news about the whole run."""
    _tell_all(Step("", text))


def _tell_all(step: Step) -> None:
    with _lock:
        observers = list(_observers)
    for observer in observers:
        observer(step)


@contextmanager
def collecting_reports() -> Iterator[list[FleetReport]]:
    """Collect the report of every fleet run that ends in this process while the block runs."""
    reports: list[FleetReport] = []
    with _lock:
        _reports.append(reports)
    try:
        yield reports
    finally:
        with _lock:
            _reports[:] = [others for others in _reports if others is not reports]


def tell_report(report: FleetReport) -> None:
    """Give a finished run's report to those who collect them."""
    with _lock:
        for reports in _reports:
            reports.append(report)


@contextmanager
def hearing_results(hearer: Callable[[SiteResult], None]) -> Iterator[None]:
    """Call `hearer` with the result of every site that ends while the block runs."""
    with _lock:
        _hearers.append(hearer)
    try:
        yield
    finally:
        with _lock:
            _hearers.remove(hearer)


def tell_result(result: SiteResult) -> None:
    """Give a site's result to those who want it at once, not with the whole report."""
    with _lock:
        hearers = list(_hearers)
    for hearer in hearers:
        hearer(result)
