"""Sites below sites: who comes first, what ancestors have to pass, what a parent must keep."""

import pytest

from fleet.access_changes import ChangeScopeMap, CreateConnectedRegistry
from fleet.access_plan import ExistingAccess, owner_description, plan_passage, plan_sync_access
from fleet.azure_errors import ImmutableSettingError, TooManyRepositoriesError
from fleet.azure_objects import ConnectedRegistryState, ScopeMapState
from fleet.connected_registries import wanted_settings
from fleet.connection_string import choose_gateway
from fleet.errors import NotOursError, ParentNotReadyError, ParentRefusesRepositoryError
from fleet.nesting import (
    Descendant,
    Tree,
    branch_actions,
    gateways,
    require_parent,
    require_passage,
)
from fleet.outcomes import Action
from fleet.scope_maps import sync_actions
from fleet.sites import ConnectedRegistry, Mode, ParentSite, Repositories, Site
from tests.builders import a_site

WRITABLE = ConnectedRegistry(mode=Mode.READ_WRITE)
HUB = a_site("hub", connected_registry=WRITABLE)


def below(parent: Site, name: str, protocol: str = "http", **changes: object) -> Site:
    link = ParentSite(
        name=parent.name,
        connected_registry=parent.names.connected_registry,
        protocol=protocol,  # type: ignore[arg-type] # a test's own word
    )
    return a_site(name, parent=parent.name, fed_by=link, **changes)


OSLO = below(HUB, "oslo")
FERRY = below(OSLO, "ferry")
BERGEN = below(HUB, "bergen")
ALONE = a_site("alone")
TREE = Tree([FERRY, HUB, ALONE, OSLO, BERGEN])


def a_map(site: Site, actions: frozenset[str], description: str | None = None) -> ScopeMapState:
    text = owner_description(site, "sync") if description is None else description
    return ScopeMapState(site.names.sync_scope_map, actions, text)


def a_state(site: Site, **changes: object) -> ConnectedRegistryState:
    return ConnectedRegistryState(
        **{  # type: ignore[arg-type] # a test's own words
            "name": site.names.connected_registry,
            "mode": site.connected_registry.mode.value,
            "settings": wanted_settings(site),
            "sync_token_id": f"/x/tokens/{site.names.sync_token}",
            **changes,
        }
    )


def test_the_tree_knows_what_is_above_and_below() -> None:
    assert TREE.above(FERRY) == (OSLO, HUB)
    assert TREE.above(HUB) == ()
    assert TREE.below(HUB) == (FERRY, OSLO, BERGEN)
    assert TREE.below(ALONE) == ()


def test_parents_come_first_and_children_go_first_also_past_sites_that_are_left_out() -> None:
    chosen = [FERRY, HUB, ALONE]
    assert TREE.parents_first(chosen) == {
        "ferry": frozenset({"hub"}),
        "hub": frozenset(),
        "alone": frozenset(),
    }
    assert TREE.children_first(chosen)["hub"] == {"ferry"}


def test_an_ancestor_allows_its_own_actions_and_those_of_each_mode_below_it() -> None:
    members = [Descendant(OSLO, ("a", "b")), Descendant(FERRY, ("c",))]
    actions = branch_actions(HUB, ("a",), members)
    assert gateways(actions) == {s.names.connected_registry for s in (HUB, OSLO, FERRY)}
    assert "repositories/a/content/write" in actions
    assert "repositories/c/content/read" in actions
    assert "repositories/c/content/write" not in actions


def test_a_site_alone_needs_what_it_always_needed() -> None:
    wanted = sync_actions(Mode.READ_ONLY, ("a",), ALONE.names.connected_registry)
    assert branch_actions(ALONE, ("a",)) == wanted


def test_too_many_repositories_below_a_site_are_refused() -> None:
    members = [
        Descendant(OSLO, tuple(f"a{n}" for n in range(150))),
        Descendant(BERGEN, tuple(f"b{n}" for n in range(150))),
    ]
    with pytest.raises(TooManyRepositoriesError, match="sync scope map of hub with 2 sites below"):
        branch_actions(HUB, ("a",), members)


def test_a_parents_plan_adds_what_is_below_it_and_drops_what_nobody_needs() -> None:
    members = (Descendant(OSLO, ("b",)),)
    before = branch_actions(HUB, ("a",), [Descendant(OSLO, ("old",))])
    steps = plan_sync_access(HUB, ("a",), ExistingAccess(scope_map=a_map(HUB, before)), members)
    assert steps[0].change == ChangeScopeMap(
        HUB.names.sync_scope_map, branch_actions(HUB, ("a",), members)
    )


def test_a_parent_keeps_all_actions_while_a_stranger_is_below_it() -> None:
    stranger = sync_actions(Mode.READ_ONLY, ("theirs",), "somebody")
    before = branch_actions(HUB, ("a", "old")) | stranger
    existing = ExistingAccess(scope_map=a_map(HUB, before))
    step = plan_sync_access(HUB, ("a",), existing)[0]
    assert step.change is None
    assert step.outcome.action is Action.UNCHANGED
    assert "somebody is below it and not in the fleet file" in step.outcome.detail


