"""Connected registries and scope maps: what Azure fills in, allows and refuses."""

import pytest

from tests.lab.azure_client import (
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
