"""Check how fresh the images at the sites are: their registries are asked, nothing is changed."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from fleet.cluster_errors import ClusterUnreachableError
from fleet.errors import FleetError, WaitingForSiteError
from fleet.freshness import NEWEST_TAGS, describe_images
from fleet.host_errors import SiteUnreachableError
from fleet.pull_errors import SiteRegistryUnreachableError
from fleet.selection import select_sites
from tasks.fleet_files import read_fleet
from tasks.history import note_day
from tasks.image_check import CloudTagLists, compare_images
from tasks.progress_bar import showing_progress
from tasks.reporting import end_of_run
from tasks.run_names import name_run
from tasks.sessions import open_site
from tasks.site_facts import find_site_registry
from tasks.site_images import keep_images, note_no_contact, publish_images
from tasks.site_runs import SiteRun, run_sites, sites_at_once
from tasks.upstreams import Upstreams, open_upstreams

_VERB = "check images of"
_AWAY = (SiteUnreachableError, ClusterUnreachableError, SiteRegistryUnreachableError)


@flow(name="check images", flow_run_name="check images of {fleet_file}", persist_result=False)
def check_images(
    fleet_file: str,
    sites: list[str] | None = None,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
    newest_tags: Annotated[int, Field(ge=1, le=100)] = NEWEST_TAGS,
) -> State[None]:
    """Compare the digests at each site with Azure's; one that is behind or away is no failure.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
        newest_tags: How many tags of each repository are compared, the newest first.
    """
    fleet = read_fleet(fleet_file)
    chosen = select_sites(fleet, sites, tags, labels)
    name_run(_VERB, fleet, chosen)
    work = partial(check, newest_tags, CloudTagLists())
    with (
        open_upstreams(fleet.without_preparations(), chosen) as upstreams,
        showing_progress(fleet.name, _VERB, len(chosen)),
    ):
        at_once = sites_at_once(fleet.max_sites_at_once)
        report = run_sites(_VERB, fleet.name, chosen, partial(work, upstreams), at_once)
    publish_images(fleet)
    note_day(fleet, len(chosen))
    return end_of_run(report)


def check(newest_tags: int, lists: CloudTagLists, upstreams: Upstreams, run: SiteRun) -> None:
    """Compare one site; where that fails its last known figures stay, marked as such."""
    run.keeps_record = False
    try:
        upstream = upstreams.of(run.site)
        repositories = upstream.repositories_of(run.site)
        with open_site(run.site, upstream.cloud) as session:
            endpoint = find_site_registry(session)
            images = compare_images(session, endpoint, lists, repositories, newest_tags)
    except FleetError as error:
        note_no_contact(run.site, error)
        if isinstance(error, _AWAY):
            raise WaitingForSiteError(f"{error} Its last known figures stay.") from None
        raise
    keep_images(images)
    run.message = describe_images(images, datetime.now(UTC))
