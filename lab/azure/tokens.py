"""Tokens and their passwords."""

from datetime import datetime, timedelta
from typing import Any

from lab.azure.calls import Answer, Call, page
from lab.azure.errors import not_found, refused
from lab.azure.naming import check_name, missing_property, name_in_id
from lab.azure.operations import answer_written, check_settled, done, written_slowly
from lab.azure.passwords import SLOTS, hash_value, new_value
from lab.azure.rendering import Json, password_json, token_json
from lab.azure.rules import as_object, one_of, parse_time
from lab.azure.scope_maps import scope_map_named
from lab.azure.state import Registry, Token

_LIMIT = 20_000
_REPLICATION = 60.0  # lab seconds until a regenerated password counts


def list_tokens(call: Call) -> Answer:
    """List the registry's tokens."""
    registry = call.registry()
    tokens = registry.tokens.values()
    return page(call, [token_json(call.cloud, registry, each, call.now) for each in tokens])


def read_token(call: Call) -> Answer:
    """Read one token."""
    return Answer(200, token_json(call.cloud, call.registry(), call.token(), call.now))


def put_token(call: Call) -> Answer:
    """Create a token, or replace one: passwords that the body does not name are gone."""
    registry, name = call.registry(), call.args["name"]
    properties = call.properties()
    scope_map = _scope_map(registry, properties)
    status = one_of(properties.get("status", "enabled"), ("enabled", "disabled"), "status")
    kept = _kept_slots(properties) or []
    item = registry.tokens.get(name)
    word = "Updating" if item else "Creating"
    if item is None:
        item = _new_token(call, registry, name)
    item.scope_map, item.status, item.modified = scope_map, status, call.now
    item.slots = {slot: each for slot, each in item.slots.items() if slot in kept}
    registry.tokens[item.name] = item
    answer = written_slowly(call, item, word)
    return answer_written(answer, token_json(call.cloud, registry, item, call.now))


def patch_token(call: Call) -> Answer:
    """Change the scope map or the status, or remove the password slots that are not named."""
    registry, item = call.registry(), call.token()
    properties = call.properties()
    kept = _kept_slots(properties)
    status = properties.get("status") or item.status
    status = one_of(status, ("enabled", "disabled"), "status")
    if properties.get("scopeMapId") is not None:
        item.scope_map = _scope_map(registry, properties)
    item.status, item.modified = status, call.now
    if kept is not None:
        item.slots = {slot: each for slot, each in item.slots.items() if slot in kept}
    answer = written_slowly(call, item, "Updating")
    return answer_written(answer, token_json(call.cloud, registry, item, call.now))


def delete_token(call: Call) -> Answer:
    """Delete a token that no connected registry uses."""
    registry, name = call.registry(), call.args["name"]
    if name not in registry.tokens:
        return Answer(204)
    for connected in registry.connected.values():
        used = [connected.token, *connected.client_tokens]
        if name.lower() in [each.lower() for each in used]:
            message = f"The token {name} is used by the connected registry {connected.name}."
            raise refused("TokenInUse", message, 409)
    del registry.tokens[name]
    return done(call)


def generate_credentials(call: Call) -> Answer:
    """Make a password for one slot, or for both when none is named."""
    registry = call.registry()
    token = _token_of_body(call, registry)
    check_settled(token, call)
    expires = _expiry(call)
    name = call.body.get("name")
    slots = SLOTS if name is None else (one_of(name, SLOTS, "name"),)
    effective = _effective(call, token)
    values = {slot: new_value() for slot in slots}
    for slot, value in values.items():
        token.slots[slot] = hash_value(
            slot, value, created=call.now, effective=effective, expires=expires
        )
    token.had_password = True
    shown = [password_json(token, slot, values.get(slot)) for slot in sorted(token.slots)]
    return done(call, {"username": token.name, "passwords": shown})


def _effective(call: Call, token: Token) -> datetime:
    """Return when new passwords count: at once on a token that never had one."""
    slow = call.fault("slow-propagation")
    if slow is not None:
        return call.now + timedelta(seconds=slow.seconds)
    if not token.had_password:
        return call.now
    return call.now + call.lab_seconds(_REPLICATION)


def _token_of_body(call: Call, registry: Registry) -> Token:
    if call.body.get("tokenId") is None:
        raise missing_property("tokenId")
    name = name_in_id(call.body["tokenId"], registry.id, "tokens")
    if name not in registry.tokens:
        raise not_found(name)
    return registry.tokens[name]


def _expiry(call: Call) -> datetime | None:
    if call.body.get("expiry") is None:
        return None
    expires = parse_time(call.body["expiry"], "expiry")
    if expires <= call.now:
        raise refused("ExpiryInThePast", f"'expiry' is {call.body['expiry']}: it has passed.")
    return expires


def _scope_map(registry: Registry, properties: Json) -> str:
    if properties.get("scopeMapId") is None:
        raise missing_property("properties.scopeMapId")
    name = name_in_id(properties["scopeMapId"], registry.id, "scopeMaps")
    return scope_map_named(registry, name).name


def _kept_slots(properties: Json) -> list[Any] | None:
    """Return the slots that the body names; None when it says nothing about them."""
    passwords = as_object(properties.get("credentials"), "credentials").get("passwords")
    if passwords is None:
        return None
    if not isinstance(passwords, list):
        raise refused("InvalidValue", "'credentials.passwords' is not a list.")
    return [one_of(as_object(each, "passwords").get("name"), SLOTS, "name") for each in passwords]


def _new_token(call: Call, registry: Registry, name: str) -> Token:
    check_name("tokens", name)
    if len(registry.tokens) >= _LIMIT:
        raise refused("TooManyTokens", f"A registry may have {_LIMIT} tokens.")
    return Token(name, call.now, call.now)
