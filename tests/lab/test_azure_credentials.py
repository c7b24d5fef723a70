"""Tokens and passwords: who sees a value, which value counts, and when."""

import time
from datetime import timedelta

import pytest
from azure.core.exceptions import ResourceExistsError

from tests.lab.azure_client import GROUP, REGISTRY, azure_on, code_of

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path, minute=60.0) as client:
        yield client


def replicate(azure):
    """Let the minute pass that a regenerated password takes."""
    azure.clock.jump(timedelta(seconds=61))


def accepted(azure, password, user="oslo-client"):
    return azure.pull_token(user, password).status_code == 200


def passwords_of(answer):
    return {each["name"]: each for each in answer.json()["passwords"]}


def test_a_named_slot_is_made_alone_and_its_value_is_shown_once(azure):
    token_id = azure.add_token("oslo-client")

    answer = azure.generate(token_id, "password2")
    token = azure.send("GET", "tokens/oslo-client").json()

    assert answer.status_code == 200
    assert answer.json()["username"] == "oslo-client"
    assert set(passwords_of(answer)) == {"password2"}
    assert set(passwords_of(answer)["password2"]) == {"creationTime", "name", "value"}
    shown = token["properties"]["credentials"]["passwords"]
    assert [set(each) for each in shown] == [{"creationTime", "name"}]


def test_without_a_name_both_slots_are_made(azure):
    token_id = azure.add_token("oslo-client")

    both = passwords_of(azure.generate(token_id))

    assert set(both) == {"password1", "password2"}
    assert both["password1"]["value"] != both["password2"]["value"]
    assert accepted(azure, both["password1"]["value"])
    assert accepted(azure, both["password2"]["value"])


def test_every_value_holds_the_letters_that_break_careless_parsers(azure):
    token_id = azure.add_token("oslo-client")
    values = [azure.password(token_id) for _ in range(20)]

    assert all(len(value) == 32 and set("=+/") <= set(value) for value in values)
    assert len(set(values)) == 20


def test_only_the_new_slot_has_a_value_when_the_other_exists(azure):
    token_id = azure.add_token("oslo-client")
    azure.generate(token_id, "password1")

    answer = passwords_of(azure.generate(token_id, "password2"))

    assert "value" not in answer["password1"]
    assert answer["password2"]["value"]


def test_values_are_kept_as_salted_hashes_only(azure):
    token_id = azure.add_token("oslo-client")
    value = azure.password(token_id)
    azure.password(token_id, "password2")

    slots = azure.registry.state.tokens["oslo-client"].slots

    assert value not in repr(slots)
    assert slots["password1"].salt != slots["password2"].salt


def test_a_new_tokens_password_counts_at_once(azure):
    value = azure.password(azure.add_token("oslo-client"))

    assert accepted(azure, value)


def test_a_regenerated_password_counts_after_a_minute_and_the_old_one_no_more(azure):
    token_id = azure.add_token("oslo-client")
    old = azure.password(token_id, "password1")
    other = azure.password(token_id, "password2")
    replicate(azure)

    new = azure.password(token_id, "password1")

    at_once = [accepted(azure, value) for value in (old, other, new)]
    azure.clock.jump(timedelta(seconds=55))
    soon = [accepted(azure, value) for value in (old, other, new)]
    azure.clock.jump(timedelta(seconds=6))
    later = [accepted(azure, value) for value in (old, other, new)]
    assert at_once == [False, True, False]
    assert soon == [False, True, False]
    assert later == [False, True, True]


def test_the_minute_of_replication_is_a_lab_minute(tmp_path):
    with azure_on(tmp_path, minute=0.3) as azure:
        token_id = azure.add_token("oslo-client")
        azure.password(token_id)
        new = azure.password(token_id)
        at_once = accepted(azure, new)
        time.sleep(0.35)
        later = accepted(azure, new)

    assert (at_once, later) == (False, True)


def test_slow_propagation_can_be_ordered(azure):
    token_id = azure.add_token("oslo-client")
    azure.faults.add(part="azure", kind="slow-propagation", seconds=600, times=1, match="POST *")

    value = azure.password(token_id)

    assert not accepted(azure, value)
    azure.clock.jump(timedelta(seconds=601))
    assert accepted(azure, value)


def test_an_expired_password_is_refused(azure):
    token_id = azure.add_token("oslo-client")
    expiry = (azure.clock.now() + timedelta(days=30)).isoformat()
    answer = passwords_of(azure.generate(token_id, "password1", expiry=expiry))["password1"]

    before = accepted(azure, answer["value"])
    azure.clock.jump(timedelta(days=31))

    assert answer["expiry"].startswith(expiry[:19])
    assert (before, accepted(azure, answer["value"])) == (True, False)


@pytest.mark.parametrize("expiry", ["2020-01-01T00:00:00Z", "soon", "2099-01-01T00:00:00"])
def test_an_expiry_that_makes_no_sense_is_refused(azure, expiry):
    token_id = azure.add_token("oslo-client")

    answer = azure.generate(token_id, "password1", expiry=expiry)

    assert answer.status_code == 400
    assert code_of(answer) in ("EmulatedExpiryInThePast", "EmulatedInvalidTime")
    assert azure.registry.state.tokens["oslo-client"].slots == {}


