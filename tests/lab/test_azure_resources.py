"""Resource Manager's manners: paths, versions, names, envelopes, lists, registries."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.lab.azure_client import GROUP, PREVIEW, REGISTRY, azure_on, code_of

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


def subscription(azure):
    return f"/subscriptions/{azure.lab.subscription_id}"


@pytest.mark.parametrize("version", ["2025-09-01-preview", "2025-11-01", PREVIEW])
def test_the_listed_api_versions_are_served(azure, version):
    for path in ("", "connectedRegistries", "scopeMaps", "tokens"):
        assert azure.send("GET", path, version=version).status_code == 200


def test_the_newest_version_is_for_scope_maps_and_tokens_only(azure):
    served = [
        azure.send("GET", path, version="2026-11-01").status_code
        for path in ("scopeMaps", "tokens", "connectedRegistries")
    ]

    assert served == [200, 200, 400]


def test_unknown_and_missing_api_versions_are_refused(azure):
    unknown = azure.send("GET", "tokens", version="2024-01-01")
    missing = azure.send("GET", "tokens", version=None)
    resources = azure.send("GET", subscription(azure), version="1999-01-01")

    assert [each.status_code for each in (unknown, missing, resources)] == [400, 400, 400]
    assert code_of(unknown) == "NoRegisteredProviderFound"
    assert code_of(missing) == "MissingApiVersionParameter"
    assert code_of(resources) == "InvalidApiVersionParameter"


def test_the_sdk_can_be_told_another_version(azure):
    assert azure.management(api_version=PREVIEW).registries.get(GROUP, REGISTRY).name == REGISTRY
    with pytest.raises(HttpResponseError) as refused:
        azure.management(api_version="2020-01-01").registries.get(GROUP, REGISTRY)

    assert refused.value.error.code == "NoRegisteredProviderFound"


def test_names_are_found_in_any_case_and_shown_as_created(azure):
    azure.add_scope_map("Harbour-Read")

    found = azure.send("GET", azure.registry_path.upper() + "/SCOPEMAPS/harbour-READ")

    assert found.json()["name"] == "Harbour-Read"
    assert found.json()["id"] == f"{azure.registry_path}/scopeMaps/Harbour-Read"


def test_what_is_not_there_is_answered_in_the_providers_envelope(azure):
    missing = azure.send("GET", "tokens/nobody")

    assert missing.status_code == 404
    assert missing.json() == {
        "error": {
            "code": "ResourceNotFound",
            "message": "The resource nobody could not be found.",
        },
        "status": "Failed",
    }
    with pytest.raises(ResourceNotFoundError):
        azure.arm.tokens.get(GROUP, REGISTRY, "nobody")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/subscriptions/other", 404, "SubscriptionNotFound"),
        ("GET", "{subscription}/resourceGroups/other", 404, "ResourceGroupNotFound"),
        ("DELETE", "{subscription}/resourceGroups/edge", 405, "MethodNotAllowed"),
        ("GET", "{registry}/webhooks", 501, "EmulatedNotImplemented"),
        ("GET", "{registry}/nonsense", 404, "InvalidResourceType"),
        ("GET", "{subscription}/providers/Microsoft.Other", 404, "InvalidResourceNamespace"),
        ("POST", "{registry}/listCredentials", 400, "UnAuthorizedForCredentialOperations"),
    ],
)
def test_a_wrong_address_is_refused(azure, method, path, status, code):
    names = {"subscription": subscription(azure), "registry": azure.registry_path}
    url = path.format(**names)
    inside = "Microsoft.ContainerRegistry" in url

    answer = azure.send(method, url, version="2025-11-01" if inside else "2022-12-01")

    assert (answer.status_code, code_of(answer)) == (status, code)


@pytest.mark.parametrize("body", ["not JSON", "[1]", '"text"'])
def test_a_body_that_is_no_object_is_refused(azure, body):
    url = f"{azure.lab.resource_manager}{azure.registry_path}/scopeMaps/harbour"

    answer = azure.anonymous.put(
        f"{url}?api-version=2025-11-01",
        content=body,
        headers={"Authorization": f"Bearer {azure.token}"},
    )

    assert (answer.status_code, code_of(answer)) == (400, "InvalidRequestContent")


def test_tenants_subscriptions_groups_and_providers_can_be_listed(azure):
    version = "2022-12-01"
    lists = {
        path: azure.send("GET", path, version=version).json()["value"]
        for path in ("/tenants", "/subscriptions")
    }
    groups = azure.send("GET", f"{subscription(azure)}/resourcegroups", version=version).json()
    provider = f"{subscription(azure)}/providers/Microsoft.ContainerRegistry"
    kinds = azure.send("GET", provider, version=version).json()["resourceTypes"]

    assert lists["/tenants"][0]["tenantId"] == azure.lab.tenant_id
    assert lists["/subscriptions"][0]["subscriptionId"] == azure.lab.subscription_id
    assert [group["name"] for group in groups["value"]] == [GROUP]
    assert "2025-11-01" in kinds[0]["apiVersions"]


def test_resource_groups_can_be_made_and_asked_for(azure):
    path = f"{subscription(azure)}/resourceGroups/harbour"
    version = "2022-12-01"

    before = azure.send("HEAD", path, version=version).status_code
    made = azure.send("PUT", path, {"location": "westeurope"}, version=version).status_code
    again = azure.send("PUT", path, {"location": "westeurope"}, version=version).status_code
    after = azure.send("HEAD", path, version=version).status_code

    assert (before, made, again, after) == (404, 201, 200, 204)


def test_a_registry_tells_what_onboarding_needs_to_know(azure):
    registry = azure.arm.registries.get(GROUP, REGISTRY)

    assert registry.login_server == azure.registry.login_server
    assert registry.sku.name == "Premium"
    assert registry.data_endpoint_enabled is True
    assert registry.data_endpoint_host_names == ["acrfleet.westeurope.data.azurecr.io"]
    assert registry.role_assignment_mode == "LegacyRegistryPermissions"


def test_switching_the_data_endpoint_on_fills_its_host_name_in_the_answer(azure):
    azure.add_registry("harbour", data_endpoint=False)
    path = azure.registry_path.replace(REGISTRY, "harbour")

    answer = azure.send("PATCH", path, {"properties": {"dataEndpointEnabled": True}})

    assert answer.status_code == 200
    names = answer.json()["properties"]["dataEndpointHostNames"]
    assert names == ["harbour.westeurope.data.azurecr.io"]


def test_a_registry_made_through_resource_manager_is_served(azure):
    body = {"location": "West Europe", "sku": {"name": "premium"}, "properties": {}}
    made = azure.arm.registries.begin_create(GROUP, "harbour", body).result()

    assert made.sku.name == "Premium"
    challenge = azure.anonymous.get(f"https://{made.login_server}/v2/")
    assert challenge.status_code == 401
    assert azure.call(lambda: azure.lab.registry("harbour").repositories) == {}


def test_a_deleted_registry_is_polled_at_its_location_and_then_gone(azure):
    azure.add_registry("harbour")
    path = azure.registry_path.replace(REGISTRY, "harbour")

    answer = azure.send("DELETE", path)

    assert answer.status_code == 202
    assert answer.json()["properties"]["provisioningState"] == "Deleting"
    assert azure.send("GET", answer.headers["Location"]).status_code == 202
    azure.add_registry("harbour2")
    azure.arm.registries.begin_delete(GROUP, "harbour2").result()
    assert [each.name for each in azure.arm.registries.list()] == [REGISTRY]
    assert azure.send("DELETE", path).status_code == 204


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"sku": {"name": "Premium"}}, "LocationRequired"),
        ({"location": "westeurope"}, "EmulatedMissingProperty"),
        ({"location": "westeurope", "sku": {"name": "Gold"}}, "EmulatedInvalidValue"),
        (
            {
                "location": "westeurope",
                "sku": {"name": "Basic"},
                "properties": {"dataEndpointEnabled": True},
            },
            "EmulatedPremiumRequired",
        ),
    ],
)
def test_a_registry_that_cannot_be_is_refused_and_not_made(azure, body, code):
    path = azure.registry_path.replace(REGISTRY, "harbour")

    answer = azure.send("PUT", path, body)

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert azure.send("GET", path).status_code == 404
    assert azure.changes() == []


def test_lists_come_in_pages_that_the_sdk_follows(tmp_path):
    with azure_on(tmp_path, page_size=3) as azure:
        for number in range(5):
            azure.add_scope_map(f"site-{number}")
        first = azure.send("GET", "scopeMaps").json()

        names = [each.name for each in azure.arm.scope_maps.list(GROUP, REGISTRY)]

    assert len(first["value"]) == 3
    assert "$skiptoken=3" in first["nextLink"]
    assert names[:3] == ["_repositories_admin", "_repositories_pull", "_repositories_push"]
    assert names[3:] == [f"site-{number}" for number in range(5)]


def test_usages_count_what_the_registry_holds(azure):
    azure.add_token("harbour")

    usages = {each.name: each for each in azure.arm.registries.list_usages(GROUP, REGISTRY).value}

    assert usages["Tokens"].current_value == 1
    assert usages["ScopeMaps"].current_value == 4
    assert usages["Size"].current_value > 1000


def test_a_name_is_available_until_it_is_taken(azure):
    path = f"{subscription(azure)}/providers/Microsoft.ContainerRegistry/checkNameAvailability"

    answers = [
        azure.send("POST", path, {"name": name}).json() for name in ("harbour", REGISTRY, "no")
    ]

    assert [answer["nameAvailable"] for answer in answers] == [True, False, False]
    assert azure.changes() == []


def test_terraform_and_az_find_the_endpoints(azure):
    document = azure.anonymous.get(
        f"{azure.lab.resource_manager}/metadata/endpoints?api-version=2022-09-01"
    ).json()[0]

    assert document["resourceManager"] == azure.lab.resource_manager
    assert document["authentication"]["loginEndpoint"] == azure.lab.authority_url
