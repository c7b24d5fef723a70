"""What a plan says about a site itself, decided from everything that was read there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pydantic import SecretStr

from fleet.azure_objects import ConnectedRegistryState, PasswordSlot
from fleet.chart_installer import InstallerChoice, refuse_second_installer
from fleet.chart_progress import find_endpoint
from fleet.cluster_objects import ChartView, SecretView, ServiceView
from fleet.connection_choice import (
    HeldPassword,
    choose_connection,
    compare_connection,
    connection_text,
)
from fleet.errors import FleetError
from fleet.helm_chart import connection_secret_name
from fleet.helm_release import read_release
from fleet.maintenance import why_not_now
from fleet.node_changes import plan_change
from fleet.node_facts import NodeFacts
from fleet.outcomes import Action, SiteEndpoint
from fleet.plan_access import connected_registry_to_be
from fleet.plan_chart import draft_helm_chart, draft_helm_release
from fleet.plan_draft import Draft
from fleet.plan_nodes import node_changes
from fleet.plan_pulls import PullView, password_change, pull_changes
from fleet.pull_choice import choose_pull_password
from fleet.pull_secrets import pull_hosts
from fleet.registries_yaml import RegistriesPlan
from fleet.site_plan import Part, PlannedChange
from fleet.sites import Node, Site

TO_COME = "known-after-apply"
"""Stands for the address of a registry that is not there yet."""


@dataclass(frozen=True)
class ClusterView:
    """What a site's cluster has of what an onboarding makes there.

    Attributes:
        has_namespace: Whether the chart's namespace is there.
        connection: The Secret with the connection string.
        chart: The HelmChart.
        release: The newest record of the Helm release.
        services: The Services of the chart's namespace.
        pulls: Pull secrets and service accounts, or why they can't be told.
        installer: Who installs the chart, or why nobody can.
    """

    has_namespace: bool
    connection: SecretView | None
    chart: ChartView | None
    release: SecretView | None
    services: Sequence[ServiceView]
    pulls: PullView | FleetError
    installer: InstallerChoice | FleetError


@dataclass(frozen=True)
class Credentials:
    """What Azure says of a site's passwords, and the present, UTC."""

    registry: str
    state: ConnectedRegistryState | None
    sync: Mapping[str, PasswordSlot]
    client: Mapping[str, PasswordSlot]
    now: datetime


def draft_chart(site: Site, view: ClusterView, known: Credentials, draft: Draft) -> None:
    """Add what becomes of namespace, connection string and chart."""
    if not view.has_namespace:
        draft.add(Part.CHART, "Namespace", site.chart.namespace, Action.CREATED)
    text = None
    try:
        text = _draft_connection(site, view, known, draft)
    except FleetError as error:
        draft.refuse(str(error))
    if isinstance(view.installer, FleetError):
        draft.refuse(str(view.installer))
        return
    try:
        _draft_release(site, view, view.installer, text, draft)
    except FleetError as error:
        draft.refuse(str(error))


def endpoint_of(site: Site, view: ClusterView, draft: Draft) -> SiteEndpoint:
    """Return where the site's registry answers, or a stand-in with a note that says so."""
    found = find_endpoint(site.chart, view.services)
    if isinstance(found, SiteEndpoint):
        return found
    plain, fixed = site.chart.http_enabled, site.chart.service.cluster_ip
    name = fixed or TO_COME
    draft.note(f"The address of its registry is only known afterwards; here it is {name}.")
    return SiteEndpoint(
        address=str(fixed or TO_COME),
        port=80 if plain else 443,
        scheme="http" if plain else "https",
    )


def draft_nodes(
    site: Site, facts: Mapping[Node, NodeFacts], plan: RegistriesPlan, draft: Draft
) -> None:
    """Add what becomes of the nodes' files and services, in the order of the work."""
    for node, found in facts.items():
        if found.deadmen:
            detail = "of an earlier run that ended before its proof; it is proven or undone first"
            draft.add(Part.NODES, "unproven change on", node.name, Action.CHANGED, detail)
        draft.take(partial(_node, site, node, found, plan))


def draft_pulls(
    site: Site, view: ClusterView, known: Credentials, plan: RegistriesPlan, draft: Draft
) -> None:
    """Add what becomes of passwords, pull secrets and service accounts."""
    if isinstance(view.pulls, FleetError):
        draft.refuse(str(view.pulls))
        return
    pulls, token = view.pulls, site.names.client_token
    try:
        choice = choose_pull_password(pulls.targets, token, known.client, known.now)
    except FleetError as error:
        draft.refuse(str(error))
        return
    hosts = pull_hosts(plan.endpoint, plan.login_server)
    draft.take(lambda: pull_changes(site, pulls, choice, hosts))


def note_window(site: Site, now: datetime, draft: Draft) -> None:
    """Note when what restarts something may begin, where that is not now."""
    charts = ("HelmChart", "Helm release", "Secret")
    restarts = any(
        one.restarts
        or (one.part is Part.CHART and one.kind in charts and one.action is Action.CHANGED)
        for one in draft.changes
    )
    why = why_not_now(site.maintenance, now, site.patience.node_ready)
    if restarts and why:
        draft.note(f"What restarts something has to wait: {why}.")


def _draft_connection(
    site: Site, view: ClusterView, known: Credentials, draft: Draft
) -> SecretStr | None:
    """Add what becomes of the connection string, and return it if it stays or is known."""
    found, state = view.connection, known.state or connected_registry_to_be(site)
    choice = choose_connection(site, known.registry, found, state, known.sync, known.now)
    name = connection_secret_name(site.chart)
    if not isinstance(choice, HeldPassword):
        draft.changes.append(password_change("sync password", site.names.sync_token, choice))
        action = Action.CHANGED if found else Action.CREATED
        draft.add(Part.CHART, "Secret", name, action, choice.slot)
        return None
    text = connection_text(site, choice.value, state.gateway_endpoint)
    action = compare_connection(site, found, text, choice.mark)
    draft.add(Part.CHART, "Secret", name, action, choice.mark.slot)
    return text


def _draft_release(
    site: Site,
    view: ClusterView,
    installer: InstallerChoice,
    text: SecretStr | None,
    draft: Draft,
) -> None:
    if installer.support is not None:
        draft_helm_chart(site, installer.support, view.chart, draft)
        return
    refuse_second_installer(site, view.chart)
    newest = read_release(view.release) if view.release else None
    draft_helm_release(site, text, newest, draft)


def _node(
    site: Site, node: Node, found: NodeFacts, plan: RegistriesPlan
) -> Iterator[PlannedChange]:
    return node_changes(plan_change(site.host, node, found, plan))
