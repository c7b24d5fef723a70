"""The TLS server in front of the handler: client certificates, faults, audit, watches."""

import asyncio
import errno
import json
import socket
import ssl
import time
import weakref
from typing import Any

from aiohttp import web

from lab.audit import AuditLog
from lab.certificates import Authority
from lab.cluster.errors import ApiError
from lab.cluster.handler import Answer, Handler, Request
from lab.cluster.store import Store
from lab.cluster.watching import WatchRequest, events
from lab.faults import Fault, Faults

SERVER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "10.43.0.1",
)
_LARGEST_BODY = 3 * 1024 * 1024
_FORK_PATIENCE = 2.0
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_contexts: "weakref.WeakKeyDictionary[Authority, ssl.SSLContext]" = weakref.WeakKeyDictionary()


def server_context(authority: Authority) -> ssl.SSLContext:
    """Return the TLS context of every cluster of one lab; it asks for client certificates."""
    context = _contexts.get(authority)
    if context is None:
        context = authority.server_context(SERVER_NAMES)
        context.load_verify_locations(authority.ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
        _contexts[authority] = context
    return context


class HttpServer:
    """Serves one cluster's API on a port that stays the same while it goes up and down."""

    def __init__(
        self,
        handler: Handler,
        store: Store,
        authority: Authority,
        audit: AuditLog,
        faults: Faults,
        site: str,
        latency: float = 0.0,
    ) -> None:
        """Serve `handler`; every answer waits `latency` seconds."""
        self._handler = handler
        self._store = store
        self._context = server_context(authority)
        self._audit = audit
        self._faults = faults
        self._site = site
        self._latency = latency
        self._host = "127.0.0.1"
        self._socket: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._server: web.Server | None = None
        self._ended: web.Server | None = None
        self.port = 0
        self.requests = 0

    @property
    def up(self) -> bool:
        """Return whether the port accepts connections."""
        return self._listener is not None

    async def start(self, host: str, port: int) -> None:
        """Take a port and listen on it; 0 takes a free one."""
        self._host, self.port = host, port
        self._reserve()
        await self.open()

    async def open(self) -> None:
        """Listen again."""
        if self._listener or not self._socket:
            return
        loop = asyncio.get_running_loop()

        def make_request(
            message: Any, payload: Any, protocol: Any, writer: Any, task: Any
        ) -> web.BaseRequest:
            return web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY
            )

        self._server = web.Server(
            self._serve, request_factory=make_request, handler_cancellation=True, access_log=None
        )
        self._listener = await loop.create_server(
            self._server, sock=self._socket, ssl=self._context, backlog=128
        )

    async def close(self) -> None:
        """Refuse connections and cut those that are open; keep the port for `open`."""
        self.cut()
        if self._ended is not None:
            ended, self._ended = self._ended, None
            await ended.shutdown(0.1)

    def cut(self) -> None:
        """Do at once what `close` does, but for the handlers that still run."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        for connection in list(self._server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        self._ended = self._server
        self._listener = self._server = None
        self._reserve()

    async def stop(self) -> None:
        """Stop listening and give the port back."""
        await self.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _reserve(self) -> None:
        """Bind without listening: connections are refused and nobody else gets the port."""
        self._socket = _bound(self._host, self.port)
        self.port = self._socket.getsockname()[1]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        faults = self._faults.take("cluster", f"{request.method} {request.path}", self._site)
        await asyncio.sleep(
            self._latency + sum(fault.seconds for fault in faults if fault.kind == "latency")
        )
        kinds = {fault.kind: fault for fault in faults}
        if "hang" in kinds:
            await kinds["hang"].hang()
        if "drop" in kinds:
            return _dropped(request)
        if "status" in kinds:
            return _json(kinds["status"].status, _fault_status(kinds["status"]), kinds["status"])
        answer = await self._answer(request)
        if "hang-after" in kinds:
            await kinds["hang-after"].hang()
        if "drop-after" in kinds:
            return _dropped(request)
        if fault := kinds.get("status-after"):
            return _json(fault.status, _fault_status(fault), fault)
        if answer.watch is not None:
            return await self._stream(request, answer.watch)
        return _response(answer)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        if not (request.transport and request.transport.get_extra_info("peercert")):
            return Answer(401, ApiError(401, "Unauthorized", "Unauthorized").status())
        try:
            decoded = Request(
                request.method,
                request.path.rstrip("/"),
                request.query,
                await request.read(),
                request.content_type if "Content-Type" in request.headers else "",
                request.headers.get("Accept", ""),
            )
            answer = self._handler.answer(decoded)
        except ApiError as error:
            return Answer(error.code, error.status())
        if request.method in _WRITES and not decoded.dry_run:
            self._audit.write("cluster", self._site, request.method, request.path)
        return answer

    async def _stream(self, request: web.BaseRequest, watch: WatchRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for event in events(self._store, watch):
            await response.write(json.dumps(event).encode() + b"\n")
        await response.write_eof()
        return response


def _response(answer: Answer) -> web.Response:
    if isinstance(answer.body, bytes):
        return web.Response(
            status=answer.code, body=answer.body, headers={"Content-Type": answer.content_type}
        )
    if isinstance(answer.body, str):
        return web.Response(status=answer.code, text=answer.body, content_type=answer.content_type)
    return _json(answer.code, answer.body)


def _json(code: int, body: Any, fault: Fault | None = None) -> web.Response:
    headers = {}
    if fault is not None and fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return web.Response(
        status=code,
        body=json.dumps(body).encode(),
        headers=headers | {"Content-Type": "application/json"},
    )


def _fault_status(fault: Fault) -> dict[str, Any]:
    reasons = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
    reason = reasons.get(fault.status, "")
    details: dict[str, Any] = {}
    if fault.retry_after is not None:
        details["retryAfterSeconds"] = int(fault.retry_after)
    return ApiError(fault.status, reason, "a fault of the lab", details).status()


def _dropped(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _bound(host: str, port: int) -> socket.socket:
    """Bind a port; a child process between fork and exec holds on to the old one for a moment."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + _FORK_PATIENCE
    while True:
        try:
            taken.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                taken.close()
                raise
            time.sleep(0.005)
        else:
            return taken
