"""Take away what a site has of us: in its nodes' files first, then in its cluster."""

from collections.abc import Callable
from typing import assert_never

from prefect import task

from clients.helm_cli import HelmCli
from fleet.chart_progress import belongs_to, find_endpoint
from fleet.client_tokens import clients_of
from fleet.cluster_errors import ClusterChangedError
from fleet.cluster_objects import SecretView, ServiceAccountView
from fleet.errors import ChartLeftoversError, FleetError, WaitingForSiteError
from fleet.helm_chart import connection_secret_name, our_labels
from fleet.helm_command import redact_words, uninstall_arguments
from fleet.helm_release import read_release
from fleet.node_removals import plan_removal
from fleet.offboarding_site import (
    ExistingSite,
    SiteRemoval,
    nodes_not_asked,
    plan_node,
    plan_site_removal,
    strange_secrets,
)
from fleet.outcomes import Outcome, SiteEndpoint
from fleet.pull_secrets import TYPE, detaching_patch
from fleet.registries_yaml import RegistriesPlan
from fleet.removals import (
    ChangeNode,
    DeleteLease,
    DeleteNamespace,
    DeleteSecret,
    DetachPullSecret,
    SiteChange,
    UninstallChart,
    left_alone,
    require_approval,
)
from fleet.restarts import restart_order
from fleet.site_lease import LEASE
from tasks.hosts import change_unless_stopped, look_at_nodes, plan_nodes
from tasks.policy import READ, WAIT
from tasks.run_log import said, say
from tasks.sessions import SiteSession
from tasks.waiting import wait_for

_CONFLICTS = 5
Did = Callable[[tuple[Outcome, ...]], None]


@task(name="plan removal at site", task_run_name="plan removal at {session.site.name}", **READ)
def plan_at_site(
    session: SiteSession, login_server: str, last: SiteEndpoint | None
) -> tuple[SiteRemoval, ...]:
    """Return what goes at a site; write nothing.

    Args:
        session: The site.
        login_server: The cloud registry's name, for which the site's registry stood in.
        last: Where the site's registry answered when it was last proven.

    Raises:
        HostsUnreachableError, ClusterUnreachableError: The site, or a part of it, is away.
        HostFileInvalidError: A file of a node can't be edited safely.
        RestartForbiddenError: A node needs a restart that the fleet file forbids.
    """
    site, endpoint = session.site, _endpoint(session) or last
    found: list[SiteRemoval] = []
    if endpoint is None:
        found.append(nodes_not_asked(site))
    else:
        plan = RegistriesPlan(login_server=login_server, endpoint=endpoint)
        nodes = look_at_nodes(session, restart_order(site), login_server, endpoint.host)
        for node, facts in nodes.items():
            if isinstance(facts, FleetError):
                raise facts
            found.append(plan_node(site, plan_removal(site.host, node, facts, plan)))
    return (*found, *plan_site_removal(site, _read(session)))


@task(name="remove from site", task_run_name="remove what {session.site.name} has", **WAIT)
def remove_from_site(
    session: SiteSession,
    login_server: str,
    last: SiteEndpoint | None,
    approved: frozenset[str],
    did: Did,
) -> None:
    """Let the nodes forget the site's registry, then remove everything of it from the cluster.

    All of it is read and planned anew before the first write, and what is gone is not asked for
    again, so that a run that died is finished by the next.

    Args:
        session: The site.
        login_server: The cloud registry's name.
        last: Where the site's registry answered when it was last proven.
        approved: The keys of what may be removed.
        did: Hears what was removed, one by one.

    Raises:
        RemovalNotApprovedError: There is more to remove than was approved.
        ChartLeftoversError: The chart was uninstalled and is still there.
        WaitingForSiteError: The chart's controller has not uninstalled it yet.
        RestartFailedError: A node did not come back without our files and runs with them.
    """
    endpoint, plan = _endpoint(session) or last, None
    nodes: list[SiteRemoval] = []
    if endpoint is None:
        nodes.append(nodes_not_asked(session.site))
    else:
        plan = RegistriesPlan(login_server=login_server, endpoint=endpoint)
        changes = plan_nodes(session, plan, (), plan_removal)
        nodes = [plan_node(session.site, change) for change in changes]
    existing = _read(session)
    removals = (*nodes, *plan_site_removal(session.site, existing))
    require_approval(session.site.name, removals, approved)
    if not any(isinstance(one.change, UninstallChart) for one in removals):
        _refuse_leftovers(session, existing)
    for removal in removals:
        done = removal
        if isinstance(removal.change, ChangeNode) and plan is not None:
            change_unless_stopped(session, removal.change.change, plan, plan_removal)
        elif removal.change is not None:
            kept = _write(session, removal.change)
            done = left_alone(removal.outcome.kind, removal.outcome.name, kept) if kept else done
        did((said(done.outcome),))


