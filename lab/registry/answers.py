"""The shapes of a registry's answers: JSON, pages, content and Docker's error envelope."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(Exception):
    """An answer in Docker's error envelope."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        detail: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep what the answer will say."""
        super().__init__(message)
        self.status = status
        self.body = {"errors": [{"code": code, "message": message, "detail": detail}]}
        self.headers = headers or {}


@web.middleware
async def errors_as_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an ApiError into the answer that it describes."""
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(
            error.body, status=error.status, headers={**_VERSION, **error.headers}
        )


def json_answer(body: Mapping[str, Any]) -> web.Response:
    """Answer with JSON."""
    return web.json_response(body, headers=_VERSION)


def empty_answer(status: int, headers: Mapping[str, str]) -> web.Response:
    """Answer with headers alone."""
    return web.Response(status=status, headers={**_VERSION, **headers})


def content_answer(body: bytes, media_type: str, digest: str) -> web.Response:
    """Answer with a manifest or a blob; aiohttp leaves the body out for HEAD."""
    headers = {"Content-Type": media_type, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
    return web.Response(body=body, headers={**_VERSION, **headers})


def page_answer(
    request: web.Request, key: str, names: Sequence[str], more: Mapping[str, Any]
) -> web.Response:
    """Answer with the part of a sorted list that `n` and `last` ask for, and a Link to the next."""
    last, size = request.query.get("last", ""), request.query.get("n", "")
    rest = [name for name in names if name > last]
    count = int(size) if size.isdecimal() and int(size) else len(rest)
    answer = json_answer({**more, key: rest[:count]})
    if len(rest) > count:
        link = f"{request.path}?last={rest[count - 1]}&n={count}&orderby="
        answer.headers["Link"] = f'<{link}>; rel="next"'
    return answer
