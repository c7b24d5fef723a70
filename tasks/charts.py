"""Put the registry's chart on a site's cluster and see it come up."""

from datetime import UTC, datetime

from prefect import task
from pydantic import SecretStr

from fleet.azure_objects import PasswordSlot
from fleet.cluster_facts import ClusterFacts, judge_cluster
from fleet.cluster_objects import SecretView
from fleet.connection_string import build_connection_string, parse_connection_string
from fleet.errors import NotOnboardedError, NotOursError, SiteAlreadyActivatedError
from fleet.helm_chart import (
    chart_body,
    chart_differences,
    compare_chart,
    connection_secret_body,
    connection_secret_name,
    is_ours,
    our_labels,
    read_chart_support,
    read_connection_string,
)
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.passwords import (
    Keep,
    PasswordMark,
    as_azure_shows_it,
    choose_sync_password,
)
from tasks.azure_limits import azure_slot
from tasks.chart_watch import watch_chart
from tasks.policy import READ, WAIT, WRITE
from tasks.run_log import said, say, warn
from tasks.sessions import SiteSession


@task(name="check cluster", task_run_name="check cluster of {session.site.name}", **READ)
def check_cluster(session: SiteSession) -> ClusterFacts:
    """Look whether the cluster can take the chart; write nothing.

    Raises:
        ClusterNotSuitableError: What has to be changed at the cluster or in the fleet file.
    """
    cluster, site = session.cluster, session.site
    facts = judge_cluster(
        site,
        version=cluster.read_version(),
        support=read_chart_support(cluster.find_chart_definition()),
        storage_classes=cluster.list_storage_classes(),
        nodes=cluster.list_nodes(),
        services=cluster.list_services() if site.chart.service.cluster_ip else (),
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

    Raises:
        SiteAlreadyActivatedError: Another installation uses the connected registry.
        NotOursError: A Secret of that name was made by somebody else.
    """
    return _create_namespace(session), _deliver(session)


@task(name="install chart", task_run_name="install chart at {session.site.name}", **WRITE)
def install_chart(session: SiteSession) -> tuple[Outcome, ...]:
    """Create or change the HelmChart where it differs from the fleet file.

    Raises:
        NotOursError: A HelmChart of that name was made by somebody else, with other settings.
    """
    cluster, site = session.cluster, session.site
    chart = site.chart
    body = chart_body(site, read_chart_support(cluster.find_chart_definition()))
    found = cluster.find_chart(chart.namespace, chart.release)
    action = compare_chart(site, body, found)
    detail = f"chart {chart.version}"
    if found is None:
        cluster.create_chart(chart.namespace, body)
    elif action is not Action.UNCHANGED:
        detail = ", ".join(chart_differences(body, found)) or "labels"
        change = {"metadata": {"labels": our_labels(site)}, "spec": body["spec"]}
        cluster.patch_chart(chart.namespace, chart.release, change)
    return (said(Outcome(kind="HelmChart", name=chart.release, action=action, detail=detail)),)


@task(name="wait until online", task_run_name="wait until {session.site.name} is online", **WAIT)
def wait_until_online(session: SiteSession) -> SiteEndpoint:
    """Wait until the site's registry works and Azure sees it Online; return where it answers.

    Raises:
        WaitingForSiteError: Nothing failed, but patience ended.
        ChartFailedError, SiteAlreadyActivatedError, SyncPasswordRefusedError: It failed.
    """
    return watch_chart(session)


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
    if found is not None and not is_ours(found.meta.labels):
        raise NotOursError(
            f"Secret {namespace}/{name} at {site.name} was not made by acrfleet. Delete it, or "
            "choose another `chart.release`."
        )
    password, mark, gateway = _sync_password(session, found)
    names = site.names
    text = build_connection_string(names.connected_registry, names.sync_token, password, gateway)
    body = connection_secret_body(site, text, mark)
    if found is None:
        cluster.create_secret(namespace, body)
    elif _differs(found, body, text):
        cluster.patch_secret(namespace, name, body)
    else:
        return Outcome(kind="Secret", name=name, action=Action.UNCHANGED, detail=mark.slot)
    action = Action.CREATED if found is None else Action.CHANGED
    return said(Outcome(kind="Secret", name=name, action=action, detail=mark.slot))


def _sync_password(
    session: SiteSession, found: SecretView | None
) -> tuple[SecretStr, PasswordMark, str | None]:
    access, names = session.cloud.access, session.site.names
    with azure_slot(session.cloud.registry):
        state = access.read_connected_registry(names.connected_registry)
        token = access.read_token(names.sync_token)
    if state is None or token is None:
        missing = names.connected_registry if state is None else names.sync_token
        raise NotOnboardedError(f"{missing} of {session.site.name} does not exist in Azure.")
    text = read_connection_string(found) if found else None
    held = parse_connection_string(text) if text else None
    mark = PasswordMark.from_annotations(found.meta.annotations) if found and held else None
    choice = choose_sync_password(token.name, token.slots, mark, datetime.now(UTC))
    if isinstance(choice, Keep) and held is not None:
        return held.password, choice.mark, state.gateway_endpoint
    if found is None and state.is_active:
        why = f"the cluster of {session.site.name} has no connection string that acrfleet made"
        registry = session.cloud.registry.name
        raise SiteAlreadyActivatedError(names.connected_registry, registry, why)
    assert not isinstance(choice, Keep)  # noqa: S101 - a kept password was in the Secret
    return *_renew(session, token.name, choice.slot), state.gateway_endpoint


def _renew(session: SiteSession, token: str, slot: str) -> tuple[SecretStr, PasswordMark]:
    access = session.cloud.access
    with azure_slot(session.cloud.registry):
        made = access.renew_password(token, slot, None)
        state = access.read_token(token)
    shown = state.slots.get(slot) if state else None
    times = as_azure_shows_it(PasswordSlot(made.created, made.expires), shown)
    say(f"generated {slot} of the sync token {token}")
    return made.value, PasswordMark(token=token, slot=slot, created=times.created)


def _differs(found: SecretView, body: dict[str, object], text: SecretStr) -> bool:
    wanted = body["metadata"]
    assert isinstance(wanted, dict)  # noqa: S101 - made by connection_secret_body
    return (
        read_connection_string(found) != text
        or not wanted["labels"].items() <= found.meta.labels.items()
        or not wanted["annotations"].items() <= found.meta.annotations.items()
    )
