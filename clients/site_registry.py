"""A site's own registry, spoken to through a forwarded port.

It speaks the Docker registry API with its own token endpoint, whose path differs from the cloud's,
so the realm is taken from the challenge (facts/connected-registry.md §7).
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from clients.site_tls import find_tls_problem, trust_for
from fleet.errors import FleetError
from fleet.outcomes import SiteEndpoint
from fleet.pull_errors import SiteRegistrySilentError, SiteRegistryUnreachableError
from fleet.site_certificates import Authorities, Certificate, read_certificate
from fleet.sites import Strict

_CONNECT_SECONDS, _READ_SECONDS, _KEEP_SECONDS = 10.0, 30.0, 60.0
_SMALL = 4 * 1024 * 1024
_PAGE, _MOST_PAGES = 1000, 100
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
        ca: Verifies an https registry, for its address; none: the system's.

    Raises:
        SiteCertificateError: From any method: it is not the one that the CA vouches for.
        SiteSchemeError: From any method: http where https was expected, or the other way.
        SiteRegistryUnreachableError: From any method: no answer, or one that says to try later.
        SiteRegistrySilentError: From any method: an answer that no registry gives.
    """

    def __init__(
        self, endpoint: SiteEndpoint, local_port: int, *, ca: Authorities | None = None
    ) -> None:
        self.endpoint = endpoint
        self._port, self._ca = local_port, ca
        self._client = httpx.Client(
            base_url=f"{endpoint.scheme}://127.0.0.1:{local_port}",
            headers={"Host": endpoint.host, "User-Agent": "acrfleet"},
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(keepalive_expiry=_KEEP_SECONDS),
            verify=trust_for(endpoint, ca),
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

    def read_certificate(self) -> Certificate | None:
        """Return the certificate that was verified, or None for an http registry."""
        stream = self._ask("GET", "/v2/").extensions["network_stream"]
        tls = stream.get_extra_info("ssl_object")
        return read_certificate(tls.getpeercert(True)) if tls else None

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

    def list_tags(self, repository: str, token: SecretStr) -> tuple[str, ...] | None:
        """Return the tags of a repository, page by page; None when the token may not list them.

        That needs `metadata/read` beside `content/read`. A repository that is not there has none.
        """
        path, found = f"/v2/{repository}/tags/list?n={_PAGE}", list[str]()
        for _ in range(_MOST_PAGES):
            answer = self._ask("GET", path, headers=_bearer(token))
            if answer.status_code in (401, 403):
                return None
            if answer.status_code == 404:
                return tuple(found)
            if answer.status_code != 200:
                raise self._strange(f"{path} answered {answer.status_code}, expected 200 or 404")
            found += _names(answer, "tags")
            path = _next_page(answer)
            if not path:
                return tuple(found)
        raise self._strange(f"{path} goes on after {_MOST_PAGES} pages of tags")

    def find_digest(
        self, repository: str, reference: str, token: SecretStr, *, checked: bool = True
    ) -> str | None:
        """Return the digest of a manifest, or None when the registry does not have it.

        A small manifest is fetched as well and its content compared with the digest it claims;
        not `checked`: only where the registry does not name the digest.

        Raises:
            SiteRegistrySilentError: Also when content and digest do not match.
        """
        path = f"/v2/{repository}/manifests/{reference}"
        headers = {"Accept": MANIFEST_TYPES, **_bearer(token)}
        head = self._ask("HEAD", path, headers=headers)
        if head.status_code in (401, 403, 404):
            return None
        if head.status_code != 200:
            raise self._strange(f"{path} answered {head.status_code}, expected 200 or 404")
        digest = str(head.headers.get("Docker-Content-Digest", ""))
        if not (digest and not checked) and int(head.headers.get("Content-Length") or 0) <= _SMALL:
            content = self._ask("GET", path, headers=headers).content
            computed = f"sha256:{sha256(content).hexdigest()}"
            if digest not in ("", computed):
                raise self._strange(f"{path} claims {digest}, but its content is {computed}")
            digest = computed
        return digest

    def read_platforms(self, repository: str, reference: str, token: SecretStr) -> tuple[str, ...]:
        """Return for which platforms an image is, as `linux/amd64`; none where it does not say."""
        headers = {"Accept": MANIFEST_TYPES, "Authorization": f"Bearer {token.get_secret_value()}"}
        base = f"/v2/{repository}"
        manifest = _content(self._ask("GET", f"{base}/manifests/{reference}", headers=headers))
        entries = [one.get("platform") or {} for one in manifest.get("manifests") or []]
        config = (manifest.get("config") or {}).get("digest")
        if config:
            entries = [_content(self._ask("GET", f"{base}/blobs/{config}", headers=headers))]
        found = (f"{one.get('os', '')}/{one.get('architecture', '')}" for one in entries)
        return tuple(dict.fromkeys(one for one in found if not one.startswith("/")))

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
            raise self._unanswered(f"{method} {path}", error) from None
        if answer.status_code == 400 and self.endpoint.scheme == "http":
            self._refuse_tls()
        if answer.status_code in (429, 502, 503, 504):
            raise SiteRegistryUnreachableError(
                f"The site's registry at {self.endpoint.url} answered {answer.status_code}"
            )
        return answer

    def _unanswered(self, request: str, error: httpx.HTTPError) -> FleetError:
        found = find_tls_problem(self.endpoint, self._port, self._ca, error)
        return found or SiteRegistryUnreachableError(
            f"The site's registry at {self.endpoint.url} did not answer {request}: "
            f"{str(error) or type(error).__name__}"
        )

    def _refuse_tls(self) -> None:
        """A TLS server may answer plain http with a 400 (Go's and nginx do)."""
        found = find_tls_problem(self.endpoint, self._port, self._ca, None)
        if found:
            raise found

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


def _content(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json() if answer.status_code == 200 else {}
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _bearer(token: SecretStr) -> dict[str, str]:
    value = token.get_secret_value()
    return {"Authorization": f"Bearer {value}"} if value else {}


def _next_page(answer: httpx.Response) -> str:
    """Return the path of the next page, on this registry whatever host the link names."""
    link = urlsplit(answer.links.get("next", {}).get("url", ""))
    return f"{link.path}?{link.query}" if link.path else ""


def _names(answer: httpx.Response, key: str) -> list[str]:
    """Return a list of names in an answer; a registry without tags says null."""
    try:
        body = answer.json()
    except ValueError:
        return []
    found = body.get(key) if isinstance(body, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _member(answer: httpx.Response, key: str) -> str | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    found = body.get(key) if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
