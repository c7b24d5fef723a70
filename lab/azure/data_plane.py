"""A registry's data plane: the distribution API and what ACR adds to it, for reading."""

import re
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from lab.azure.attributes import manifest_attributes, repository_attributes, tag_attributes
from lab.azure.errors import DockerError
from lab.azure.images import Manifest, RepositoryContent
from lab.azure.ordered_faults import word_for
from lab.azure.registry_login import RegistryLogin, Scope
from lab.azure.state import Registry

_PAGE = 100
_PATHS = {
    "tags": re.compile(r"/v2/(?P<name>.+)/tags/list"),
    "manifest": re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"),
    "blob": re.compile(r"/v2/(?P<name>.+)/blobs/(?P<reference>[^/]+)"),
    "acr_tags": re.compile(r"/acr/v1/(?P<name>.+)/_tags"),
    "acr_tag": re.compile(r"/acr/v1/(?P<name>.+)/_tags/(?P<reference>[^/]+)"),
    "acr_manifests": re.compile(r"/acr/v1/(?P<name>.+)/_manifests"),
    "acr_manifest": re.compile(r"/acr/v1/(?P<name>.+)/_manifests/(?P<reference>[^/]+)"),
    "acr_repository": re.compile(r"/acr/v1/(?P<name>.+)"),
}
_CONTENT = ("manifest", "blob")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class DataPlane:
    """Answers for one registry."""

    def __init__(self, registry: Registry, login: RegistryLogin) -> None:
        """Keep the registry and who checks the logins."""
        self._registry = registry
        self._login = login

    def add_routes(self, app: web.Application) -> None:
        """Serve the login endpoints and everything below /v2/ and /acr/v1/."""
        app.router.add_post("/oauth2/exchange", self._guarded(self._login.exchange))
        app.router.add_route("GET", "/oauth2/token", self._guarded(self._login.token))
        app.router.add_route("POST", "/oauth2/token", self._guarded(self._login.token))
        app.router.add_route("*", "/{path:.*}", self._guarded(self._handle))

    def _guarded(self, handler: Any) -> Any:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                response: web.StreamResponse = await handler(request)
            except DockerError as error:
                response = web.json_response(error.body, status=error.status, headers=error.headers)
            response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
            return response

        return answer

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise DockerError(405, "UNSUPPORTED", "The lab's registries can only be read.")
        path = request.path
        if path in ("/v2", "/v2/"):
            self._login.check(request, None)
            return web.json_response({})
        if path in ("/v2/_catalog", "/acr/v1/_catalog"):
            self._login.check(request, Scope(None, "*"))
            return self._paged(request, "repositories", sorted(self._registry.content.repositories))
        for kind, pattern in _PATHS.items():
            match = pattern.fullmatch(path)
            if match:
                return self._repository(request, kind, **match.groupdict())
        raise DockerError(404, "NOT_FOUND", f"There is nothing at {path}.")

    def _repository(
        self, request: web.Request, kind: str, name: str, reference: str = ""
    ) -> web.StreamResponse:
        verb = "pull" if kind in _CONTENT else "metadata_read"
        self._login.check(request, Scope(name, verb))
        content = self._registry.content.repositories.get(name)
        if content is None:
            raise DockerError(404, "NAME_UNKNOWN", f"repository name {name} not known to registry")
        if kind == "tags":
            return self._paged(request, "tags", sorted(content.tags), {"name": name})
        if kind == "manifest":
            return _manifest_response(request, _manifest(content, reference))
        if kind == "blob":
            return _blob_response(request, content, reference)
        return self._attributes(request, kind, content, reference)

    def _attributes(
        self, request: web.Request, kind: str, content: RepositoryContent, reference: str
    ) -> web.Response:
        head = {"registry": self._registry.login_server, "imageName": content.name}
        if kind == "acr_repository":
            return web.json_response(head | repository_attributes(content))
        if kind == "acr_tag":
            if reference not in content.tags:
                raise DockerError(404, "TAG_UNKNOWN", f"the tag {reference} does not exist")
            return web.json_response(head | {"tag": tag_attributes(content, reference)})
        if kind == "acr_manifest":
            manifest = _manifest(content, reference)
            return web.json_response(head | {"manifest": manifest_attributes(content, manifest)})
        order = request.query.get("orderby", "")
        if kind == "acr_tags":
            only = request.query.get("digest")
            tags = [tag for tag in sorted(content.tags) if only in (None, content.tags[tag])]
            entries = [tag_attributes(content, tag) for tag in tags]
            return self._paged(request, "tags", _ordered(entries, order), head, "name")
        manifests = [content.manifests[digest] for digest in sorted(content.manifests)]
        entries = [manifest_attributes(content, each) for each in manifests]
        return self._paged(request, "manifests", _ordered(entries, order), head, "digest")

    def _paged(
        self,
        request: web.Request,
        key: str,
        items: Sequence[Any],
        head: dict[str, str] | None = None,
        by: str | None = None,
    ) -> web.Response:
        """Answer the items after `last`, at most `n`, and link to the next page if there is one."""
        names = [str(item[by]) if by else str(item) for item in items]
        start, last = 0, request.query.get("last")
        if last:
            later = (index for index, name in enumerate(names) if by is None and name > last)
            start = names.index(last) + 1 if last in names else next(later, len(names))
        end = start + _page_size(request)
        response = web.json_response((head or {}) | {key: list(items[start:end])})
        if end < len(items):
            order = request.query.get("orderby", "")
            query = f"last={names[end - 1]}&n={end - start}&orderby={order}"
            response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
        return response


