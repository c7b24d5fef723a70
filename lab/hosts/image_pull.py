"""Pulls an image the way containerd does under K3s.

The endpoints of hosts.toml in order, then the registry itself; challenge, token, manifest, blobs,
digests. Sources: containerd core/remotes/docker (resolver, authorizer, fetcher); the error texts
are those of `crictl pull` under K3s (facts: lab-hosts 4, edge-hosts 1.2).
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

from lab.hosts.http_exchange import Answer, ExchangeError, Network
from lab.hosts.image_names import Credentials, Image, PullError, Reference, Source

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ACCEPT = ", ".join(
    (
        *_INDEXES,
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "*/*",
    )
)
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5


class Download(NamedTuple):
    """An image that is being pulled, since when (`time.monotonic`); None: nothing of it comes."""

    name: str
    since: float | None


class ImagePuller:
    """Pulls images for one node and keeps its list of them."""

    def __init__(self, network: Network, log: Callable[[str], None]) -> None:
        """Reach registries through `network`; `log` writes containerd's log."""
        self.images: dict[str, Image] = {}
        self._network = network
        self._log = log

    async def pull(
        self,
        name: str,
        sources_for: Callable[[str], list[Source]],
        credentials_for: Callable[[str], Credentials | None],
    ) -> Image:
        """Pull an image and add it to the node.

        Args:
            name: The image's name as a pod would write it.
            sources_for: Gives the endpoints for an image's host, in order.
            credentials_for: Gives the credentials for an endpoint's host.

        Raises:
            PullError: With containerd's words about the last endpoint it tried.
        """
        reference = Reference.parse(name)
        failed = f'failed to pull and unpack image "{reference}": '
        try:
            image = await self._try_sources(reference, sources_for, credentials_for)
        except PullError as error:
            text = f'{failed}failed to resolve reference "{reference}": {error}'
            raise PullError(text, code=error.code) from None
        self.images[str(reference)] = image
        return image

    async def _try_sources(
        self,
        reference: Reference,
        sources_for: Callable[[str], list[Source]],
        credentials_for: Callable[[str], Credentials | None],
    ) -> Image:
        problem = PullError("no endpoint")
        for source in sources_for(reference.host):
            host = urlsplit(source.url).netloc
            session = Session(self._network, source, reference, credentials_for(host))
            try:
                image = await session.fetch()
            except PullError as error:
                problem = error
                text = json.dumps(str(error))
                self._log(f'level=info msg="trying next host" error={text} host="{host}"')
            else:
                self._log(f'level=info msg=resolved desc.digest="{image.digest}" host="{host}"')
                self._log(
                    f'level=info msg="PullImage \\"{reference}\\" returns image reference '
                    f'\\"{image.image_id}\\"" endpoint="{source.url}"'
                )
                return image
        raise problem


