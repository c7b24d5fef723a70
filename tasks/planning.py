"""Make the plan of one site: read cloud, cluster and nodes, decide, and write nothing.

All of it is one step. A fleet is planned every night, and what Prefect writes down of each step
costs its server more than the look costs us (docs/decisions/0027-sites-with-nothing-to-do.md).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from prefect import task

from fleet.chart_installer import InstallerChoice
from fleet.client_tokens import further_clients
from fleet.errors import FleetError, TemporaryError
from fleet.helm_chart import connection_secret_name
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.plan_access import CloudView, draft_access, draft_client
from fleet.plan_at_site import (
    ClusterView,
    Credentials,
    draft_chart,
    draft_nodes,
    draft_pulls,
    endpoint_of,
    note_window,
)
from fleet.plan_draft import Draft
from fleet.plan_pulls import PullView
from fleet.pull_errors import SiteAuthorityMissingError
from fleet.registries_yaml import RegistriesPlan
from fleet.restarts import restart_order
from fleet.site_plan import SitePlan
from fleet.sites import Node
from tasks.access import read_client_access, read_sync_access
from tasks.azure_limits import azure_slot
from tasks.charts import look_at_cluster
from tasks.hosts import find_problems, look_at_nodes, refuse_silent_nodes, tells_enough
from tasks.policy import READ
from tasks.pull_secrets import read_targets
from tasks.sessions import SiteSession
from tasks.site_certificates import look_at_ca
from tasks.upstreams import Upstream


@dataclass(frozen=True)
class SiteLook:
    """What was read of a site, and what an onboarding would write.

    Attributes:
        plan: Every write, and what stands in the way.
        cloud: What Azure has.
        cluster: What the cluster has, the pull secrets of the site's own client token among it.
        further: The pull secrets of its other client tokens, by the token's name.
    """

    plan: SitePlan
    cloud: CloudView
    cluster: ClusterView
    further: Mapping[str, PullView | FleetError] = field(default_factory=dict)


@task(name="look at site", task_run_name="look at {session.site.name}", **READ)
def plan_site(
    session: SiteSession, upstream: Upstream, last: SiteEndpoint | None = None
) -> SitePlan:
    """Return everything that an onboarding would write at a site and for it in Azure.

    Args:
        session: The site.
        upstream: The registry that it mirrors.
        last: Where its registry answered when it was last seen; saves a second look at the nodes.

    Raises:
        HostsUnreachableError: A node could not be looked at.
        TemporaryError: Something else could not be read.
    """
    draft = Draft(session.site.name)
    login_server = upstream.facts.login_server
    facts = _view_nodes(session, login_server, last.host if last else "", draft)
    return look_at_site(session, upstream, facts, draft).plan


def look_at_site(
    session: SiteSession, upstream: Upstream, facts: Mapping[Node, NodeFacts], draft: Draft
) -> SiteLook:
    """Read everything but the nodes, whose facts are given, and finish the draft.

    Azure and the cluster are asked at the same time: both are far away, and from each other too.

    Raises:
        HostsUnreachableError: A node, looked at again for a file of the plan, does not answer.
        TemporaryError: Something else could not be read.
    """
    site, login_server = session.site, upstream.facts.login_server
    repositories = _repositories(session, upstream, draft)
    with ThreadPoolExecutor(1, thread_name_prefix="look at Azure") as pool:
        asked = pool.submit(copy_context().run, _view_cloud, session, upstream, repositories)
        cluster = _view_cluster(session, _installer(session))
        cloud = asked.result()
    known = _credentials(session, cloud)
    draft_access(site, cloud, draft)
    draft_chart(site, cluster, known, draft)
    endpoint = endpoint_of(site, cluster, draft)
    ca = _ca(session, cluster, draft)
    plan = RegistriesPlan(login_server=login_server, endpoint=endpoint, ca=ca)
    draft_nodes(site, _complete(session, facts, plan), plan, draft)
    draft_pulls(site, cluster, known, plan, draft)
    further = {}
    for view in further_clients(site):
        with session.seen_as(view):
            pulls = further[view.names.client_token] = _pulls(session)
            _plan_client(session, upstream, replace(cluster, pulls=pulls), plan, draft)
    note_window(site, known.now, draft)
    return SiteLook(draft.plan(), cloud, cluster, further)


def _plan_client(
    session: SiteSession,
    upstream: Upstream,
    cluster: ClusterView,
    plan: RegistriesPlan,
    draft: Draft,
) -> None:
    """Add what becomes of a client token besides the site's own, and of its pull secrets."""
    view = session.site
    repositories = _repositories(session, upstream, draft)
    if repositories is None:
        return
    with azure_slot(session.cloud.registry):
        found = read_client_access(session.cloud.access, view)
    draft_client(view, repositories, found, draft)
    slots = found.token.slots if found.token else {}
    known = Credentials(session.cloud.registry.name, None, {}, slots, datetime.now(UTC))
    draft_pulls(view, cluster, known, plan, draft)


