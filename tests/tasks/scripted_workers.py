"""A worker that follows a script: it takes up shards' runs on a real Prefect server.

It does what Prefect's worker and the run of a shard do as far as the dispatching run can see it:
states on the server, reports in the storage. What it does to each run the test says.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import get_current_settings
from prefect.states import Completed, Crashed, Failed, Pending, Running, State

from fleet.results import SiteResult, Status
from fleet.shard_report import ShardOrder, ShardReport, order_key, report_key
from tasks.shard_run import PARENT
from tasks.shared_documents import SharedDocuments

POOL = "edge-test"
_LOOK = 0.1


class Worker:
    """Takes up runs of one deployment, each in a thread of its own."""

    def __init__(self, flow: "Flow[..., object]", script: "Callable[[Taken], None]") -> None:
        self._script = script
        self._stop = threading.Event()
        self._threads = [_thread(self._work)]
        self.taken: list[FlowRun] = []
        with get_client(sync_client=True) as client:
            client.create_work_pool(WorkPoolCreate(name=POOL), overwrite=True)
            self.deployment = client.create_deployment(
                client.create_flow(flow), name="shard", work_pool_name=POOL
            )

    @contextmanager
    def at_work(self) -> Iterator["Worker"]:
        self._threads[0].start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def runs(self) -> list[FlowRun]:
        wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[self.deployment]))
        with get_client(sync_client=True) as client:
            return client.read_flow_runs(flow_run_filter=wanted)

    def _work(self) -> None:
        seen = set()
        documents = SharedDocuments()
        while not self._stop.wait(_LOOK):
            for run in self.runs():
                if run.id not in seen and run.state is not None and run.state.is_scheduled():
                    seen.add(run.id)
                    self.taken.append(run)
                    self._threads.append(_thread(self._do, run, documents))
                    self._threads[-1].start()

    def _do(self, run: FlowRun, documents: SharedDocuments) -> None:
        with get_client(sync_client=True) as client:
            self._script(Taken(run, client, documents))


def _thread(work: Callable[..., None], *arguments: object) -> threading.Thread:
    """Return a thread that knows the server of this test."""
    return threading.Thread(target=copy_context().run, args=(work, *arguments), daemon=True)


class Taken:
    """A run that the worker has taken up."""

    def __init__(self, run: FlowRun, client: SyncPrefectClient, documents: SharedDocuments) -> None:
        self.run, self._client, self._documents = run, client, documents
        self.sites: list[str] = run.parameters["sites"]
        self.is_again = run.name.endswith(", again")
        self._beat = 0
        self._results: list[SiteResult] = []

    @property
    def order(self) -> ShardOrder | None:
        return self._documents.read(order_key(str(self.run.labels[PARENT])), ShardOrder)

    def look(self) -> "State[object]":
        state = self._client.read_flow_run(self.run.id).state
        assert state is not None
        return state

    def pend(self) -> None:
        self._set(Pending())

    def begin(self) -> None:
        self.pend()
        self._set(Running())
        self.report()

    def report(self, *sites: str, status: Status = Status.DONE) -> None:
        self._beat += 1
        self._results += [SiteResult(site=s, verb="onboard", status=status) for s in sites]
        report = ShardReport(beat=self._beat, results=tuple(self._results))
        self._documents.write(report_key(str(self.run.id)), report)

    @contextmanager
    def unreadable_report(self) -> Iterator[None]:
        """Put a folder where the report is, which no storage reads; both are gone afterwards."""
        place = get_current_settings().results.local_storage_path / report_key(str(self.run.id))
        place.unlink()
        place.mkdir()
        yield
        place.rmdir()

    def complete(self) -> None:
        self._set(Completed())

    def fail(self, message: str) -> None:
        self._set(Failed(message=message))

    def crash(self) -> None:
        self._set(Crashed(message="the process was killed"))

    def do_all(self) -> None:
        self.begin()
        self.report(*self.sites)
        self.complete()

    def _set(self, state: "State[object]") -> None:
        self._client.set_flow_run_state(self.run.id, state, force=True)