def _refuse_leftovers(session: SiteSession, found: ExistingSite) -> None:
    """Refuse to go on where no chart is left to uninstall and parts of an earlier one are there.

    Raises:
        ChartLeftoversError: Its registry may still run.
    """
    name = connection_secret_name(session.site.chart)
    was_here = any(secret.meta.name == name for secret in found.secrets)
    left = _leftovers(session) if was_here and found.chart is None else []
    if left:
        raise ChartLeftoversError(
            f"The chart of {session.site.name} is uninstalled, and {', '.join(left)} is still "
            f"there. Look at the namespace {session.site.chart.namespace}, delete what is left of "
            "it and run this again."
        )


def _endpoint(session: SiteSession) -> SiteEndpoint | None:
    chart = session.site.chart
    found = find_endpoint(chart, session.cluster.list_services(chart.namespace))
    return found if isinstance(found, SiteEndpoint) else None


def _read(session: SiteSession) -> ExistingSite:
    cluster, chart = session.cluster, session.site.chart
    secrets = cluster.list_secrets(our_labels(session.site))
    found = cluster.find_chart(chart.namespace, chart.release)
    newest = None if found else cluster.find_newest_release(chart.namespace, chart.release)
    return ExistingSite(
        secrets=secrets,
        accounts=_accounts(session, secrets),
        chart=found,
        release=read_release(newest) if newest else None,
        has_lease=cluster.find_lease(chart.namespace, LEASE) is not None,
        namespace=cluster.find_namespace(chart.namespace),
        claims=tuple(claim.meta.name for claim in cluster.list_claims(chart.namespace)),
    )


def _accounts(
    session: SiteSession, secrets: tuple[SecretView, ...]
) -> tuple[ServiceAccountView, ...]:
    clients = clients_of(session.site)
    names = sorted({name for one in clients for name in one.pull_secrets.service_accounts})
    namespaces = sorted({one.meta.namespace for one in secrets if one.type == TYPE})
    found = [
        session.cluster.find_service_account(namespace, name)
        for namespace in namespaces
        for name in names
    ]
    return tuple(one for one in found if one is not None)


def _write(session: SiteSession, change: SiteChange) -> str:
    """Make one change; return why it was not made after all, where that is so."""
    cluster = session.cluster
    match change:
        case DetachPullSecret(namespace, account, secret):
            _detach(session, namespace, account, secret)
        case DeleteSecret(namespace, name):
            cluster.delete_secret(namespace, name)
        case UninstallChart():
            _uninstall(session, change)
        case DeleteLease(namespace, name):
            cluster.delete_lease(namespace, name)
        case DeleteNamespace(name):
            return _delete_namespace(session, name)
        case ChangeNode():
            raise AssertionError("nodes are changed by tasks.hosts")
        case _:
            assert_never(change)
    return ""


