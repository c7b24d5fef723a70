"""Have the sites of a run worked on by runs of their own, on whatever machines the workers are.

The run that dispatches starts shards, looks at them, and puts together what they report through the
storage for results. It can be killed at any time: started again, it takes up the shards that it, or
an earlier run like it, has started. A shard that falls silent or crashes is dispatched again once,
with those sites that had not ended; the site locks (`tasks.site_locks`) keep its old run out.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType

from fleet.dispatch_errors import ResultStorageError
from fleet.nesting import Tree
from fleet.results import FleetReport, SiteResult, Status
from fleet.shard_report import FOLDER, ShardOrder, ShardReport, mark_of, order_key, report_key
from fleet.shards import Shard, cut, fingerprint, lost, rest_of, startable
from fleet.site_plan import FleetPlan
from fleet.sites import Fleet, Site
from tasks.progress import announce, tell, tell_report
from tasks.run_log import note, warn
from tasks.shard_runs import Parent, ShardRuns, this_run
from tasks.shared_documents import SharedDocuments
from tasks.site_runs import note_end
from tasks.waiting import pause

_POLL = 2.0
_PENDING_FACTOR = 5
_UNTAKEN = 120.0
_SAID_AGAIN = 900.0
_UNREAD = 900.0
"""For how long the last report of a shard that has ended is waited for."""
_FOR_A_WORKER = ("Scheduled", "Late")
"""Not those that the server holds back itself, because as many as allowed are under way."""
_KEPT = timedelta(days=30)
"""For how long reports of shards are of use: to runs that are tried again, and to people."""
_SELECTORS = ("tags", "labels")


def dispatch_sites(
    verb: str,
    fleet: Fleet,
    sites: Sequence[Site],
    *,
    plan: FleetPlan | None = None,
    changed: Mapping[str, Any] = MappingProxyType({}),
    every: float = _POLL,
    clock: Callable[[], float] = time.monotonic,
) -> FleetReport:
    """Have `verb` done to sites by shards of the current flow run, and report on all of them.

    Args:
        verb: What is done, as it stands in run names.
        fleet: The fleet as the file has it.
        sites: Those of it that are worked on.
        plan: What is done to them, where a plan is applied; the shards get it with their order.
        changed: Parameters that the shards get otherwise than the current run.
        every: Seconds between two looks at the shards.
        clock: Tells for how many seconds a shard was silent.

    Raises:
        ShardDeploymentMissingError: `acrfleet deploy` has not been run since this flow has shards.
        ResultStorageError: The storage for results takes nothing.
    """
    order = ShardOrder(fleet=fleet.name, fingerprint=fingerprint(fleet), plan=plan)
    me = this_run()
    parent = me._replace(parameters={**me.parameters, **changed})
    dispatcher = _Dispatcher(verb, fleet, sites, parent, order, clock)
    try:
        return dispatcher.run(every)
    except BaseException as reason:
        dispatcher.let_go(reason)
        raise


@dataclass
class _Flight:
    """A shard that is under way, and when something was last heard of it, by our own clock."""

    shard: Shard
    run: FlowRun
    heard_at: float
    beat: int = 0
    state: StateType | None = None
    ended_at: float | None = None


class _Dispatcher:
    def __init__(
        self,
        verb: str,
        fleet: Fleet,
        sites: Sequence[Site],
        parent: Parent,
        order: ShardOrder,
        clock: Callable[[], float],
    ) -> None:
        self._verb, self._fleet, self._sites, self._parent = verb, fleet, sites, parent
        self._clock, self._order = clock, order
        self._mark = mark_of(order)
        self._documents = SharedDocuments()
        self._runs = ShardRuns(parent)
        self._results: dict[str, SiteResult] = {}
        self._stopped: dict[str, SiteResult] = {}
        self._flights: dict[UUID, _Flight] = {}
        self._waiting: list[Shard] = []
        self._said_at = -_SAID_AGAIN

    def run(self, every: float) -> FleetReport:
        """Go on until every site has a result."""
        self._documents.forget_old(FOLDER, _KEPT)
        self._documents.write(order_key(str(self._parent.run)), self._order)
        taken = self._take_up()
        left = [site for site in self._sites if site.name not in taken]
        self._waiting = list(cut(left, Tree(self._fleet.sites), self._fleet.shards.size))
        note(f"{self._verb}: {len(left)} sites in {len(self._waiting)} shards")
        while self._waiting or self._flights:
            self._start()
            pause(every)
            self._look()
        return self._report()

    def let_go(self, reason: BaseException) -> None:
        """Say how far everything is; cancel the shards where the operator wants all to stop.

        A run that ends for another reason, because its machine is shut down, leaves them at work.
        """
        tell_report(self._report())
        try:
            if isinstance(reason, KeyboardInterrupt) or self._runs.is_being_cancelled():
                for flight in self._flights.values():
                    self._runs.cancel(flight.run)
        except Exception as error:  # noqa: BLE001 - the reason goes on upwards, not this
            warn(f"not all shards could be cancelled: {type(error).__name__}")

    def _take_up(self) -> set[str]:
        """Go on with shards that this run has started before; return the sites that they cover."""
        wanted, taken = {site.name: site for site in self._sites}, set[str]()
        for run in self._runs.earlier(self._mark):
            names = tuple(name for name in run.parameters.get("sites") or () if name in wanted)
            flight = (
                _Flight(Shard(wanted[names[0]].registry, names), run, self._clock())
                if names
                else None
            )
            if flight is None:
                continue
            self._hear(flight)
            if run.state is not None and run.state.is_final():
                taken |= {name for name in names if self._is_done(name)}
            else:
                self._flights[run.id] = flight
                taken |= set(names)
        self._results = {name: one for name, one in self._results.items() if name in taken}
        if taken:
            note(f"{len(taken)} sites are in shards that an earlier run has started")
        return taken

    def _is_done(self, name: str) -> bool:
        return name in self._results and self._results[name].status is Status.DONE

    def _start(self) -> None:
        under_way = [flight.shard for flight in self._flights.values()]
        for shard in startable(self._waiting, under_way, self._fleet.shards):
            again = "" if shard.attempt == 1 else ", again"
            name = f"{self._verb} {shard}{again}"
            tags = {"acrfleet", "shard", f"verb:{self._verb}", f"fleet:{self._fleet.name}"}
            run = self._runs.start(shard.key, name, self._parameters(shard), tags, self._mark)
            self._waiting.remove(shard)
            self._flights[run.id] = _Flight(shard, run, self._clock())
            for site in shard.sites:
                tell(f"dispatched: {run.name}", site=site)

    def _parameters(self, shard: Shard) -> dict[str, Any]:
        """Return what a shard's flow run is given: as this one, but for its sites alone."""
        given: Mapping[str, Any] = self._parent.parameters
        path = self._fleet.shards.fleet_file or given["fleet_file"]
        rest = {name: value for name, value in given.items() if name not in _SELECTORS}
        return {**rest, "fleet_file": path, "sites": list(shard.sites)}

    def _look(self) -> None:
        now = self._runs.look(self._flights)
        for key, flight in list(self._flights.items()):
            flight.run = now.get(key, flight.run)
            is_heard = self._hear(flight)
            state = flight.run.state
            if key not in now:
                self._end(flight, "its run was deleted", again=True)
            elif state is not None and state.is_final():
                flight.ended_at = flight.ended_at or self._clock()
                # What it has done is in its last report: the next look may be able to read it.
                if is_heard or self._clock() - flight.ended_at > _UNREAD:
                    self._end_by_state(flight)
            elif why := self._silence_of(flight):
                self._runs.mark_lost(flight.run.id, why)
                self._end(flight, why, again=True)
        self._say_who_is_missing()

    def _say_who_is_missing(self) -> None:
        """Say that no worker takes the shards: there may be none, and nothing else would tell."""
        now = self._clock()
        untaken = [
            flight.run
            for flight in self._flights.values()
            if flight.run.state_name in _FOR_A_WORKER and now - flight.heard_at > _UNTAKEN
        ]
        if not untaken or now - self._said_at < _SAID_AGAIN:
            return
        self._said_at = now
        pool = untaken[0].work_pool_name
        words = (
            f"no worker has taken {untaken[0].name}"
            + (f" and {len(untaken) - 1} more" if untaken[1:] else "")
            + f" for {_UNTAKEN / 60:.0f} minutes: all may be busy, or none is alive; look at Work "
            f"pools > {pool} in Prefect's UI, or start one: prefect worker start --pool {pool}"
        )
        announce(words)
        warn(words)

    def _hear(self, flight: _Flight) -> bool:
        """Take in what a shard reports; a storage that does not answer is no silence of it."""
        try:
            report = self._documents.read(report_key(str(flight.run.id)), ShardReport)
        except ResultStorageError as error:
            warn(str(error))
            flight.heard_at = self._clock()
            return False
        if flight.run.state_type is not flight.state:
            flight.state, flight.heard_at = flight.run.state_type, self._clock()
        if report is None or report.beat == flight.beat:
            return True
        flight.beat, flight.heard_at = report.beat, self._clock()
        for result in report.results:
            was_stopped = result.status is Status.STOPPED
            if was_stopped:
                # Its worker went away: whether another one takes the site up, its run's end says.
                self._stopped[result.site] = result
            elif result.site in flight.shard.sites and result.site not in self._results:
                self._results[result.site] = result
                tell(
                    result.message or result.status.value,
                    state=result.status.value,
                    site=result.site,
                )
        return True

    def _silence_of(self, flight: _Flight) -> str:
        """Return why a shard counts as lost; empty while it does not."""
        silent = self._clock() - flight.heard_at
        bound = self._fleet.shards.lost_after.total_seconds()
        if flight.state is StateType.RUNNING and silent > bound:
            return f"it gave no sign of life for {silent:.0f} s"
        if flight.state is StateType.PENDING and silent > bound * _PENDING_FACTOR:
            return f"a worker took it {silent:.0f} s ago and never began"
        return ""

    def _end_by_state(self, flight: _Flight) -> None:
        state = flight.run.state
        assert state is not None  # noqa: S101 - it is final
        words = f"its run ended as {state.name}: {state.message or 'without a word'}"
        self._end(flight, words, again=state.is_crashed())

    def _end(self, flight: _Flight, why: str, *, again: bool) -> None:
        """Be done with a shard; its open sites are dispatched again, or have failed."""
        del self._flights[flight.run.id]
        more = rest_of(flight.shard, self._results) if again else None
        if more is not None:
            warn(f"{flight.run.name}: {why}; dispatching {more} again")
            self._waiting.append(more)
            return
        place = f"its shard is the run {flight.run.name!r} in Prefect ({flight.run.id})"
        sites = {site.name: site for site in self._sites}
        for result in lost(self._verb, flight.shard, f"{why}; {place}", self._results):
            self._results[result.site] = result
            note_end(sites[result.site], result)
            tell(result.message, state="failed", site=result.site)

    def _report(self) -> FleetReport:
        missing = [
            self._stopped.get(site.name)
            or SiteResult(
                site=site.name, verb=self._verb, status=Status.STOPPED, message="not started"
            )
            for site in self._sites
            if site.name not in self._results
        ]
        return FleetReport.of(self._verb, self._fleet.name, [*self._results.values(), *missing])
