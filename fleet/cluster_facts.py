"""Whether a site's cluster can take the registry: decided before anything is written."""

from collections.abc import Sequence
from datetime import datetime

from fleet.chart_installer import InstallerChoice
from fleet.chart_progress import belongs_to
from fleet.cluster_certificates import find_certificate_problems, find_certificate_warnings
from fleet.cluster_errors import ClusterNotSuitableError
from fleet.cluster_objects import NodeState, SecretView, ServiceView
from fleet.sites import Site, Strict


class ClusterFacts(Strict):
    """What was found at a cluster; `warnings` are sentences for the operator."""

    installer: InstallerChoice
    warnings: tuple[str, ...] = ()


def judge_cluster(
    site: Site,
    *,
    installer: InstallerChoice,
    storage_classes: Sequence[str],
    nodes: Sequence[NodeState],
    services: Sequence[ServiceView],
    certificate: SecretView | None,
    now: datetime,
) -> ClusterFacts:
    """Return the facts about a suitable cluster, with warnings.

    `certificate` is the Secret that `chart.tls.secret` names, `now` is in UTC.

    Raises:
        ClusterNotSuitableError: All that has to be changed, in one text.
    """
    problems = [
        *_storage_problems(site, storage_classes),
        *_address_problems(site, services),
        *_node_problems(site, nodes),
        *find_certificate_problems(site, certificate, services, now),
    ]
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise ClusterNotSuitableError(f"The cluster of {site.name} is not ready:\n{listed}")
    return ClusterFacts(
        installer=installer,
        warnings=(
            *_node_warnings(site, nodes),
            *find_certificate_warnings(site, certificate, services, now),
        ),
    )


def _storage_problems(site: Site, classes: Sequence[str]) -> list[str]:
    wanted = site.chart.storage.class_name
    if wanted in classes:
        return []
    found = ", ".join(sorted(classes)) or "none"
    return [f"chart.storage.class_name is {wanted!r}; the cluster has {found}"]


def _address_problems(site: Site, services: Sequence[ServiceView]) -> list[str]:
    wanted = site.chart.service.cluster_ip
    if wanted is None:
        return []
    return [
        f"chart.service.cluster_ip {wanted} belongs to the Service "
        f"{service.meta.namespace}/{service.meta.name}; choose a free address"
        for service in services
        if service.cluster_ip == str(wanted)
        and not (
            service.meta.namespace == site.chart.namespace and belongs_to(site.chart, service.meta)
        )
    ]


def _node_problems(site: Site, nodes: Sequence[NodeState]) -> list[str]:
    found = ", ".join(sorted(node.name for node in nodes)) or "none"
    return [
        f"the node {node.name} of the fleet file is not in the cluster, which has {found}; "
        "give the node's Kubernetes name as `name`"
        for node in site.nodes
        if node.name != node.address and node.name not in {state.name for state in nodes}
    ]


def strangers_among(site: Site, nodes: Sequence[NodeState]) -> list[str]:
    """Return the names of the cluster's nodes that are not in the fleet file."""
    known = {name for node in site.nodes for name in (node.name, node.address)}
    return [node.name for node in nodes if not known & {node.name, *node.addresses}]


def _node_warnings(site: Site, nodes: Sequence[NodeState]) -> list[str]:
    return [
        f"The node {name} of {site.name} is not in the fleet file: pods on it cannot pull "
        "from the site's registry"
        for name in strangers_among(site, nodes)
    ] + [f"The node {node.name} of {site.name} is not Ready" for node in nodes if not node.ready]
