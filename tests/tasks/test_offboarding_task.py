"""Nested sites in the lab's Azure: the way through ancestors, and taking it all away again."""

from collections.abc import Iterator

import pytest

from fleet.azure_objects import RegistryFacts
from fleet.errors import FleetError, RemovalNotApprovedError, SitesBelowError
from fleet.nesting import Tree, branch_actions, gateways
from fleet.outcomes import Action, Outcome
from fleet.removals import EVERYTHING
from fleet.sites import ParentSite, Repositories, Site
from tasks.access import grant_client_access, grant_sync_access
from tasks.nesting import extend_scope_map
from tasks.offboarding import clear_access, narrow_ancestor
from tasks.sessions import RegistrySession
from tasks.upstreams import Upstream
from tests.azure_lab_fixture import REPOSITORIES, AzureThread, azure_thread
from tests.builders import a_site

pytestmark = pytest.mark.lab

HUB = a_site("harbour", repositories=Repositories(include=("shore/portal",)))
LINK = ParentSite(name="harbour", connected_registry=HUB.names.connected_registry, protocol="http")
OSLO = a_site(
    "oslo", parent="harbour", fed_by=LINK, repositories=Repositories(include=("vessel/web",))
)
FERRY = a_site(
    "ferry", parent="harbour", fed_by=LINK, repositories=Repositories(include=("vessel/*",))
)
SITES = (HUB, OSLO, FERRY)
ALL = frozenset({EVERYTHING})
NAMES = OSLO.names
REMOVAL = [
    f"PATCH connectedRegistries/{NAMES.connected_registry}",
    f"DELETE tokens/{NAMES.client_token}",
    f"DELETE scopeMaps/{NAMES.client_scope_map}",
    f"DELETE connectedRegistries/{NAMES.connected_registry}",
    f"DELETE tokens/{NAMES.sync_token}",
    f"DELETE scopeMaps/{NAMES.sync_scope_map}",
    f"PATCH scopeMaps/{HUB.names.sync_scope_map}",
]


@pytest.fixture(scope="module", params=["recorded", pytest.param("spec", marks=pytest.mark.slow)])
def cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AzureThread]:
    folder = tmp_path_factory.mktemp("azure")
    with azure_thread(folder, profile=request.param, minute=0.3) as azure:
        yield azure


@pytest.fixture
def azure(cloud: AzureThread) -> Iterator[AzureThread]:
    cloud.add_registry()
    yield cloud
    cloud.forget()


@pytest.fixture
def upstream(azure: AzureThread) -> Upstream:
    return an_upstream(azure)


def an_upstream(azure: AzureThread) -> Upstream:
    session: RegistrySession = azure.session(azure.address())
    facts = RegistryFacts("acrnorthsea", "acrnorthsea.example", "Premium", "x", True, False)
    return Upstream(session, facts, tuple(REPOSITORIES), Tree(SITES))


def grant(upstream: Upstream, *sites: Site) -> list[Outcome]:
    """Give sites their access as the flow does, without its locks."""
    access, done = upstream.cloud.access, list[Outcome]()
    for site in sites:
        names, below = upstream.repositories_of(site), upstream.below(site)
        for ancestor in upstream.tree.above(site):
            done += extend_scope_map(access, site, ancestor, branch_actions(site, names, below))
        done += grant_sync_access(access, site, names, below)
        done += grant_client_access(access, site, names)
    return done


def remove(upstream: Upstream, site: Site, approved: frozenset[str] = ALL) -> list[Outcome]:
    done: list[Outcome] = []
    clear_access(upstream.cloud.access, site, approved, done.extend)
    for ancestor in upstream.tree.above(site):
        narrow_ancestor(upstream, site, ancestor, approved, done.extend)
    return done


def hub_actions(upstream: Upstream) -> frozenset[str]:
    found = upstream.cloud.access.read_scope_map(HUB.names.sync_scope_map)
    assert found is not None
    return found.actions


def test_parents_and_children_are_granted_once(azure: AzureThread, upstream: Upstream) -> None:
    grant(upstream, *SITES)
    made = azure.writes()
    state = upstream.cloud.access.read_connected_registry(NAMES.connected_registry)
    assert state is not None
    assert (state.parent_id or "").endswith(f"/connectedRegistries/{HUB.names.connected_registry}")
    assert {outcome.action for outcome in grant(upstream, *SITES)} == {Action.UNCHANGED}
    assert azure.writes() == made


