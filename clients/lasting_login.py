"""A login to Azure that asynchronous clients can share and close, and that goes on working.

prefect-azure 0.4.13 closes the login of its Blob storage after each use and takes it up again: from
the first token's end on, an hour later, azure-core refuses it.
"""

import asyncio
import threading
import time
from types import TracebackType
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.identity import ClientSecretCredential, DefaultAzureCredential
from pydantic import SecretStr

_BEFORE_THE_END = 300.0
"""Seconds before a token's end at which a new one is fetched."""


class LastingLogin:
    """Fetches tokens by a synchronous credential, one at a time, and keeps them until they end.

    It can be used from any number of threads and event loops.
    """

    def __init__(self, credential: TokenCredential) -> None:
        """Take the credential; it is asked when the first token is needed."""
        self._credential = credential
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, ...], AccessToken] = {}

    async def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        """Return a token for these scopes.

        Raises:
            ClientAuthenticationError: Azure gave none.
        """
        return await asyncio.to_thread(self._get, scopes)

    def _get(self, scopes: tuple[str, ...]) -> AccessToken:
        with self._lock:
            known = self._tokens.get(scopes)
            if known is None or known.expires_on - time.time() < _BEFORE_THE_END:
                known = self._tokens[scopes] = self._credential.get_token(*scopes)
            return known

    async def close(self) -> None:
        """Stay open: other clients go on with it."""

    async def __aenter__(self) -> "LastingLogin":
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Stay open."""


def lasting_login(
    tenant_id: str | None, client_id: str | None, secret: SecretStr | None
) -> LastingLogin:
    """Return the login of a service principal, or without one of the default chain."""
    if tenant_id is None or client_id is None or secret is None:
        return LastingLogin(DefaultAzureCredential())
    return LastingLogin(ClientSecretCredential(tenant_id, client_id, secret.get_secret_value()))
