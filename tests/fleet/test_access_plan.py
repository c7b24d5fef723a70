"""The plans of `fleet.access_plan`, one per file in tests/cases/access_plans.

In a case `existing` starts from what acrfleet itself would have made: `{}` is exactly that, keys
change it, and an object that is not named does not exist.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.access_changes import (
    AcceptClientToken,
    ChangeConnectedRegistry,
    ChangeScopeMap,
    CreateConnectedRegistry,
    Step,
)
from fleet.access_plan import (
    ExistingAccess,
    owner_description,
    plan_client_access,
    plan_sync_access,
)
from fleet.azure_objects import ConnectedRegistryState, PasswordSlot, ScopeMapState, TokenState
from fleet.connected_registries import wanted_settings
from fleet.errors import FleetError
from fleet.outcomes import Action
from fleet.scope_maps import client_actions, sync_actions
from fleet.sites import ConnectedRegistry, Mode, Site, SiteNames
from tests.builders import a_site

CASES = sorted((Path(__file__).parent.parent / "cases" / "access_plans").glob("*.yaml"))
NAMES = SiteNames(
    connected_registry="oslo1",
    sync_scope_map="oslo1-sync-map",
    sync_token="oslo1-sync",
    client_scope_map="oslo1-client-map",
    client_token="oslo1-client",
)
PREFIX = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-fleet/providers"
    "/Microsoft.ContainerRegistry/registries/acrnorthsea"
)


def the_site(settings: dict[str, Any]) -> Site:
    return a_site(
        "oslo", names=NAMES, connected_registry=ConnectedRegistry.model_validate(settings)
    )


def a_scope_map(
    site: Site, role: str, repositories: tuple[str, ...], changes: dict[str, Any]
) -> ScopeMapState:
    sync = role == "sync"
    actions = (
        sync_actions(site.connected_registry.mode, repositories, "oslo1")
        if sync
        else client_actions(repositories)
    )
    made = ScopeMapState(
        name=NAMES.sync_scope_map if sync else NAMES.client_scope_map,
        actions=actions,
        description=owner_description(site, role),
    )
    if "repositories" in changes:
        changes = {**changes}
        others = tuple(changes.pop("repositories"))
        made = replace(a_scope_map(site, role, others, {}), description=made.description)
    if changes.pop("upper", False):
        made = replace(made, actions=frozenset(action.upper() for action in made.actions))
    return replace(made, **changes)


def a_token(role: str, changes: dict[str, Any]) -> TokenState:
    sync = role == "sync"
    scope_map = changes.pop("scope_map", NAMES.sync_scope_map if sync else NAMES.client_scope_map)
    slots = {name: PasswordSlot(None, None) for name in changes.pop("slots", [])}
    return TokenState(
        name=NAMES.sync_token if sync else NAMES.client_token,
        scope_map_id=f"{PREFIX}/scopeMaps/{scope_map}",
        slots=slots,
        **changes,
    )


def a_connected_registry(site: Site, changes: dict[str, Any]) -> ConnectedRegistryState:
    settings = changes.pop("settings", {})
    for name in ("window", "message_ttl"):
        if settings.get(name) is not None:
            settings[name] = timedelta(hours=settings[name])
    for name in ("notifications",):
        if name in settings:
            settings[name] = tuple(settings[name])
    if "client_token_ids" in changes:
        changes["client_token_ids"] = tuple(changes["client_token_ids"])
    token = changes.pop("sync_token", NAMES.sync_token)
    return ConnectedRegistryState(
        **{
            "name": "oslo1",
            "mode": site.connected_registry.mode.value,
            "settings": replace(wanted_settings(site), **settings),
            "sync_token_id": f"{PREFIX}/tokens/{token}" if token else None,
            **changes,
        }
    )


def existing_access(
    site: Site, role: str, repositories: tuple[str, ...], existing: dict[str, Any]
) -> ExistingAccess:
    found: dict[str, Any] = {}
    if "scope_map" in existing:
        found["scope_map"] = a_scope_map(site, role, repositories, dict(existing["scope_map"]))
    if "token" in existing:
        found["token"] = a_token(role, dict(existing["token"]))
    if "token_scope_map" in existing:
        found["token_scope_map"] = a_scope_map(
            site, role, repositories, dict(existing["token_scope_map"])
        )
    if "connected_registry" in existing:
        found["connected_registry"] = a_connected_registry(
            site, dict(existing["connected_registry"])
        )
    return ExistingAccess(**found)


def plan(case: dict[str, Any]) -> tuple[Step, ...]:
    site = the_site(case.get("settings", {}))
    repositories = tuple(case.get("repositories", ["vessel/web"]))
    role = case["role"]
    existing = existing_access(site, role, repositories, case.get("existing", {}))
    make = plan_sync_access if role == "sync" else plan_client_access
    return make(site, repositories, existing)


def shown(step: Step) -> str:
    change = type(step.change).__name__ if step.change else "nothing"
    return f"{step.outcome.kind} {step.outcome.action}: {change}"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_plan_is_what_the_case_says(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    if "error" in case:
        with pytest.raises(FleetError) as caught:
            plan(case)
        assert type(caught.value).__name__ == case["error"]
        for part in case["says"]:
            assert part in str(caught.value)
        return
    steps = plan(case)
    assert [shown(step) for step in steps] == case["steps"]
    details = "\n".join(step.outcome.detail for step in steps)
    for part in case.get("details", []):
        assert part in details


def test_there_are_cases() -> None:
    assert len(CASES) >= 20


def test_what_a_plan_makes_is_what_the_next_plan_finds_unchanged() -> None:
    site = the_site({"mode": "ReadWrite", "sync": {"schedule": "0 2 * * *", "window": "3h"}})
    repositories = ("vessel/engine", "vessel/web")
    everything = {"scope_map": {}, "token": {}, "connected_registry": {}}
    existing = existing_access(site, "sync", repositories, everything)
    steps = plan_sync_access(site, repositories, existing)
    assert {step.outcome.action for step in steps} == {Action.UNCHANGED}
    assert [step.change for step in steps] == [None, None, None]


def test_a_repository_that_is_no_longer_selected_leaves_a_scope_map_of_ours() -> None:
    site = the_site({})
    existing = existing_access(
        site,
        "client",
        ("vessel/web",),
        {
            "scope_map": {"repositories": ["vessel/web", "vessel/old"]},
            "token": {},
            "connected_registry": {},
        },
    )
    change = plan_client_access(site, ("vessel/web",), existing)[0].change
    assert isinstance(change, ChangeScopeMap)
    assert change.actions == client_actions(["vessel/web"])
    assert change.description is None


def test_taking_over_writes_the_description_and_leaves_the_actions_alone() -> None:
    site = the_site({})
    existing = existing_access(site, "sync", ("a",), {"scope_map": {"description": "by hand"}})
    change = plan_sync_access(site, ("a",), existing)[0].change
    assert change == ChangeScopeMap(
        "oslo1-sync-map",
        actions=None,
        description="Managed by acrfleet: fleet northsea, site oslo, sync",
    )


def test_only_the_groups_of_settings_that_differ_are_sent() -> None:
    site = the_site({"log_level": "Debug"})
    existing = existing_access(
        site,
        "sync",
        ("a",),
        {
            "scope_map": {},
            "token": {},
            "connected_registry": {
                "settings": {"log_level": "None", "notifications": ["hello:*:push"]}
            },
        },
    )
    change = plan_sync_access(site, ("a",), existing)[2].change
    assert isinstance(change, ChangeConnectedRegistry)
    assert change.groups == {"logging", "notifications"}
    assert change.settings.notifications == ()


def test_client_tokens_of_others_stay_accepted() -> None:
    site = the_site({})
    other = f"{PREFIX}/tokens/somebody-else"
    existing = existing_access(
        site, "client", ("a",), {"connected_registry": {"client_token_ids": [other]}}
    )
    assert plan_client_access(site, ("a",), existing)[2].change == AcceptClientToken(
        "oslo1", "oslo1-client", (other,)
    )


def test_a_connected_registry_that_azure_failed_to_make_keeps_its_client_tokens() -> None:
    site = the_site({})
    other = f"{PREFIX}/tokens/somebody-else"
    failed = {"provisioning": "Failed", "client_token_ids": [other]}
    existing = existing_access(
        site, "sync", ("a",), {"scope_map": {}, "token": {}, "connected_registry": failed}
    )
    change = plan_sync_access(site, ("a",), existing)[2].change
    assert isinstance(change, CreateConnectedRegistry)
    assert change.client_token_ids == (other,)
    assert change.mode is Mode.READ_ONLY


def test_a_description_fits_into_what_azure_allows() -> None:
    longest = a_site("s" * 63, fleet="f" * 63, names=NAMES)
    assert len(owner_description(longest, "client")) <= 256