def test_a_site_takes_its_objects_and_its_part_of_the_parent_away(
    azure: AzureThread, upstream: Upstream
) -> None:
    grant(upstream, *SITES)
    before = len(azure.writes())
    remove(upstream, FERRY)
    assert azure.writes()[before:] == _ferry()
    assert gateways(hub_actions(upstream)) == {
        HUB.names.connected_registry,
        NAMES.connected_registry,
    }
    assert "repositories/vessel/web/content/read" in hub_actions(upstream)
    assert not any("vessel/engine" in action for action in hub_actions(upstream))
    before = len(azure.writes())
    assert remove(upstream, FERRY) == []
    assert azure.writes()[before:] == []


@pytest.mark.parametrize("done", range(len(REMOVAL)))
def test_a_removal_that_died_at_any_write_is_finished_by_the_next_one(
    azure: AzureThread, upstream: Upstream, done: int
) -> None:
    grant(upstream, HUB, OSLO)
    before = len(azure.writes())
    verb, _, path = REMOVAL[done].partition(" ")
    fault = azure.faults.add(
        part="azure", kind="status", match=f"{verb} *{path}", status=400, times=1
    )
    with pytest.raises(FleetError, match="Azure refused"):
        remove(upstream, OSLO)
    assert fault.times == 0
    assert azure.writes()[before:] == REMOVAL[:done]
    remove(an_upstream(azure), OSLO)
    assert azure.writes()[before:] == REMOVAL
    assert hub_actions(upstream) == branch_actions(HUB, ("shore/portal",))


def test_a_parent_is_refused_before_anything_of_it_goes(
    azure: AzureThread, upstream: Upstream
) -> None:
    grant(upstream, HUB, OSLO)
    before = azure.writes()
    with pytest.raises(SitesBelowError, match=NAMES.connected_registry):
        remove(upstream, HUB)
    assert azure.writes() == before
    remove(upstream, OSLO)
    remove(upstream, HUB)
    registry = azure.state()
    assert list(registry.connected.values()) == []
    assert list(registry.tokens.values()) == []
    assert [one.name for one in registry.scope_maps.values() if not one.system] == []


def test_an_active_registry_is_deactivated_first(azure: AzureThread, upstream: Upstream) -> None:
    grant(upstream, HUB)
    azure.state().connected[HUB.names.connected_registry].edge.instance = "pod"
    before = len(azure.writes())
    remove(upstream, HUB)
    connected = [line for line in azure.writes()[before:] if "connectedRegistries" in line]
    assert connected == [
        f"PATCH connectedRegistries/{HUB.names.connected_registry}",
        f"POST connectedRegistries/{HUB.names.connected_registry}/deactivate",
        f"DELETE connectedRegistries/{HUB.names.connected_registry}",
    ]


def test_what_somebody_else_made_stays(azure: AzureThread, upstream: Upstream) -> None:
    grant(upstream, HUB)
    registry = azure.state()
    registry.scope_maps[HUB.names.client_scope_map].description = "by hand"
    registry.scope_maps[HUB.names.sync_scope_map].description = "by hand"
    before = azure.writes()
    outcomes = remove(upstream, HUB)
    assert azure.writes() == before
    assert {one.action for one in outcomes} == {Action.UNCHANGED}
    assert all("not made by acrfleet" in one.detail for one in outcomes)
    assert len(outcomes) == 5


def test_what_was_not_approved_stays(azure: AzureThread, upstream: Upstream) -> None:
    grant(upstream, HUB)
    before = azure.writes()
    with pytest.raises(RemovalNotApprovedError, match=f"token {HUB.names.sync_token}"):
        remove(upstream, HUB, frozenset({f"scope map {HUB.names.client_scope_map}"}))
    assert azure.writes() == before


def _ferry() -> list[str]:
    ours, theirs = NAMES.model_dump(), FERRY.names.model_dump()
    renamed = {name: theirs[field] for field, name in ours.items()}
    parts = [line.partition("/") for line in REMOVAL]
    return [f"{verb}/{renamed.get(name, name)}" for verb, _, name in parts]
