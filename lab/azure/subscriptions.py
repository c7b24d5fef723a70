"""Tenants, subscriptions, resource groups, providers and the clouds' endpoints."""

from typing import Any

from lab.azure.calls import Answer, Call, page
from lab.azure.errors import ArmError
from lab.azure.naming import PROVIDER
from lab.azure.rendering import group_json
from lab.azure.rules import as_object
from lab.azure.state import Group
from lab.azure.versions import CHILD_KINDS, versions_of

LOCATIONS = ("West Europe", "North Europe", "East US")


def list_tenants(call: Call) -> Answer:
    """List the one tenant."""
    tenant = call.cloud.tenant
    entry = {"id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": "acrfleet lab"}
    return page(call, [entry])


def list_subscriptions(call: Call) -> Answer:
    """List the one subscription."""
    return page(call, [_subscription(call)])


def read_subscription(call: Call) -> Answer:
    """Read the subscription."""
    call.subscription()
    return Answer(200, _subscription(call))


def list_groups(call: Call) -> Answer:
    """List the resource groups."""
    call.subscription()
    return page(call, [group_json(call.cloud, each) for each in call.cloud.groups.values()])


def read_group(call: Call) -> Answer:
    """Read a resource group."""
    return Answer(200, group_json(call.cloud, call.group()))


def exists_group(call: Call) -> Answer:
    """Tell by the status whether a resource group exists."""
    call.subscription()
    return Answer(204 if call.args["group"] in call.cloud.groups else 404)


def put_group(call: Call) -> Answer:
    """Create a resource group, or replace its tags."""
    call.subscription()
    if not call.body.get("location"):
        message = "The location property is required for this definition."
        raise ArmError(400, "LocationRequired", message)
    found = call.cloud.groups.get(call.args["group"])
    group = found or Group(call.args["group"], str(call.body["location"]))
    group.tags = as_object(call.body.get("tags"), "tags")
    call.cloud.groups[group.name] = group
    return Answer(200 if found else 201, group_json(call.cloud, group))


def list_providers(call: Call) -> Answer:
    """List the one provider with its types and their api-versions."""
    call.subscription()
    return page(call, [_provider(call)])


def read_provider(call: Call) -> Answer:
    """Read the one provider; registering it, which it is, answers the same."""
    call.subscription()
    name = call.args["namespace"]
    if name.lower() != PROVIDER.lower():
        message = f"The resource namespace '{name}' is invalid."
        raise ArmError(404, "InvalidResourceNamespace", message)
    return Answer(200, _provider(call))


def read_endpoints(host: str) -> list[dict[str, Any]]:
    """Return the document by which Terraform and the Azure CLI find a cloud's services."""
    return [
        {
            "name": "acrfleet-lab",
            "resourceManager": f"https://{host}",
            "authentication": {
                "loginEndpoint": f"https://{host}",
                "audiences": [f"https://{host}", "https://management.azure.com/"],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": {"acrLoginServer": "azurecr.io"},
        }
    ]


def _subscription(call: Call) -> dict[str, Any]:
    name = call.cloud.subscription
    return {
        "id": f"/subscriptions/{name}",
        "subscriptionId": name,
        "tenantId": call.cloud.tenant,
        "displayName": "acrfleet lab",
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "subscriptionPolicies": {"quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
    }


def _provider(call: Call) -> dict[str, Any]:
    kinds = ("registries", *(f"registries/{kind}" for kind in CHILD_KINDS))
    return {
        "id": f"/subscriptions/{call.cloud.subscription}/providers/{PROVIDER}",
        "namespace": PROVIDER,
        "registrationState": "Registered",
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": list(LOCATIONS),
                "apiVersions": sorted(versions_of(kind.rpartition("/")[2]), reverse=True),
            }
            for kind in kinds
        ],
    }
