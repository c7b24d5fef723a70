"""A small registry with token login, for the image pulls of lab hosts."""

import asyncio
import base64
import hashlib
import json
import ssl
from dataclasses import dataclass, field

from aiohttp import web

OCI = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class ImageRegistry:
    """Serves one image under any tag of `repository`, or under `tags` alone.

    `user` None means that everybody may pull.
    """

    repository: str = "vessel/nav"
    user: str | None = None
    password: str = "right"
    allows_post: bool = True
    tls: ssl.SSLContext | None = None
    config: bytes = b'{"architecture":"amd64","os":"linux"}'
    layer: bytes = b"layer" * 1000
    damaged: bool = False
    tags: tuple | None = None
    port: int = 0
    requests: list = field(default_factory=list)

    @property
    def manifest(self):
        def describe(content):
            return {"digest": digest_of(content), "size": len(content)}

        content = {"schemaVersion": 2, "mediaType": OCI, "config": describe(self.config)}
        return json.dumps(content | {"layers": [describe(self.layer)]}).encode()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def start(self):
        app = web.Application()
        app.router.add_get("/v2/", self._base)
        app.router.add_get("/v2/{name:.+}/manifests/{tag}", self._manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{digest}", self._blob)
        app.router.add_route("*", "/token", self._token)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self):
        await self._runner.cleanup()

    def _refusal(self, request):
        self.requests.append((request.method, request.path_qs))
        if self.user is None or request.headers.get("Authorization") == "Bearer good":
            return None
        challenge = f'Bearer realm="{self.url}/token",service="lab",scope="repository:x:pull"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    async def _base(self, request):
        return self._refusal(request) or web.json_response({})

    async def _manifest(self, request):
        refusal = self._refusal(request)
        if refusal:
            return refusal
        is_there = self.tags is None or request.match_info["tag"] in self.tags
        if request.match_info["name"] != self.repository or not is_there:
            return web.Response(status=404)
        headers = {"Docker-Content-Digest": digest_of(self.manifest), "Content-Type": OCI}
        return web.Response(body=self.manifest, headers=headers)

    async def _blob(self, request):
        refusal = self._refusal(request)
        if refusal:
            return refusal
        blobs = {digest_of(blob): blob for blob in (self.config, self.layer)}
        digest = request.match_info["digest"]
        if "moved" not in request.query:
            raise web.HTTPTemporaryRedirect(f"{request.path}?moved=yes")
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"damaged" if self.damaged else blobs[digest])
        await response.write_eof()
        return response

    async def _token(self, request):
        if request.method == "POST" and not self.allows_post:
            return web.Response(status=404)
        if request.method == "POST":
            form = await request.post()
            given = (form["username"], form["password"])
        else:
            encoded = request.headers.get("Authorization", "Basic Og==").partition(" ")[2]
            given = tuple(base64.b64decode(encoded).decode().split(":", 1))
        if given != (self.user, self.password):
            return web.Response(status=401)
        return web.json_response({"access_token": "good"})


def dialler(routes):
    """Return a dial function: a table of (host, port) to a local port, or an error to raise."""

    async def dial(host, port):
        target = routes.get((host, port), ConnectionRefusedError(111, "Connection refused"))
        if isinstance(target, Exception):
            raise target
        return await asyncio.open_connection("127.0.0.1", target)

    return dial
