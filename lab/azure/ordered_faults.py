"""Faults that were ordered for Azure, for the login service, ARM and the registries alike.

Beside the kinds of lab/faults.py:
    string-body-400    400 with a bare JSON string as its body, as seen in the wild
    token-not-active   generateCredentials answers 409 TokenNotActive
    failed-operation   the request is accepted, its long-running operation ends in Failed
    slow-propagation   a password made by this request counts after `seconds` real seconds
The last three are carried out by the handlers, which ask `ordered()` for them.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lab.faults import Fault, Faults

SiteOf = Callable[[web.Request, bytes], str | None]
Refuse = Callable[[web.Request, int], object]
_ORDERED: ContextVar[list[Fault]] = ContextVar("ordered faults")
_WORDS = {
    400: "BadRequest",
    401: "AuthenticationFailed",
    403: "AuthorizationFailed",
    404: "ResourceNotFound",
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


def fault_middleware(faults: Faults, site_of: SiteOf, refuse: Refuse) -> Middleware:
    """Return the middleware that asks for faults before each request and acts on them.

    Args:
        faults: The lab's faults.
        site_of: Tells from a request and its body which site it is about.
        refuse: Makes the JSON body of a refusal with a status.
    """

    @web.middleware
    async def meddle(request: web.Request, handler: Handler) -> web.StreamResponse:
        site = site_of(request, await request.read())
        taken = faults.take("azure", f"{request.method} {request.path}", site)
        _ORDERED.set(taken)
        if not taken:
            return await handler(request)
        before = await _before(request, taken, refuse)
        if before is not None:
            return before
        response = await handler(request)
        return await _after(request, taken, refuse) or response

    return meddle


def ordered() -> list[Fault]:
    """Return the faults that hit the request that is being answered."""
    return _ORDERED.get([])


def word_for(status: int) -> str:
    """Return the error code that goes with an ordered status."""
    return _WORDS.get(status, "EmulatedFault")


async def _before(
    request: web.Request, taken: list[Fault], refuse: Refuse
) -> web.StreamResponse | None:
    for fault in taken:
        if fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "hang":
            await fault.hang()
        elif fault.kind == "drop":
            return _drop(request)
        elif fault.kind == "status":
            return _refusal(request, fault, refuse)
        elif fault.kind == "string-body-400":
            return web.json_response("The request is not supported in this region.", status=400)
    return None


async def _after(
    request: web.Request, taken: list[Fault], refuse: Refuse
) -> web.StreamResponse | None:
    for fault in taken:
        if fault.kind == "hang-after":
            await fault.hang()
        if fault.kind == "drop-after":
            return _drop(request)
        if fault.kind == "status-after":
            return _refusal(request, fault, refuse)
    return None


def _refusal(request: web.Request, fault: Fault, refuse: Refuse) -> web.Response:
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return web.json_response(refuse(request, fault.status), status=fault.status, headers=headers)


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
