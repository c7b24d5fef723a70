"""What connected registries and scope maps may not be."""

import pytest

from tests.lab.azure_client import REGISTRY, azure_on, code_of, connected

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


def patch(azure, name="oslo1", **properties):
    return azure.send("PATCH", f"connectedRegistries/{name}", {"properties": properties})


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
