"""The data plane of one Azure Container Registry: what it holds, and whom it lets in."""

import threading
import time
from collections.abc import Callable
from functools import partial

from azure.containerregistry import (
    ArtifactTagOrder,
    ArtifactTagProperties,
    ContainerRegistryClient,
)
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from pydantic import SecretStr

from clients.azure_clouds import CloudEndpoints
from clients.azure_errors import Request, translated
from clients.azure_transport import BoundedTransport, Patience
from clients.token_login import is_let_in
from fleet.freshness import CloudTag, CloudTags
from fleet.sites import AcrRegistry

_PATIENCE = Patience()
_PAGE = 1000
_MOST_TAGS = 1000
_FRESH = 900.0
"""Seconds for which the library's client is used. Its cache test is inverted (1.2.0): it renews its
refresh token as long as that is good for five more minutes, and then goes on with it for ever; so a
registry that nobody asked for three hours would refuse the rest of a long run."""
_ROLES = (
    "the role `AcrPull`, or where the registry's role assignment mode is ABAC (AcrPull and AcrPush"
    " count for nothing there) the roles `Container Registry Repository Catalog Lister` and"
    " `Container Registry Repository Reader`"
)


class RegistryCatalog:
    """Lists what a registry holds.

    The library asks for a token four requests long per page, hence the large pages. Every method
    may raise `AzureBusyError`, `AccessDeniedError`, `LoginFailedError` or `AzureRefusedError`.
    """

    def __init__(
        self,
        registry: AcrRegistry,
        credential: TokenCredential,
        endpoints: CloudEndpoints,
        find_login_server: Callable[[], str],
        patience: Patience = _PATIENCE,
    ) -> None:
        """Take the login; `find_login_server` is called once, when the first answer is needed."""
        self.registry = registry
        self._find_login_server, self._known_login_server = find_login_server, ""
        self._connect = partial(
            ContainerRegistryClient,
            credential=credential,
            audience=endpoints.registry_audience,
            retry_total=patience.retries,
            retry_status=patience.retries,
            retry_backoff_factor=patience.backoff,
            user_agent="acrfleet",
        )
        self._transport = BoundedTransport(endpoints, patience)
        self._guard = threading.Lock()
        self._connected: tuple[ContainerRegistryClient, float] | None = None

    def list_repositories(self) -> tuple[str, ...]:
        """Return the names of all repositories, page by page until there are no more."""
        client = self._client()
        with translated(self._request("list the repositories")):
            return tuple(client.list_repository_names(results_per_page=_PAGE))

    def find_newest_tag(self, repository: str) -> str | None:
        """Return the tag that was updated last; None when there is no tag or no repository."""
        client = self._client()
        with translated(self._request(f"list the tags of {repository}")):
            tags = client.list_tag_properties(
                repository, order_by=ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING, results_per_page=1
            )
            try:
                newest = next(iter(tags), None)
            except HttpResponseError as error:
                if error.status_code == 404:
                    return None
                raise
        return newest.name if newest else None

    def list_newest_tags(self, repository: str) -> CloudTags:
        """Return the tags of a repository, the one that was moved last first, some 1,000 of them.

        A repository that is not there has none.
        """
        client = self._client()
        found: list[CloudTag] = []
        with translated(self._request(f"list the tags of {repository}")):
            pages = client.list_tag_properties(
                repository,
                order_by=ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING,
                results_per_page=_PAGE,
            ).by_page()
            try:
                for page in pages:
                    found += [_cloud_tag(one) for one in page]
                    if len(found) >= _MOST_TAGS:
                        break
            except HttpResponseError as error:
                if error.status_code != 404:
                    raise
                return CloudTags()
            complete = getattr(pages, "continuation_token", None) is None
        return CloudTags(tags=tuple(found), complete=complete)

    def find_digest(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag names, as `sha256:...`; None when there is no such tag."""
        client = self._client()
        with translated(self._request(f"read {repository}:{tag}")):
            try:
                return client.get_tag_properties(repository, tag).digest
            except HttpResponseError as error:
                if error.status_code == 404:
                    return None
                raise

    def has_manifest(self, repository: str, digest: str) -> bool:
        """Return whether a repository holds a manifest, as `sha256:...`."""
        client = self._client()
        with translated(self._request(f"read {repository}@{digest}")):
            try:
                return bool(client.get_manifest_properties(repository, digest).digest)
            except HttpResponseError as error:
                if error.status_code == 404:
                    return False
                raise

    def lets_in(self, token: str, password: SecretStr, repository: str) -> bool:
        """Return whether the registry itself takes a password of a token at this moment.

        Args:
            token: The token's name.
            password: One of its passwords, or one that was.
            repository: Any repository, for the question.
        """
        request = Request(
            f"log in as {token} to {self.registry.name}",
            self.registry.name,
            f"registry {self.registry.name}",
            secret=True,
        )
        with translated(request):
            server = self._login_server()
            return is_let_in(self._transport, server, token, password, repository)

    def close(self) -> None:
        """Close the connections, for good."""
        self._transport.close()

    def _client(self) -> ContainerRegistryClient:
        with self._guard:
            now = time.monotonic()
            if self._connected is None or now - self._connected[1] > _FRESH:
                server = self._found_login_server()
                made = self._connect(f"https://{server}", transport=self._transport)
                self._connected = (made, now)
            return self._connected[0]

    def _login_server(self) -> str:
        with self._guard:
            return self._found_login_server()

    def _found_login_server(self) -> str:
        """Return the login server; call it with the guard held."""
        if not self._known_login_server:
            self._known_login_server = self._find_login_server()
        return self._known_login_server

    def _request(self, what: str) -> Request:
        name = self.registry.name
        return Request(f"{what} in {name}", name, f"registry {name}", roles=_ROLES, is_catalog=True)


def _cloud_tag(one: ArtifactTagProperties) -> CloudTag:
    return CloudTag(tag=one.name, digest=one.digest, updated=one.last_updated_on)
