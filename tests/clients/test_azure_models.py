"""What Azure may leave out of its answers, or put into them, without confusing us."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.mgmt.containerregistry import models

from clients.azure_models import (
    changed_settings,
    connected_registry_state,
    generated_password,
    registry_facts,
    scope_map_state,
    token_state,
)
from fleet.azure_errors import AzureRefusedError
from fleet.azure_objects import ConnectedRegistrySettings

SETTINGS = ConnectedRegistrySettings(
    "0 2 * * *", timedelta(hours=3), timedelta(days=2), "Information", False, True, "0 0 * * *", ()
)


def a_connected_registry(**properties: Any) -> models.ConnectedRegistry:
    sync = {"schedule": "* * * * *", "messageTtl": "P2D", **properties.pop("sync", {})}
    return models.ConnectedRegistry(
        {
            "name": "oslo1",
            "properties": {
                "mode": "ReadOnly",
                "parent": {"syncProperties": sync},
                **properties,
            },
        }
    )


def test_a_connected_registry_with_a_managed_identity_has_no_sync_token() -> None:
    state = connected_registry_state(a_connected_registry())
    assert state.sync_token_id is None
    assert state.gateway_endpoint is None


def test_a_registry_that_never_was_online_is_offline_and_inactive() -> None:
    bare = {"loginServer": {"tls": {"certificate": {}}}, "activation": {}}
    state = connected_registry_state(a_connected_registry(**bare))
    assert (state.connection_state, state.activation) == ("Offline", "Inactive")
    assert (state.login_server, state.last_sync, state.client_token_ids) == (None, None, ())


def test_what_azure_does_not_say_is_its_documented_default() -> None:
    settings = connected_registry_state(a_connected_registry()).settings
    assert (settings.log_level, settings.audit_log) == ("Information", False)
    assert (settings.gc_enabled, settings.gc_schedule) == (True, "0 0 * * *")
    assert (settings.window, settings.message_ttl) == (None, timedelta(days=2))


def test_what_a_site_reports_is_read() -> None:
    state = connected_registry_state(
        a_connected_registry(
            sync={"lastSyncTime": "2026-11-24T10:00:00.1234567Z", "syncWindow": "PT3H"},
            connectionState="Unhealthy",
            activation={"status": "Active"},
            version="0.9.0",
            statusDetails=[
                {
                    "type": "Disk",
                    "code": "DiskError",
                    "description": "no space",
                    "timestamp": "2026-11-24T10:00:00Z",
                    "brandNew": 1,
                }
            ],
        )
    )
    assert state.last_sync == datetime(2026, 11, 24, 10, 0, 0, 123456, tzinfo=UTC)
    assert state.settings.window == timedelta(hours=3)
    assert state.is_active
    assert not state.is_online
    assert [detail.code for detail in state.status_details] == ["DiskError"]


def test_the_value_is_taken_from_the_slot_that_was_asked_for() -> None:
    both = models.GenerateCredentialsResult(
        {
            "username": "oslo1",
            "passwords": [
                {"name": "password1", "creationTime": "2026-11-01T10:00:00Z"},
                {"name": "password2", "value": "r=n+t/z", "creationTime": "2026-11-24T10:00:00Z"},
            ],
        }
    )
    found = generated_password(both, "oslo1", "password2")
    assert found.value.get_secret_value() == "r=n+t/z"
    assert "r=n" not in repr(found)
    with pytest.raises(AzureRefusedError, match="without a value"):
        generated_password(both, "oslo1", "password1")
    with pytest.raises(AzureRefusedError):
        generated_password(models.GenerateCredentialsResult({}), "oslo1", "password1")


def test_a_token_without_credentials_has_no_slots() -> None:
    for properties in ({}, {"credentials": {}}, {"credentials": {"passwords": []}}):
        assert token_state(models.Token({"name": "t", "properties": properties})).slots == {}


def test_the_kind_of_a_scope_map_is_not_its_resource_type() -> None:
    found = models.ScopeMap(
        {
            "name": "_repositories_pull",
            "type": "Microsoft.ContainerRegistry/registries/scopeMaps",
            "properties": {"type": "SystemDefined", "actions": []},
        }
    )
    assert scope_map_state(found).kind == "SystemDefined"


def test_roles_per_repository_are_noticed() -> None:
    properties = {
        "roleAssignmentMode": "AbacRepositoryPermissions",
        "loginServer": "ACR.azurecr.io",
    }
    facts = registry_facts(models.Registry({"name": "acr", "properties": properties}))
    assert facts.abac
    assert facts.login_server == "acr.azurecr.io"
    assert facts.data_endpoint is False
    assert registry_facts(models.Registry({"name": "acr"})).abac is False


def test_a_patch_holds_the_groups_that_differ_and_an_empty_list_clears() -> None:
    patch = changed_settings(SETTINGS, frozenset({"notifications"})).as_dict()
    assert patch == {"properties": {"notificationsList": []}}
    patch = changed_settings(SETTINGS, frozenset({"sync"})).as_dict()
    assert patch["properties"] == {
        "syncProperties": {
            "schedule": "0 2 * * *",
            "syncWindow": "PT03H00M00S",
            "messageTtl": "P2D",
        }
    }
