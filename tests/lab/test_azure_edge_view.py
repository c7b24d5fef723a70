"""What the registries at the edge get from their parent, and what Azure shows of their reports."""

from datetime import timedelta

import pytest

from lab.azure import ALREADY_ACTIVATED
from tests.lab.azure_client import GATEWAY_VERBS, GROUP, PREVIEW, REGISTRY, azure_on, code_of

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


def read(azure, name="oslo1", **options):
    return azure.send("GET", f"connectedRegistries/{name}", **options).json()["properties"]


def test_a_child_finds_its_gateway_once_its_parent_is_active(azure):
    parent = azure.add_connected("vessel1", mode="ReadWrite").json()["id"]
    azure.add_connected("cabin1", parent=parent)
    before = read(azure, "cabin1")["parent"]["syncProperties"].get("gatewayEndpoint")

    azure.call(azure.registry.activate, "vessel1", "instance")
    azure.call(
        azure.registry.report, "vessel1", "Online", "1.0.0", login_server_host="10.0.0.5:443"
    )

    assert before is None
    after = read(azure, "cabin1")["parent"]
    assert after["id"] == parent
    assert after["syncProperties"]["gatewayEndpoint"] == "10.0.0.5:443"


def test_deactivating_lets_another_instance_in(azure):
    azure.add_connected("oslo1")
    first = azure.call(azure.registry.activate, "oslo1", "one")
    azure.call(azure.registry.report, "oslo1", "Online", "1.0.0", azure.clock.now(), "10.43.0.9")
    second = azure.call(azure.registry.activate, "oslo1", "two")
    online = read(azure)

    azure.arm.connected_registries.begin_deactivate(GROUP, REGISTRY, "oslo1").result()

    assert (first, second) == (None, ALREADY_ACTIVATED)
    assert online["activation"]["status"] == "Active"
    assert online["loginServer"]["host"] == "10.43.0.9"
    assert read(azure)["activation"]["status"] == "Inactive"
    assert read(azure)["connectionState"] == "Offline"
    assert azure.call(azure.registry.activate, "oslo1", "two") is None


def test_a_resync_is_pending_until_the_edge_has_synced(azure):
    azure.add_connected("oslo1")
    azure.call(azure.registry.activate, "oslo1", "one")
    path = "connectedRegistries/oslo1/resync"

    refused = azure.send("POST", path)
    asked = azure.send("POST", path, version=PREVIEW).json()["properties"]["registrySyncResult"]
    wanted = azure.call(azure.registry.sync_view, "oslo1").resync
    azure.call(azure.registry.report, "oslo1", "Online", last_sync=azure.clock.now())
    done = read(azure, version=PREVIEW)["registrySyncResult"]

    assert code_of(refused) == "NoRegisteredProviderFound"
    assert (asked["syncTrigger"], asked["syncState"], wanted) == ("ManualResync", "Pending", True)
    assert done["syncState"] == "Succeeded"
    assert not azure.call(azure.registry.sync_view, "oslo1").resync


def test_disk_metrics_are_for_the_preview_version_only(azure):
    azure.add_connected("oslo1")
    details = [
        {"type": "Disk", "code": "DiskError", "description": "no space left"},
        {"type": "DiskSpace", "code": "DiskCapacityMetrics", "totalGib": 20, "availableGib": 3},
    ]
    azure.call(azure.registry.activate, "oslo1", "one")
    azure.call(azure.registry.report, "oslo1", "Unhealthy", status_details=details)

    assert read(azure)["statusDetails"] == details[:1]
    assert read(azure, version=PREVIEW)["statusDetails"] == details
    assert read(azure)["connectionState"] == "Unhealthy"


def test_the_sync_token_is_checked_as_the_edge_needs_it(azure):
    azure.add_connected("oslo1")
    token_id = f"{azure.registry_path}/tokens/oslo1"
    password = azure.password(token_id)

    def check(token="oslo1", value=password, name="oslo1"):
        return azure.call(azure.registry.check_sync_token, name, token, value)

    good, wrong = check(), check(value="wrong")
    other_token, other_name = check(token="oslo2"), check(name="bergen")
    azure.add_scope_map("oslo1", *[f"gateway/oslo1/{verb}" for verb in GATEWAY_VERBS[:3]])
    no_scope = check()
    azure.send("PATCH", "tokens/oslo1", {"properties": {"status": "disabled"}})
    disabled = check()

    assert good is None
    assert "Incorrect Password" in wrong
    assert "not the sync token" in other_token
    assert "does not exist" in other_name
    assert "Insufficient scopes" in no_scope
    assert "disabled" in disabled


def test_a_synchronisation_brings_repositories_clients_and_settings(azure):
    client = azure.add_token("oslo-client", "repositories/vessel/nav/content/read")
    value = azure.password(client)
    azure.add_connected("oslo1", clientTokenIds=[client], schedule="30 * * * *", syncWindow="PT1H")

    view = azure.call(azure.registry.sync_view, "oslo1")

    assert view.repositories == ("vessel/crew", "vessel/nav")
    assert (view.schedule, view.window, view.message_ttl) == ("30 * * * *", "PT1H", "P2D")
    assert [each.name for each in view.clients] == ["oslo-client"]
    assert view.clients[0].actions == ("repositories/vessel/nav/content/read",)
    assert view.clients[0].passwords[0].matches(value, azure.clock.now())
    assert not view.clients[0].passwords[0].matches("wrong", azure.clock.now())
    assert value not in repr(view)


def test_a_registry_that_is_gone_takes_no_reports(azure):
    azure.add_connected("oslo1")
    azure.call(azure.registry.report, "oslo1", "Online", last_sync=azure.clock.now())
    assert read(azure)["connectionState"] == "Offline"
    azure.send("DELETE", "connectedRegistries/oslo1")

    azure.call(azure.registry.report, "oslo1", "Online")

    assert azure.call(azure.registry.is_active, "oslo1", "one") is False


def test_a_jump_of_the_clock_expires_passwords_at_the_edge(azure):
    client = azure.add_token("oslo-client")
    expiry = (azure.clock.now() + timedelta(days=30)).isoformat()
    value = azure.generate(client, "password1", expiry=expiry).json()["passwords"][0]["value"]
    azure.add_connected("oslo1", clientTokenIds=[client])
    password = azure.call(azure.registry.sync_view, "oslo1").clients[0].passwords[0]

    before = password.matches(value, azure.clock.now())
    azure.clock.jump(timedelta(days=31))

    assert (before, password.matches(value, azure.clock.now())) == (True, False)
