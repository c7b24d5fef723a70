"""A controller as a process of its own, to be killed: the step `configure_nodes` on a site.

python -m tests.acceptance.controller FLEET_FILE ADDRESS PORT LOGIN_SERVER

It says what came of it in one line and ends with 0, or with 1 after an error.
"""

import logging
import sys

from fleet.errors import FleetError
from fleet.outcomes import SiteEndpoint
from tasks.fleet_files import read_fleet
from tasks.hosts import configure_nodes, prepare_nodes
from tasks.sessions import open_registry_session, open_site


def main(fleet_file: str, address: str, port: str, login_server: str) -> int:
    """Settle and configure the first site's nodes, as a run does."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    fleet = read_fleet(fleet_file)
    cloud = open_registry_session(fleet.registries["cloud"])
    endpoint = SiteEndpoint(address=address, port=int(port), scheme="http")
    try:
        with open_site(fleet.sites[0], cloud) as session:
            facts = prepare_nodes.fn(session, login_server)
            outcomes = configure_nodes.fn(session, endpoint, login_server, facts)
    except FleetError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return 1
    finally:
        cloud.close()
    sys.stdout.write(f"{[outcome.action.value for outcome in outcomes]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
