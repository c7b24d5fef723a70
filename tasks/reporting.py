"""What people watch in the Prefect UI: a page per site, a table per fleet, how it ended."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from prefect.artifacts import (
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from fleet.failures import failure_lines, group_failures
from fleet.pages import artifact_key, fleet_rows, fleet_summary, site_page
from fleet.plan_pages import plan_page
from fleet.records import SiteRecord
from fleet.results import FleetReport, SiteResult, Status
from fleet.site_plan import FleetPlan
from tasks.best_effort import best_effort
from tasks.progress import tell_report
from tasks.records import read_records

_BAD = (Status.FAILED, Status.STOPPED, Status.NOT_STARTED)


def publish_site(record: SiteRecord, result: SiteResult) -> None:
    """Put the site's page where the UI shows it, under the key `site-<fleet>-<site>`."""
    with best_effort(f"the page of {record.site}"):
        create_markdown_artifact(
            key=artifact_key("site", record.fleet, record.site),
            markdown=site_page(record, result),
            description=f"{record.site}: {result.verb} {result.status}",
        )


def publish_plan(plan: FleetPlan, passed: Mapping[str, str]) -> None:
    """Put a plan where the UI shows it, under the key `plan-<fleet>`.

    Args:
        plan: The plan.
        passed: What is larger than the fleet file allows, in words.
    """
    with best_effort("the plan"):
        create_markdown_artifact(
            key=artifact_key("plan", plan.fleet),
            markdown=plan_page(plan, passed),
            description=plan.headline,
        )


def publish_fleet(report: FleetReport, sites: Iterable[str]) -> None:
    """Put the table of the whole fleet where the UI shows it, under the key `fleet-<fleet>`.

    Args:
        report: The run that has just ended.
        sites: The names of all sites of the fleet; what the run left alone is shown by its record.
    """
    new = {one.site for one in report.results if one.status is not Status.SKIPPED}
    others = read_records(report.fleet, [name for name in sites if name not in new])
    with best_effort("the table of the fleet"):
        create_table_artifact(
            key=artifact_key("fleet", report.fleet),
            table=fleet_rows(report, others, datetime.now(UTC)),
            description=fleet_summary(report),
        )


def end_of_run(report: FleetReport) -> State[None]:
    """Return the state of the whole run: failed when any site is, or was not started, by cause."""
    tell_report(report)
    if any(report.having(status) for status in _BAD):
        groups = [one for one in group_failures(report.results) if one.status in _BAD]
        return Failed(message="\n".join([report.headline, *failure_lines(groups)]).rstrip())
    if report.having(Status.WAITING):
        # Prefect's UI has four colours for an end; grey is the one that is no success and no alarm.
        return Cancelled(name="Waiting", message=report.headline)
    return Completed(message=report.headline)
