"""Verify sites: prove that an image pulls from each site's own registry, and change nothing."""

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.records import proven_record
from flows.running import run_fleet
from tasks.away import waiting_if_away
from tasks.further_clients import verify_further_pulls
from tasks.hosts import check_nodes
from tasks.sessions import open_site
from tasks.site_facts import find_site_registry
from tasks.site_runs import SiteRun
from tasks.upstreams import Upstream
from tasks.verification import prove_pulls


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
    fleet_file: str,
    sites: list[str] | None = None,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
) -> State[None]:
    """Verify every site of a fleet file, or those chosen by name, tag or label.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
    """
    return run_fleet("verify", verify, fleet_file, sites, tags, labels, in_shards=True)


def verify(run: SiteRun, upstream: Upstream) -> None:
    """Climb the ladder of proofs at one site, from an open port to a pulled image."""
    site = run.site
    probe = upstream.probe_image_of(site)
    with waiting_if_away(run), open_site(site, upstream.cloud) as session:
        check_nodes(session, upstream.facts.login_server)
        endpoint = find_site_registry(session)
        login_server = upstream.facts.login_server
        evidence, passwords = prove_pulls(session, endpoint, login_server, probe)
        verify_further_pulls(session, endpoint, upstream)
    repositories = upstream.repositories_of(site)
    run.record = proven_record(run.record, site, evidence, passwords, repositories)
    run.message = f"pulls {probe.repository}:{probe.tag} from {endpoint.url}"