def _view_nodes(
    session: SiteSession, login_server: str, endpoint_host: str, draft: Draft
) -> dict[Node, NodeFacts]:
    """Return what was found on the nodes; what stands in the way there is an obstacle."""
    found = _look(session, restart_order(session.site), login_server, endpoint_host)
    facts = {}
    for node, one in found.items():
        if isinstance(one, FleetError):
            draft.refuse(str(one))
            continue
        facts[node] = one
        for problem in find_problems(session.site.host, node, one):
            draft.refuse(problem)
    session.kubeconfigs = {one.node: one.kubeconfig for one in facts.values()}
    return facts


def _view_cloud(
    session: SiteSession, upstream: Upstream, repositories: tuple[str, ...] | None
) -> CloudView:
    """Return what Azure has of a site; `repositories` None: they could not be selected."""
    site, access = session.site, session.cloud.access
    with azure_slot(session.cloud.registry):
        sync = read_sync_access(access, site)
        parent = site.fed_by and access.read_connected_registry(site.fed_by.connected_registry)
        return CloudView(
            registry=upstream.facts,
            repositories=repositories,
            below=upstream.below(site),
            above=tuple(
                (one, access.read_scope_map(one.names.sync_scope_map))
                for one in upstream.tree.above(site)
            ),
            parent=parent or None,
            sync=sync,
            client=read_client_access(access, site, sync.connected_registry),
        )


def _view_cluster(session: SiteSession, installer: InstallerChoice | FleetError) -> ClusterView:
    """Return what a site's cluster has of what an onboarding makes there."""
    cluster, chart = session.cluster, session.site.chart
    by_helm = isinstance(installer, InstallerChoice) and installer.is_helm
    return ClusterView(
        has_namespace=cluster.find_namespace(chart.namespace) is not None,
        connection=cluster.find_secret(chart.namespace, connection_secret_name(chart)),
        chart=cluster.find_chart(chart.namespace, chart.release),
        release=cluster.find_newest_release(chart.namespace, chart.release) if by_helm else None,
        services=cluster.list_services(chart.namespace),
        pulls=_pulls(session),
        installer=installer,
    )


def _look(
    session: SiteSession, nodes: Sequence[Node], login_server: str, endpoint_host: str
) -> dict[Node, NodeFacts | FleetError]:
    found = look_at_nodes(session, nodes, login_server, endpoint_host)
    refuse_silent_nodes(found)
    return found


def _complete(
    session: SiteSession, facts: Mapping[Node, NodeFacts], plan: RegistriesPlan
) -> dict[Node, NodeFacts]:
    """Return the facts with those read anew that say too little of the plan's files."""
    short = [node for node, one in facts.items() if not tells_enough(one, plan)]
    again = _look(session, short, plan.login_server, plan.endpoint.host) if short else {}
    return {
        node: found if isinstance(found := again.get(node), NodeFacts) else one
        for node, one in facts.items()
    }


def _repositories(session: SiteSession, upstream: Upstream, draft: Draft) -> tuple[str, ...] | None:
    """Return what the site mirrors; an image to prove pulls with has to be among it."""
    site, found = session.site, None
    try:
        found = upstream.repositories_of(site)
        upstream.probe_image_of(site)
    except TemporaryError:
        raise
    except FleetError as error:
        draft.refuse(str(error))
    return found


def _installer(session: SiteSession) -> InstallerChoice | FleetError:
    try:
        return look_at_cluster(session).installer
    except TemporaryError:
        raise
    except FleetError as error:
        return error


def _pulls(session: SiteSession) -> PullView | FleetError:
    names = session.site.pull_secrets.service_accounts
    try:
        targets = read_targets(session)
        accounts = {
            (namespace, name): session.cluster.find_service_account(namespace, name)
            for namespace in targets.secrets
            for name in names
        }
    except TemporaryError:
        raise
    except FleetError as error:
        return error
    return PullView(targets, accounts)


def _credentials(session: SiteSession, cloud: CloudView) -> Credentials:
    sync, client = cloud.sync.token, cloud.client.token
    return Credentials(
        registry=session.cloud.registry.name,
        state=cloud.sync.connected_registry,
        sync=sync.slots if sync else {},
        client=client.slots if client else {},
        now=datetime.now(UTC),
    )


def _ca(session: SiteSession, cluster: ClusterView, draft: Draft) -> str | None:
    """Return the CA that the nodes get; one that the chart makes is only known afterwards."""
    try:
        return look_at_ca(session)
    except TemporaryError:
        raise
    except SiteAuthorityMissingError as error:
        if cluster.services:
            draft.refuse(str(error))
        else:
            draft.note("The CA of its registry is only known afterwards; nodes get it then.")
    except FleetError as error:
        draft.refuse(str(error))
    return None
