"""The steps that grant a site its access, against the lab's Azure."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fleet.azure_errors import AzureBusyError, ImmutableSettingError, TokenDisabledError
from fleet.azure_objects import last_segment
from fleet.connected_registries import wanted_settings
from fleet.errors import NotOursError
from fleet.outcomes import Action, Outcome
from fleet.sites import ConnectedRegistry, Mode, Site
from tasks.access import grant_client_access, grant_sync_access
from tasks.sessions import RegistrySession
from tests.azure_lab_fixture import AzureThread, azure_thread
from tests.builders import a_site

pytestmark = pytest.mark.lab

SITE = a_site("oslo")
NAMES = SITE.names
WEB = ("vessel/web",)
FIRST_RUN = [
    f"PUT scopeMaps/{NAMES.sync_scope_map}",
    f"PUT tokens/{NAMES.sync_token}",
    f"PUT connectedRegistries/{NAMES.connected_registry}",
    f"PUT scopeMaps/{NAMES.client_scope_map}",
    f"PUT tokens/{NAMES.client_token}",
    f"PATCH connectedRegistries/{NAMES.connected_registry}",
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
def session(azure: AzureThread) -> RegistrySession:
    return azure.session(azure.address())


def grant(
    session: RegistrySession, site: Site = SITE, repositories: tuple[str, ...] = WEB
) -> tuple[Outcome, ...]:
    """Do both steps of onboarding, as the flow does."""
    return grant_sync_access(session.access, site, repositories) + grant_client_access(
        session.access, site, repositories
    )


def actions(outcomes: tuple[Outcome, ...]) -> list[Action]:
    return [outcome.action for outcome in outcomes]


def a_site_with(**settings: Any) -> Site:
    return a_site("oslo", connected_registry=ConnectedRegistry.model_validate(settings))


def test_the_first_run_makes_six_things_and_the_second_run_writes_nothing(
    azure: AzureThread, session: RegistrySession
) -> None:
    outcomes = grant(session)
    assert actions(outcomes) == [Action.CREATED] * 5 + [Action.CHANGED]
    assert azure.writes() == FIRST_RUN
    again = grant(azure.session(azure.address()))
    assert set(actions(again)) == {Action.UNCHANGED}
    assert azure.writes() == FIRST_RUN


def test_what_is_made_is_what_azure_needs(azure: AzureThread, session: RegistrySession) -> None:
    grant(session)
    connected = session.access.read_connected_registry(NAMES.connected_registry)
    assert connected is not None
    assert [last_segment(one) for one in connected.client_token_ids] == [NAMES.client_token]
    assert last_segment(connected.sync_token_id or "") == NAMES.sync_token
    token = session.access.read_token(NAMES.sync_token)
    assert token is not None
    assert token.slots == {}
    sync_map = session.access.read_scope_map(NAMES.sync_scope_map)
    assert sync_map is not None
    assert "repositories/vessel/web/content/read" in sync_map.actions
    assert f"gateway/{NAMES.connected_registry}/message/write" in sync_map.actions


@pytest.mark.parametrize("done", range(len(FIRST_RUN)))
def test_a_run_that_died_after_any_write_is_finished_by_the_next_one(
    azure: AzureThread, session: RegistrySession, done: int
) -> None:
    refused = FIRST_RUN[done]
    verb, _, path = refused.partition(" ")
    fault = azure.faults.add(
        part="azure", kind="status", match=f"{verb} *{path}", status=400, times=1
    )
    with pytest.raises(Exception, match="Azure refused"):
        grant(session)
    assert fault.times == 0
    assert azure.writes() == FIRST_RUN[:done]
    grant(azure.session(azure.address()))
    assert azure.writes() == FIRST_RUN
    assert set(actions(grant(session))) == {Action.UNCHANGED}


@pytest.mark.parametrize("lost", [write for write in FIRST_RUN if write.startswith("PUT")])
@pytest.mark.parametrize("kind", ["drop-after", "status-after"])
def test_an_object_whose_answer_was_lost_is_not_made_twice(
    azure: AzureThread, session: RegistrySession, lost: str, kind: str
) -> None:
    path = lost.partition(" ")[2]
    azure.faults.add(part="azure", kind=kind, match=f"PUT *{path}", status=503, times=1)
    outcomes = grant(session)
    assert actions(outcomes) == [Action.CREATED] * 5 + [Action.CHANGED]
    assert azure.writes() == FIRST_RUN


def test_a_lost_answer_to_the_acceptance_is_found_done_by_the_next_try(
    azure: AzureThread, session: RegistrySession
) -> None:
    azure.faults.add(part="azure", kind="drop-after", match="PATCH *", times=1)
    with pytest.raises(AzureBusyError):
        grant(session)
    assert set(actions(grant(session))) == {Action.UNCHANGED}
    assert azure.writes() == FIRST_RUN


def test_repositories_come_and_go_with_the_selection(
    azure: AzureThread, session: RegistrySession
) -> None:
    grant(session, repositories=("vessel/engine", "vessel/web"))
    outcomes = grant(session, repositories=("shore/portal", "vessel/web"))
    assert [str(outcome.action) for outcome in outcomes] == [
        "changed",
        "unchanged",
        "unchanged",
        "changed",
        "unchanged",
        "unchanged",
    ]
    client_map = session.access.read_scope_map(NAMES.client_scope_map)
    assert client_map is not None
    assert not any("engine" in action for action in client_map.actions)
    assert any("portal" in action for action in client_map.actions)
    assert len(azure.writes()) == len(FIRST_RUN) + 2


def test_settings_that_changed_in_the_fleet_file_are_patched(
    azure: AzureThread, session: RegistrySession
) -> None:
    grant(session)
    changed = a_site_with(
        sync={"schedule": "0 2 * * *", "window": "3h", "message_ttl": "5d"},
        log_level="Debug",
        garbage_collection={"enabled": False},
        notifications=["vessel/web:*:push"],
    )
    assert actions(grant(session, changed))[2] is Action.CHANGED
    assert set(actions(grant(session, changed))) == {Action.UNCHANGED}
    assert actions(grant(session))[2] is Action.CHANGED
    assert set(actions(grant(session))) == {Action.UNCHANGED}
    assert len(azure.writes()) == len(FIRST_RUN) + 2


def test_the_mode_cannot_change_and_nothing_is_written_on_the_way(
    azure: AzureThread, session: RegistrySession
) -> None:
    grant(session)
    with pytest.raises(ImmutableSettingError, match="mode is ReadOnly, wanted ReadWrite"):
        grant(session, a_site_with(mode="ReadWrite"))
    assert azure.writes() == FIRST_RUN


def make_by_hand(session: RegistrySession, *, schedule: str = "* * * * *") -> None:
    """Make what `az acr connected-registry create` would make, under our names."""
    grant(session)
    for name in (NAMES.sync_scope_map, NAMES.client_scope_map):
        session.access.update_scope_map(name, description="Created by connected registry")
    state = session.access.read_connected_registry(NAMES.connected_registry)
    assert state is not None
    if schedule != state.settings.schedule:
        other = wanted_settings(a_site_with(sync={"schedule": schedule, "window": "1h"}))
        session.access.update_connected_registry(
            NAMES.connected_registry, other, frozenset({"sync"})
        )


def test_what_was_made_by_hand_and_matches_is_taken_over_once(
    azure: AzureThread, session: RegistrySession
) -> None:
    make_by_hand(session)
    before = len(azure.writes())
    assert actions(grant(session)) == [Action.ADOPTED] * 5 + [Action.UNCHANGED]
    assert azure.writes()[before:] == [
        f"PATCH scopeMaps/{NAMES.sync_scope_map}",
        f"PATCH scopeMaps/{NAMES.client_scope_map}",
    ]
    assert set(actions(grant(session))) == {Action.UNCHANGED}


def test_what_was_made_by_hand_and_differs_is_refused_with_the_difference(
    azure: AzureThread, session: RegistrySession
) -> None:
    make_by_hand(session, schedule="0 * * * *")
    before = azure.writes()
    with pytest.raises(NotOursError, match=r"sync schedule is 0 \* \* \* \*, wanted"):
        grant(session)
    assert azure.writes() == before


def test_a_second_fleet_does_not_take_over_the_first_ones_site(
    azure: AzureThread, session: RegistrySession
) -> None:
    grant(session)
    with pytest.raises(NotOursError, match="fleet northsea, site oslo"):
        grant(session, a_site("oslo", fleet="baltic", names=NAMES))
    assert azure.writes() == FIRST_RUN


@pytest.mark.parametrize("token", [NAMES.sync_token, NAMES.client_token])
def test_a_disabled_token_stays_disabled(
    azure: AzureThread, session: RegistrySession, token: str
) -> None:
    grant(session)
    azure.state().tokens[token].status = "disabled"
    with pytest.raises(TokenDisabledError, match=token):
        grant(session)
    assert azure.state().tokens[token].status == "disabled"
    assert azure.writes() == FIRST_RUN


def test_a_client_token_of_somebody_else_stays_accepted(
    azure: AzureThread, session: RegistrySession
) -> None:
    grant_sync_access(session.access, SITE, WEB)
    session.access.create_scope_map("harbour-map", frozenset({"repositories/a/content/read"}), "")
    session.access.create_token("harbour", "harbour-map")
    theirs = session.access.token_id("harbour")
    session.access.update_client_tokens(NAMES.connected_registry, (theirs,))
    grant_client_access(session.access, SITE, WEB)
    connected = session.access.read_connected_registry(NAMES.connected_registry)
    assert connected is not None
    accepted = {last_segment(one) for one in connected.client_token_ids}
    assert accepted == {"harbour", NAMES.client_token}


def test_a_storm_of_throttling_in_front_of_every_call_is_weathered(
    azure: AzureThread, session: RegistrySession
) -> None:
    for verb in ("GET", "PUT", "PATCH"):
        azure.faults.add(
            part="azure", kind="status", match=f"{verb} /subscriptions/*", status=429, times=3
        )
    assert actions(grant(session)) == [Action.CREATED] * 5 + [Action.CHANGED]
    assert azure.writes() == FIRST_RUN


def test_two_threads_on_one_site_make_everything_once(
    azure: AzureThread, session: RegistrySession
) -> None:
    results: list[tuple[Outcome, ...]] = []
    threads = [threading.Thread(target=lambda: results.append(grant(session))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 3
    assert sorted(azure.writes()) == sorted(FIRST_RUN)


def test_an_object_that_azure_failed_to_make_is_made_again(
    azure: AzureThread, session: RegistrySession
) -> None:
    azure.faults.add(part="azure", kind="failed-operation", match="PUT *tokens*-sync", times=1)
    with pytest.raises(Exception, match="EmulatedFailedOperation"):
        grant(session)
    outcomes = grant(session)
    assert outcomes[1].detail == "Azure had failed to make it"
    assert set(actions(grant(session))) == {Action.UNCHANGED}


def test_a_read_write_site_gets_five_actions_per_repository(
    azure: AzureThread, session: RegistrySession
) -> None:
    site = a_site_with(mode="ReadWrite")
    grant(session, site)
    found = session.access.read_scope_map(NAMES.sync_scope_map)
    assert found is not None
    assert len(found.actions) == 5 + 4
    connected = session.access.read_connected_registry(NAMES.connected_registry)
    assert connected is not None
    assert connected.mode == Mode.READ_WRITE
