"""What a script makes of a site in Azure, with the public SDK and nothing of ours."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from azure.identity import ClientSecretCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from lab.thread import LabThread
from tests.waiting import wait_until

REPOSITORIES = ("vessel/crew-portal", "vessel/engine-monitor", "vessel/navigation")
READS = ("content/read", "metadata/read")
GATEWAY = ("config/read", "config/write", "message/read", "message/write")


@dataclass
class ScriptedAccess:
    """A site's objects in Azure, made as the Azure CLI makes them."""

    lab: LabThread
    site: str
    stack: ExitStack
    sync_password: str = ""
    client_passwords: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of connected registry, sync token and sync scope map, as the CLI does."""
        return f"{self.site}fjord"

    @property
    def pull_token(self) -> str:
        return f"{self.site}-pull"

    @property
    def client_map(self) -> str:
        return f"{self.site}-pull-map"

    @property
    def names(self) -> dict[str, str]:
        """Return what the fleet file has to say under `names`."""
        return {
            "connected_registry": self.name,
            "sync_scope_map": self.name,
            "sync_token": self.name,
            "client_scope_map": self.client_map,
            "client_token": self.pull_token,
        }

    @cached_property
    def info(self) -> dict[str, Any]:
        return next(dict(one) for one in self.lab.info["sites"] if one["name"] == self.site)

    @cached_property
    def registry(self) -> dict[str, Any]:
        return dict(self.lab.info["registries"][0])

    @cached_property
    def azure(self) -> ContainerRegistryManagementClient:
        azure = self.lab.info["azure"]
        credential = self.stack.enter_context(
            ClientSecretCredential(
                azure["tenant_id"],
                azure["client_id"],
                azure["client_secret"],
                authority=azure["authority"],
                disable_instance_discovery=True,
                connection_verify=azure["ca_file"],
            )
        )
        return self.stack.enter_context(
            ContainerRegistryManagementClient(
                credential,
                azure["subscription_id"],
                base_url=azure["resource_manager"],
                credential_scopes=[f"{azure['audience']}/.default"],
                connection_verify=azure["ca_file"],
                polling_interval=0.05,
            )
        )

    def make_access(self, *, schedule: str = "* * * * *") -> None:
        """Do what `az acr connected-registry create` and `az acr token create` do."""
        name = self.name
        actions = [f"repositories/{one}/{verb}" for one in REPOSITORIES for verb in READS]
        gateway = [f"gateway/{name}/{verb}" for verb in GATEWAY]
        about = f"Created by connected registry sync token: {name}"
        self._scope_map(name, [*actions, *gateway], about)
        self._token(name, name)
        self._scope_map(self.client_map, actions, "for the crew")
        self._token(self.pull_token, self.client_map)
        self._connected_registry(name, schedule)

    def _connected_registry(self, name: str, schedule: str) -> None:
        window = {} if schedule == "* * * * *" else {"syncWindow": "PT4H"}
        sync = {"tokenId": self._id("tokens", name), "schedule": schedule, "messageTtl": "P2D"}
        body = {
            "properties": {
                "mode": "ReadOnly",
                "parent": {"syncProperties": {**sync, **window}},
                "clientTokenIds": [self._id("tokens", self.pull_token)],
                "logging": {"logLevel": "Information", "auditLogStatus": "Disabled"},
                "garbageCollection": {"enabled": True, "schedule": "0 0 * * *"},
            }
        }
        self.azure.connected_registries.begin_create(*self._where, name, body).result()

    def make_passwords(self) -> None:
        """Do what `get-settings --generate-password 1` and `az acr token create` do."""
        self.sync_password = self.generate(self.name, "password1")["password1"]
        self.client_passwords = self.generate(self.pull_token)

    def generate(self, token: str, slot: str | None = None) -> dict[str, str]:
        """Generate one slot of a token, or both; returns the values by slot."""
        body = {"tokenId": self._id("tokens", token)} | ({"name": slot} if slot else {})
        made = self.azure.registries.begin_generate_credentials(*self._where, body).result()
        return {str(one["name"]): str(one.value) for one in made.passwords or () if one.value}

    def forget_password(self, token: str, slot: str) -> None:
        """Do what `az acr token credential delete` does."""
        found = self.azure.tokens.get(*self._where, token)
        kept = [one for one in found.credentials.passwords if one["name"] != slot]
        body = {
            "properties": {"credentials": {"passwords": [{"name": one["name"]} for one in kept]}}
        }
        self.azure.tokens.begin_update(*self._where, token, body).result()

    def slots(self, token: str) -> dict[str, Any]:
        """Return when each slot of a token was filled."""
        found = self.azure.tokens.get(*self._where, token)
        return {one["name"]: one.creation_time for one in found.credentials.passwords}

    @property
    def connection_string(self) -> str:
        state = self.azure.connected_registries.get(*self._where, self.name)
        return (
            f"ConnectedRegistryName={self.name};SyncTokenName={self.name};"
            f"SyncTokenPassword={self.sync_password};"
            f"ParentGatewayEndpoint={state.parent.sync_properties.gateway_endpoint};"
            "ParentEndpointProtocol=https"
        )

    def wait_for_state(self, state: str) -> None:
        """Wait until Azure shows the connected registry Online, or Offline."""

        def is_so() -> bool:
            found = self.azure.connected_registries.get(*self._where, self.name)
            return bool(found.properties["connectionState"] == state)

        wait_until(is_so, 40)

    def share_token(self, other: str) -> None:
        """Have another connected registry accept this site's client token."""
        self._scope_map(other, [f"gateway/{other}/{verb}" for verb in GATEWAY], "")
        self._token(other, other)
        self._connected_registry(other, "* * * * *")

    @property
    def _where(self) -> tuple[str, str]:
        return self.registry["resource_group"], self.registry["name"]

    def _id(self, kind: str, name: str) -> str:
        subscription = self.lab.info["azure"]["subscription_id"]
        group, registry = self._where
        return (
            f"/subscriptions/{subscription}/resourceGroups/{group}/providers"
            f"/Microsoft.ContainerRegistry/registries/{registry}/{kind}/{name}"
        )

    def _scope_map(self, name: str, actions: list[str], about: str) -> None:
        body = {"properties": {"actions": actions, "description": about}}
        self.azure.scope_maps.begin_create(*self._where, name, body).result()

    def _token(self, name: str, scope_map: str) -> None:
        properties = {"scopeMapId": self._id("scopeMaps", scope_map), "status": "enabled"}
        self.azure.tokens.begin_create(*self._where, name, {"properties": properties}).result()
