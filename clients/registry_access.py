"""The management plane of one Azure Container Registry: scope maps, tokens, connected registries.

One call in, one plain value out; safe for many threads. `fleet.access_plan` decides what to write.
"""

import time
from datetime import datetime
from functools import partial

from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistry import models

from clients.azure_errors import (
    TOKEN_NOT_ACTIVE,
    error_code,
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
from clients.registry_deletions import RegistryDeletions
from fleet.azure_errors import AzureBusyError
from fleet.azure_objects import (
    ConnectedRegistrySettings,
    ConnectedRegistryState,
    GeneratedPassword,
    RegistryFacts,
    ScopeMapState,
    TokenState,
)
from fleet.sites import Mode


class RegistryAccess(RegistryDeletions):
    """Reads and writes what a registry knows about its sites.

    Methods raise `AzureBusyError` (try again), `AccessDeniedError`, `LoginFailedError`,
    `RegistryNotFoundError` or `AzureRefusedError`.
    """

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

    def keep_passwords(self, token: str, kept: tuple[str, ...]) -> TokenState:
        """Remove every password of a token but those in the named slots, for good.

        A PATCH with the names of what stays is what `az acr token credential delete` sends
        (facts/connected-registry.md §3).
        """
        passwords = [models.TokenPassword(name=slot) for slot in kept]
        credentials = models.TokenCredentialsProperties(passwords=passwords)
        change = models.TokenUpdateParameters(
            properties=models.TokenUpdateProperties(credentials=credentials)
        )
        update = self._client.tokens.begin_update
        begin = partial(update, self._group, self._name, token, change)
        return token_state(self._finish(f"remove a password of token {token}", begin))

    def shut_token(self, token: str) -> TokenState:
        """Disable a token and remove both of its passwords, in one request."""
        credentials = models.TokenCredentialsProperties(passwords=[])
        properties = models.TokenUpdateProperties(status="disabled", credentials=credentials)
        change = models.TokenUpdateParameters(properties=properties)
        update = self._client.tokens.begin_update
        begin = partial(update, self._group, self._name, token, change)
        return token_state(self._finish(f"disable token {token}", begin))

    def read_connected_registry(self, name: str) -> ConnectedRegistryState | None:
        """Return a connected registry, or None if there is none."""
        get = self._client.connected_registries.get
        found = self._find(f"read connected registry {name}", get, name)
        return connected_registry_state(found) if found else None

    def list_connected_registries(self) -> tuple[ConnectedRegistryState, ...]:
        """Return all connected registries of this registry, children of others too."""
        with translated(self._request("list the connected registries")):
            found = list(self._client.connected_registries.list(self._group, self._name))
        return tuple(connected_registry_state(item) for item in found)

    def create_connected_registry(
        self,
        name: str,
        *,
        mode: Mode,
        sync_token: str,
        settings: ConnectedRegistrySettings,
        client_token_ids: tuple[str, ...] = (),
        parent: str | None = None,
    ) -> ConnectedRegistryState:
        """Make a connected registry below another one, or below the registry in the cloud."""
        token_id = self.token_id(sync_token)
        parent_id = self.connected_registry_id(parent) if parent else None
        wanted = new_connected_registry(mode, token_id, settings, client_token_ids, parent_id)
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
