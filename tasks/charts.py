"""Put the registry's chart on a site's cluster and see it come up."""

from datetime import UTC, datetime

from prefect import task
from pydantic import SecretStr

from fleet.azure_objects import ConnectedRegistryState, PasswordSlot, TokenState
from fleet.cluster_facts import ClusterFacts, judge_cluster
from fleet.connection_choice import (
    HeldPassword,
    choose_connection,
    compare_connection,
    connection_text,
    says_otherwise,
)
from fleet.errors import NotOnboardedError
from fleet.helm_chart import (
    ChartSupport,
    changed_settings,
    chart_body,
    chart_differences,
    compare_chart,
    connection_secret_body,
    connection_secret_name,
    our_labels,
)
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.passwords import PasswordMark, as_azure_shows_it
from tasks.azure_limits import azure_slot
from tasks.chart_watch import watch_chart
from tasks.helm_install import check_installer, choose, install_with_helm
from tasks.policy import READ, WAIT, WRITE
from tasks.restart_gate import CHART, CONNECTION, hold_chart, hold_connection
from tasks.run_log import said, say, warn
from tasks.sessions import SiteSession


@task(name="check cluster", task_run_name="check cluster of {session.site.name}", **READ)
def check_cluster(session: SiteSession) -> ClusterFacts:
    """Look whether the cluster can take the chart; write nothing.

    Raises:
        ClusterNotSuitableError: What has to be changed at the cluster or in the fleet file.
        HelmMissingError: The site needs a helm on this machine, and there is none that fits.
    """
    return look_at_cluster(session)


def look_at_cluster(session: SiteSession) -> ClusterFacts:
    """Do what `check_cluster` says, as a part of another step."""
    cluster, site = session.cluster, session.site
    chart, secret = site.chart, site.chart.tls.secret if site.chart.tls else None
    facts = judge_cluster(
        site,
        installer=check_installer(session),
        storage_classes=cluster.list_storage_classes(),
        nodes=cluster.list_nodes(),
        services=cluster.list_services() if chart.service.cluster_ip or secret else (),
        certificate=cluster.find_secret(chart.namespace, secret) if secret else None,
        now=datetime.now(UTC),
    )
    for warning in facts.warnings:
        warn(warning)
    return facts


@task(
    name="deliver connection string",
    task_run_name="deliver connection string to {session.site.name}",
    **WRITE,
)
def deliver_connection_string(session: SiteSession) -> tuple[Outcome, ...]:
    """Give the site a working connection string, with a new sync password only if it has none.

    Another string for a password that works restarts the registry, so it waits for the site's
    window; `session.held` says so.

    Raises:
        SiteAlreadyActivatedError: Another installation uses the connected registry.
        NotOursError: A Secret of that name was made by somebody else.
    """
    return _create_namespace(session), _deliver(session)


@task(name="install chart", task_run_name="install chart at {session.site.name}", **WRITE)
def install_chart(session: SiteSession) -> tuple[Outcome, ...]:
    """Create or change the HelmChart, or the Helm release, where it differs from the fleet file.

    A change that restarts the registry waits for the site's window; `session.held` says so.

    Raises:
        NotOursError: Somebody else made it, with other settings.
        ChartFailedError: helm, where it installs, could not do it.
        WindowClosedError: A change has to wait without which the next steps make no sense.
    """
    session.held.pop(CHART, None)
    support = choose(session).support
    if support is None:
        return (said(install_with_helm(session)),)
    return (said(_install_by_controller(session, support)),)


@task(name="wait until online", task_run_name="wait until {session.site.name} is online", **WAIT)
def wait_until_online(session: SiteSession) -> SiteEndpoint:
    """Wait until the site's registry works and Azure sees it Online; return where it answers.

    Raises:
        WaitingForSiteError: Nothing failed, but patience ended.
        ChartFailedError, SiteAlreadyActivatedError, SyncPasswordRefusedError: It failed.
    """
    return watch_chart(session)


def _install_by_controller(session: SiteSession, support: ChartSupport) -> Outcome:
    cluster, site = session.cluster, session.site
    chart = site.chart
    body = chart_body(site, support)
    found = cluster.find_chart(chart.namespace, chart.release)
    action = compare_chart(site, body, found)
    detail = f"chart {chart.version}"
    if found is None:
        cluster.create_chart(chart.namespace, body)
    elif action is not Action.UNCHANGED:
        detail = ", ".join(chart_differences(body, found)) or "labels"
        if hold_chart(session, changed_settings(body, found)):
            return Outcome(kind="HelmChart", name=chart.release, action=Action.UNCHANGED)
        change = {"metadata": {"labels": our_labels(site)}, "spec": body["spec"]}
        cluster.patch_chart(chart.namespace, chart.release, change)
    return Outcome(kind="HelmChart", name=chart.release, action=action, detail=detail)


def _create_namespace(session: SiteSession) -> Outcome:
    name = session.site.chart.namespace
    if session.cluster.find_namespace(name) is not None:
        return Outcome(kind="Namespace", name=name, action=Action.UNCHANGED)
    session.cluster.create_namespace(name, our_labels(session.site))
    return said(Outcome(kind="Namespace", name=name, action=Action.CREATED))


def _deliver(session: SiteSession) -> Outcome:
    cluster, site = session.cluster, session.site
    namespace, name = site.chart.namespace, connection_secret_name(site.chart)
    found = cluster.find_secret(namespace, name)
    session.held.pop(CONNECTION, None)
    state, token = _read_sync(session)
    registry, now = session.cloud.registry.name, datetime.now(UTC)
    choice = choose_connection(site, registry, found, state, token.slots, now)
    if isinstance(choice, HeldPassword):
        password, mark = choice.value, choice.mark
    else:
        password, mark = _renew(session, token.name, choice.slot)
    text = connection_text(site, password, state.gateway_endpoint)
    action = compare_connection(site, found, text, mark)
    is_held = isinstance(choice, HeldPassword) and says_otherwise(found, text)
    if is_held and hold_connection(session, state):
        return Outcome(kind="Secret", name=name, action=Action.UNCHANGED)
    body = connection_secret_body(site, text, mark)
    if action is Action.CREATED:
        cluster.create_secret(namespace, body)
    elif action is not Action.UNCHANGED:
        cluster.patch_secret(namespace, name, body)
    return said(Outcome(kind="Secret", name=name, action=action, detail=mark.slot))


def _read_sync(session: SiteSession) -> tuple[ConnectedRegistryState, TokenState]:
    access, names = session.cloud.access, session.site.names
    with azure_slot(session.cloud.registry):
        state = access.read_connected_registry(names.connected_registry)
        token = access.read_token(names.sync_token)
    if state is None or token is None:
        missing = names.connected_registry if state is None else names.sync_token
        raise NotOnboardedError(f"{missing} of {session.site.name} does not exist in Azure.")
    return state, token


def _renew(session: SiteSession, token: str, slot: str) -> tuple[SecretStr, PasswordMark]:
    access = session.cloud.access
    with azure_slot(session.cloud.registry):
        made = access.renew_password(token, slot, None)
        state = access.read_token(token)
    shown = state.slots.get(slot) if state else None
    times = as_azure_shows_it(PasswordSlot(made.created, made.expires), shown)
    say(f"generated {slot} of the sync token {token}")
    return made.value, PasswordMark(token=token, slot=slot, created=times.created)
