"""Long-running operations: as recorded, as specified, and failing."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from azure.core.exceptions import HttpResponseError

from tests.lab.azure_client import GROUP, REGISTRY, azure_on, code_of, connected

pytestmark = pytest.mark.lab


@pytest.fixture
def recorded(tmp_path):
    with azure_on(tmp_path, minute=0.6) as client:
        yield client


@pytest.fixture
def spec(tmp_path):
    with azure_on(tmp_path, minute=6, profile="spec") as client:  # busy for half a second
        yield client


def state_of(answer):
    return answer.json()["properties"]["provisioningState"]


def test_as_recorded_a_scope_map_is_there_at_once(recorded):
    body = {"properties": {"actions": ["repositories/vessel/nav/content/read"]}}

    new = recorded.send("PUT", "scopeMaps/harbour", body)
    changed = recorded.send("PATCH", "scopeMaps/harbour", body)

    for answer in (new, changed):
        assert answer.status_code == 200
        assert state_of(answer) == "Succeeded"
        assert "Azure-AsyncOperation" not in answer.headers
    assert new.json()["properties"]["type"] == "UserDefined"


def test_as_recorded_a_token_is_created_while_its_status_is_polled(recorded):
    scope_map = recorded.add_scope_map("harbour")

    answer = recorded.send("PUT", "tokens/harbour", {"properties": {"scopeMapId": scope_map}})

    url = answer.headers["Azure-AsyncOperation"]
    assert (answer.status_code, state_of(answer)) == (201, "Creating")
    assert answer.json()["properties"]["credentials"] == {"passwords": []}
    assert f"{recorded.registry_path}/tokens/harbour/operationStatuses/token-" in url
    assert 2000 < len(url) < 4000
    assert "Retry-After" not in answer.headers
    words = []
    while words[-1:] != ["Succeeded"]:
        words.append(recorded.send("GET", url).json()["status"])
    assert words[0] == "Creating"
    assert state_of(recorded.send("GET", "tokens/harbour")) == "Succeeded"


def test_as_recorded_a_connected_registry_comes_and_goes_at_once(recorded):
    created = recorded.add_connected("oslo1")
    changed = recorded.send("PATCH", "connectedRegistries/oslo1", {"properties": {}})
    deleted = recorded.send("DELETE", "connectedRegistries/oslo1")

    assert (created.status_code, state_of(created)) == (200, "Succeeded")
    assert (changed.status_code, state_of(changed)) == (200, "Succeeded")
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert recorded.send("DELETE", "connectedRegistries/oslo1").status_code == 204


def test_as_specified_writes_have_to_be_polled(spec):
    body = {"properties": {"actions": ["repositories/vessel/nav/content/read"]}}

    answer = spec.send("PUT", "scopeMaps/harbour", body)

    assert (answer.status_code, state_of(answer)) == (201, "Creating")
    status = spec.send("GET", answer.headers["Azure-AsyncOperation"])
    assert (status.status_code, status.json()) == (200, {"status": "Creating"})


@pytest.mark.slow
def test_as_specified_the_sdk_reaches_the_same_end(spec):
    arm = spec.arm
    actions = {"properties": {"actions": ["repositories/vessel/nav/content/read"]}}
    scope_map = arm.scope_maps.begin_create(GROUP, REGISTRY, "oslo1", actions).result()
    body = {"properties": {"scopeMapId": scope_map.id, "status": "enabled"}}
    token = arm.tokens.begin_create(GROUP, REGISTRY, "oslo1", body).result()
    made = arm.registries.begin_generate_credentials(
        GROUP, REGISTRY, {"tokenId": token.id, "name": "password2"}
    ).result()
    oslo = arm.connected_registries.begin_create(
        GROUP, REGISTRY, "oslo1", connected(token.id)
    ).result()
    changed = arm.connected_registries.begin_update(
        GROUP, REGISTRY, "oslo1", {"properties": {"logging": {"logLevel": "debug"}}}
    ).result()
    data = {"properties": {"dataEndpointEnabled": True}}
    registry = arm.registries.begin_update(GROUP, REGISTRY, data).result()
    arm.connected_registries.begin_deactivate(GROUP, REGISTRY, "oslo1").result()
    arm.connected_registries.begin_delete(GROUP, REGISTRY, "oslo1").result()
    arm.tokens.begin_delete(GROUP, REGISTRY, "oslo1").result()

    assert scope_map.provisioning_state == "Succeeded"
    assert token.provisioning_state == "Succeeded"
    assert made.passwords[0].value
    assert (oslo.provisioning_state, oslo.connection_state) == ("Succeeded", "Offline")
    assert changed.logging.log_level == "Debug"
    assert registry.data_endpoint_enabled is True
    assert list(arm.connected_registries.list(GROUP, REGISTRY)) == []
    assert list(arm.tokens.list(GROUP, REGISTRY)) == []


def test_as_specified_posts_and_deletes_are_polled_at_their_location(spec):
    token_id = spec.add_token("harbour")

    generated = spec.generate(token_id, "password1")
    location = generated.headers["Location"]
    busy = spec.send("GET", location)
    deleted = spec.send("DELETE", "scopeMaps/harbour")

    assert (generated.status_code, generated.content) == (202, b"")
    assert f"{spec.registry_path}/operationStatuses/registries-" in location
    assert busy.status_code == 202
    assert code_of(deleted) == "EmulatedScopeMapInUse"
    answer = busy
    while answer.status_code == 202:
        answer = spec.send("GET", answer.headers["Location"])
    assert answer.json()["passwords"][0]["value"]


def test_answers_ask_to_wait_when_the_lab_is_told_to(tmp_path):
    with azure_on(tmp_path, minute=60, profile="spec", retry_after=7) as azure:
        body = {"properties": {"actions": []}}
        answer = azure.send("PUT", "scopeMaps/harbour", body)
        status = azure.send("GET", answer.headers["Azure-AsyncOperation"])

    assert answer.headers["Retry-After"] == "7"
    assert status.headers["Retry-After"] == "7"


@pytest.mark.parametrize("profile", ["recorded", "spec"])
def test_an_operation_can_fail_after_it_was_accepted(tmp_path, profile):
    with azure_on(tmp_path, profile=profile) as azure:
        azure.faults.add(part="azure", kind="failed-operation", match="PUT *", times=1)
        poller = azure.arm.scope_maps.begin_create(
            GROUP, REGISTRY, "harbour", {"properties": {"actions": []}}
        )
        with pytest.raises(HttpResponseError) as failure:
            poller.result()
        state = state_of(azure.send("GET", "scopeMaps/harbour"))
        azure.send("PUT", "scopeMaps/harbour", {"properties": {"actions": []}})
        azure.clock.jump(azure.lab.cloud.operations.popitem()[1].settles - azure.clock.now())
        mended = state_of(azure.send("GET", "scopeMaps/harbour"))

    assert failure.value.error.code == "EmulatedFailedOperation"
    assert failure.value.status_code == 200
    assert (state, mended) == ("Failed", "Succeeded")


def test_a_post_can_fail_after_it_was_accepted(recorded):
    token_id = recorded.add_token("harbour")
    recorded.faults.add(
        part="azure", kind="failed-operation", match="*generateCredentials", times=1
    )
    poller = recorded.arm.registries.begin_generate_credentials(
        GROUP, REGISTRY, {"tokenId": token_id, "name": "password1"}
    )

    with pytest.raises(HttpResponseError) as failure:
        poller.result()

    assert failure.value.error.code == "EmulatedFailedOperation"


def test_an_operation_that_never_was_is_not_found(recorded):
    answer = recorded.send("GET", "operationStatuses/registries-nonsense")

    assert (answer.status_code, code_of(answer)) == (404, "ResourceNotFound")


def test_every_answer_tells_the_labs_time(recorded):
    recorded.clock.jump(timedelta(days=40))

    date = parsedate_to_datetime(recorded.send("GET", "scopeMaps/none").headers["Date"])

    assert timedelta(days=39) < date - datetime.now(UTC) < timedelta(days=41)
