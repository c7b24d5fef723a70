"""A site of one real server, onboarded by the product's own flow against real parts."""

import pytest

from fleet.results import FleetReport, Status
from tests.acceptance.host import Host
from tests.acceptance.site import Site
from tests.acceptance.world import World

pytestmark = pytest.mark.flow

IMAGE = "vessel/navigation:1.5.0"


@pytest.fixture(scope="module")
def host(world: World) -> Host:
    return world.host("oslo")


@pytest.fixture(scope="module")
def site(world: World, host: Host) -> Site:
    return world.site("oslo", [host])


@pytest.fixture(scope="module")
def first(site: Site) -> FleetReport:
    return site.onboard()


def test_the_first_onboarding_ends_onboarded(first: FleetReport) -> None:
    assert [(r.status, r.error) for r in first.results] == [(Status.DONE, None)], first.results


@pytest.mark.usefixtures("first")
def test_containerd_pulls_through_the_mirror_under_the_clouds_name(site: Site, host: Host) -> None:
    host.forget_images()
    before = len(site.registry_log())
    pulled = host.pull(f"{site.login_server}/{IMAGE}", site.pull_login())
    assert pulled.returncode == 0, pulled.stderr
    asked = site.registry_log()[before:]
    assert any(line.startswith("HEAD /v2/vessel/navigation/manifests/1.5.0 200") for line in asked)
    assert any(line.startswith("GET /v2/vessel/navigation/blobs/") for line in asked)


@pytest.mark.usefixtures("first")
def test_containerd_pulls_under_the_sites_own_address(site: Site, host: Host) -> None:
    host.forget_images()
    name = f"{site.registry_host()}/{IMAGE}"
    pulled = host.pull(name, site.pull_login())
    assert pulled.returncode == 0, pulled.stderr
    assert name in host.images()


@pytest.mark.usefixtures("first")
def test_a_second_run_writes_nothing_and_restarts_nothing(site: Site) -> None:
    before = site.traces()
    second = site.onboard()
    assert [(r.status, r.changes) for r in second.results] == [(Status.DONE, 0)], second.results
    assert site.traces() == before


@pytest.mark.usefixtures("first")
def test_a_site_verifies(site: Site) -> None:
    assert [r.status for r in site.verify().results] == [Status.DONE]
