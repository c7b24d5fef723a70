"""A site's own registry, spoken to through a forwarded port.

It speaks the Docker registry API with its own token endpoint, whose path differs from the cloud's,
so the realm is taken from the challenge (facts/connected-registry.md §7).
"""

import re
import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Self
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from fleet.errors import SiteRegistrySilentError, SiteRegistryUnreachableError
from fleet.outcomes import SiteEndpoint
from fleet.sites import Strict

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 30.0
_SMALL = 4 * 1024 * 1024
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)


class Challenge(Strict):
    """How the registry wants to be authenticated to; no realm means that it does not."""

    realm: str | None = None
    service: str = ""


class SiteRegistry:
    """The registry at an endpoint, dialled on a local port and addressed by its own name.

    Args:
        endpoint: The name the site knows it by; it goes into the Host header.
        local_port: Port on 127.0.0.1 that leads there.
        ca_file: PEM file that verifies an https registry; none: the system's.

    Raises:
        SiteRegistryUnreachableError: From any method: no answer, or one that says to try later.
        SiteRegistrySilentError: From any method: an answer that no registry gives.
    """

    def __init__(
        self, endpoint: SiteEndpoint, local_port: int, *, ca_file: str | None = None
    ) -> None:
        self.endpoint = endpoint
        self._client = httpx.Client(
            base_url=f"{endpoint.scheme}://127.0.0.1:{local_port}",
            headers={"Host": endpoint.host, "User-Agent": "acrfleet"},
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            verify=ssl.create_default_context(cafile=ca_file),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        """Return the registry itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def read_challenge(self) -> Challenge:
        """Ask `/v2/` and return how to authenticate.

        Raises:
            SiteRegistrySilentError: Also when the realm is on another host.
        """
        answer = self._ask("GET", "/v2/")
        if answer.status_code == 200:
            return Challenge()
        if answer.status_code != 401:
            raise self._strange(f"/v2/ answered {answer.status_code}, expected 200 or 401")
        header = answer.headers.get("WWW-Authenticate", "")
        if not header.lower().startswith("bearer "):
            raise self._strange(f"/v2/ offers {header!r}, expected a Bearer challenge")
        parts = dict(re.findall(r'(\w+)="([^"]*)"', header))
        if "realm" not in parts:
            raise self._strange(f"/v2/ offers {header!r}, which has no realm")
        realm = urlsplit(parts["realm"])
        if realm.netloc.lower() not in self._own_names():
            raise self._strange(
                f"it sends clients to {realm.netloc} for a token, expected {self.endpoint.host}"
            )
        return Challenge(realm=parts["realm"], service=parts.get("service", ""))

    def fetch_token(
        self, challenge: Challenge, user: str, password: SecretStr, scope: str
    ) -> SecretStr | None:
        """Return a token for a scope such as `repository:app:pull`, or None when refused."""
        if challenge.realm is None:
            return SecretStr("")
        path = urlsplit(challenge.realm).path
        answer = self._ask(
            "GET",
            path,
            params={"service": challenge.service, "scope": scope},
            auth=httpx.BasicAuth(user, password.get_secret_value()),
        )
        if answer.status_code in (401, 403):
            return None
        if answer.status_code != 200:
            raise self._strange(f"{path} answered {answer.status_code}, expected 200 or 401")
        token = _member(answer, "access_token") or _member(answer, "token")
        if not token:
            raise self._strange(f"{path} answered 200 without a token")
        return SecretStr(token)

    def find_digest(self, repository: str, reference: str, token: SecretStr) -> str | None:
        """Return the digest of a manifest, or None when the registry does not have it.

        A small manifest is fetched as well and its content compared with the digest it claims.

        Raises:
            SiteRegistrySilentError: Also when content and digest do not match.
        """
        path = f"/v2/{repository}/manifests/{reference}"
        headers = {"Accept": MANIFEST_TYPES}
        if token.get_secret_value():
            headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        head = self._ask("HEAD", path, headers=headers)
        if head.status_code in (401, 403, 404):
            return None
        if head.status_code != 200:
            raise self._strange(f"{path} answered {head.status_code}, expected 200 or 404")
        digest = str(head.headers.get("Docker-Content-Digest", ""))
        if int(head.headers.get("Content-Length") or 0) <= _SMALL:
            content = self._ask("GET", path, headers=headers).content
            computed = f"sha256:{sha256(content).hexdigest()}"
            if digest not in ("", computed):
                raise self._strange(f"{path} claims {digest}, but its content is {computed}")
            digest = computed
        return digest

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.BasicAuth | None = None,
    ) -> httpx.Response:
        try:
            answer = self._client.request(
                method,
                path,
                params=params,
                headers=headers,
                auth=auth,
                extensions={"sni_hostname": self.endpoint.address},
            )
        except httpx.HTTPError as error:
            raise SiteRegistryUnreachableError(
                f"The site's registry at {self.endpoint.url} did not answer {method} {path}: "
                f"{str(error) or type(error).__name__}"
            ) from None
        if answer.status_code in (429, 502, 503, 504):
            raise SiteRegistryUnreachableError(
                f"The site's registry at {self.endpoint.url} answered {answer.status_code}"
            )
        return answer

    def _own_names(self) -> set[str]:
        usual = 80 if self.endpoint.scheme == "http" else 443
        names = {self.endpoint.host.lower()}
        if self.endpoint.port == usual:
            names.add(self.endpoint.host.rpartition(":")[0].lower())
        return names

    def _strange(self, what: str) -> SiteRegistrySilentError:
        return SiteRegistrySilentError(
            f"The site's registry at {self.endpoint.url} does not behave as one: {what}."
        )


def _member(answer: httpx.Response, key: str) -> str | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    found = body.get(key) if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