def test_a_token_that_is_being_created_makes_no_passwords(azure):
    scope_map = azure.add_scope_map("oslo-client")
    body = {"properties": {"scopeMapId": scope_map}}
    token_id = azure.send("PUT", "tokens/oslo-client", body).json()["id"]

    too_early = azure.generate(token_id, "password1")
    with pytest.raises(ResourceExistsError) as conflict:
        azure.arm.registries.begin_generate_credentials(GROUP, REGISTRY, {"tokenId": token_id})
    azure.clock.jump(timedelta(seconds=6))

    assert (too_early.status_code, code_of(too_early)) == (409, "TokenNotActive")
    assert conflict.value.error.code == "TokenNotActive"
    assert azure.generate(token_id, "password1").status_code == 200


def test_an_active_token_can_be_told_to_say_that_it_is_not(azure):
    token_id = azure.add_token("oslo-client")
    azure.faults.add(part="azure", kind="token-not-active", match="*generateCredentials", times=1)

    answers = [azure.generate(token_id, "password1").status_code for _ in range(2)]

    assert answers == [409, 200]


def test_a_patch_keeps_the_slots_that_it_names(azure):
    token_id = azure.add_token("oslo-client")
    values = {name: each["value"] for name, each in passwords_of(azure.generate(token_id)).items()}

    kept = {"properties": {"credentials": {"passwords": [{"name": "password2"}]}}}
    assert azure.send("PATCH", "tokens/oslo-client", kept).status_code == 201
    one = [accepted(azure, values[slot]) for slot in ("password1", "password2")]
    none = {"properties": {"credentials": {"passwords": []}}}
    azure.send("PATCH", "tokens/oslo-client", none)

    assert one == [False, True]
    assert not accepted(azure, values["password2"])


def test_a_patch_that_says_nothing_about_passwords_leaves_them(azure):
    token_id = azure.add_token("oslo-client")
    value = azure.password(token_id)

    azure.send("PATCH", "tokens/oslo-client", {"properties": {"status": "Disabled"}})
    disabled = accepted(azure, value)
    azure.send("PATCH", "tokens/oslo-client", {"properties": {"status": "enabled"}})

    assert (disabled, accepted(azure, value)) == (False, True)


def test_putting_a_token_again_drops_the_passwords_it_does_not_name(azure):
    token_id = azure.add_token("oslo-client")
    value = azure.password(token_id)

    azure.add_token("oslo-client")

    assert not accepted(azure, value)


def test_a_token_in_use_cannot_be_deleted(azure):
    azure.add_connected("oslo1", clientTokenIds=[azure.add_token("oslo-client")])

    as_client = azure.send("DELETE", "tokens/oslo-client")
    as_sync = azure.send("DELETE", "tokens/oslo1")
    azure.send("PATCH", "connectedRegistries/oslo1", {"properties": {"clientTokenIds": []}})
    free = azure.send("DELETE", "tokens/oslo-client")

    assert [as_client.status_code, as_sync.status_code, free.status_code] == [409, 409, 200]
    assert code_of(as_client) == code_of(as_sync) == "EmulatedTokenInUse"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "EmulatedMissingProperty"),
        ({"tokenId": "{registry}/tokens/nobody"}, 404, "ResourceNotFound"),
        ({"tokenId": "{registry}/scopeMaps/_repositories_pull"}, 400, "EmulatedInvalidResourceId"),
        ({"tokenId": "{registry}2/tokens/harbour"}, 400, "EmulatedInvalidResourceId"),
        ({"tokenId": "{registry}/tokens/harbour", "name": "third"}, 400, "EmulatedInvalidValue"),
    ],
)
def test_credentials_for_a_wrong_token_or_slot_are_refused(azure, body, status, code):
    azure.add_token("harbour")
    sent = {key: value.format(registry=azure.registry_path) for key, value in body.items()}

    answer = azure.send("POST", "generateCredentials", sent)

    assert (answer.status_code, code_of(answer)) == (status, code)


@pytest.mark.parametrize(
    ("name", "properties", "status", "code"),
    [
        ("harbour", {}, 400, "EmulatedMissingProperty"),
        ("abc", {"scopeMapId": "{registry}/scopeMaps/harbour"}, 400, "EmulatedInvalidName"),
        (
            "has_underscore",
            {"scopeMapId": "{registry}/scopeMaps/harbour"},
            400,
            "EmulatedInvalidName",
        ),
        ("harbour", {"scopeMapId": "{registry}/scopeMaps/nothing"}, 404, "ResourceNotFound"),
        (
            "harbour",
            {"scopeMapId": "{registry}/scopeMaps/harbour", "status": "maybe"},
            400,
            "EmulatedInvalidValue",
        ),
    ],
)
def test_a_token_that_cannot_be_is_refused(azure, name, properties, status, code):
    azure.add_scope_map("harbour")
    sent = {key: value.format(registry=azure.registry_path) for key, value in properties.items()}

    answer = azure.send("PUT", f"tokens/{name}", {"properties": sent})

    assert (answer.status_code, code_of(answer)) == (status, code)
    assert azure.send("GET", f"tokens/{name}").status_code == 404