def _detach(session: SiteSession, namespace: str, account: str, secret: str) -> None:
    """Take the pull secret from a ServiceAccount, keeping what others put there."""
    for attempt in range(_CONFLICTS):
        found = session.cluster.find_service_account(namespace, account)
        change = detaching_patch(secret, found) if found else None
        if change is None:
            return
        try:
            session.cluster.patch_service_account(namespace, account, change)
        except ClusterChangedError:
            if attempt == _CONFLICTS - 1:
                raise
            continue
        return


def _uninstall(session: SiteSession, change: UninstallChart) -> None:
    """Uninstall the chart, and look whether it is gone: helm's own failure is not told.

    The helm-controller runs `helm uninstall --wait || true`, so a HelmChart that is gone proves
    nothing (facts/edge-hosts.md 2.4).
    """
    site, namespace, release = session.site, change.namespace, change.release
    if change.by_helm:
        _uninstall_with_helm(session, change)
    else:
        session.cluster.delete_chart(namespace, release)
        say(f"waiting until the HelmChart {namespace}/{release} is uninstalled")

    def look() -> tuple[bool | None, str]:
        if session.cluster.find_chart(namespace, release) is not None:
            return None, f"the helm-controller to uninstall {namespace}/{release}"
        left = _leftovers(session)
        return (None, f"{', '.join(left)} to end") if left else (True, "")

    gone, phase = wait_for(look, patience=site.patience.online)
    if gone:
        return
    if session.cluster.find_chart(namespace, release) is not None:
        raise WaitingForSiteError(
            f"Still waiting for {phase} at {site.name}; the next run goes on from here. Look at "
            f"the job `helm-delete-{release}` in the namespace {namespace}."
        )
    raise ChartLeftoversError(
        f"The chart of {site.name} was uninstalled, and is not gone: still waiting for {phase}. "
        f"Look at the namespace {namespace}, delete what is left of it and run this again."
    )


def _leftovers(session: SiteSession) -> list[str]:
    cluster, chart = session.cluster, session.site.chart
    namespace = chart.namespace
    kinds = {
        "Deployment": [item.meta for item in cluster.list_deployments(namespace)],
        "Service": [item.meta for item in cluster.list_services(namespace)],
    }
    return [
        f"{kind} {meta.name}"
        for kind, found in kinds.items()
        for meta in found
        if belongs_to(chart, meta)
    ]


def _uninstall_with_helm(session: SiteSession, change: UninstallChart) -> None:
    def arguments(kubeconfig: str) -> list[str]:
        return uninstall_arguments(change.namespace, change.release, kubeconfig=kubeconfig)

    kubeconfig = session.cluster.kubeconfig()
    status, words = HelmCli().uninstall(arguments, kubeconfig)
    if status != 0:
        words = redact_words(words, kubeconfig)
        raise ChartLeftoversError(
            f"helm could not uninstall {change.release} at {session.site.name}: "
            f"{' '.join(words.split())[-500:]}"
        )


def _delete_namespace(session: SiteSession, name: str) -> str:
    """Delete the chart's namespace, unless somebody else has something in it."""
    cluster = session.cluster
    strange = strange_secrets(session.site, cluster.list_secrets_in(name))
    if strange:
        return f"others have something in it: Secret {', Secret '.join(strange)}"

    def look() -> tuple[bool | None, str]:
        left = [f"pod {pod.meta.name}" for pod in cluster.list_pods(name) if _is_alive(pod.phase)]
        left += [f"deployment {one.meta.name}" for one in cluster.list_deployments(name)]
        left += [
            f"volume claim {one.meta.name}"
            for one in cluster.list_claims(name)
            if not belongs_to(session.site.chart, one.meta)
        ]
        return (None, ", ".join(left)) if left else (True, "")

    empty, left = wait_for(look, patience=session.site.patience.online)
    if not empty:
        return f"others have something in it: {left}"
    cluster.delete_namespace(name)
    return ""


def _is_alive(phase: str) -> bool:
    return phase not in ("Succeeded", "Failed")
