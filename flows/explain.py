"""Explain a failed pull: one cause and the command that mends it. Writes nothing to a site."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from fleet.selection import select_site
from tasks.explain import explain_pull, publish_explanation
from tasks.fleet_files import read_fleet
from tasks.run_names import tag_run


@flow(name="explain site", flow_run_name="explain {site}", persist_result=False)
def explain_site_pull(
    fleet_file: str, site: str, image: str | None = None, pull: bool = True
) -> State[None]:
    """Say why an image does not pull at a site; failed where it does not.

    Args:
        fleet_file: Path of the fleet file.
        site: Name of the site in it.
        image: REPOSITORY:TAG or REPOSITORY@DIGEST; none: the image that proves the site.
        pull: Whether the nodes try to pull it.
    """
    fleet = read_fleet(fleet_file)
    chosen = select_site(fleet, site)
    tag_run([chosen])
    found = explain_pull(fleet, chosen, fleet_file, image, pull)
    publish_explanation(chosen.fleet, found)
    return Completed(message=found.headline) if found.works else Failed(message=found.headline)