def docker_refusal(_request: web.Request, status: int) -> object:
    """Return the body of an ordered refusal."""
    return DockerError(status, word_for(status).upper(), "The request failed, as ordered.").body


def _page_size(request: web.Request) -> int:
    text = request.query.get("n", str(_PAGE))
    if not text.isdecimal() or int(text) == 0:
        raise DockerError(400, "PAGINATION_NUMBER_INVALID", f"invalid number of results: {text}")
    return int(text)


def _ordered(entries: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    if order in ("timeasc", "timedesc"):
        entries.sort(key=lambda entry: str(entry["lastUpdateTime"]), reverse=order == "timedesc")
    return entries


def _manifest(content: RepositoryContent, reference: str) -> Manifest:
    manifest = content.find(reference)
    if manifest is None:
        message = f'manifest tagged by "{reference}" is not found'
        raise DockerError(404, "MANIFEST_UNKNOWN", message)
    return manifest


def _manifest_response(request: web.Request, manifest: Manifest) -> web.Response:
    accepted = ",".join(request.headers.getall("Accept", ["*/*"]))
    types = [each.partition(";")[0].strip() for each in accepted.split(",")]
    if manifest.media_type not in types and "*/*" not in types:
        message = "OCI manifest found, but accept header does not support OCI manifests"
        raise DockerError(404, "MANIFEST_UNKNOWN", message)
    headers = {
        "Docker-Content-Digest": manifest.digest,
        "ETag": f'"{manifest.digest}"',
        "Content-Type": manifest.media_type,
    }
    return web.Response(body=manifest.data, headers=headers)


def _blob_response(request: web.Request, content: RepositoryContent, digest: str) -> web.Response:
    data = content.blobs.get(digest)
    if data is None:
        raise DockerError(404, "BLOB_UNKNOWN", f"blob {digest} unknown to registry")
    headers = {
        "Docker-Content-Digest": digest,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None:
        return web.Response(body=data, headers=headers)
    start, stop = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
    if start >= len(data) or stop < start:
        raise DockerError(416, "RANGE_INVALID", "invalid content range")
    headers["Content-Range"] = f"bytes {start}-{stop}/{len(data)}"
    return web.Response(status=206, body=data[start : stop + 1], headers=headers)
