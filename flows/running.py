"""What every fleet flow has in common: read, choose, run each site, show, and end as it went."""

from collections.abc import Callable, Sequence
from functools import partial

from prefect.client.schemas.objects import State

from fleet.selection import select_sites
from tasks.fleet_files import read_fleet
from tasks.reporting import end_of_run, publish_fleet, showing_progress, tag_run
from tasks.site_runs import SiteRun, run_sites, sites_at_once
from tasks.upstreams import Upstream, Upstreams, open_upstreams

Work = Callable[[SiteRun, Upstream], None]


def run_fleet(
    verb: str,
    work: Work,
    fleet_file: str,
    names: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> State[None]:
    """Do `work` on the chosen sites and return the state in which the flow run ends."""
    fleet = read_fleet(fleet_file)
    sites = select_sites(fleet, names, tags)
    tag_run(sites)
    with (
        open_upstreams(fleet, sites) as upstreams,
        showing_progress(fleet.name, verb, len(sites)),
    ):
        report = run_sites(
            verb,
            fleet.name,
            sites,
            partial(_with_upstream, work, upstreams),
            sites_at_once(fleet.max_sites_at_once),
        )
    publish_fleet(report)
    return end_of_run(report)


def _with_upstream(work: Work, upstreams: Upstreams, run: SiteRun) -> None:
    work(run, upstreams.of(run.site))
