"""What people watch in the Prefect UI: a page per site, a table per fleet, a progress bar."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Completed, Failed

from fleet.pages import artifact_key, fleet_rows, site_page
from fleet.records import SiteRecord
from fleet.results import FleetReport, SiteResult, Status
from fleet.sites import Site
from tasks.progress import Step, observing, tell_report
from tasks.run_log import warn

_FEW = 20
_ENDED = {"done", "waiting", "failed", "stopped"}


@contextmanager
def _best_effort(what: str) -> Iterator[None]:
    """Go on when the Prefect server does not take something that is only for looking at."""
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        warn(f"the Prefect server did not take {what} ({type(error).__name__}); the work goes on")


def publish_site(record: SiteRecord, result: SiteResult) -> None:
    """Put the site's page where the UI shows it, under the key `site-<fleet>-<site>`."""
    with _best_effort(f"the page of {record.site}"):
        create_markdown_artifact(
            key=artifact_key("site", record.fleet, record.site),
            markdown=site_page(record, result),
            description=f"{record.site}: {result.verb} {result.status}",
        )


def publish_fleet(report: FleetReport) -> None:
    """Put the table of the whole run where the UI shows it, under the key `fleet-<fleet>`."""
    with _best_effort("the table of the fleet"):
        create_table_artifact(
            key=artifact_key("fleet", report.fleet),
            table=fleet_rows(report),
            description=report.headline,
        )


def end_of_run(report: FleetReport) -> State[None]:
    """Return the state of the whole run: failed when any site is, with every such site named."""
    tell_report(report)
    bad = [*report.having(Status.FAILED), *report.having(Status.STOPPED)]
    if bad:
        lines = [f"{result.site}: {result.message}" for result in bad]
        return Failed(message="\n".join([report.headline, *lines]))
    if report.having(Status.WAITING):
        return Completed(name="Waiting", message=report.headline)
    return Completed(message=report.headline)


def tag_run(sites: Sequence[Site]) -> None:
    """Tag the current flow run with its registries and, while they are few, its sites."""
    run = FlowRunContext.get()
    if run is None or run.flow_run is None:
        return
    tags = {*run.flow_run.tags, *(f"registry:{site.registry}" for site in sites)}
    if len(sites) <= _FEW:
        tags |= {f"site:{site.name}" for site in sites} | {tag for s in sites for tag in s.tags}
    with _best_effort("the tags of the run"), get_client(sync_client=True) as client:
        client.update_flow_run(run.flow_run.id, tags=sorted(tags))


@contextmanager
def showing_progress(fleet: str, verb: str, sites: int) -> Iterator[None]:
    """Keep a progress bar in the UI while sites are worked on."""
    bar: object = None
    with _best_effort("the progress bar"):
        bar = create_progress_artifact(
            progress=0.0,
            key=artifact_key("progress", fleet),
            description=f"{verb} {fleet}: 0 of {sites} sites",
        )
    ended: set[str] = set()
    lock = threading.Lock()

    def count(step: Step) -> None:
        if step.state not in _ENDED or not isinstance(bar, UUID):
            return
        with lock, _best_effort("the progress bar"):
            ended.add(step.site)
            text = f"{verb} {fleet}: {len(ended)} of {sites} sites"
            update_progress_artifact(bar, 100.0 * len(ended) / max(1, sites), text)

    with observing(count):
        yield
