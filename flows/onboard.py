"""Onboard sites: from a line in the fleet file to an image that pulls from the site's registry."""

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.records import proven_record
from flows.running import run_fleet
from tasks.access import create_client_token, create_connected_registry
from tasks.charts import check_cluster, deliver_connection_string, install_chart, wait_until_online
from tasks.hosts import check_nodes, configure_nodes
from tasks.pull_secrets import deliver_pull_secrets
from tasks.sessions import open_site
from tasks.site_facts import find_password_in_use
from tasks.site_locks import site_to_itself
from tasks.site_runs import SiteRun
from tasks.upstreams import Upstream
from tasks.verification import verify_pulls


@flow(name="onboard site", flow_run_name="onboard {site}", persist_result=False)
def onboard_site(fleet_file: str, site: str) -> State[None]:
    """Onboard one site of a fleet file; running it again changes nothing.

    Args:
        fleet_file: Path of the fleet file.
        site: Name of the site in it.
    """
    return run_fleet("onboard", onboard, fleet_file, [site])


@flow(name="onboard fleet", flow_run_name="onboard sites of {fleet_file}", persist_result=False)
def onboard_fleet(
    fleet_file: str, sites: list[str] | None = None, tags: list[str] | None = None
) -> State[None]:
    """Onboard every site of a fleet file, or those chosen by name or tag.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
    """
    return run_fleet("onboard", onboard, fleet_file, sites, tags)


def onboard(run: SiteRun, upstream: Upstream) -> None:
    """Take one site through every step; each first looks whether there is anything to do."""
    site, cloud, login_server = run.site, upstream.cloud, upstream.facts.login_server
    repositories = upstream.repositories_of(site)
    probe = upstream.probe_image_of(site)
    with site_to_itself(site), open_site(site, cloud) as session:
        check_nodes(session)
        check_cluster(session)
        run.did(create_connected_registry(cloud, site, repositories))
        run.did(create_client_token(cloud, site, repositories))
        run.did(deliver_connection_string(session))
        run.did(install_chart(session))
        endpoint = wait_until_online(session)
        run.did(configure_nodes(session, endpoint, login_server))
        run.did(deliver_pull_secrets(session, endpoint, login_server, repositories))
        evidence = verify_pulls(session, endpoint, login_server, probe)
        password = find_password_in_use(session)
    run.record = proven_record(run.record, site, evidence, password, repositories)
    run.message = f"pulls {probe.repository}:{probe.tag} from {endpoint.url}"
