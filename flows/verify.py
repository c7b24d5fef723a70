"""Verify sites: prove that an image pulls from each site's own registry, and change nothing."""

from prefect import flow
from prefect.states import State

from fleet.records import SiteRecord
from fleet.results import SiteResult
from fleet.sites import Site
from flows.running import run_fleet
from tasks.charts import find_endpoint
from tasks.hosts import check_nodes
from tasks.reporting import verified
from tasks.sessions import open_site
from tasks.upstreams import Upstream
from tasks.verification import verify_pulls


@flow(name="verify site", flow_run_name="verify {site}", persist_result=False)
def verify_site(fleet_file: str, site: str) -> State[None]:
    """Verify one site of a fleet file.

    Args:
        fleet_file: Path of the fleet file.
        site: Name of the site in it.
    """
    return run_fleet("verify", verify, fleet_file, [site])


@flow(name="verify fleet", flow_run_name="verify sites of {fleet_file}", persist_result=False)
def verify_fleet(
    fleet_file: str, sites: list[str] | None = None, tags: list[str] | None = None
) -> State[None]:
    """Verify every site of a fleet file, or those chosen by name or tag.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
    """
    return run_fleet("verify", verify, fleet_file, sites, tags)


def verify(site: Site, upstream: Upstream) -> tuple[SiteRecord, SiteResult]:
    """Climb the ladder of proofs at one site, from an open port to a pulled image."""
    probe = upstream.probe_image_of(site)
    with open_site(site, upstream.cloud) as session:
        nodes = check_nodes(session)
        endpoint = find_endpoint(session)
        evidence = verify_pulls(session, endpoint, upstream.facts.login_server, probe)
    return verified(site, endpoint, nodes, evidence)
