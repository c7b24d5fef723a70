"""Connected registries and scope maps: what Azure fills in, allows and refuses."""

from datetime import timedelta

import pytest

from lab.azure import ALREADY_ACTIVATED
from tests.lab.azure_client import (
    GATEWAY_VERBS,
    GROUP,
    PREVIEW,
    REGISTRY,
    azure_on,
    code_of,
    connected,
)

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


def read(azure, name="oslo1", **options):
    return azure.send("GET", f"connectedRegistries/{name}", **options).json()["properties"]


def patch(azure, name="oslo1", **properties):
    return azure.send("PATCH", f"connectedRegistries/{name}", {"properties": properties})


def test_a_new_connected_registry_looks_as_recorded(azure):
    answer = azure.add_connected("oslo1", mode="readonly")

    assert answer.json()["properties"] == {
        "provisioningState": "Succeeded",
        "mode": "ReadOnly",
        "connectionState": "Offline",
        "activation": {"status": "Inactive"},
        "parent": {
            "syncProperties": {
                "tokenId": f"{azure.registry_path}/tokens/oslo1",
                "schedule": "* * * * *",
                "messageTtl": "P2D",
                "gatewayEndpoint": "acrfleet.westeurope.data.azurecr.io",
            }
        },
        "loginServer": {"tls": {"certificate": {}}},
        "logging": {"logLevel": "Information", "auditLogStatus": "Disabled"},
        "garbageCollection": {"enabled": True, "schedule": "0 0 * * *"},
        "notificationsList": [],
    }


def test_words_and_booleans_are_normalised(azure):
    collection = {"enabled": "true", "schedule": "0 3 * * *"}
    logging = {"logLevel": "warning", "auditLogStatus": "enabled"}

    azure.add_connected("oslo1", mode="READWRITE", garbageCollection=collection, logging=logging)

    oslo = read(azure)
    assert oslo["mode"] == "ReadWrite"
    assert oslo["garbageCollection"]["enabled"] is True
    assert oslo["logging"] == {"logLevel": "Warning", "auditLogStatus": "Enabled"}


def test_the_preview_version_tells_more(azure):
    azure.add_connected("oslo1")

    plain, preview = read(azure), read(azure, version=PREVIEW)

    assert "registrySyncResult" not in plain
    assert preview["registrySyncResult"]["syncState"] == "NotActivated"
    assert preview["parent"]["syncProperties"]["authType"] == "SyncToken"
    assert "authType" not in plain["parent"]["syncProperties"]


def test_a_patch_changes_what_it_names_and_nothing_else(azure):
    client = azure.add_token("oslo-client")
    azure.add_connected("oslo1", clientTokenIds=[client], notificationsList=["*:*"])
    before = read(azure)

    answer = patch(azure, syncProperties={"messageTtl": "P5D"}, logging={"logLevel": "Debug"})

    before["parent"]["syncProperties"]["messageTtl"] = "P5D"
    before["logging"]["logLevel"] = "Debug"
    assert answer.status_code == 200
    assert answer.json()["properties"] == before
    assert before["clientTokenIds"] == [client]


def test_an_empty_list_clears_client_tokens_and_notifications(azure):
    azure.add_connected(
        "oslo1", clientTokenIds=[azure.add_token("oslo-client")], notificationsList=["*:*"]
    )

    patch(azure, clientTokenIds=[], notificationsList=[])

    assert "clientTokenIds" not in read(azure)
    assert read(azure)["notificationsList"] == []


def test_a_patch_moves_the_creation_time_as_recorded(azure):
    created = azure.add_connected("oslo1").json()["systemData"]["createdAt"]

    changed = patch(azure).json()["systemData"]["createdAt"]

    assert changed > created


def test_a_continuous_schedule_drops_the_window(azure):
    azure.add_connected("oslo1", schedule="0 2 * * *", syncWindow="PT3H")
    scheduled = read(azure)["parent"]["syncProperties"]

    patch(azure, syncProperties={"schedule": "* * * * *"})

    assert (scheduled["schedule"], scheduled["syncWindow"]) == ("0 2 * * *", "PT3H")
    assert "syncWindow" not in read(azure)["parent"]["syncProperties"]


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "ReadWrite"},
        {"mode": "ReadOnly"},
        {"parent": {"id": None}},
        {"syncProperties": {"tokenId": "{registry}/tokens/oslo1"}},
    ],
)
def test_mode_parent_and_sync_token_cannot_be_patched(azure, change):
    azure.add_connected("oslo1")

    answer = patch(azure, **change)

    assert (answer.status_code, code_of(answer)) == (400, "EmulatedPropertyNotPatchable")


