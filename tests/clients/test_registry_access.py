"""`RegistryAccess` over the wire, against the lab's Azure in both profiles."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from clients.azure_transport import Patience
from clients.registry_access import RegistryAccess
from fleet.azure_errors import (
    AccessDeniedError,
    AzureBusyError,
    AzureRefusedError,
    LoginFailedError,
    RegistryNotFoundError,
)
from fleet.azure_objects import ConnectedRegistrySettings, last_segment
from fleet.errors import FleetError
from fleet.sites import Mode
from tests.azure_lab_fixture import FAST, AzureThread, azure_thread

pytestmark = pytest.mark.lab

ACTIONS = frozenset({"repositories/vessel/web/content/read"})
SETTINGS = ConnectedRegistrySettings(
    schedule="0 2 * * *",
    window=timedelta(hours=3),
    message_ttl=timedelta(days=7),
    log_level="Debug",
    audit_log=True,
    gc_enabled=False,
    gc_schedule="5 5 * * *",
    notifications=("vessel/web:*:push",),
)


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, AzureThread]]:
    folders = {profile: tmp_path_factory.mktemp(profile) for profile in ("recorded", "spec")}
    with (
        azure_thread(folders["recorded"], profile="recorded") as recorded,
        azure_thread(folders["spec"], profile="spec") as spec,
    ):
        yield {"recorded": recorded, "spec": spec}


@pytest.fixture(params=["recorded", "spec"])
def azure(request: pytest.FixtureRequest, clouds: dict[str, AzureThread]) -> Iterator[AzureThread]:
    azure = clouds[request.param]
    azure.add_registry()
    yield azure
    azure.forget()


@pytest.fixture
def recorded(clouds: dict[str, AzureThread]) -> Iterator[AzureThread]:
    azure = clouds["recorded"]
    azure.add_registry()
    yield azure
    azure.forget()


@pytest.fixture
def access(azure: AzureThread) -> RegistryAccess:
    return azure.session(azure.address()).access


def with_token(azure: AzureThread, patience: Patience = FAST) -> RegistryAccess:
    access = azure.session(azure.address(), patience).access
    access.create_scope_map("oslo1-map", ACTIONS, "")
    access.create_token("oslo1", "oslo1-map")
    return access


def test_what_is_created_is_read_back_as_it_was_wanted(access: RegistryAccess) -> None:
    made = access.create_scope_map("oslo1-map", ACTIONS, "made by a test")
    assert made == access.read_scope_map("oslo1-map")
    assert (made.actions, made.description, made.kind) == (ACTIONS, "made by a test", "UserDefined")

    access.create_token("oslo1", "oslo1-map")
    token = access.read_token("oslo1")
    assert token is not None
    assert token.slots == {}
    assert token.is_enabled
    assert last_segment(token.scope_map_id or "") == "oslo1-map"

    access.create_connected_registry(
        "oslo1", mode=Mode.READ_WRITE, sync_token="oslo1", settings=SETTINGS
    )
    found = access.read_connected_registry("oslo1")
    assert found is not None
    assert found.settings == SETTINGS
    assert found.mode == "ReadWrite"
    assert last_segment(found.sync_token_id or "") == "oslo1"
    assert (found.connection_state, found.activation) == ("Offline", "Inactive")
    assert found.gateway_endpoint == "acrnorthsea.westeurope.data.azurecr.io"
    assert (found.last_sync, found.version, found.status_details) == (None, None, ())


def test_what_is_not_there_is_none(access: RegistryAccess) -> None:
    assert access.read_scope_map("nothing") is None
    assert access.read_token("nothing") is None
    assert access.read_connected_registry("nothing") is None


def test_a_system_scope_map_says_that_it_is_one(access: RegistryAccess) -> None:
    found = access.read_scope_map("_repositories_pull")
    assert found is not None
    assert found.kind == "SystemDefined"


def test_a_change_leaves_alone_what_it_does_not_name(azure: AzureThread) -> None:
    access = with_token(azure)
    access.update_scope_map("oslo1-map", description="ours")
    changed = access.read_scope_map("oslo1-map")
    assert changed is not None
    assert (changed.actions, changed.description) == (ACTIONS, "ours")
    access.create_connected_registry(
        "oslo1", mode=Mode.READ_ONLY, sync_token="oslo1", settings=SETTINGS
    )
    louder = ConnectedRegistrySettings(
        "0 4 * * *", timedelta(hours=1), timedelta(days=1), "None", False, True, "0 0 * * *", ()
    )
    after = access.update_connected_registry("oslo1", louder, frozenset({"notifications"}))
    assert after.settings.notifications == ()
    assert after.settings.schedule == SETTINGS.schedule
    assert after.settings.log_level == SETTINGS.log_level
    after = access.update_connected_registry("oslo1", louder, frozenset({"sync", "logging", "gc"}))
    assert after.settings == louder


def test_the_list_of_client_tokens_can_be_set_and_cleared(azure: AzureThread) -> None:
    access = with_token(azure)
    access.create_token("oslo1-client", "oslo1-map")
    access.create_connected_registry(
        "oslo1", mode=Mode.READ_ONLY, sync_token="oslo1", settings=SETTINGS
    )
    accepted = access.update_client_tokens("oslo1", (access.token_id("oslo1-client"),))
    assert [last_segment(one) for one in accepted.client_token_ids] == ["oslo1-client"]
    assert access.update_client_tokens("oslo1", ()).client_token_ids == ()


def test_a_password_goes_into_the_slot_that_was_named_and_into_no_other(
    azure: AzureThread,
) -> None:
    access = with_token(azure)
    first = access.renew_password("oslo1", "password2")
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    second = access.renew_password("oslo1", "password1", expires)
    assert first.slot == "password2"
    assert first.expires is None
    assert second.expires == expires
    assert first.value.get_secret_value() != second.value.get_secret_value()
    token = access.read_token("oslo1")
    assert token is not None
    assert set(token.slots) == {"password1", "password2"}
    assert token.slots["password2"].created == first.created
    assert token.slots["password1"].expires == expires


def test_a_token_moves_to_another_scope_map_and_keeps_its_passwords(azure: AzureThread) -> None:
    access = with_token(azure)
    access.renew_password("oslo1", "password1")
    access.create_scope_map("oslo1-other", ACTIONS, "")
    access.update_token("oslo1", "oslo1-other")
    token = access.read_token("oslo1")
    assert token is not None
    assert last_segment(token.scope_map_id or "") == "oslo1-other"
    assert set(token.slots) == {"password1"}


def test_the_data_endpoint_is_turned_on(azure: AzureThread) -> None:
    azure.add_registry("acrbare", data_endpoint=False)
    access = azure.session(azure.address("acrbare")).access
    assert access.read_registry().data_endpoint is False
    assert access.turn_on_data_endpoint().data_endpoint is True
    assert access.read_registry().data_endpoint_hosts == ("acrbare.westeurope.data.azurecr.io",)


def test_an_operation_that_azure_gave_up_is_an_error_with_its_words(azure: AzureThread) -> None:
    access = azure.session(azure.address()).access
    access.create_scope_map("oslo1-map", ACTIONS, "")
    azure.faults.add(part="azure", kind="failed-operation", match="PUT *tokens/oslo1", times=1)
    with pytest.raises(AzureRefusedError, match="EmulatedFailedOperation") as caught:
        access.create_token("oslo1", "oslo1-map")
    assert caught.value.code == "EmulatedFailedOperation"


def test_throttling_is_waited_out_for_reads_and_for_writes(recorded: AzureThread) -> None:
    access = with_token(recorded)
    recorded.faults.add(part="azure", kind="status", match="GET *", status=429, times=3)
    assert access.read_token("oslo1") is not None
    recorded.faults.add(
        part="azure", kind="status", match="POST *", status=429, retry_after=1, times=2
    )
    assert access.renew_password("oslo1", "password1").value.get_secret_value()
    assert recorded.writes().count("POST generateCredentials") == 1


def test_a_storm_of_throttling_ends_as_a_temporary_error(recorded: AzureThread) -> None:
    access = with_token(recorded)
    recorded.faults.add(part="azure", kind="status", match="*tokens/oslo1", status=429)
    with pytest.raises(AzureBusyError, match=r"read token oslo1 in acrnorthsea.*429"):
        access.read_token("oslo1")


def test_a_retry_after_that_is_too_long_is_not_slept_through(recorded: AzureThread) -> None:
    access = with_token(recorded)
    recorded.faults.add(
        part="azure", kind="status", match="*tokens/oslo1", status=429, retry_after=3600
    )
    with pytest.raises(AzureBusyError, match="asks to wait 3600 s"):
        access.read_token("oslo1")


def test_a_password_request_is_never_repeated_behind_our_back(recorded: AzureThread) -> None:
    access = with_token(recorded)
    for kind in ("status-after", "drop-after"):
        recorded.faults.add(
            part="azure", kind=kind, match="*generateCredentials", status=503, times=1
        )
        before = recorded.writes().count("POST generateCredentials")
        with pytest.raises(AzureBusyError):
            access.renew_password("oslo1", "password2")
        assert recorded.writes().count("POST generateCredentials") == before + 1
    token = access.read_token("oslo1")
    assert token is not None
    assert set(token.slots) == {"password2"}


def test_a_token_that_is_not_active_yet_is_waited_for(recorded: AzureThread) -> None:
    access = with_token(recorded)
    recorded.faults.add(
        part="azure", kind="token-not-active", match="*generateCredentials", times=4
    )
    assert access.renew_password("oslo1", "password1").value.get_secret_value()


def test_a_token_that_never_becomes_active_ends_as_a_temporary_error(
    recorded: AzureThread,
) -> None:
    access = with_token(recorded, Patience(backoff=0.02, polling=0.05, activation=0.3))
    recorded.faults.add(part="azure", kind="token-not-active", match="*generateCredentials")
    with pytest.raises(AzureBusyError, match="token oslo1 is still not active"):
        access.renew_password("oslo1", "password1")


def test_the_bare_string_of_a_400_is_quoted(recorded: AzureThread) -> None:
    access = recorded.session(recorded.address()).access
    recorded.faults.add(part="azure", kind="string-body-400", match="PUT *", times=1)
    with pytest.raises(AzureRefusedError, match="not supported in this region") as caught:
        access.create_scope_map("oslo1-map", ACTIONS, "")
    assert caught.value.code is None


def test_what_azure_says_about_a_password_request_is_not_quoted(recorded: AzureThread) -> None:
    access = with_token(recorded)
    recorded.faults.add(part="azure", kind="string-body-400", match="*generateCredentials")
    with pytest.raises(AzureRefusedError) as caught:
        access.renew_password("oslo1", "password1")
    assert "region" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_wrong_secret_is_a_failed_login(recorded: AzureThread) -> None:
    login = recorded.login(client_secret="canary-not-the-secret")
    access = recorded.session(recorded.address(), login=login).access
    with pytest.raises(LoginFailedError, match="AADSTS7000215") as caught:
        access.read_registry()
    assert "canary" not in str(caught.value)


def test_a_forbidden_write_names_the_role_and_the_scope(recorded: AzureThread) -> None:
    access = recorded.session(recorded.address()).access
    recorded.faults.add(part="azure", kind="status", match="PUT *", status=403)
    with pytest.raises(AccessDeniedError) as caught:
        access.create_scope_map("oslo1-map", ACTIONS, "")
    text = str(caught.value)
    assert "Container Registry Contributor and Data Access Configuration Administrator" in text
    assert f"at {access.id}" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "acrnowhere"},
        {"resource_group": "rg-nowhere"},
        {"subscription_id": "00000000-0000-0000-0000-0000000000ff"},
    ],
)
def test_a_registry_that_is_not_there_is_named(
    recorded: AzureThread, wrong: dict[str, str]
) -> None:
    access = recorded.session(recorded.address(**wrong)).access
    with pytest.raises(RegistryNotFoundError, match=next(iter(wrong.values()))):
        access.read_registry()


def test_a_missing_group_is_not_taken_for_a_missing_object(recorded: AzureThread) -> None:
    access = recorded.session(recorded.address(resource_group="rg-nowhere")).access
    with pytest.raises(RegistryNotFoundError):
        access.read_token("oslo1")


@pytest.mark.slow
def test_a_certificate_of_a_strange_authority_is_said_to_be_one(recorded: AzureThread) -> None:
    login = recorded.login(ca_file=None)
    registry = recorded.address(cloud=recorded.cloud().model_copy(update={"ca_file": None}))
    access = recorded.session(registry, login=login).access
    with pytest.raises(AzureRefusedError, match="`ca_file`"):
        access.read_registry()


def test_an_azure_that_does_not_answer_is_given_up_in_time(recorded: AzureThread) -> None:
    quick = Patience(retries=1, backoff=0.02, polling=0.05, connect=1, read=0.3)
    access = recorded.session(recorded.address(), quick).access
    access.read_registry()
    recorded.faults.add(part="azure", kind="hang", match="*scopeMaps*")
    with pytest.raises(AzureBusyError, match="before Azure answered"):
        access.read_scope_map("oslo1-map")


def test_many_threads_share_one_client(recorded: AzureThread) -> None:
    access = recorded.session(recorded.address()).access
    errors: list[FleetError] = []

    def work(number: int) -> None:
        try:
            access.create_scope_map(f"map-{number:02}", ACTIONS, str(number))
            access.create_token(f"token-{number:02}", f"map-{number:02}")
            access.renew_password(f"token-{number:02}", "password1")
        except FleetError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    for number in range(8):
        found = access.read_scope_map(f"map-{number:02}")
        assert found is not None
        assert found.description == str(number)
