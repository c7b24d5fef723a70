"""Runs that open the way through the same ancestor at the same time lose nothing of each other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleet.nesting import branch_actions
from fleet.sites import ParentSite, Site
from tasks.access import grant_sync_access
from tasks.nesting import open_passage
from tests.azure_lab_fixture import AzureThread, azure_thread
from tests.builders import a_site

pytestmark = [pytest.mark.lab, pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]

HUB = a_site("harbour")
LINK = ParentSite(name="harbour", connected_registry=HUB.names.connected_registry, protocol="http")
CHILDREN = tuple(a_site(name, parent="harbour", fed_by=LINK) for name in ("oslo", "ferry", "boat"))


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureThread]:
    with azure_thread(tmp_path_factory.mktemp("azure"), minute=0.3) as azure:
        azure.add_registry()
        yield azure


def test_siblings_in_runs_of_their_own_take_turns_at_their_parent(azure: AzureThread) -> None:
    first = azure.session(azure.address())
    grant_sync_access(first.access, HUB, ("shore/portal",))
    azure.faults.add(part="azure", kind="latency", match="* *scopeMaps*", seconds=0.5)

    def open_way(site: Site) -> None:
        cloud = azure.session(azure.address())  # as another process has: no lock in common
        open_passage.fn(cloud, site, (f"vessel/{site.name}",), (HUB,), ())

    with ThreadPoolExecutor(len(CHILDREN)) as pool:
        list(pool.map(open_way, CHILDREN))
    found = first.access.read_scope_map(HUB.names.sync_scope_map)
    assert found is not None
    wanted = branch_actions(HUB, ("shore/portal",))
    for site in CHILDREN:
        wanted |= branch_actions(site, (f"vessel/{site.name}",))
    assert found.actions == wanted
