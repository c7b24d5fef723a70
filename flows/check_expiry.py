"""Check how long passwords last: Azure alone is asked, so sites at sea are checked too."""

from functools import partial

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.expiry import describe
from fleet.selection import select_sites
from tasks.expiry import Clouds, open_clouds, raise_alarm, read_lives
from tasks.fleet_files import read_fleet
from tasks.progress_bar import showing_progress
from tasks.reporting import end_of_run
from tasks.run_names import name_run
from tasks.site_runs import SiteRun, run_sites, sites_at_once

_VERB = "check expiry of"


@flow(name="check expiry", flow_run_name="check expiry of {fleet_file}", persist_result=False)
def check_expiry(
    fleet_file: str,
    sites: list[str] | None = None,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
) -> State[None]:
    """Fail, naming sites and dates, when a password ends within `rotation.alert_before`.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
    """
    fleet = read_fleet(fleet_file)
    chosen = select_sites(fleet, sites, tags, labels)
    name_run(_VERB, fleet, chosen)
    with open_clouds(fleet, chosen) as clouds, showing_progress(fleet.name, _VERB, len(chosen)):
        at_once = sites_at_once(fleet.max_sites_at_once)
        report = run_sites(_VERB, fleet.name, chosen, partial(check, clouds), at_once)
    return end_of_run(report)


def check(clouds: Clouds, run: SiteRun) -> None:
    """Check one site's passwords; its record is read and stays as the last real run left it."""
    run.keeps_record = False
    cloud = clouds.of(run.site)
    lives, now = read_lives(cloud, run.site, run.record), cloud.access.now()
    raise_alarm(run.site, lives, now)
    told = "; ".join(describe(life, now) for life in lives)
    run.message = told or "it has no passwords in Azure: it is not onboarded"
