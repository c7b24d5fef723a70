"""What a plan says about Azure: every action that comes or goes, and what is not there yet."""

from dataclasses import replace

from fleet.access_plan import ExistingAccess, owner_description
from fleet.azure_objects import ConnectedRegistryState, RegistryFacts, ScopeMapState, TokenState
from fleet.connected_registries import wanted_settings
from fleet.nesting import Descendant
from fleet.outcomes import Action
from fleet.plan_access import CloudView, connected_registry_to_be, draft_access
from fleet.plan_draft import Draft
from fleet.scope_maps import client_actions, sync_actions
from fleet.site_plan import Part
from fleet.sites import ParentSite, Site
from tests.builders import a_site

SITE = a_site()
MIRRORED = tuple(f"vessel/app-{number}" for number in range(9))
FACTS = RegistryFacts(
    name="acrnorthsea",
    login_server="acrnorthsea.azurecr.io",
    sku="Premium",
    location="northeurope",
    data_endpoint=True,
    abac=False,
)
NOTHING = CloudView(
    registry=FACTS,
    repositories=MIRRORED,
    below=(),
    above=(),
    parent=None,
    sync=ExistingAccess(),
    client=ExistingAccess(),
)


def onboarded(repositories: tuple[str, ...] = MIRRORED) -> CloudView:
    """What Azure has of a site that mirrors these repositories."""
    names, mode = SITE.names, SITE.connected_registry.mode
    registry = replace(connected_registry_to_be(SITE), client_token_ids=(names.client_token,))
    sync = sync_actions(mode, repositories, names.connected_registry)
    maps = {
        "sync": ScopeMapState(names.sync_scope_map, sync, owner_description(SITE, "sync")),
        "client": ScopeMapState(
            names.client_scope_map, client_actions(repositories), owner_description(SITE, "client")
        ),
    }
    return replace(
        NOTHING,
        sync=ExistingAccess(
            scope_map=maps["sync"],
            token=TokenState(names.sync_token, names.sync_scope_map),
            connected_registry=registry,
        ),
        client=ExistingAccess(
            scope_map=maps["client"],
            token=TokenState(names.client_token, names.client_scope_map),
            connected_registry=registry,
        ),
    )


def draft(view: CloudView, site: Site = SITE) -> Draft:
    made = Draft("oslo")
    draft_access(site, view, made)
    return made


def test_what_is_as_it_should_be_is_not_in_the_plan() -> None:
    made = draft(onboarded())
    assert (made.changes, made.obstacles, made.notes) == ([], [], [])


def test_a_client_token_is_planned_before_the_connected_registry_that_accepts_it_exists() -> None:
    made = draft(NOTHING)
    assert made.obstacles == []
    assert [one.action for one in made.changes] == [Action.CREATED] * 5 + [Action.CHANGED]
    assert made.changes[-1].kind == "client token"


def test_every_action_is_listed_although_the_words_name_only_the_first_few() -> None:
    made = draft(onboarded(MIRRORED[:1]))
    sync, client = made.changes
    assert "more" in sync.detail
    assert len(client.diff) == len(client_actions(MIRRORED[1:]))
    assert all(line.startswith("+") for one in (sync, client) for line in one.diff)
    assert not sync.takes_away


def test_a_repository_that_goes_is_something_taken_away() -> None:
    made = draft(onboarded((*MIRRORED, "vessel/old")))
    assert [one.takes_away for one in made.changes] == [True, True]
    assert all("vessel/old" in line for one in made.changes for line in one.diff)


def test_settings_of_the_connected_registry_are_a_part_of_their_own() -> None:
    view = onboarded()
    registry = view.sync.connected_registry
    assert registry is not None
    other = replace(registry, settings=replace(wanted_settings(SITE), log_level="Debug"))
    made = draft(replace(view, sync=replace(view.sync, connected_registry=other)))
    (change,) = made.changes
    assert change.part is Part.SYNC
    assert "Debug" in change.detail


def test_a_disabled_token_is_in_the_way_and_the_rest_is_planned_all_the_same() -> None:
    view = onboarded(MIRRORED[:1])
    token = TokenState(SITE.names.client_token, SITE.names.client_scope_map, status="disabled")
    made = draft(replace(view, client=replace(view.client, token=token)))
    assert len(made.obstacles) == 1
    assert SITE.names.client_token in made.obstacles[0]
    assert [one.name for one in made.changes] == [SITE.names.sync_scope_map]


def test_a_data_endpoint_that_is_off_is_turned_on_by_the_plan() -> None:
    made = draft(replace(onboarded(), registry=replace(FACTS, data_endpoint=False)))
    (change,) = made.changes
    assert (change.part, change.kind, change.name) == (Part.ACCESS, "registry", "acrnorthsea")


def test_without_repositories_nothing_is_said_about_scope_maps() -> None:
    assert draft(replace(onboarded(), repositories=None)).changes == []


def below(parent: ConnectedRegistryState | None, scope_map: ScopeMapState | None) -> Draft:
    """Plan a site below another one."""
    above = a_site("rotterdam")
    fed_by = ParentSite(
        name="rotterdam",
        connected_registry=above.names.connected_registry,
        protocol="http",
    )
    site = SITE.model_copy(update={"parent": "rotterdam", "fed_by": fed_by})
    view = replace(NOTHING, above=((above, scope_map),), parent=parent)
    return draft(view, site)


def test_a_parent_that_is_not_there_yet_is_waited_for_and_nothing_else_is_hidden() -> None:
    made = below(None, None)
    assert made.obstacles == []
    assert all("rotterdam" in note for note in made.notes)
    assert made.notes
    assert len(made.changes) == 6


def test_what_a_parent_has_to_let_pass_comes_first() -> None:
    above = a_site("rotterdam")
    actions = sync_actions(above.connected_registry.mode, (), above.names.connected_registry)
    scope_map = ScopeMapState(above.names.sync_scope_map, actions, owner_description(above, "sync"))
    online = replace(connected_registry_to_be(above), connection_state="Online")
    made = below(online, scope_map)
    assert made.notes == []
    first = made.changes[0]
    assert first.name == above.names.sync_scope_map
    assert any("vessel/app-3" in line for line in first.diff)


def test_what_a_site_passes_to_those_below_it_is_in_its_own_map() -> None:
    child = Descendant(a_site("ferry"), ("office/intranet",))
    made = draft(replace(onboarded(), below=(child,)))
    (change,) = made.changes
    assert change.name == SITE.names.sync_scope_map
    assert any("office/intranet" in line for line in change.diff)
