"""Reconcile: find out where sites differ from the fleet file, and mend what it allows to mend."""

from contextlib import nullcontext
from functools import partial

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.drift import find_drift, headline, is_new
from fleet.host_errors import HostsUnreachableError, SiteUnreachableError
from fleet.plan_errors import PlanBlockedError
from flows.onboard import onboard_open_site
from flows.running import Look, run_fleet
from tasks.away import is_away, waiting_if_away
from tasks.drift import list_nodes, read_ending_passwords
from tasks.fleet_files import read_fleet
from tasks.planning import plan_site
from tasks.sessions import open_site
from tasks.site_runs import SiteRun, alone_at
from tasks.upstreams import Upstream


@flow(name="reconcile fleet", flow_run_name="reconcile sites of {fleet_file}", persist_result=False)
def reconcile_fleet(
    fleet_file: str,
    sites: list[str] | None = None,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
    mend: bool = True,
    resume: bool = False,
    ignore_windows: bool = False,
) -> State[None]:
    """Report where sites have drifted from the fleet file, and mend what their `reconcile` allows.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
        mend: Off: only report, whatever the fleet file allows.
        resume: Leave out sites that are done since the last run of this, which was interrupted.
        ignore_windows: Restart what is due outside of maintenance windows too, in this run.
    """
    # Where nothing may be mended, no site's failure is a reason to leave others unreported.
    fleet = read_fleet(fleet_file)
    mends = mend and any(one.reconcile.mend for one in fleet.sites)
    return run_fleet(
        "reconcile",
        partial(reconcile, mend=mend),
        fleet_file,
        sites,
        tags,
        labels,
        read_only=True,
        in_shards=True,
        in_waves=mends,
        how="" if mend else "only reported",
        resume=resume,
        ignore_windows=ignore_windows,
        look=Look(partial(reconcile, mend=False), {"mend": False}),
        read=fleet,
    )


def reconcile(run: SiteRun, upstream: Upstream, *, mend: bool) -> None:
    """Compare one site with the fleet file; mend what may be mended, and prove a pull after it.

    Raises:
        PlanBlockedError: Something is in the way that a person has to look at.
    """
    try:
        _reconcile(run, upstream, mend=mend and bool(run.site.reconcile.mend))
    except (HostsUnreachableError, SiteUnreachableError) as error:
        if not is_away(error):
            raise
        # One that has been onboarded waits by now.
        run.message = "not onboarded yet, and it does not answer"


def _reconcile(run: SiteRun, upstream: Upstream, *, mend: bool) -> None:
    site = run.site
    with (
        waiting_if_away(run),
        alone_at(run) if mend else nullcontext(),
        open_site(site, upstream.cloud) as session,
    ):
        plan = plan_site(session, upstream, run.record.endpoint)
        if is_new(plan.changes) and run.record.onboarded_at is None:
            run.message = "not onboarded yet"
            return
        ending = read_ending_passwords(upstream.cloud, site, run.record)
        mend = mend and not plan.obstacles
        drift = find_drift(site, plan, list_nodes(session), ending, mend=mend)
        # Also where the mending has to wait, or fails.
        run.did(drift.left)
        run.is_over = not drift.left
        if plan.obstacles:
            raise PlanBlockedError(site.name, plan.obstacles)
        if drift.mended:
            onboard_open_site(run, upstream, session, drift.mended)
        mended = [one for one in run.outcomes if one.is_change]
    run.message = headline(mended, drift.left)
