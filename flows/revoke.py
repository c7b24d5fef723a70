"""Revoke sites: shut a lost or stolen one out of Azure, whether it can be reached or not."""

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.removals import as_plan, due
from fleet.revocation import what_stops
from flows.running import Chosen, run_fleet
from tasks.revocation import plan_shutting, prove_refused, read_credentials, shut_out
from tasks.site_runs import SiteRun
from tasks.upstreams import Upstream


@flow(name="revoke sites", flow_run_name="revoke sites of {fleet_file}", persist_result=False)
def revoke_sites(
    fleet_file: str,
    sites: Chosen,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
    agreed: bool = False,
) -> State[None]:
    """Show what shuts sites out of Azure and what stops then; once agreed to, do it and prove it.

    Args:
        fleet_file: Path of the fleet file; the sites are in it.
        sites: Names or globs of the sites; at least one.
        tags: Of them only those that carry one of these tags; none: all.
        labels: Of them only those with these labels, each KEY=VALUE; none: all.
        agreed: Somebody has seen the plan and wants it; off: only the plan is made.
    """
    verb, work = ("revoke", revoke) if agreed else ("plan revoking", plan_revoking)
    return run_fleet(verb, work, fleet_file, sites, tags, labels, read_only=True)


def plan_revoking(run: SiteRun, upstream: Upstream) -> None:
    """Show what is written and what stops, and write nothing."""
    found = plan_shutting(upstream.cloud, run.site)
    run.did(as_plan(found))
    if not due(found):
        run.message = "it is shut out already"
        return
    below = [one.site.name for one in upstream.below(run.site)]
    run.message = f"nothing was revoked yet. {what_stops(run.site, below)}"


def revoke(run: SiteRun, upstream: Upstream) -> None:
    """Shut one site out; other runs of it are not waited for, they find its tokens disabled.

    The passwords are read at the site first, to show afterwards that they are refused.
    """
    site, cloud = run.site, upstream.cloud
    repository = next(iter(upstream.catalog), "none")
    known, words = read_credentials(cloud, site, repository)
    shut_out(cloud, site, run.did)
    run.record = run.record.model_copy(
        update={
            "password": None,
            "sync_password": None,
            "further_passwords": {},
            "evidence": None,
        }
    )
    done = (
        "In Azure its tokens are disabled and have no passwords, and its connected registry is "
        "not active"
    )
    if not known:
        run.message = f"shut out, but not proven: {words}. {done}."
        return
    prove_refused(cloud, site, repository, known)
    names = ", ".join(sorted({one.token for one in known}))
    run.message = (
        f"shut out and proven: Azure refuses the old passwords of {names}; {words}. {done}."
    )