class Session:
    """Pulls one image from one endpoint."""

    def __init__(
        self,
        network: Network,
        source: Source,
        reference: Reference,
        credentials: Credentials | None,
    ) -> None:
        """Prepare; nothing is asked yet."""
        self._network = network.changed(source.authorities, source.skip_verify, source.dial_timeout)
        self._source = source
        self._reference = reference
        self._repository = source.repository(reference.repository)
        self._credentials = credentials
        self._authorization = ""
        self._size = 0

    async def fetch(self) -> Image:
        """Fetch manifest, configuration and layers, and check every digest.

        Raises:
            PullError: With containerd's words.
        """
        wanted = self._reference.digest or self._reference.tag
        manifest, digest = await self._manifest(wanted)
        if manifest.get("mediaType") in _INDEXES or "manifests" in manifest:
            manifest, _ = await self._manifest(_for_this_platform(manifest))
        if "config" not in manifest:
            raise PullError(f"unsupported manifest {digest}: it has no config: not found")
        for descriptor in (manifest["config"], *manifest.get("layers", [])):
            await self._blob(descriptor["digest"])
        image_id = manifest["config"]["digest"]
        return Image(str(self._reference), digest, image_id, self._size, self._source.url)

    async def _manifest(self, name: str) -> tuple[dict[str, Any], str]:
        url = self._url("manifests", name)
        head = await self._ask("HEAD", url, {"Accept": _ACCEPT})
        answer = await self._ask("GET", url, {"Accept": _ACCEPT})
        digest = _digest(answer.body)
        announced = head.headers.get("docker-content-digest", digest)
        for expected in (announced, name if name.startswith("sha256:") else digest):
            _require_digest(answer.body, expected)
        try:
            content: dict[str, Any] = json.loads(answer.body)
        except ValueError:
            kind = answer.headers.get("content-type", "")
            raise PullError(f"unexpected media type {kind} for {digest}: not found") from None
        self._size += len(answer.body)
        return content, digest

    async def _blob(self, digest: str) -> None:
        answer = await self._ask("GET", self._url("blobs", digest), {"Accept": "*/*"})
        _require_digest(answer.body, digest)
        self._size += len(answer.body)

    def _url(self, kind: str, name: str) -> str:
        query = "" if self._source.is_default else f"?ns={quote(self._reference.host, safe='')}"
        return f"{self._source.url}/{self._repository}/{kind}/{name}{query}"

    async def _ask(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        answer = await self._send(method, url, headers)
        if answer.status == 401:
            await self._authorize(answer)
            answer = await self._send(method, url, headers)
        if answer.status == 404:
            raise PullError(f"{self._reference}: not found", code="NotFound")
        if answer.status >= 400:
            status, denied = f"{answer.status} {answer.reason}", ""
            if answer.status in (401, 403):
                denied = (
                    "pull access denied, repository does not exist or may require authorization: "
                    "authorization failed: "
                )
            raise PullError(f"{denied}unexpected status from {method} request to {url}: {status}")
        return answer

    async def _send(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        first_host = urlsplit(url).netloc
        for _ in range(_MOST_REDIRECTS):
            fields = dict(headers)
            if self._authorization and urlsplit(url).netloc == first_host:
                fields["Authorization"] = self._authorization
            answer = await self._exchange(method, url, fields)
            if answer.status not in _REDIRECTS:
                return answer
            url = urljoin(url, answer.headers.get("location", ""))
        raise PullError(f'failed to do request: {method.capitalize()} "{url}": too many redirects')

    async def _exchange(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        """Ask; an http endpoint with TLS settings is tried in TLS first (containerd's fallback)."""
        try:
            return await self._network.request(method, url, headers)
        except ExchangeError as error:
            if not (self._source.may_be_plain and error.is_plain):
                raise PullError(f"failed to do request: {error}") from None
        plain = url.replace("https://", "http://", 1)
        try:
            return await self._network.request(method, plain, headers)
        except ExchangeError as error:
            raise PullError(f"failed to do request: {error}") from None

    async def _authorize(self, answer: Answer) -> None:
        challenge = answer.headers.get("www-authenticate", "")
        scheme, _, rest = challenge.partition(" ")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() == "basic" and self._credentials:
            self._authorization = self._credentials.basic
        elif scheme.lower() == "bearer" and "realm" in fields:
            self._authorization = f"Bearer {await self._token(fields)}"
        else:
            raise PullError("failed to authorize: no basic auth credentials")

    async def _token(self, challenge: dict[str, str]) -> str:
        scope = challenge.get("scope") or f"repository:{self._repository}:pull"
        asked = {"service": challenge.get("service", ""), "scope": scope}
        realm = challenge["realm"]
        try:
            answer = await self._ask_for_token(realm, asked)
        except ExchangeError as error:
            kind = "oauth" if self._credentials else "anonymous"
            raise PullError(f"failed to authorize: failed to fetch {kind} token: {error}") from None
        content = json.loads(answer.body or b"{}")
        token = content.get("access_token") or content.get("token")
        if not token:
            raise PullError("failed to authorize: authorization server did not include a token")
        return str(token)

    async def _ask_for_token(self, realm: str, asked: dict[str, str]) -> Answer:
        """Ask by POST when there are credentials, and by GET where a registry refuses that."""
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(asked)}"
        kind, headers = "anonymous", {}
        if self._credentials:
            kind = "oauth"
            form = {
                "client_id": "containerd-client",
                "grant_type": "password",
                "username": self._credentials.user,
                "password": self._credentials.password,
                **asked,
            }
            content = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
            body = urlencode(form).encode()
            answer = await self._network.request("POST", realm, content, body)
            if answer.status == 200:
                return answer
            if answer.status not in (400, 401, 404, 405):
                raise PullError(_token_refused(kind, "POST", realm, answer))
            headers = {"Authorization": self._credentials.basic}
        answer = await self._network.request("GET", url, headers)
        if answer.status != 200:
            raise PullError(_token_refused(kind, "GET", url, answer))
        return answer


def _token_refused(kind: str, method: str, url: str, answer: Answer) -> str:
    return (
        f"failed to authorize: failed to fetch {kind} token: unexpected status from {method} "
        f"request to {url}: {answer.status} {answer.reason}"
    )


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _require_digest(content: bytes, expected: str) -> None:
    if _digest(content) != expected:
        raise PullError(
            f"failed commit on ref: unexpected commit digest {_digest(content)}, "
            f"expected {expected}: failed precondition"
        )


def _for_this_platform(index: dict[str, Any]) -> str:
    """Return the digest of the linux/amd64 entry, or of the first where none says its platform."""
    entries: list[dict[str, Any]] = index.get("manifests", [])
    for entry in entries:
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
            return str(entry["digest"])
    if not entries:
        raise PullError("no match for platform in manifest: not found", code="NotFound")
    return str(entries[0]["digest"])
