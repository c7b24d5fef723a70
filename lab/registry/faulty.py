"""Faults on the edge registry's HTTP side: part `registry`, matched as `GET /v2/...`.

One kind more than lab/faults.py: `page` answers 200 with a page in HTML, as web servers do on a
path that is no registry's. What a connected registry says there is not known, so it is synthetic.
"""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Middleware

from lab.faults import Fault, Faults
from lab.registry.answers import ApiError, Handler


def faults_middleware(faults: Faults, site: str) -> Middleware:
    """Return a middleware that lets the faults of lab/faults.py happen."""

    @web.middleware
    async def go_wrong(request: web.Request, handler: Handler) -> web.StreamResponse:
        hit = faults.take("registry", f"{request.method} {request.path}", site)
        for fault in hit:
            await _before(request, fault)
        if any(fault.kind == "page" for fault in hit):
            return web.Response(
                text="<!DOCTYPE html><title>Hello</title>", content_type="text/html"
            )
        answer = await handler(request)
        for fault in hit:
            if fault.kind == "hang-after":
                await fault.hang()
            if fault.kind == "status-after":
                raise _status(fault)
            if fault.kind == "drop-after":
                _drop(request)
        return answer

    return go_wrong


async def _before(request: web.Request, fault: Fault) -> None:
    if fault.kind == "latency":
        await asyncio.sleep(fault.seconds)
    elif fault.kind == "status":
        raise _status(fault)
    elif fault.kind == "drop":
        _drop(request)
    elif fault.kind == "hang":
        await fault.hang()


def _status(fault: Fault) -> ApiError:
    code = "TOOMANYREQUESTS" if fault.status == 429 else "UNAVAILABLE"
    wait = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return ApiError(fault.status, code, "ordered by a lab fault", headers=wait)


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError
