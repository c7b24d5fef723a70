"""The edge registry's pure parts: connection string, schedule, access, bearer tokens."""

from datetime import UTC, datetime, timedelta

import pytest

from lab.registry import bearer
from lab.registry.access import Access, grant, may_list, parse_scopes, verbs_on
from lab.registry.connection_string import BadConnectionStringError, parse_connection_string
from lab.registry.schedule import Cron, is_due

GOOD = (
    "ConnectedRegistryName=oslo;SyncTokenName=oslo-sync;SyncTokenPassword=r=nt/z+==;"
    "ParentGatewayEndpoint=acr.westeurope.data.azurecr.io;ParentEndpointProtocol=https"
)
NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)  # a Tuesday
HOUR = timedelta(hours=1)


def test_a_password_keeps_its_equals_signs():
    identity = parse_connection_string(GOOD)
    assert identity.sync_password == "r=nt/z+=="
    assert identity.gateway == "acr.westeurope.data.azurecr.io"


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (GOOD.replace("SyncTokenName=oslo-sync;", ""), "SyncTokenName"),
        (GOOD.replace("=https", "=gopher"), "neither http nor https"),
        (GOOD.replace("acr.westeurope.data.azurecr.io", "<parent gateway endpoint>"), "Gateway"),
        (GOOD + ";", "none of"),
        (GOOD + ";SyncTokenName=other", "SyncTokenName"),
        ("", "none of"),
    ],
)
def test_a_broken_string_is_refused_without_showing_the_password(broken, word):
    with pytest.raises(BadConnectionStringError, match=word) as caught:
        parse_connection_string(broken)
    assert "r=nt" not in str(caught.value)


def test_the_connection_string_hides_its_password_when_printed():
    assert "r=nt" not in repr(parse_connection_string(GOOD))


@pytest.mark.parametrize(
    ("cron", "last"),
    [
        ("* * * * *", datetime(2026, 11, 24, 12, 34, tzinfo=UTC)),
        ("30 * * * *", datetime(2026, 11, 24, 12, 30, tzinfo=UTC)),
        ("0 0/10 * * *", datetime(2026, 11, 24, 10, 0, tzinfo=UTC)),
        ("15 13 * * *", datetime(2026, 11, 23, 13, 15, tzinfo=UTC)),
        ("0 3 * * sun", datetime(2026, 11, 22, 3, 0, tzinfo=UTC)),
        ("0 3 * * 7", datetime(2026, 11, 22, 3, 0, tzinfo=UTC)),
        ("0 0 13 * fri", datetime(2026, 11, 20, 0, 0, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2024, 2, 29, 0, 0, tzinfo=UTC)),
        ("5-20/5 0,6 * jan-nov *", datetime(2026, 11, 24, 6, 20, tzinfo=UTC)),
    ],
)
def test_the_last_occurrence_of_a_schedule(cron, last):
    assert Cron.parse(cron).last_before(NOW, NOW - timedelta(days=1500)) == last


@pytest.mark.parametrize(
    "cron", ["* * * *", "60 * * * *", "0 24 * * *", "*/0 * * * *", "x * * * *"]
)
def test_a_bad_schedule_is_refused(cron):
    with pytest.raises(ValueError, match=r".+"):
        Cron.parse(cron)


def test_a_sync_is_due_after_an_occurrence_and_while_the_window_is_open():
    before, after = NOW - timedelta(minutes=10), NOW - timedelta(minutes=1)
    assert is_due("30 * * * *", None, before, NOW)
    assert not is_due("30 * * * *", None, after, NOW)
    assert is_due("30 * * * *", HOUR, after, NOW)
    assert is_due("0 12 * * *", HOUR, after, NOW)
    assert not is_due("0 11 * * *", HOUR, after, NOW)
    assert is_due("* * * * *", None, NOW, NOW)


def test_a_jump_of_the_clock_makes_a_missed_occurrence_due():
    assert is_due("0 3 1 * *", None, NOW, NOW + timedelta(days=30))


ACTIONS = ["repositories/vessel/*/content/read", "repositories/vessel/nav/metadata/read"]


def test_a_wildcard_covers_what_is_below_it_and_nothing_else():
    assert verbs_on("vessel/nav", ACTIONS) == {"pull", "metadata_read"}
    assert verbs_on("vessel/engine/log", ACTIONS) == {"pull"}
    assert verbs_on("office/intranet", ACTIONS) == set()
    assert verbs_on("anything", ["repositories/*/content/read"]) == {"pull"}
    assert verbs_on("oslo", ["gateway/oslo/config/read"]) == set()


def test_the_catalog_needs_metadata_as_well_as_content():
    assert may_list("vessel/nav", ACTIONS)
    assert not may_list("vessel/engine", ACTIONS)


def test_a_grant_is_what_the_map_allows_of_what_is_asked():
    asked = parse_scopes(["repository:vessel/nav:pull,push registry:catalog:*"])
    assert grant(asked[0], ACTIONS) == Access(
        "repository", "vessel/nav", frozenset({"pull", "metadata_read"})
    )
    assert grant(asked[1], ACTIONS) == asked[1]
    assert grant(parse_scopes(["repository:office/x:pull"])[0], ACTIONS) is None


@pytest.mark.parametrize("scope", ["repository", "repository:x", "plane:x:fly", "repository::pull"])
def test_what_is_no_scope_is_refused(scope):
    with pytest.raises(ValueError, match="not a scope"):
        parse_scopes([scope])


def test_a_bearer_token_is_for_one_host_one_key_and_some_minutes():
    access = [Access("repository", "vessel/nav", frozenset({"pull"}))]
    token = bearer.issue(b"key", "10.43.0.9:80", "oslo-client", access, NOW)
    assert bearer.read(b"key", "10.43.0.9:80", token, NOW).allows(
        "repository", "vessel/nav", "pull"
    )
    for key, service, value, now in [
        (b"other", "10.43.0.9:80", token, NOW),
        (b"key", "10.43.0.8:80", token, NOW),
        (b"key", "10.43.0.9:80", token, NOW + bearer.LIFE),
        (b"key", "10.43.0.9:80", token[:-4] + "AAAA", NOW),
        (b"key", "10.43.0.9:80", "no token", NOW),
    ]:
        with pytest.raises(bearer.BadBearerError):
            bearer.read(key, service, value, now)
