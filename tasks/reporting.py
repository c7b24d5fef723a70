"""What people watch in the Prefect UI: a page per site, a table per fleet, a progress bar."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from fleet.pages import artifact_key, fleet_rows, site_page
from fleet.records import SiteRecord
from fleet.results import FleetReport, SiteResult, Status
from tasks.progress import Step, observing, tell_report

_ENDED = {"done", "waiting", "failed", "stopped"}


def publish_site(record: SiteRecord, result: SiteResult) -> None:
    """Put the site's page where the UI shows it, under the key `site-<fleet>-<site>`."""
    create_markdown_artifact(
        key=artifact_key("site", record.fleet, record.site),
        markdown=site_page(record, result),
        description=f"{record.site}: {result.verb} {result.status}",
    )


def publish_fleet(report: FleetReport) -> None:
    """Put the table of the whole run where the UI shows it, under the key `fleet-<fleet>`."""
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


@contextmanager
def showing_progress(fleet: str, verb: str, sites: int) -> Iterator[None]:
    """Keep a progress bar in the UI while sites are worked on."""
    bar = create_progress_artifact(
        progress=0.0,
        key=artifact_key("progress", fleet),
        description=f"{verb} {fleet}: 0 of {sites} sites",
    )
    assert isinstance(bar, UUID)  # noqa: S101 - the sync call returns no coroutine
    ended: set[str] = set()
    lock = threading.Lock()

    def count(step: Step) -> None:
        if step.state not in _ENDED:
            return
        with lock:
            ended.add(step.site)
            update_progress_artifact(bar, 100.0 * len(ended) / max(1, sites))

    with observing(count):
        yield
