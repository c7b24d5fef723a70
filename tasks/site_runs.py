"""Work on many sites at once: one site's failure is a result, never an ending.

Each site is one Prefect task run, named "<verb> <site>" and tagged `site:<site>`, that calls its
steps as nested task runs; docs/decisions/0007-one-task-per-site.md says why it is not a subflow.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Completed, Failed

from fleet.adoption import Finding
from fleet.errors import FleetError
from fleet.failures import result_of_error
from fleet.outcomes import Outcome
from fleet.records import SiteRecord, blank_record, site_digest
from fleet.results import FleetReport, SiteResult, Status
from fleet.site_events import events_of
from fleet.site_plan import SitePlan
from fleet.sites import Site
from tasks.events import emit_result
from tasks.progress import tell, tell_report, tell_result, working_on
from tasks.records import keep_record, latest_record
from tasks.reporting import publish_site
from tasks.run_log import note, warn
from tasks.site_locks import site_to_itself
from tasks.waiting import StoppedError, go_on_waiting, stop_waiting


@dataclass
class SiteRun:
    """One site on its way: what is known of it and what was done to it so far, even if it fails.

    `keeps_record` off: the run only looks, beside other runs, and leaves the record alone.
    `how` is what else makes the work its own, as for `fleet.records.site_digest`; `is_over` off: it
    has to be done again however well it ended.
    """

    site: Site
    record: SiteRecord
    outcomes: list[Outcome] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    advice: tuple[str, ...] = ()
    plan: SitePlan | None = None
    message: str = ""
    keeps_record: bool = True
    how: str = ""
    is_over: bool = True

    def did(self, outcomes: Iterable[Outcome]) -> None:
        """Note what a step did."""
        self.outcomes.extend(outcomes)


Work = Callable[[SiteRun], None]


@contextmanager
def alone_at(run: SiteRun) -> Iterator[None]:
    """Keep other runs that write out of the site, and know what they have noted until now.

    Raises:
        SiteBusyError: Another one is at work there.
    """
    with site_to_itself(run.site):
        run.record = latest_record(run.site, datetime.now(UTC))
        yield


def run_sites(
    verb: str,
    fleet: str,
    sites: Sequence[Site],
    work: Work,
    at_once: int,
    before: Mapping[str, frozenset[str]] | None = None,
    tags: Sequence[str] = (),
) -> FleetReport:
    """Run `work` on every site, `at_once` at a time, and report on all of them.

    Args:
        verb: What is done, as it stands in run names: `onboard`, `verify`.
        fleet: The fleet's name.
        sites: The sites to work on.
        work: Does it and notes what it did; may raise, which makes that one site failed or waiting.
        at_once: How many sites are worked on at the same time.
        before: For each site the names of those that have to end first, however they end; a site
            that needed one of them to succeed finds out by itself; those that are not among
            `sites` count as ended. None: no order.
        tags: More tags for the sites' task runs.

    Returns:
        One result per site. Ctrl-C and SIGTERM end the waiting, let steps in progress finish,
        report the rest as stopped and go on upwards.
    """
    go_on_waiting()
    results: dict[str, SiteResult] = {}
    pool = ThreadPoolExecutor(at_once, thread_name_prefix=verb)
    try:
        _run_in_order(
            sites,
            before or {},
            lambda site: pool.submit(
                copy_context().run, _run_one, _Job(verb, site, work, results, tags)
            ),
        )
    except BaseException:
        _stop(pool)
        tell_report(_report(verb, fleet, sites, results))
        raise
    pool.shutdown()
    return _report(verb, fleet, sites, results)


def _run_in_order(
    sites: Sequence[Site],
    before: Mapping[str, frozenset[str]],
    start: Callable[[Site], Future[None]],
) -> None:
    """Start each site as soon as those before it have ended, and wait for all."""
    names = {site.name for site in sites}
    left, ended = list(sites), set[str]()
    running: dict[Future[None], str] = {}
    while left or running:
        ready = [site for site in left if before.get(site.name, frozenset()) & names <= ended]
        left = [site for site in left if site not in ready]
        running |= {start(site): site.name for site in ready}
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            ended.add(running.pop(future))


def sites_at_once(wanted: int | None) -> int:
    """Return how many sites to work on at once: what the fleet file says, or what Prefect bears.

    SQLite bears 16 without locks, PostgreSQL 50 (docs/decisions/0007-one-task-per-site.md). The
    database of a remote server can't be seen; it counts as SQLite.
    """
    if wanted:
        return wanted
    settings = get_current_settings()
    url = settings.server.database.connection_url
    if settings.api.url is not None or url is None:
        return 16
    return 50 if url.get_secret_value().startswith("postgresql") else 16


def _stop(pool: ThreadPoolExecutor) -> None:
    """End the waiting and let each step in progress finish; once more Ctrl-C gives up on them."""
    stop_waiting()
    try:
        pool.shutdown(cancel_futures=True)
    except KeyboardInterrupt:
        pool.shutdown(wait=False)


def _report(
    verb: str, fleet: str, sites: Sequence[Site], results: dict[str, SiteResult]
) -> FleetReport:
    missing = [_lost(verb, site) for site in sites if site.name not in results]
    return FleetReport.of(verb, fleet, [*results.values(), *missing])


class _Job:
    """What a site's task is given: a plain object, because Prefect walks through collections.

    It would walk through the dict of results while other threads add to it.
    """

    def __init__(
        self,
        verb: str,
        site: Site,
        work: Work,
        results: dict[str, SiteResult],
        tags: Sequence[str],
    ) -> None:
        self.verb, self.site, self.work, self.results = verb, site, work, results
        self.tags = [f"site:{site.name}", f"registry:{site.registry}", f"verb:{verb}"]
        self.tags += [*tags, *site.tags]


def _run_one(job: _Job) -> None:
    verb, site, results = job.verb, job.site, job.results
    run = _site_task.with_options(task_run_name=f"{verb} {site.name}")
    try:
        with working_on(site.name):
            state = run(job, return_state=True)
            if site.name not in results:
                state.result()
    except Exception as error:  # noqa: BLE001 - Prefect's own trouble must not end the fleet
        if site.name not in results:
            results[site.name] = _failed(verb, site, error)
            emit_result(site, results[site.name])
            tell_result(results[site.name])


def _tag_this_run(tags: Sequence[str]) -> None:
    """Give the current task run its tags, which its next state carries to the server.

    Prefect asks its server for a slot for the tags with which a task run begins, even where nobody
    limits them, by a client and a thread for each different set of tags. On SQLite many at once
    lock each other out and rest for seconds; memory grows with every site.
    """
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags = list(tags)


@task(name="site", cache_policy=NO_CACHE, persist_result=False)
def _site_task(job: _Job) -> State[None]:
    verb, site = job.verb, job.site
    _tag_this_run(job.tags)
    started, now = time.monotonic(), datetime.now(UTC)
    run = SiteRun(site, read := blank_record(site, now))
    try:
        run.record = read = latest_record(site, now)
        job.work(run)
        result = SiteResult(site=site.name, verb=verb, status=Status.DONE, message=run.message)
    except Exception as error:  # noqa: BLE001 - becomes the site's result, with its type
        result = _failed(verb, site, error)
    except StoppedError:
        result = SiteResult(site=site.name, verb=verb, status=Status.STOPPED, message="stopped")
    seconds = time.monotonic() - started
    known = {
        "outcomes": tuple(run.outcomes),
        "findings": run.findings,
        "advice": run.advice,
        "plan": run.plan,
    }
    result = result.model_copy(update={"seconds": seconds, **known})
    job.results[site.name] = result
    emit_result(site, result)
    if run.keeps_record:
        # What other runs have noted meanwhile stays: this one has found nothing to add to it.
        record = latest_record(site, now) if run.record is read else run.record
        digest = site_digest(site, run.how) if run.is_over else ""
        _publish(site, record.after(result, now, digest), result)
    tell_result(result)
    return _state(result)


def note_end(site: Site, result: SiteResult) -> None:
    """Keep and emit a result that no run of the site could: it was lost, or never began.

    That of a plan is nobody's news and leaves no trace.
    """
    if not events_of(result):
        return
    emit_result(site, result)
    now = datetime.now(UTC)
    _publish(site, latest_record(site, now).after(result, now, ""), result)


def _publish(site: Site, record: SiteRecord, result: SiteResult) -> None:
    try:
        keep_record(site.fleet, site.name, record)
        publish_site(record, result)
    except Exception as error:  # noqa: BLE001 - a report that fails does not undo what was done
        warn(f"the record of {site.name} could not be kept: {type(error).__name__}")


def _state(result: SiteResult) -> State[None]:
    note(f"{result.site}: {result.status}: {result.message}")
    tell(result.message or result.status.value, state=result.status.value, site=result.site)
    if result.status is Status.DONE:
        return Completed(message=result.message)
    if result.status is Status.WAITING:
        return Cancelled(name="Waiting", message=result.message)
    return Failed(message=result.message)


def _failed(verb: str, site: Site, error: Exception) -> SiteResult:
    result = result_of_error(verb, site, error)
    if not isinstance(error, FleetError):
        warn(f"{site.name}: {result.message}: {_place(error)}")
    return result


def _place(error: BaseException) -> str:
    """Return where an unexpected error came from: names only, since its text may hold anything."""
    trace, places = error.__traceback__, []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-6:])


def _lost(verb: str, site: Site) -> SiteResult:
    return SiteResult(site=site.name, verb=verb, status=Status.STOPPED, message="not started")
