"""The run of a shard: what it tells the run that dispatched it, while it works on its sites.

A run is a shard's when the run that made it said so in its labels. It makes sure that both have the
same storage and the same fleet file, and then writes one report, anew with every site that ends and
as a sign of life in between.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from fleet.dispatch_errors import (
    FleetFileDiffersError,
    ResultStorageError,
    ResultStorageNotSharedError,
)
from fleet.results import SiteResult
from fleet.shard_report import ShardOrder, ShardReport, order_key, report_key
from fleet.shards import fingerprint
from fleet.site_plan import FleetPlan
from fleet.sites import Fleet
from tasks.prefect_patience import patiently
from tasks.progress import hearing_results
from tasks.run_log import warn
from tasks.shared_documents import SharedDocuments

PARENT = "acrfleet.parent"
FINGERPRINT = "acrfleet.fleet"
NAME = "acrfleet.name"
_BEATS_PER_SILENCE = 6
_LONGEST_REST = 20.0
_LAST_WORDS = (0.0, 1.0, 4.0, 15.0)
"""Seconds before each attempt to leave the last report."""


def parent_of_this_run() -> str | None:
    """Return the run that dispatched the current one; None: it is nobody's shard."""
    run = _this_run()
    parent = None if run is None else run.labels.get(PARENT)
    return None if parent is None else str(parent)


@contextmanager
def reporting(fleet: Fleet, parent: str) -> Iterator[None]:
    """Report to the run that dispatched this one for as long as the block runs.

    Args:
        fleet: The fleet as this machine's file has it.
        parent: The run that dispatched this one.

    Raises:
        ResultStorageNotSharedError: That run's order is not in this machine's storage.
        FleetFileDiffersError: That run has another fleet file, or another version of acrfleet.
    """
    run, documents = _this_run(), SharedDocuments()
    assert run is not None  # noqa: S101 - `parent` came from it
    _check_order(documents, fleet, parent)
    _take_name(run)
    rest = min(_LONGEST_REST, fleet.shards.lost_after.total_seconds() / _BEATS_PER_SILENCE)
    reporter = _Reporter(documents, report_key(str(run.id)), rest)
    with reporter.at_work(), hearing_results(reporter.take):
        yield


def _this_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return None if context is None else context.flow_run


def _take_name(run: FlowRun) -> None:
    """Take the name back that the flow's own template has replaced."""
    name = str(run.labels.get(NAME, run.name))
    patiently(lambda client: client.update_flow_run(run.id, name=name))


def read_order(documents: SharedDocuments, parent: str) -> ShardOrder:
    """Return what the run that dispatched this one has left for its shards.

    Raises:
        ResultStorageNotSharedError: It is not in this machine's storage.
    """
    order = documents.read(order_key(parent), ShardOrder)
    if order is None:
        raise ResultStorageNotSharedError(
            "the run that dispatched this one left its order in its storage for results; in the "
            f"one here, {documents}, it is not. Give all machines the same "
            "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK (docs/how-to/run-on-several-machines.md)."
        )
    return order


def read_ordered_plan(parent: str) -> FleetPlan:
    """Return the plan that the run that dispatched this one applies.

    Raises:
        ResultStorageNotSharedError: That run's order is not in this machine's storage.
        FleetFileDiffersError: It is of another version of acrfleet, and holds no plan.
    """
    plan = read_order(SharedDocuments(), parent).plan
    if plan is None:
        raise FleetFileDiffersError(
            "the run that dispatched this one gave no plan, so its machine has another version of "
            "acrfleet. Bring the same to both; no site was touched."
        )
    return plan


def _check_order(documents: SharedDocuments, fleet: Fleet, parent: str) -> None:
    order = read_order(documents, parent)
    if order.fingerprint != fingerprint(fleet):
        raise FleetFileDiffersError(
            "the fleet file of this worker is not the one of the run that dispatched this one "
            f"({fleet.name}, {fingerprint(fleet)} against {order.fingerprint}), or the machines "
            "have different versions of acrfleet. Bring the same to both; no site was touched."
        )


class _Reporter:
    """Writes the report; where the storage does not take it, the next writing says it all."""

    def __init__(self, documents: SharedDocuments, key: str, rest: float) -> None:
        self._documents, self._key, self._rest = documents, key, rest
        self._lock = threading.Lock()
        self._report = ShardReport(beat=0)
        self._ended = threading.Event()

    def take(self, result: SiteResult) -> None:
        """Add a site's result."""
        self._write(result)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Give signs of life while the block runs."""
        self._write()
        thread = threading.Thread(target=self._beat, name="shard report", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._say_goodbye()

    def _beat(self) -> None:
        while not self._ended.wait(self._rest):
            self._write()

    def _say_goodbye(self) -> None:
        """Write the last report, again and again for a while: none comes after it."""
        for rest in _LAST_WORDS:
            time.sleep(rest)
            if self._write():
                return

    def _write(self, *more: SiteResult) -> bool:
        with self._lock:
            results = (*self._report.results, *more)
            self._report = ShardReport(beat=self._report.beat + 1, results=results)
            try:
                self._documents.write(self._key, self._report)
            except ResultStorageError as error:
                warn(f"{error}; the next report says it again")
                return False
        return True
