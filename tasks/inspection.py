"""Look at a site's nodes for `acrfleet inspect`: no Prefect run, no Azure, nothing is changed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from fleet.errors import FleetError
from fleet.inspection import NodeReport, inspect_node
from fleet.restarts import restart_order
from fleet.sites import Node, Site
from tasks.sessions import open_nodes

_NODES_AT_ONCE = 8


def inspect_site(site: Site) -> tuple[NodeReport, ...]:
    """Return a report of each node, servers first, those that do not answer too.

    Raises:
        BlockNotFoundError: The SSH block that the site names does not exist.
    """
    with open_nodes(site) as nodes:

        def look(node: Node) -> NodeReport:
            try:
                facts = nodes[node.name].read_facts()
            except FleetError as error:
                return NodeReport(
                    site=site.name, node=node.name, role=node.role, obstacles=(str(error),)
                )
            return inspect_node(site, node, facts, datetime.now(UTC))

        with ThreadPoolExecutor(_NODES_AT_ONCE) as pool:
            return tuple(pool.map(look, restart_order(site)))