def test_a_parent_keeps_all_actions_while_a_childs_repositories_are_unknown() -> None:
    before = branch_actions(HUB, ("a",), [Descendant(OSLO, ("theirs",))])
    existing = ExistingAccess(scope_map=a_map(HUB, before))
    step = plan_sync_access(HUB, ("a", "new"), existing, (Descendant(OSLO, None),))[0]
    assert isinstance(step.change, ChangeScopeMap)
    assert step.change.actions is not None
    assert before < step.change.actions
    assert "the repositories of oslo could not be selected" in step.outcome.detail


def test_a_child_is_created_below_its_parent() -> None:
    change = plan_sync_access(OSLO, ("a",), ExistingAccess())[2].change
    assert isinstance(change, CreateConnectedRegistry)
    assert change.parent == HUB.names.connected_registry


@pytest.mark.parametrize(
    ("site", "parent_id", "says"),
    [
        (OSLO, None, "parent is the registry in the cloud, wanted connected registry hub"),
        (ALONE, "/x/connectedRegistries/hub1", "wanted the registry in the cloud"),
        (OSLO, "/x/connectedRegistries/other", "parent is connected registry other"),
    ],
)
def test_another_parent_cannot_be_had(site: Site, parent_id: str | None, says: str) -> None:
    actions = branch_actions(site, ("a",))
    existing = ExistingAccess(
        scope_map=a_map(site, actions), connected_registry=a_state(site, parent_id=parent_id)
    )
    with pytest.raises(ImmutableSettingError, match=says):
        plan_sync_access(site, ("a",), existing)


def test_the_same_parent_in_another_spelling_is_no_difference() -> None:
    parent = f"/X/CONNECTEDREGISTRIES/{HUB.names.connected_registry.upper()}"
    existing = ExistingAccess(
        scope_map=a_map(OSLO, branch_actions(OSLO, ("a",))),
        connected_registry=a_state(OSLO, parent_id=parent),
    )
    assert plan_sync_access(OSLO, ("a",), existing)[2].change is None


def test_the_way_through_an_ancestor_is_added_and_nothing_is_taken_away() -> None:
    before = branch_actions(HUB, ("old",))
    needed = branch_actions(OSLO, ("a",))
    step = plan_passage(OSLO, HUB, needed, a_map(HUB, before))
    assert step.change == ChangeScopeMap(HUB.names.sync_scope_map, before | needed)
    assert plan_passage(OSLO, HUB, needed, a_map(HUB, before | needed)).change is None


def test_an_ancestor_made_by_hand_is_fine_as_it_is_and_never_changed() -> None:
    needed = branch_actions(OSLO, ("a",))
    assert plan_passage(OSLO, HUB, needed, a_map(HUB, needed, "by hand")).change is None
    with pytest.raises(NotOursError, match=r"oslo, below it, needs more: adds gateway/"):
        plan_passage(OSLO, HUB, needed, a_map(HUB, frozenset(), "by hand"))


def test_an_ancestor_without_scope_map_is_waited_for() -> None:
    with pytest.raises(ParentNotReadyError, match="oslo waits for its parent hub"):
        plan_passage(OSLO, HUB, frozenset(), None)


def test_an_ancestor_may_not_exclude_what_passes_through_it() -> None:
    strict = a_site("hub", repositories=Repositories(include=("a",), exclude=("*-debug",)))
    require_passage(FERRY, ("a", "b"), (OSLO, strict))
    with pytest.raises(ParentRefusesRepositoryError, match="ferry mirrors b-debug, which hub"):
        require_passage(FERRY, ("a", "b-debug"), (OSLO, strict))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "does not exist in Azure yet"),
        (a_state(HUB, connection_state="Offline"), "is Offline"),
        (a_state(HUB, connection_state="Unhealthy"), "is Unhealthy"),
    ],
)
def test_a_parent_that_is_not_online_is_waited_for(
    state: ConnectedRegistryState | None, says: str
) -> None:
    with pytest.raises(ParentNotReadyError, match=says):
        require_parent(OSLO, state)
    require_parent(ALONE, state)
    require_parent(OSLO, a_state(HUB, connection_state="Online"))


def test_a_site_below_another_one_is_told_where_its_parent_is_and_what_it_speaks() -> None:
    assert choose_gateway(ALONE, "x.data.azurecr.io") == ("x.data.azurecr.io", "https")
    assert choose_gateway(OSLO, "10.43.0.8") == ("10.43.0.8", "http")
    secure = below(HUB, "oslo", "https", parent_endpoint="hub.example:8443")
    assert choose_gateway(secure, "10.43.0.8") == ("hub.example:8443", "https")
