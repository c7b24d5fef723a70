"""The runs of shards on the Prefect server: start, find, look at and end them.

Every call is patient with a server that is away for a while (503, a broken connection): the work of
the shards goes on meanwhile, so the run that waits for them must not end for it.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from prefect import Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Cancelling, Crashed, Pending, Scheduled

from fleet.dispatch_errors import (
    DispatchNeedsServerError,
    ShardDeploymentMissingError,
)
from tasks.prefect_patience import patiently
from tasks.shard_run import FINGERPRINT, NAME, PARENT

DEPLOYMENT = "shard"
_OPEN = (
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
)
_PAGE = 200


class Parent(NamedTuple):
    """The run that dispatches: what its shards take over from it."""

    run: UUID
    attempt: int
    flow: str
    parameters: Mapping[str, Any]


def this_run() -> Parent:
    """Return the current run as one that dispatches.

    Raises:
        DispatchNeedsServerError: There is no server, or no flow run to link shards to.
    """
    if get_current_settings().api.url is None:
        raise DispatchNeedsServerError(
            "the fleet file says `dispatch: deployment`, and no Prefect server is set to which "
            "workers could turn: set PREFECT_API_URL, or take `dispatch` out of the fleet file"
        )
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None:
        raise DispatchNeedsServerError("only a flow run can dispatch shards")
    run = context.flow_run
    return Parent(run.id, run.run_count, context.flow.name, context.parameters or {})


class ShardRuns:
    """The runs that a deployment named `shard` of the current flow has made or will make."""

    def __init__(self, parent: Parent) -> None:
        """Find the deployment.

        Raises:
            ShardDeploymentMissingError: The server has none; `acrfleet deploy` makes it.
        """
        self._parent = parent
        self._name = f"{parent.flow}/{DEPLOYMENT}"
        try:
            self._deployment = patiently(lambda c: c.read_deployment_by_name(self._name)).id
        except ObjectNotFound:
            raise ShardDeploymentMissingError(
                f"the Prefect server has no deployment {self._name}, which `dispatch: deployment` "
                "needs: run `acrfleet deploy`, or take `dispatch` out of the fleet file"
            ) from None

    def start(
        self, key: str, name: str, parameters: Mapping[str, Any], tags: Iterable[str], mark: str
    ) -> FlowRun:
        """Start a shard's run; the same key of the same run starts nothing twice.

        Args:
            key: Stands for the shard within this run.
            name: Of the run, for people.
            parameters: Of the flow.
            tags: By which people find it.
            mark: Of the order, see `fleet.shard_report.mark_of`.
        """
        parent = self._parent
        unique = f"{parent.run}-{parent.attempt}-{key}"
        link = Task(fn=lambda: None, name=name)
        link.task_key = f"acrfleet.shard.{key}"

        def create(client: SyncPrefectClient) -> FlowRun:
            linked = client.create_task_run(
                link, parent.run, dynamic_key=unique, name=name, state=Pending()
            )
            return client.create_flow_run_from_deployment(
                self._deployment,
                parameters=dict(parameters),
                state=Scheduled(),
                name=name,
                tags=sorted(tags),
                idempotency_key=unique,
                parent_task_run_id=linked.id,
                labels={PARENT: str(parent.run), FINGERPRINT: mark, NAME: name},
            )

        return patiently(create)

    def earlier(self, mark: str) -> list[FlowRun]:
        """Return runs to take up: all of this run, and those under way of one that was killed.

        Only runs of the same fleet file, plan and parameters, other sites aside.
        """
        mine = FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[self._parent.run])
        )
        alive = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[self._deployment]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_OPEN))),
        )
        found = {run.id: run for run in (*_read_all(mine), *_read_all(alive))}
        return [run for run in found.values() if self._is_like_mine(run, mark)]

    def look(self, runs: Iterable[UUID]) -> dict[UUID, FlowRun]:
        """Return these runs as they are now."""
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(runs)))
        return {run.id: run for run in _read_all(wanted)}

    def mark_lost(self, run: UUID, why: str) -> None:
        """Say on the server that a run has crashed, which it can no longer say itself."""
        patiently(lambda c: c.set_flow_run_state(run, Crashed(message=why), force=True))

    def cancel(self, run: FlowRun) -> None:
        """Have a run end: one that has not begun never will, another is told by its worker."""
        is_at_work = run.state_type in (StateType.RUNNING, StateType.CANCELLING)
        state: State[Any] = Cancelling() if is_at_work else Cancelled()
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, state, force=not is_at_work)

    def is_being_cancelled(self) -> bool:
        """Return whether somebody cancels the dispatching run itself."""
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(self._parent.run).state
        return state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED)

    def _is_like_mine(self, run: FlowRun, mark: str) -> bool:
        same = self._comparable(run.parameters) == self._comparable(self._parent.parameters)
        return run.labels.get(FINGERPRINT) == mark and same

    @staticmethod
    def _comparable(parameters: Mapping[str, Any]) -> dict[str, Any]:
        aside = {"sites", "tags", "labels", "fleet_file", "plan_file", "out", "resume"}
        return {
            name: value
            for name, value in parameters.items()
            if name not in aside and value is not None
        }


def _read_all(wanted: FlowRunFilter) -> list[FlowRun]:
    def read(at: int, client: SyncPrefectClient) -> list[FlowRun]:
        return client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=at)

    found: list[FlowRun] = []
    while True:
        page = patiently(partial(read, len(found)))
        found += page
        if len(page) < _PAGE:
            return found
