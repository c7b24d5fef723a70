"""Work on many sites at once: one site's failure is a result, never an ending.

Each site is one Prefect task run, named "<verb> <site>" and tagged `site:<site>`, that calls its
steps as nested task runs; docs/decisions/0007-one-task-per-site.md says why it is not a subflow.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from fleet.errors import FleetError, WaitingError
from fleet.outcomes import Outcome
from fleet.records import SiteRecord, blank_record
from fleet.results import FleetReport, SiteResult, Status
from fleet.sites import Site
from tasks.progress import tell, tell_report, working_on
from tasks.records import keep_record, latest_record
from tasks.reporting import publish_site
from tasks.run_log import note, warn
from tasks.waiting import StoppedError, stop_waiting


@dataclass
class SiteRun:
    """One site on its way: what is known of it and what was done to it so far, even if it fails."""

    site: Site
    record: SiteRecord
    outcomes: list[Outcome] = field(default_factory=list)
    message: str = ""

    def did(self, outcomes: Iterable[Outcome]) -> None:
        """Note what a step did."""
        self.outcomes.extend(outcomes)


Work = Callable[[SiteRun], None]


def run_sites(
    verb: str, fleet: str, sites: Sequence[Site], work: Work, at_once: int
) -> FleetReport:
    """Run `work` on every site, `at_once` at a time, and report on all of them.

    Args:
        verb: What is done, as it stands in run names: `onboard`, `verify`.
        fleet: The fleet's name.
        sites: The sites to work on.
        work: Does it and notes what it did; may raise, which makes that one site failed or waiting.
        at_once: How many sites are worked on at the same time.

    Returns:
        One result per site. Ctrl-C and SIGTERM end the waiting, let steps in progress finish,
        report the rest as stopped and go on upwards.
    """
    results: dict[str, SiteResult] = {}
    pool = ThreadPoolExecutor(at_once, thread_name_prefix=verb)
    try:
        futures = [
            pool.submit(copy_context().run, _run_one, verb, site, work, results) for site in sites
        ]
        wait(futures)
    except BaseException:
        _stop(pool)
        tell_report(_report(verb, fleet, sites, results))
        raise
    pool.shutdown()
    return _report(verb, fleet, sites, results)


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

    def __init__(self, verb: str, site: Site, work: Work, results: dict[str, SiteResult]) -> None:
        self.verb, self.site, self.work, self.results = verb, site, work, results


def _run_one(verb: str, site: Site, work: Work, results: dict[str, SiteResult]) -> None:
    run = _site_task.with_options(
        task_run_name=f"{verb} {site.name}",
        tags=[f"site:{site.name}", f"registry:{site.registry}", f"verb:{verb}", *site.tags],
    )
    try:
        with working_on(site.name):
            state = run(_Job(verb, site, work, results), return_state=True)
            if site.name not in results:
                state.result()
    except Exception as error:  # noqa: BLE001 - Prefect's own trouble must not end the fleet
        results.setdefault(site.name, _failed(verb, site, error))


@task(name="site", cache_policy=NO_CACHE, persist_result=False)
def _site_task(job: _Job) -> State[None]:
    verb, site = job.verb, job.site
    started, now = time.monotonic(), datetime.now(UTC)
    run = SiteRun(site, blank_record(site, now))
    try:
        run.record = latest_record(site, now)
        job.work(run)
        result = SiteResult(site=site.name, verb=verb, status=Status.DONE, message=run.message)
    except Exception as error:  # noqa: BLE001 - becomes the site's result, with its type
        result = _failed(verb, site, error)
    except StoppedError:
        result = SiteResult(site=site.name, verb=verb, status=Status.STOPPED, message="stopped")
    seconds = time.monotonic() - started
    result = result.model_copy(update={"seconds": seconds, "outcomes": tuple(run.outcomes)})
    job.results[site.name] = result
    _publish(site, run.record.after(result, now), result)
    return _state(result)


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
        return Completed(name="Waiting", message=result.message)
    return Failed(message=result.message)


def _failed(verb: str, site: Site, error: Exception) -> SiteResult:
    status = Status.WAITING if isinstance(error, WaitingError) else Status.FAILED
    known = isinstance(error, FleetError)
    message = str(error) if known else f"unexpected {type(error).__name__}; the run's log has more"
    if not known:
        warn(f"{site.name}: {message}: {_place(error)}")
    return SiteResult(
        site=site.name, verb=verb, status=status, message=message, error=type(error).__name__
    )


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
