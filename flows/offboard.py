"""Offboard sites: show everything that goes, and take it away once somebody has agreed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.errors import SiteNotReachedError, TemporaryError
from fleet.nesting import Tree
from fleet.records import blank_record
from fleet.removals import Removal, as_plan, due, require_approval
from fleet.selection import select_sites
from fleet.sites import Site
from flows.running import Chosen, run_fleet
from tasks.fleet_files import read_fleet
from tasks.offboarding import plan_in_azure, remove_from_azure
from tasks.offboarding_site import plan_at_site, remove_from_site
from tasks.sessions import open_site
from tasks.site_runs import SiteRun, alone_at
from tasks.upstreams import Upstream


@flow(name="offboard sites", flow_run_name="offboard sites of {fleet_file}", persist_result=False)
def offboard_sites(
    fleet_file: str,
    sites: Chosen,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
    cloud_only: bool = False,
    approved: list[str] | None = None,
    ignore_windows: bool = False,
) -> State[None]:
    """Show what goes with sites; once it is approved, take it away, sites below others first.

    Args:
        fleet_file: Path of the fleet file; the sites are still in it.
        sites: Names or globs of the sites; at least one.
        tags: Of them only those that carry one of these tags; none: all.
        labels: Of them only those with these labels, each KEY=VALUE; none: all.
        cloud_only: The sites are gone for good: leave them alone and clean up in Azure.
        approved: What may go, as the plan names it (`token oslo-sync`), or `*` for all of the plan;
            none: only the plan is made, nothing is removed.
        ignore_windows: Restart what is due outside of maintenance windows too, in this run.
    """
    if approved is None:
        fleet = read_fleet(fleet_file)
        chosen = select_sites(fleet, sites, tags, labels)
        going = frozenset(site.names.connected_registry for site in chosen)
        work = partial(plan_offboarding, cloud_only=cloud_only, going=going)
        return run_fleet(
            "plan offboarding of",
            work,
            fleet_file,
            sites,
            tags,
            labels,
            read_only=True,
            read=fleet,
        )
    work = partial(offboard, cloud_only=cloud_only, approved=frozenset(approved))
    return run_fleet(
        "offboard",
        work,
        fleet_file,
        sites,
        tags,
        labels,
        read_only=True,
        order=Tree.children_first,
        ignore_windows=ignore_windows,
    )


def plan_offboarding(
    run: SiteRun, upstream: Upstream, *, cloud_only: bool, going: frozenset[str]
) -> None:
    """Show what goes with one site, and write nothing."""
    site, found = run.site, list[Removal[Any]]()
    if not cloud_only:
        with _reached(site), open_site(site, upstream.cloud) as session:
            last = run.record.endpoint
            found += plan_at_site(session, upstream.facts.login_server, last)
    found += plan_in_azure(upstream, site, going)
    run.did(as_plan(found))
    number = len(due(found))
    run.message = f"{number} to remove; nothing was" if number else "nothing to remove"


def offboard(
    run: SiteRun, upstream: Upstream, *, cloud_only: bool, approved: frozenset[str]
) -> None:
    """Take away what one site has: at the site first, then in Azure, then what was for it above."""
    site, login_server = run.site, upstream.facts.login_server
    with alone_at(run):
        require_approval(site.name, plan_in_azure(upstream, site, frozenset()), approved)
        if not cloud_only:
            with open_site(site, upstream.cloud) as session:
                remove_from_site(session, login_server, run.record.endpoint, approved, run.did)
        remove_from_azure(upstream, site, approved, run.did)
    gone = sum(outcome.is_change for outcome in run.outcomes)
    run.record = blank_record(site, datetime.now(UTC))
    run.message = f"{gone} removed" if gone else "nothing to remove"


@contextmanager
def _reached(site: Site) -> Iterator[None]:
    """Say what to do where a site does not answer: it may be gone for good."""
    try:
        yield
    except TemporaryError as error:
        raise SiteNotReachedError(site.name, str(error)) from None