def test_mode_and_sync_token_cannot_be_replaced(azure):
    azure.add_connected("oslo1")
    token_id = f"{azure.registry_path}/tokens/oslo1"
    other = azure.add_token("other-sync")
    path = "connectedRegistries/oslo1"

    same = azure.send("PUT", path, connected(token_id, messageTtl="P9D"))
    mode = azure.send("PUT", path, connected(token_id, mode="ReadWrite"))
    token = azure.send("PUT", path, connected(other))

    assert [each.status_code for each in (same, mode, token)] == [200, 400, 400]
    assert code_of(mode) == code_of(token) == "EmulatedPropertyCannotChange"
    assert read(azure)["parent"]["syncProperties"]["messageTtl"] == "P9D"


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"messageTtl": None}, "EmulatedMissingProperty"),
        ({"messageTtl": "PT12H"}, "EmulatedDurationOutOfRange"),
        ({"messageTtl": "P91D"}, "EmulatedDurationOutOfRange"),
        ({"messageTtl": "two days"}, "EmulatedInvalidDuration"),
        ({"schedule": "0 2 * * *", "syncWindow": "PT30M"}, "EmulatedDurationOutOfRange"),
        ({"schedule": "0 2 * * *", "syncWindow": "P8D"}, "EmulatedDurationOutOfRange"),
        ({"schedule": "every hour"}, "EmulatedInvalidSchedule"),
        ({"mode": "WriteOnly"}, "EmulatedInvalidValue"),
        ({"mode": None}, "EmulatedMissingProperty"),
        ({"logging": {"logLevel": "Loud"}}, "EmulatedInvalidValue"),
        ({"clientTokenIds": ["oslo-client"]}, "EmulatedInvalidResourceId"),
        ({"clientTokenIds": "oslo-client"}, "InvalidRequestContent"),
        ({"authType": "ManagedIdentity"}, "EmulatedManagedIdentity"),
    ],
)
def test_settings_out_of_bounds_are_refused_and_nothing_is_made(azure, properties, code):
    answer = azure.add_connected("oslo1", **properties)

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert azure.send("GET", "connectedRegistries/oslo1").status_code == 404


@pytest.mark.parametrize("bounds", [("P1D", "PT1H"), ("P90D", "P7D"), ("PT24H", "P1W")])
def test_settings_on_the_bounds_are_allowed(azure, bounds):
    ttl, window = bounds

    answer = azure.add_connected(
        "oslo1", messageTtl=ttl, syncWindow=window, schedule="0 0/10 * * *"
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["oslo", "oslo-1", "oslo_1", "x" * 51])
def test_names_that_the_specification_forbids_are_refused(azure, name):
    token_id = azure.add_token("oslo-sync")

    answer = azure.send("PUT", f"connectedRegistries/{name}", connected(token_id))

    assert (answer.status_code, code_of(answer)) == (400, "EmulatedInvalidName")


def test_tokens_have_to_exist(azure):
    nobody = f"{azure.registry_path}/tokens/nobody"

    sync = azure.add_connected("oslo1", nobody)
    client = azure.add_connected("oslo1", clientTokenIds=[nobody])

    assert [code_of(sync), code_of(client)] == ["ResourceNotFound"] * 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"sku": "Standard", "data_endpoint": False}, "EmulatedPremiumRequired"),
        ({"data_endpoint": False}, "EmulatedDataEndpointRequired"),
    ],
)
def test_the_parent_registry_must_be_premium_with_a_data_endpoint(azure, options, code):
    azure.add_registry("harbour", **options)
    path = azure.registry_path.replace(REGISTRY, "harbour")

    answer = azure.send("PUT", f"{path}/connectedRegistries/oslo1", connected("any"))

    assert (answer.status_code, code_of(answer)) == (400, code)


def test_a_registry_has_at_most_50_connected_registries(azure):
    token_id = azure.add_token("shared-sync")
    made = [azure.add_connected(f"site{n:02}", token_id).status_code for n in range(50)]

    one_more = azure.add_connected("site50", token_id)

    assert set(made) == {200}
    assert (one_more.status_code, code_of(one_more)) == (400, "EmulatedTooManyConnectedRegistries")
    assert azure.add_connected("site00", token_id).status_code == 200


def test_a_connected_registry_has_at_most_50_clients(azure):
    azure.add_connected("oslo1")
    scope_map = {"properties": {"scopeMapId": azure.add_scope_map("clients")}}
    ids = [azure.send("PUT", f"tokens/client-{n}", scope_map).json()["id"] for n in range(51)]

    refused = patch(azure, clientTokenIds=ids)
    allowed = patch(azure, clientTokenIds=ids[:50])

    assert (refused.status_code, code_of(refused)) == (400, "EmulatedTooManyClientTokens")
    assert len(allowed.json()["properties"]["clientTokenIds"]) == 50


