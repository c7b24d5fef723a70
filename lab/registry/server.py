"""The Docker registry API that a site's registry serves to the site's nodes."""

import base64
import binascii
import re
from collections.abc import Callable

from aiohttp import web

from lab.clock import Clock
from lab.registry import bearer
from lab.registry.access import Access, grant, may_list, parse_scopes
from lab.registry.answers import ApiError, content_answer, json_answer, page_answer
from lab.registry.pushes import Pushes
from lab.registry.volume import ClientToken, Manifest, Repository, Volume

REALM = "/acr/oauth2/token"
_NO_SCOPE = "Insufficient scopes to perform the operation"
_NO_LOGIN = "authentication required"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class RegistryServer:
    """Answers /v2/ and the token endpoint out of one volume."""

    def __init__(
        self, volume: Volume, clock: Clock, *, scheme: str, note_push: Callable[[str], None]
    ) -> None:
        """Serve `volume`.

        Args:
            volume: What is served.
            clock: Tells when passwords and tokens expire.
            scheme: What the challenge's realm starts with, http or https.
            note_push: Hears `repository:tag` of every image that a client pushed.
        """
        self._volume = volume
        self._clock = clock
        self._scheme = scheme
        self._note_push = note_push

    def routes(self) -> list[web.RouteDef]:
        """Return what is served; a POST to the token endpoint gets 405, so clients use GET."""
        pushes = Pushes(self._volume, self._bearer, self._authorize, self._note_push)
        return [
            web.get(REALM, self._issue_token),
            web.get("/v2/", self._base),
            web.get("/v2/_catalog", self._catalog),
            web.get("/v2/{name:.+}/tags/list", self._tags),
            web.get("/v2/{name:.+}/manifests/{reference}", self._manifest),
            web.get("/v2/{name:.+}/blobs/{digest}", self._blob),
            *pushes.routes(),
        ]

    async def _issue_token(self, request: web.Request) -> web.Response:
        token = self._login(request)
        if token is None:
            raise ApiError(401, "UNAUTHORIZED", _NO_LOGIN)
        try:
            wanted = parse_scopes(request.query.getall("scope", []))
        except ValueError as error:
            raise ApiError(400, "UNSUPPORTED", str(error)) from error
        granted = [access for want in wanted if (access := grant(want, token.actions))]
        if wanted and not granted:
            raise ApiError(401, "UNAUTHORIZED", _NO_SCOPE)
        service, now = request.query.get("service", request.host), self._clock.now()
        value = bearer.issue(self._volume.signing_key, service, token.name, granted, now)
        return json_answer({"access_token": value, "expires_in": int(bearer.LIFE.total_seconds())})

    def _login(self, request: web.Request) -> ClientToken | None:
        name, password = _basic(request.headers.get("Authorization", ""))
        token = self._volume.tokens.get(name.lower())
        now = self._clock.now()
        if token is None or not token.enabled:
            return None
        return token if any(one.matches(password, now) for one in token.passwords) else None

    async def _base(self, request: web.Request) -> web.Response:
        self._bearer(request, None)
        return json_answer({})

    async def _catalog(self, request: web.Request) -> web.Response:
        login = self._authorize(request, Access("registry", "catalog", frozenset({"*"})))
        token = self._volume.tokens.get(login.subject.lower())
        actions = token.actions if token else frozenset()
        names = sorted(name for name in self._volume.repositories if may_list(name, actions))
        return page_answer(request, "repositories", names, {})

    async def _tags(self, request: web.Request) -> web.Response:
        repository = self._readable(request, "metadata_read")
        name = request.match_info["name"]
        return page_answer(request, "tags", sorted(repository.tags), {"name": name})

    async def _manifest(self, request: web.Request) -> web.Response:
        repository = self._readable(request, "pull")
        digest, manifest = _find_manifest(repository, request.match_info["reference"])
        _require_accepted(request, manifest)
        return content_answer(manifest.content, manifest.media_type, digest)

    async def _blob(self, request: web.Request) -> web.Response:
        repository, digest = self._readable(request, "pull"), request.match_info["digest"]
        if digest not in repository.blobs:
            raise ApiError(404, "BLOB_UNKNOWN", "blob unknown to registry", {"Digest": digest})
        return content_answer(repository.blobs[digest], "application/octet-stream", digest)

    def _readable(self, request: web.Request, verb: str) -> Repository:
        name = request.match_info["name"]
        self._authorize(request, Access("repository", name, frozenset({verb})))
        repository = self._volume.repositories.get(name)
        if repository is None:
            message = "repository name not known to registry"
            raise ApiError(404, "NAME_UNKNOWN", message, {"name": name})
        return repository

    def _authorize(self, request: web.Request, need: Access) -> bearer.Bearer:
        login = self._bearer(request, need)
        if not all(login.allows(need.kind, need.name, verb) for verb in need.verbs):
            raise self._challenge(request, need, _NO_SCOPE, "insufficient_scope")
        return login

    def _bearer(self, request: web.Request, need: Access | None) -> bearer.Bearer:
        """Return the caller's token, or raise the challenge that tells where to get one."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise self._challenge(request, need, _NO_LOGIN)
        key, now = self._volume.signing_key, self._clock.now()
        try:
            return bearer.read(key, request.host, value.strip(), now)
        except bearer.BadBearerError as error:
            raise self._challenge(request, need, _NO_LOGIN, "invalid_token") from error

    def _challenge(
        self, request: web.Request, need: Access | None, message: str, reason: str = ""
    ) -> ApiError:
        realm = f"{self._scheme}://{request.host}{REALM}"
        parts = [f'Bearer realm="{realm}"', f'service="{request.host}"']
        if need:
            verbs = {"pull" if verb == "metadata_read" else verb for verb in need.verbs}
            parts.append(f'scope="{need.kind}:{need.name}:{",".join(sorted(verbs))}"')
        if reason:
            parts.append(f'error="{reason}"')
        headers = {"WWW-Authenticate": ",".join(parts)}
        return ApiError(401, "UNAUTHORIZED", message, headers=headers)


def _require_accepted(request: web.Request, manifest: Manifest) -> None:
    """Refuse an OCI manifest to clients that don't name its type, as distribution does."""
    accepted = ",".join(request.headers.getall("Accept", [])).split(",")
    types = {entry.partition(";")[0].strip() for entry in accepted}
    if "vnd.oci." in manifest.media_type and manifest.media_type not in types:
        kind = "index" if "index" in manifest.media_type else "manifest"
        message = f"OCI {kind} found, but accept header does not support OCI {kind}s"
        raise ApiError(404, "MANIFEST_UNKNOWN", message)


def _find_manifest(repository: Repository, reference: str) -> tuple[str, Manifest]:
    is_digest = _DIGEST.fullmatch(reference) is not None
    digest = reference if is_digest else repository.tags.get(reference, "")
    manifest = repository.manifests.get(digest)
    if manifest is None:
        detail = {"Digest" if is_digest else "Tag": reference}
        raise ApiError(404, "MANIFEST_UNKNOWN", "manifest unknown", detail)
    return digest, manifest


def _basic(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
