"""What of a site is taken away in its own cluster, in which order.

The nodes forget the site's registry before this, so pulls go to the cloud while it disappears. Then
the pull secrets go, then the chart, then what carried its secrets. Labels say what is ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fleet.chart_progress import belongs_to
from fleet.client_tokens import clients_of
from fleet.cluster_objects import ChartView, Meta, SecretView, ServiceAccountView
from fleet.helm_chart import is_ours, our_labels
from fleet.helm_release import RELEASE_TYPE, HelmRelease
from fleet.node_changes import NodeChange
from fleet.pull_secrets import TYPE, read_users
from fleet.removals import (
    FOREIGN,
    ChangeNode,
    DeleteLease,
    DeleteNamespace,
    DeleteSecret,
    DetachPullSecret,
    Removal,
    SiteChange,
    UninstallChart,
    changed,
    left_alone,
    removed,
)
from fleet.site_lease import LEASE
from fleet.sites import Site

SiteRemoval = Removal[SiteChange]
_KEPT_BY_OTHERS = (RELEASE_TYPE, "kubernetes.io/service-account-token")
_HELM_CONTROLLER = "helmcharts.helm.cattle.io/"


@dataclass(frozen=True, slots=True)
class ExistingSite:
    """What a site's cluster has of us.

    Attributes:
        secrets: The Secrets of all namespaces that carry our labels for this site.
        accounts: The service accounts of the fleet file in the namespaces of our pull secrets.
        chart: The HelmChart of the chart's name.
        release: The newest revision of the Helm release, where there is no HelmChart.
        has_lease: Whether the Lease of the rotations is there.
        namespace: The chart's namespace.
        claims: The volume claims in that namespace.
    """

    secrets: tuple[SecretView, ...] = ()
    accounts: tuple[ServiceAccountView, ...] = ()
    chart: ChartView | None = None
    release: HelmRelease | None = None
    has_lease: bool = False
    namespace: Meta | None = None
    claims: tuple[str, ...] = ()


def plan_site_removal(site: Site, found: ExistingSite) -> tuple[SiteRemoval, ...]:
    """Plan what goes in a site's cluster, in this order; what is not ours stays and is said."""
    pulls = [one for one in found.secrets if one.type == TYPE]
    others = [one for one in found.secrets if one.type not in (TYPE, RELEASE_TYPE)]
    return (
        *_detach(found.accounts, [one for one in pulls if not _strangers(site, one)]),
        *(_pull_secret(site, one) for one in pulls),
        *_chart(site, found),
        *(_secret("Secret", one) for one in others),
        *_namespace(site, found),
    )


def plan_node(site: Site, change: NodeChange) -> SiteRemoval:
    """Return the removal of the site's registry from one node; nothing to do is said, too."""
    kind = "registries.yaml on" if change.distribution.registries else "hosts.toml on"
    name = f"{site.name}/{change.node.name}"
    if not change.must_write:
        return left_alone(kind, name, "nothing of the site's registry is in it")
    gone = [file.path for file in change.due if file.wanted is None]
    restart = f"{change.unit} is restarted: {change.restart}" if change.restart else "no restart"
    detail = "; ".join([restart, *([f"{', '.join(gone)} removed"] if gone else [])])
    return changed(kind, name, ChangeNode(change), detail)


def nodes_not_asked(site: Site) -> SiteRemoval:
    """Return that nothing is done on the nodes, because what to take out of them is not known."""
    why = (
        "neither the cluster nor the site's record tells where its registry answers; if the "
        "chart was taken away by hand, look for the comment `# acrfleet` in the nodes' files"
    )
    return left_alone("files on nodes of", site.name, why)


def _detach(
    accounts: tuple[ServiceAccountView, ...], pulls: list[SecretView]
) -> Iterator[SiteRemoval]:
    for account in accounts:
        namespace, name = account.meta.namespace, account.meta.name
        for secret in pulls:
            mine = secret.meta.namespace == namespace and secret.meta.name in account.pull_secrets
            if mine:
                change = DetachPullSecret(namespace, name, secret.meta.name)
                detail = f"without {secret.meta.name}"
                yield changed("service account", f"{namespace}/{name}", change, detail)


def _pull_secret(site: Site, secret: SecretView) -> SiteRemoval:
    strangers = _strangers(site, secret)
    if not strangers:
        return _secret("pull secret", secret)
    name = f"{secret.meta.namespace}/{secret.meta.name}"
    why = f"it holds logins of others, too: {', '.join(strangers)}; take ours out of it by hand"
    return left_alone("pull secret", name, why)


def _strangers(site: Site, secret: SecretView) -> tuple[str, ...]:
    """Return the users in a pull secret that are not client tokens of the site."""
    ours = {view.names.client_token for view in clients_of(site)}
    before = f"{site.names.connected_registry}-"  # a token that left the fleet file was ours, too
    users = read_users(secret)
    return tuple(one for one in users if one not in ours and not one.startswith(before))


def _secret(kind: str, secret: SecretView) -> SiteRemoval:
    namespace, name = secret.meta.namespace, secret.meta.name
    return removed(kind, f"{namespace}/{name}", DeleteSecret(namespace, name))


def _chart(site: Site, found: ExistingSite) -> Iterator[SiteRemoval]:
    chart = site.chart
    if found.chart is not None:
        kind, ours = "HelmChart", _is_of(site, found.chart.meta.labels)
    elif found.release is not None and found.release.status != "uninstalled":
        kind, ours = "Helm release", _is_of(site, found.release.meta.labels)
    else:
        return
    name = f"{chart.namespace}/{chart.release}"
    if not ours:
        yield left_alone(kind, name, FOREIGN)
        return
    change = UninstallChart(chart.namespace, chart.release, by_helm=kind == "Helm release")
    yield removed(kind, name, change, "the site's registry ends")


def _is_of(site: Site, labels: Mapping[str, str]) -> bool:
    """Return whether labels are ours and name no other site, as those of a renamed one do."""
    return is_ours(labels) and all(
        labels.get(key, value) == value for key, value in our_labels(site).items()
    )


def strange_secrets(site: Site, secrets: Sequence[SecretView]) -> tuple[str, ...]:
    """Return the names of Secrets in the chart's namespace that neither we nor the chart made.

    What Kubernetes, Helm and the helm-controller keep there goes with what it is about.
    """
    return tuple(
        one.meta.name
        for one in secrets
        if one.type not in _KEPT_BY_OTHERS
        and not _is_of(site, one.meta.labels)
        and not belongs_to(site.chart, one.meta)
        and not any(label.startswith(_HELM_CONTROLLER) for label in one.meta.labels)
    )


def _namespace(site: Site, found: ExistingSite) -> Iterator[SiteRemoval]:
    name = site.chart.namespace
    if found.has_lease:
        yield removed("Lease", f"{name}/{LEASE}", DeleteLease(name, LEASE))
    if found.namespace is None:
        return
    if our_labels(site).items() <= found.namespace.labels.items():
        volume = f" with {', '.join(found.claims)}" if found.claims else ""
        detail = f"{volume}, unless others have something in it".strip(" ,")
        yield removed("Namespace", name, DeleteNamespace(name), detail)
    elif found.claims:
        why = f"the namespace {name} is not ours; delete it by hand if its images may go"
        yield left_alone("volume claim", f"{name}/{', '.join(found.claims)}", why)
