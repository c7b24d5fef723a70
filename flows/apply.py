"""Apply a plan: do at each site what somebody has seen, or say what has moved since."""

from functools import partial
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.errors import FleetError, WaitingForSiteError
from fleet.fleet_plan import plan_digest, require_fit, require_size, sites_to_apply, written_beyond
from fleet.plan_errors import PlanBlockedError, PlanMovedError
from fleet.results import FleetReport
from fleet.selection import select_sites
from fleet.site_plan import FleetPlan, moved_since
from flows.onboard import onboard_open_site
from flows.running import run_fleet
from tasks.away import waiting_if_away
from tasks.fleet_files import read_fleet
from tasks.plan_files import read_plan
from tasks.planning import plan_site
from tasks.reporting import end_of_run
from tasks.sessions import open_site
from tasks.shard_run import parent_of_this_run, read_ordered_plan
from tasks.site_runs import SiteRun, alone_at
from tasks.upstreams import Upstream


@flow(name="apply plan", flow_run_name="apply {plan_file}", persist_result=False)
def apply_plan(
    fleet_file: str,
    plan_file: str,
    sites: list[str] | None = None,
    over: list[Literal["deletions", "restarts"]] | None = None,
    resume: bool = False,
    ignore_windows: bool = False,
) -> State[None]:
    """Do what a plan says, site by site; a site that has moved since is left alone and failed.

    Args:
        fleet_file: Path of the fleet file that the plan was made from.
        plan_file: Path of the plan, as `plan fleet` wrote it with `out`.
        sites: Names or globs of sites: of the plan only these; none: all of it.
        over: Limits of the fleet file that this plan may pass.
        resume: Leave out what is done since the last run of this, which was interrupted, began.
        ignore_windows: Restart what is due outside of maintenance windows too.
    """
    fleet, parent = read_fleet(fleet_file), parent_of_this_run()
    plan = read_ordered_plan(parent) if parent else read_plan(plan_file)
    require_fit(plan, fleet, plan_file)
    require_size(plan, fleet.limits, over or ())
    chosen = {site.name for site in select_sites(fleet, sites)}
    names = [name for name in sites_to_apply(plan) if name in chosen]
    if not names:
        return end_of_run(FleetReport.of("apply", fleet.name, ()))
    return run_fleet(
        "apply",
        partial(apply, plan),
        fleet_file,
        names,
        read_only=not _prepares(plan),
        in_shards=True,
        in_waves=True,
        how=plan_digest(plan),
        resume=resume,
        ignore_windows=ignore_windows,
        plan=plan,
        read=fleet,
    )


def apply(plan: FleetPlan, run: SiteRun, upstream: Upstream) -> None:
    """Plan one site again, alone at it, and onboard it if nothing has moved.

    Raises:
        PlanBlockedError: The plan says itself that it cannot be done there.
        WaitingForSiteError: The site was away when the plan was made, or is now.
        PlanMovedError: Something else would be done than the plan says.
    """
    site = run.site
    planned = plan.of(site.name)
    if planned is None:
        raise _unplanned(plan, site.name)
    if planned.obstacles:
        raise PlanBlockedError(site.name, planned.obstacles)
    with (
        waiting_if_away(run),
        alone_at(run),
        open_site(site, upstream.cloud) as session,
    ):
        now = plan_site(session, upstream, run.record.endpoint)
        moved = moved_since(plan, now)
        if moved:
            raise PlanMovedError(site.name, moved)
        onboard_open_site(run, upstream, session)
    run.message = "; ".join(filter(None, (run.message, written_beyond(plan, run.outcomes))))


def _unplanned(plan: FleetPlan, site: str) -> FleetError:
    missing = plan.missing(site)
    if missing is not None and missing.is_away:
        return WaitingForSiteError(
            f"{site} was away when the plan was made; make a new one once it answers."
        )
    why = missing.message if missing else "it is not in it"
    return PlanBlockedError(site, [f"The plan does not know what to do: {why}"])


def _prepares(plan: FleetPlan) -> bool:
    """Return whether it is in the plan to prepare a registry."""
    return any(change.kind == "registry" for one in plan.sites for change in one.changes)
