"""The management plane of one Azure Container Registry: scope maps, tokens, connected registries.

One call in, one plain value out; safe for many threads. `fleet.access_plan` decides what to write.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller
from azure.mgmt.containerregistry import ContainerRegistryManagementClient, models

from clients.azure_clouds import CloudEndpoints
from clients.azure_errors import (
    TOKEN_NOT_ACTIVE,
    Request,
    error_code,
    is_missing_child,
    translated,
)
from clients.azure_models import (
    changed_settings,
    connected_registry_state,
    generated_password,
    new_connected_registry,
    registry_facts,
    scope_map_state,
    token_state,
)
from clients.azure_transport import BoundedTransport, CautiousRetryPolicy, Patience
from fleet.azure_objects import (
    ConnectedRegistrySettings,
    ConnectedRegistryState,
    GeneratedPassword,
    RegistryFacts,
    ScopeMapState,
    TokenState,
)
from fleet.errors import AzureBusyError
from fleet.sites import AcrRegistry, Mode

T = TypeVar("T")
Model = TypeVar("Model")
_PATIENCE = Patience()


class RegistryAccess:
    """Reads and writes what a registry knows about its sites.

    Methods raise `AzureBusyError` (try again), `AccessDeniedError`, `LoginFailedError`,
    `RegistryNotFoundError` or `AzureRefusedError`.
    """

    def __init__(
        self,
        registry: AcrRegistry,
        credential: TokenCredential,
        endpoints: CloudEndpoints,
        patience: Patience = _PATIENCE,
    ) -> None:
        """Take the registry, the login and where its cloud is; nothing is sent yet."""
        self.registry = registry
        self._patience = patience
        self._group, self._name = registry.resource_group, registry.name
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()
        self.id = (
            f"/subscriptions/{registry.subscription_id}/resourceGroups/{registry.resource_group}"
            f"/providers/Microsoft.ContainerRegistry/registries/{registry.name}"
        )
        self._client = ContainerRegistryManagementClient(
            credential,
            registry.subscription_id,
            endpoints.resource_manager,
            credential_scopes=[f"{endpoints.audience}/.default"],
            polling_interval=patience.polling,
            transport=BoundedTransport(endpoints, patience),
            retry_policy=CautiousRetryPolicy(patience),
            user_agent="acrfleet",
        )

    def one_writer(self, name: str) -> threading.RLock:
        """Return the lock under which to read, plan and write what a connected registry has.

        These APIs know no ETags: of two writers at once one would lose its change.
        """
        with self._guard:
            return self._locks.setdefault(name.casefold(), threading.RLock())

    def scope_map_id(self, name: str) -> str:
        """Return the resource ID of a scope map of this registry."""
        return f"{self.id}/scopeMaps/{name}"

    def token_id(self, name: str) -> str:
        """Return the resource ID of a token of this registry."""
        return f"{self.id}/tokens/{name}"

    def read_registry(self) -> RegistryFacts:
        """Return what matters about the registry itself."""
        with translated(self._request("read the registry", is_registry=True)):
            return registry_facts(self._client.registries.get(self._group, self._name))

    def turn_on_data_endpoint(self) -> RegistryFacts:
        """Turn on the dedicated data endpoint and return the registry as it is then."""
        change = models.RegistryUpdateParameters(
            properties=models.RegistryPropertiesUpdateParameters(data_endpoint_enabled=True)
        )
        update = self._client.registries.begin_update
        what = "turn on the data endpoint"
        found = self._finish(
            what, lambda: update(self._group, self._name, change), is_registry=True
        )
        return registry_facts(found)

    def read_scope_map(self, name: str) -> ScopeMapState | None:
        """Return a scope map, or None if there is none."""
        found = self._find(f"read scope map {name}", self._client.scope_maps.get, name)
        return scope_map_state(found) if found else None

    def create_scope_map(
        self, name: str, actions: frozenset[str], description: str
    ) -> ScopeMapState:
        """Make a scope map with these actions."""
        wanted = models.ScopeMap(
            properties=models.ScopeMapProperties(actions=sorted(actions), description=description)
        )
        create = self._client.scope_maps.begin_create
        begin = partial(create, self._group, self._name, name, wanted)
        return scope_map_state(self._finish(f"create scope map {name}", begin))

    def update_scope_map(
        self, name: str, *, actions: frozenset[str] | None = None, description: str | None = None
    ) -> ScopeMapState:
        """Replace actions or description of a scope map; None leaves them as they are."""
        change = models.ScopeMapUpdateParameters(
            properties=models.ScopeMapPropertiesUpdateParameters(
                actions=None if actions is None else sorted(actions), description=description
            )
        )
        update = self._client.scope_maps.begin_update
        begin = partial(update, self._group, self._name, name, change)
        return scope_map_state(self._finish(f"change scope map {name}", begin))

    def read_token(self, name: str) -> TokenState | None:
        """Return a token with its filled password slots, or None if there is none."""
        found = self._find(f"read token {name}", self._client.tokens.get, name)
        return token_state(found) if found else None

    def create_token(self, name: str, scope_map: str) -> TokenState:
        """Make an enabled token without passwords, bound to a scope map of this registry.

        Never use it on a token that has passwords: whether they survive is not documented.
        """
        properties = models.TokenProperties(
            scope_map_id=self.scope_map_id(scope_map), status="enabled"
        )
        wanted = models.Token(properties=properties)
        create = self._client.tokens.begin_create
        begin = partial(create, self._group, self._name, name, wanted)
        return token_state(self._finish(f"create token {name}", begin))

    def update_token(self, name: str, scope_map: str) -> TokenState:
        """Bind a token to another scope map; passwords and status stay."""
        change = models.TokenUpdateParameters(
            properties=models.TokenUpdateProperties(scope_map_id=self.scope_map_id(scope_map))
        )
        update = self._client.tokens.begin_update
        begin = partial(update, self._group, self._name, name, change)
        return token_state(self._finish(f"change token {name}", begin))

    def renew_password(
        self, token: str, slot: str, expires: datetime | None = None
    ) -> GeneratedPassword:
        """Make a new password in one slot of a token; the old one of that slot ends.

        The slot is always named: without a name Azure replaces both. The request is never repeated
        behind the caller's back: when its answer is lost, `AzureBusyError` is raised and the slot
        holds a value that nobody knows; asking again is harmless because the slot is idle.

        Args:
            token: Name of the token.
            slot: `password1` or `password2`, whichever is in use nowhere.
            expires: When the password ends; None for never.
        """
        body = models.GenerateCredentialsParameters(
            token_id=self.token_id(token), name=slot, expiry=expires
        )
        deadline = time.monotonic() + self._patience.activation
        while True:
            found = self._generate(f"make {slot} of token {token}", body)
            if found is not None:
                return generated_password(found, token, slot)
            if time.monotonic() >= deadline:
                raise AzureBusyError(f"token {token} is still not active in Azure")
            time.sleep(self._patience.polling)

    def read_connected_registry(self, name: str) -> ConnectedRegistryState | None:
        """Return a connected registry, or None if there is none."""
        get = self._client.connected_registries.get
        found = self._find(f"read connected registry {name}", get, name)
        return connected_registry_state(found) if found else None

    def create_connected_registry(
        self,
        name: str,
        *,
        mode: Mode,
        sync_token: str,
        settings: ConnectedRegistrySettings,
        client_token_ids: tuple[str, ...] = (),
    ) -> ConnectedRegistryState:
        """Make a connected registry whose parent is the registry in the cloud."""
        token_id = self.token_id(sync_token)
        wanted = new_connected_registry(mode, token_id, settings, client_token_ids)
        create = self._client.connected_registries.begin_create
        begin = partial(create, self._group, self._name, name, wanted)
        return connected_registry_state(self._finish(f"create connected registry {name}", begin))

    def update_connected_registry(
        self, name: str, settings: ConnectedRegistrySettings, groups: frozenset[str]
    ) -> ConnectedRegistryState:
        """Set groups of settings: sync, logging, gc, notifications; all others stay."""
        return self._patch_connected_registry(name, changed_settings(settings, groups))

    def update_client_tokens(self, name: str, token_ids: tuple[str, ...]) -> ConnectedRegistryState:
        """Replace the list of tokens that a connected registry accepts; no IDs clear it."""
        properties = models.ConnectedRegistryUpdateProperties(client_token_ids=list(token_ids))
        change = models.ConnectedRegistryUpdateParameters(properties=properties)
        return self._patch_connected_registry(name, change)

    def close(self) -> None:
        """Close the connections, for good."""
        self._client.close()

    def _patch_connected_registry(
        self, name: str, change: models.ConnectedRegistryUpdateParameters
    ) -> ConnectedRegistryState:
        update = self._client.connected_registries.begin_update
        begin = partial(update, self._group, self._name, name, change)
        return connected_registry_state(self._finish(f"change connected registry {name}", begin))

    def _generate(
        self, what: str, body: models.GenerateCredentialsParameters
    ) -> models.GenerateCredentialsResult | None:
        """Ask for a password; None says that the token is not active yet."""
        begin = self._client.registries.begin_generate_credentials
        with translated(self._request(what, secret=True)):
            try:
                return self._wait(what, begin(self._group, self._name, body))
            except HttpResponseError as error:
                if error.status_code == 409 and error_code(error) == TOKEN_NOT_ACTIVE:
                    return None
                raise

    def _find(self, what: str, get: Callable[[str, str, str], Model], name: str) -> Model | None:
        with translated(self._request(what)):
            try:
                return get(self._group, self._name, name)
            except HttpResponseError as error:
                if is_missing_child(error):
                    return None
                raise

    def _finish(
        self, what: str, begin: Callable[[], LROPoller[T]], *, is_registry: bool = False
    ) -> T:
        with translated(self._request(what, is_registry=is_registry)):
            return self._wait(what, begin())

    def _wait(self, what: str, poller: LROPoller[T]) -> T:
        """Wait for an operation, but not for ever."""
        result = poller.result(self._patience.operation)
        if not poller.done():
            raise AzureBusyError(f"could not {what} in time: Azure is still working on it")
        return result

    def _request(self, what: str, **more: Any) -> Request:
        return Request(f"{what} in {self._name}", self._name, self.id, **more)
