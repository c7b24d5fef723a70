"""Pushing to a site's registry: blob uploads and manifests, on ReadWrite registries only.

What is pushed is served at once, and sent to the parent at the next sync.
"""

import hashlib
import json
import uuid
from collections.abc import Callable

from aiohttp import web

from lab.registry.access import Access
from lab.registry.answers import ApiError, empty_answer
from lab.registry.volume import Manifest, Pushed, Repository, Volume

_READ_ONLY = "This operation is not allowed on this registry."
Authorize = Callable[[web.Request, Access], object]


class Pushes:
    """The writing half of /v2/."""

    def __init__(
        self, volume: Volume, identify: Authorize, authorize: Authorize, note: Callable[[str], None]
    ) -> None:
        """Write to `volume`.

        Args:
            volume: Where content goes.
            identify: Raises a challenge unless the caller has a valid bearer token.
            authorize: Raises a challenge unless that token covers an access.
            note: Hears `repository:tag` of every image that was pushed.
        """
        self._volume = volume
        self._identify, self._authorize = identify, authorize
        self._note = note
        self._uploads: dict[str, bytes] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return what writes; deleting is not emulated."""
        blobs = "/v2/{name:.+}/blobs"
        return [
            web.post(f"{blobs}/uploads/", self._begin),
            web.patch(f"{blobs}/uploads/{{upload}}", self._append),
            web.put(f"{blobs}/uploads/{{upload}}", self._finish),
            web.put("/v2/{name:.+}/manifests/{reference}", self._put_manifest),
            web.delete("/v2/{name:.+}/{kind:manifests|blobs}/{reference}", self._delete),
        ]

    async def _begin(self, request: web.Request) -> web.Response:
        name = self._may_push(request)
        if "digest" in request.query:
            return self._store_blob(name, request.query["digest"], await request.read())
        upload = str(uuid.uuid4())
        self._uploads[upload] = b""
        return self._accepted(name, upload)

    async def _append(self, request: web.Request) -> web.Response:
        name, upload = self._may_push(request), self._upload(request)
        self._uploads[upload] += await request.read()
        return self._accepted(name, upload)

    async def _finish(self, request: web.Request) -> web.Response:
        name, upload = self._may_push(request), self._upload(request)
        data = self._uploads.pop(upload) + await request.read()
        return self._store_blob(name, request.query.get("digest", ""), data)

    async def _put_manifest(self, request: web.Request) -> web.Response:
        name, reference = self._may_push(request), request.match_info["reference"]
        data = await request.read()
        digest, repository = _digest(data), self._repository(name)
        if reference.startswith("sha256:") and reference != digest:
            raise ApiError(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        blobs = self._blobs_of(repository, data)
        tag = None if reference == digest else reference
        manifest = Manifest(request.headers.get("Content-Type", ""), data)
        self._volume.repositories[name] = Repository(
            {**repository.tags, **({tag: digest} if tag else {})},
            {**repository.manifests, digest: manifest},
            {**repository.blobs, **blobs},
        )
        self._volume.outbox.append(Pushed(name, tag, digest, manifest, blobs))
        self._note(f"{name}:{reference}")
        return _created(name, digest, "manifests")

    def _blobs_of(self, repository: Repository, manifest: bytes) -> dict[str, bytes]:
        known = self._volume.staged | repository.blobs
        needed = _references(manifest) - set(repository.manifests)
        missing = needed - set(known)
        if missing:
            detail = {"digest": min(missing)}
            raise ApiError(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", detail)
        return {digest: known[digest] for digest in needed}

    async def _delete(self, request: web.Request) -> web.Response:
        self._may_push(request)
        raise ApiError(501, "UNSUPPORTED", "The lab's edge registry does not delete.")

    def _may_push(self, request: web.Request) -> str:
        name = request.match_info["name"]
        self._identify(request, Access("repository", name, frozenset({"pull", "push"})))
        if self._volume.settings.mode in ("ReadOnly", "Mirror"):
            raise ApiError(405, "UNSUPPORTED", _READ_ONLY)
        self._authorize(request, Access("repository", name, frozenset({"push"})))
        return name

    def _repository(self, name: str) -> Repository:
        return self._volume.repositories.get(name, Repository({}, {}, {}))

    def _upload(self, request: web.Request) -> str:
        upload = request.match_info["upload"]
        if upload not in self._uploads:
            raise ApiError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return upload

    def _accepted(self, name: str, upload: str) -> web.Response:
        return empty_answer(
            202,
            {
                "Location": f"/v2/{name}/blobs/uploads/{upload}",
                "Docker-Upload-UUID": upload,
                "Range": f"0-{max(0, len(self._uploads[upload]) - 1)}",
            },
        )

    def _store_blob(self, name: str, digest: str, data: bytes) -> web.Response:
        if digest != _digest(data):
            raise ApiError(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self._volume.staged[digest] = data
        return _created(name, digest, "blobs")


def _created(name: str, digest: str, kind: str) -> web.Response:
    location = f"/v2/{name}/{kind}/{digest}"
    return empty_answer(201, {"Location": location, "Docker-Content-Digest": digest})


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _references(data: bytes) -> set[str]:
    """Return the digests that a manifest or an index needs."""
    try:
        content = json.loads(data)
        parts = [*content.get("layers", ()), *content.get("manifests", ())]
        parts += [content["config"]] if "config" in content else []
        return {str(part["digest"]) for part in parts}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ApiError(400, "MANIFEST_INVALID", "manifest invalid") from error
