"""What every call to a registry's management plane needs: one client, words for what goes wrong."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from clients.azure_clouds import CloudEndpoints
from clients.azure_errors import Request, is_missing_child, translated
from clients.azure_transport import BoundedTransport, CautiousRetryPolicy, Patience, ServerClock
from fleet.azure_errors import AzureBusyError
from fleet.sites import AcrRegistry

T = TypeVar("T")
Model = TypeVar("Model")
_PATIENCE = Patience()


class RegistryCalls:
    """The connection to one registry's management plane; safe for many threads.

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
        self._clock = ServerClock()
        self._client = ContainerRegistryManagementClient(
            credential,
            registry.subscription_id,
            endpoints.resource_manager,
            credential_scopes=[f"{endpoints.audience}/.default"],
            polling_interval=patience.polling,
            transport=BoundedTransport(endpoints, patience),
            retry_policy=CautiousRetryPolicy(patience),
            per_call_policies=[self._clock],
            user_agent="acrfleet",
        )

    def now(self) -> datetime:
        """Return Azure's own time, UTC; see `clients.azure_transport.ServerClock`."""
        return self._clock.now()

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

    def connected_registry_id(self, name: str) -> str:
        """Return the resource ID of a connected registry of this registry."""
        return f"{self.id}/connectedRegistries/{name}"

    def close(self) -> None:
        """Close the connections, for good."""
        self._client.close()

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
