"""A runner, the floor: the same steps on the same sites by the same number of threads, no Prefect.

`@task` is a plain function here that tries again as the step's policy says, the limit of calls to
Azure is a semaphore, and nothing is reported. Everything else is the product's own code.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any

import prefect

from benchmarks.measuring import measure
from fleet.errors import FleetError, is_worth_retrying
from fleet.records import SiteRecord, blank_record
from fleet.results import SiteResult, Status
from fleet.sites import Site


def plain_task(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Stand in for `prefect.task`: call the function, again where its policy says so."""
    if function is None:
        return partial(plain_task, **options)
    delays = list(options.get("retry_delay_seconds", ()))[: options.get("retries", 0)]

    @wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        for delay in delays:
            try:
                return function(*arguments, **named)
            except FleetError as error:
                if not is_worth_retrying(error):
                    raise
            time.sleep(delay)
        return function(*arguments, **named)

    run.with_options = lambda **_: run  # type: ignore[attr-defined] # as Prefect's tasks have it
    return run


class Slots:
    """Stands in for `tasks.prefect_slots.PrefectSlots`: a limit of this process alone."""

    def __init__(self, slots: int) -> None:
        """Take the limit."""
        self._free = threading.BoundedSemaphore(slots)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot."""
        with self._free:
            yield


def load() -> Callable[[str], list[SiteResult]]:
    """Import the product with every step made by the plain decorator, and return what runs it."""
    vars(prefect)["task"] = plain_task
    from flows.onboard import onboard_or_prove
    from tasks import azure_limits
    from tasks.fleet_files import read_fleet
    from tasks.sessions import open_site
    from tasks.site_runs import SiteRun
    from tasks.upstreams import Upstreams, open_upstreams

    limits: dict[tuple[str, int], Slots] = {}
    guard = threading.Lock()

    def pool(name: str, slots: int) -> Slots:
        with guard:
            return limits.setdefault((name, slots), Slots(slots))

    azure_limits._pool = pool  # type: ignore[assignment] # noqa: SLF001 - no Prefect to ask

    def onboard(upstreams: Upstreams, run: SiteRun) -> SiteResult:
        result = SiteResult(site=run.site.name, verb="onboard", status=Status.DONE)
        try:
            upstream = upstreams.of(run.site)
            with open_site(run.site, upstream.cloud) as session:
                onboard_or_prove(run, upstream, session)
        except Exception as error:  # noqa: BLE001 - counted by `measure`, which then fails
            failed = {"status": Status.FAILED, "error": type(error).__name__, "message": str(error)}
            return result.model_copy(update=failed)
        return result.model_copy(update={"outcomes": tuple(run.outcomes)})

    def onboard_all(fleet_file: str) -> list[SiteResult]:
        fleet, now = read_fleet(fleet_file), datetime.now(UTC)
        kept = Path(f"{fleet_file}.records")
        kept.mkdir(exist_ok=True)
        runs = [SiteRun(site, _record(kept, site, now)) for site in fleet.sites]
        with (
            open_upstreams(fleet, fleet.sites) as upstreams,
            ThreadPoolExecutor(fleet.max_sites_at_once) as threads,
        ):
            results = list(threads.map(partial(onboard, upstreams), runs))
        for run in runs:
            (kept / run.site.name).write_text(run.record.model_dump_json())
        return results

    return onboard_all


def _record(kept: Path, site: Site, now: datetime) -> SiteRecord:
    """Return what the last run noted of a site; a plain file stands in for Prefect's storage."""
    file = kept / site.name
    if file.exists():
        return SiteRecord.model_validate_json(file.read_text())
    return blank_record(site, now)


if __name__ == "__main__":
    onboard_fleet = load()
    measure(lambda: onboard_fleet(sys.argv[1]))
