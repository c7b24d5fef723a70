"""Onboard sites: from a line in the fleet file to an image that pulls from the site's registry."""

from collections.abc import Collection, Sequence

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.client_tokens import clients_of
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordsInUse
from fleet.pull_errors import SiteTokenRefusedError
from fleet.records import proven_record
from fleet.site_plan import Part
from flows.running import run_fleet
from tasks.access import create_client_token, create_connected_registry
from tasks.away import waiting_if_away
from tasks.charts import check_cluster, deliver_connection_string, install_chart, wait_until_online
from tasks.further_clients import verify_further_pulls
from tasks.hosts import configure_nodes, prepare_nodes
from tasks.nesting import check_parent, open_passage
from tasks.pull_secrets import deliver_pull_secrets
from tasks.restart_gate import CHART, CONNECTION, raise_held
from tasks.run_log import warn
from tasks.sessions import SiteSession, open_site
from tasks.settled import find_settled
from tasks.site_certificates import check_ca, read_ca
from tasks.site_runs import SiteRun, alone_at
from tasks.upstreams import Upstream
from tasks.verification import prove_pulls, verify_pulls


@flow(name="onboard site", flow_run_name="onboard {site}", persist_result=False)
def onboard_site(fleet_file: str, site: str, ignore_windows: bool = False) -> State[None]:
    """Onboard one site of a fleet file; running it again changes nothing.

    Args:
        fleet_file: Path of the fleet file.
        site: Name of the site in it.
        ignore_windows: Restart what is due outside of maintenance windows too, in this run.
    """
    return run_fleet("onboard", onboard, fleet_file, [site], ignore_windows=ignore_windows)


@flow(name="onboard fleet", flow_run_name="onboard sites of {fleet_file}", persist_result=False)
def onboard_fleet(
    fleet_file: str,
    sites: list[str] | None = None,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
    resume: bool = False,
    ignore_windows: bool = False,
) -> State[None]:
    """Onboard every site of a fleet file, or those chosen by name, tag or label.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
        resume: Leave out sites that are done since the last run of this, which was interrupted.
        ignore_windows: Restart what is due outside of maintenance windows too, in this run.
    """
    return run_fleet(
        "onboard",
        onboard,
        fleet_file,
        sites,
        tags,
        labels,
        in_shards=True,
        in_waves=True,
        resume=resume,
        ignore_windows=ignore_windows,
    )


def onboard(run: SiteRun, upstream: Upstream) -> None:
    """Take one site through every step, with no other run of it beside this one."""
    with (
        waiting_if_away(run),
        alone_at(run),
        open_site(run.site, upstream.cloud) as session,
    ):
        onboard_or_prove(run, upstream, session)


def onboard_or_prove(run: SiteRun, upstream: Upstream, session: SiteSession) -> None:
    """Prove a site at which one look finds nothing to do; take any other through every step."""
    last = run.record.endpoint
    check_ca(session)
    facts = prepare_nodes(session, upstream.facts.login_server, last.host if last else "")
    settled = find_settled(session, upstream, facts)
    if settled is not None:
        try:
            _prove(run, upstream, session, settled.endpoint, settled.passwords)
        except SiteTokenRefusedError as error:
            warn(f"{error} The steps come now.")
        else:
            return
    onboard_open_site(run, upstream, session, facts=facts)


def onboard_open_site(
    run: SiteRun,
    upstream: Upstream,
    session: SiteSession,
    parts: Collection[Part] = tuple(Part),
    facts: Sequence[NodeFacts] = (),
) -> None:
    """Take every step of one site; each first looks whether there is anything to do.

    What restarts something may have to wait; the rest is done, and then the site waits.

    Args:
        run: The site's run.
        upstream: The registry that it mirrors.
        session: The site.
        parts: What may be written; everything else is left as it is.
        facts: What this run has found on the nodes; none: it has not looked yet.
    """
    site, login_server = run.site, upstream.facts.login_server
    repositories = upstream.repositories_of(site)
    upstream.probe_image_of(site)  # without an image to prove a pull with, nothing is begun
    if not facts:
        check_ca(session)
        facts = prepare_nodes(session, login_server) if Part.NODES in parts else ()
    check_cluster(session)
    _grant_access(run, upstream, repositories, parts)
    if Part.CHART in parts:
        run.did(deliver_connection_string(session))
        run.did(install_chart(session))
    endpoint = wait_until_online(session)
    if Part.NODES in parts:
        run.did(configure_nodes(session, endpoint, login_server, facts, read_ca(session)))
    if Part.PULL_SECRETS in parts:
        for view in clients_of(site):
            pulled = upstream.repositories_of(view)
            with session.seen_as(view):
                run.did(deliver_pull_secrets(session, endpoint, login_server, pulled))
    raise_held(session, but=(CHART, CONNECTION))
    _prove(run, upstream, session, endpoint)
    raise_held(session)


def _prove(
    run: SiteRun,
    upstream: Upstream,
    session: SiteSession,
    endpoint: SiteEndpoint,
    passwords: PasswordsInUse | None = None,
) -> None:
    """Prove that images pull, and note in the site's record what was proven."""
    site, probe = run.site, upstream.probe_image_of(run.site)
    login_server = upstream.facts.login_server
    if passwords is None:
        evidence, passwords = prove_pulls(session, endpoint, login_server, probe)
    else:
        evidence = verify_pulls(session, endpoint, login_server, probe)
    verify_further_pulls(session, endpoint, upstream)
    chart, repositories = run.record.chart_version, upstream.repositories_of(site)
    run.record = proven_record(run.record, site, evidence, passwords, repositories)
    if CHART in session.held:
        run.record = run.record.model_copy(update={"chart_version": chart})
    run.message = f"pulls {probe.repository}:{probe.tag} from {endpoint.url}"


def _grant_access(
    run: SiteRun, upstream: Upstream, repositories: tuple[str, ...], parts: Collection[Part]
) -> None:
    """Bring a site's connected registry about; below another site the way there comes first."""
    site, cloud = run.site, upstream.cloud
    above, below = upstream.tree.above(site), upstream.below(site)
    if above and Part.SCOPE_MAPS in parts:
        check_parent(cloud, site, repositories, above)
        run.did(open_passage(cloud, site, repositories, above, below))
    run.did(create_connected_registry(cloud, site, repositories, below, parts))
    for view in clients_of(site):
        run.did(create_client_token(cloud, view, upstream.repositories_of(view), parts))
