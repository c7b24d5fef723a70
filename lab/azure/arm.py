"""The management plane over HTTP: login, api-version, the route's handler, the audit line."""

import inspect
import json
import uuid
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from lab.audit import AuditLog
from lab.azure.calls import Answer, Call
from lab.azure.entra import Entra, is_arm_audience
from lab.azure.errors import ArmError
from lab.azure.ordered_faults import ordered, word_for
from lab.azure.registries import Serve
from lab.azure.routes import find_route, make_routes
from lab.azure.signing import BadTokenError
from lab.azure.sites import Sites
from lab.azure.state import Cloud
from lab.azure.subscriptions import read_endpoints
from lab.azure.versions import check_version, versions_of
from lab.clock import Clock

_WRITES = ("PUT", "PATCH", "DELETE", "POST")
_HARMLESS = ("checknameavailability", "register")


class ResourceManager:
    """Answers every request that is not for the login service."""

    def __init__(
        self,
        cloud: Cloud,
        entra: Entra,
        audit: AuditLog,
        clock: Clock,
        sites: Sites,
        serve: Serve,
        stop: Serve,
    ) -> None:
        """Keep what the handlers need; `serve` and `stop` run a registry's data plane."""
        self._cloud = cloud
        self._entra = entra
        self._audit = audit
        self._clock = clock
        self._sites = sites
        self._routes = make_routes(serve, stop)

    def add_routes(self, app: web.Application) -> None:
        """Serve the clouds' endpoints to anybody, and everything else to who is logged in."""
        app.router.add_get("/metadata/endpoints", self._endpoints)
        app.router.add_route("*", "/{path:.*}", self._handle)

    async def _endpoints(self, request: web.Request) -> web.Response:
        return web.json_response(read_endpoints(request.host))

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            answer = await self._answer(request)
        except ArmError as error:
            refusal = Answer(error.status, error.body, error.headers)
            return _response(refusal, self._clock.now())
        if request.method in _WRITES and answer.status != 204:
            self._record(request, await request.read(), answer)
        return _response(answer, self._clock.now())

    async def _answer(self, request: web.Request) -> Answer:
        self._check_login(request)
        kind, handler, args = find_route(self._routes, request.method, request.path)
        query = {key.lower(): value for key, value in request.query.items()}
        version = check_version(kind, query.get("api-version"))
        call = Call(
            self._cloud,
            self._clock,
            request.host,
            request.path.rstrip("/"),
            args,
            version,
            query,
            _object(await request.read()),
            ordered(),
        )
        result = handler(call)
        answer = await result if inspect.isawaitable(result) else result
        answer.headers["api-supported-versions"] = ", ".join(sorted(versions_of(kind)))
        return answer

    def _check_login(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise self._unauthorized(request, "AuthenticationFailed", message)
        try:
            claims = self._entra.key.verify(token)
        except BadTokenError as error:
            message = f"The access token is invalid: {error}."
            raise self._unauthorized(request, "InvalidAuthenticationToken", message) from error
        if scheme.lower() != "bearer" or not is_arm_audience(claims.get("aud"), request.host):
            message = f"The access token is for another audience: {claims.get('aud')}."
            raise self._unauthorized(request, "InvalidAuthenticationTokenAudience", message)

    def _unauthorized(self, request: web.Request, code: str, message: str) -> ArmError:
        where = f"https://{request.host}/{self._cloud.tenant}"
        challenge = f'Bearer authorization_uri="{where}", error="invalid_token"'
        return ArmError(401, code, message, {"WWW-Authenticate": challenge})

    def _record(self, request: web.Request, body: bytes, answer: Answer) -> None:
        if request.path.lower().rpartition("/")[2] in _HARMLESS:
            return
        site = self._sites.of_request(request, body)
        more: dict[str, Any] = {"status": answer.status}
        if request.path.lower().endswith("/generatecredentials"):
            sent = _object(body)
            more |= {"token": sent["tokenId"].rpartition("/")[2], "slot": sent.get("name")}
        self._audit.write("azure", site, request.method, request.path, **more)


def arm_refusal(request: web.Request, status: int) -> object:
    """Return the body of an ordered refusal, for the login service or for ARM."""
    if request.path.endswith("/token"):
        text = "AADSTS90033: A transient error has occurred. Please try again."
        return {"error": "temporarily_unavailable", "error_description": text}
    return ArmError(status, word_for(status), "The request failed, as ordered.").body


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        value = json.loads(body)
    except ValueError as error:
        message = "The request content was invalid and could not be deserialized."
        raise ArmError(400, "InvalidRequestContent", message) from error
    if not isinstance(value, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content is not a JSON object.")
    return value


def _response(answer: Answer, now: datetime) -> web.Response:
    ids = {
        "Date": format_datetime(now, usegmt=True),
        "x-ms-request-id": str(uuid.uuid4()),
        "x-ms-correlation-request-id": str(uuid.uuid4()),
    }
    headers = answer.headers | ids
    if answer.body is None:
        return web.Response(status=answer.status, headers=headers)
    return web.json_response(answer.body, status=answer.status, headers=headers)
