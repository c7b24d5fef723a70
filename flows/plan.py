"""Plan: show every change that an onboarding would make to sites, and write nothing."""

from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.fleet_plan import excess, fleet_digest, fleet_plan
from fleet.plan_errors import PlanBlockedError
from fleet.selection import select_sites
from flows.running import by_workers, run_shard, working_here
from tasks.away import waiting_if_away
from tasks.fleet_files import read_fleet
from tasks.plan_files import keep_plan
from tasks.planning import plan_site
from tasks.progress_bar import showing_progress
from tasks.reporting import end_of_run, publish_plan
from tasks.run_names import name_run
from tasks.sessions import open_site
from tasks.shard_run import parent_of_this_run
from tasks.site_runs import SiteRun
from tasks.upstreams import Upstream


@flow(name="plan fleet", flow_run_name="plan sites of {fleet_file}", persist_result=False)
def plan_fleet(
    fleet_file: str,
    sites: list[str] | None = None,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
    out: str | None = None,
) -> State[None]:
    """Show every change to Azure, clusters and nodes of the chosen sites, and make none.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
        out: Path of the file that the plan is written to, for `apply`; none: it is only shown.
    """
    fleet = read_fleet(fleet_file)
    chosen = select_sites(fleet, sites, tags, labels)
    here, parent = working_here("plan", plan, fleet, chosen, looking=True), parent_of_this_run()
    if parent is not None:
        return run_shard(fleet, chosen, parent, here)
    name_run("plan", fleet, chosen)
    with (
        showing_progress(fleet.name, "plan", len(chosen)),
        by_workers("plan", fleet) or here as work_on,
    ):
        report = work_on(chosen, None)
    made = fleet_plan(report, fleet_digest(fleet), datetime.now(UTC))
    publish_plan(made, excess(made, fleet.limits))
    if out is not None:
        keep_plan(out, made)
    return end_of_run(report)


def plan(run: SiteRun, upstream: Upstream) -> None:
    """Plan one site; its record is read and stays as the last real run left it.

    Raises:
        PlanBlockedError: Something is in the way; the rest of the plan is kept all the same.
    """
    run.keeps_record = False
    with waiting_if_away(run), open_site(run.site, upstream.cloud) as session:
        found = run.plan = plan_site(session, upstream, run.record.endpoint)
    if found.obstacles:
        raise PlanBlockedError(run.site.name, found.obstacles)
    run.message = found.headline
