"""A site of a server and two agents: the order of restarts, and every node pulls."""

from collections.abc import Iterator

import pytest

from fleet.results import FleetReport, Status
from tests.acceptance.host import Host
from tests.acceptance.site import Site
from tests.acceptance.world import World

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def hosts(world: World) -> Iterator[list[Host]]:
    server = world.host("bergen-server")
    agents = [world.host(f"bergen-{n}", role="agent", server=server) for n in ("first", "second")]
    yield [server, *agents]
    for host in (*agents, server):
        world.discard(host)


@pytest.fixture(scope="module")
def site(world: World, hosts: list[Host]) -> Site:
    # Agents stand first in the fleet file: the order has to come from their roles.
    return world.site("bergen", hosts[::-1], host={"restart": "always"})


@pytest.fixture(scope="module")
def onboarded(site: Site) -> FleetReport:
    return site.onboard()


def test_a_server_and_two_agents_are_onboarded(onboarded: FleetReport) -> None:
    assert [(r.status, r.error) for r in onboarded.results] == [(Status.DONE, None)], onboarded


@pytest.mark.usefixtures("onboarded")
def test_the_server_is_restarted_first_and_then_the_agents_one_by_one(hosts: list[Host]) -> None:
    server, *agents = [host.service() for host in hosts]
    entered = sorted(agent.entered for agent in agents)
    assert server.entered < entered[0] < entered[1]
    assert [service.restarts for service in (server, *agents)] == [0, 0, 0]


@pytest.mark.usefixtures("onboarded")
def test_every_node_pulls_from_the_sites_registry(site: Site, hosts: list[Host]) -> None:
    for host in hosts:
        host.forget_images()
        for name in (site.login_server, site.registry_host()):
            pulled = host.pull(f"{name}/vessel/telemetry:2.0.1", site.pull_login())
            assert pulled.returncode == 0, f"{host.name}: {pulled.stderr}"