def test_a_scope_map_has_at_most_500_actions(azure):
    actions = [f"repositories/vessel/app{n}/content/read" for n in range(501)]
    put = {"properties": {"actions": actions}}

    refused = azure.send("PUT", "scopeMaps/harbour", put)
    put["properties"]["actions"] = actions[:500]

    assert (refused.status_code, code_of(refused)) == (400, "EmulatedTooManyActions")
    assert azure.send("PUT", "scopeMaps/harbour", put).status_code == 200


@pytest.mark.parametrize(
    "action",
    [
        "repositories/vessel/nav/content/execute",
        "repositories/Vessel/content/read",
        "repositories/*/nav/content/read",
        "repositories//content/read",
        "gateway/oslo1/content/read",
        "registry/catalog/list",
        "content/read",
    ],
)
def test_actions_that_do_not_exist_are_refused(azure, action):
    answer = azure.send("PUT", "scopeMaps/harbour", {"properties": {"actions": [action]}})

    assert (answer.status_code, code_of(answer)) == (400, "EmulatedInvalidAction")


@pytest.mark.parametrize(
    "action",
    [
        "repositories/*/content/read",
        "repositories/vessel/*/metadata/write",
        "repositories/vessel/nav-2.x/content/delete",
        "gateway/oslo1/config/write",
    ],
)
def test_actions_that_exist_are_allowed(azure, action):
    answer = azure.send("PUT", "scopeMaps/harbour", {"properties": {"actions": [action]}})

    assert answer.status_code == 200


def test_the_systems_scope_maps_cannot_be_changed(azure):
    changed = azure.send("PATCH", "scopeMaps/_repositories_pull", {"properties": {"actions": []}})
    deleted = azure.send("DELETE", "scopeMaps/_repositories_pull")

    assert code_of(changed) == code_of(deleted) == "EmulatedSystemScopeMap"
    pull = azure.send("GET", "scopeMaps/_repositories_pull").json()["properties"]
    assert pull["type"] == "SystemDefined"


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


def test_a_read_only_parent_has_no_writing_children(azure):
    parent = azure.add_connected("vessel1").json()["id"]

    writing = azure.add_connected("cabin1", mode="ReadWrite", parent=parent)
    reading = azure.add_connected("cabin2", parent=parent)
    deleted = azure.send("DELETE", "connectedRegistries/vessel1")

    assert (writing.status_code, code_of(writing)) == (400, "EmulatedParentMode")
    assert reading.status_code == 200
    assert (deleted.status_code, code_of(deleted)) == (409, "EmulatedConnectedRegistryHasChildren")


def test_the_list_can_be_filtered(azure):
    parent = azure.add_connected("vessel1", mode="ReadWrite").json()["id"]
    azure.add_connected("cabin1", parent=parent)
    azure.add_connected("cabin2", mode="ReadWrite", parent=parent)
    azure.call(azure.registry.activate, "cabin2", "instance")
    azure.call(azure.registry.report, "cabin2", "Online")
    found = {
        text: [
            each.name for each in azure.arm.connected_registries.list(GROUP, REGISTRY, filter=text)
        ]
        for text in (
            "mode eq 'ReadWrite'",
            f"parent.id eq '{parent}'",
            "Parent/Id eq null",
            "connectionState eq 'online' and mode eq 'readwrite'",
        )
    }

    assert list(found.values()) == [
        ["vessel1", "cabin2"],
        ["cabin1", "cabin2"],
        ["vessel1"],
        ["cabin2"],
    ]


@pytest.mark.parametrize("text", ["mode ne 'ReadOnly'", "version eq '1'", "mode"])
def test_another_filter_is_refused(azure, text):
    answer = azure.send("GET", "connectedRegistries", **{"$filter": text})

    assert (answer.status_code, code_of(answer)) == (400, "EmulatedInvalidFilter")


def test_filtered_lists_come_in_pages_too(tmp_path):
    with azure_on(tmp_path, page_size=2) as azure:
        token_id = azure.add_token("shared-sync")
        for number in range(5):
            mode = "ReadWrite" if number == 2 else "ReadOnly"
            azure.add_connected(f"site{number}", token_id, mode=mode)
        items = azure.arm.connected_registries.list(GROUP, REGISTRY, filter="mode eq 'ReadOnly'")
        names = [each.name for each in items]

    assert names == ["site0", "site1", "site3", "site4"]


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
