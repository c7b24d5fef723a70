"""Look at a site's nodes for `acrfleet inspect`: no Prefect run, no Azure, nothing is changed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from clients.edge_node import EdgeNode
from fleet.errors import FleetError
from fleet.inspection import NodeReport, inspect_node
from fleet.restarts import restart_order
from fleet.sites import Node, Site
from tasks.sessions import open_nodes

_SITES_AT_ONCE, _NODES_AT_ONCE = 16, 8


def inspect_sites(sites: Sequence[Site]) -> tuple[tuple[NodeReport, ...], ...]:
    """Return each site's reports, in the order of the sites, several of which are asked at once."""
    with ThreadPoolExecutor(_SITES_AT_ONCE) as pool:
        return tuple(pool.map(inspect_site, sites))


def inspect_site(site: Site) -> tuple[NodeReport, ...]:
    """Return a report of each node, servers first; those that could not be looked at say why."""
    order = restart_order(site)
    try:
        with open_nodes(site) as nodes, ThreadPoolExecutor(_NODES_AT_ONCE) as pool:
            return tuple(pool.map(lambda node: _inspect(site, node, nodes[node.name]), order))
    except FleetError as error:
        return tuple(_not_seen(site, node, error) for node in order)


def _inspect(site: Site, node: Node, host: EdgeNode) -> NodeReport:
    try:
        facts = host.read_facts()
    except FleetError as error:
        return _not_seen(site, node, error)
    return inspect_node(site, node, facts, datetime.now(UTC))


def _not_seen(site: Site, node: Node, error: FleetError) -> NodeReport:
    return NodeReport(site=site.name, node=node.name, role=node.role, obstacles=(str(error),))
