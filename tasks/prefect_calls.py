"""Requests of ours to the Prefect server: small ones go one at a time, by one client.

On SQLite two writes at once lock each other out. The server then answers 503 within milliseconds,
and Prefect's client rests for two seconds and more before it asks again: measured with ten sites
at once, that was most of a run in which there was nothing to do
(docs/decisions/0010-slots-go-from-thread-to-thread.md).

Where the server is away, Prefect's client doubles its rests without a bound: with the 15 tries that
a fleet needs the last one is nine hours. So here it tries twice, and the waiting is ours.
"""

import atexit
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import SettingsContext, get_settings_context
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from tasks.run_log import warn
from tasks.waiting import pause

T = TypeVar("T")
PATIENCE = 1800.0
"""Seconds for which a run waits for a server that is away."""
_TRIES = 2
_FIRST_REST, _LAST_REST = 1.0, 10.0
_REQUEST_SECONDS = 30.0
_BUSY_SECONDS = 15.0
_SHORTEST_REST, _LONGEST_REST = 0.02, 0.2
_one_at_a_time = threading.Lock()
_clients: dict[str, SyncPrefectClient] = {}
_open = ExitStack()
atexit.register(_open.close)


def ask(call: Callable[[SyncPrefectClient], T], *, patience: float = PATIENCE) -> T:
    """Make one request and return its answer; while the server is away, others have their turn.

    The client is none of a run's, which is closed when the run ends, and it stays open: opening one
    asks the server for a token.

    Args:
        call: The request; it may be made several times.
        patience: Seconds for which to go on while the server is away.

    Raises:
        httpx.HTTPError: The server did not answer for so long.
        PrefectException: It refused.
    """

    def request() -> T:
        with _one_at_a_time:
            return call(_client(PREFECT_API_URL.value() or ""))

    return outlast(request, patience, _FIRST_REST, _LAST_REST)


def outlast(request: Callable[[], T], patience: float, rest: float, longest_rest: float) -> T:
    """Make a request again and again while the server is away: 429, 5xx, a broken connection.

    Args:
        request: What is asked; it may be asked several times.
        patience: Seconds for which to go on.
        rest: Seconds between the first two tries; each further rest is twice as long.
        longest_rest: Seconds that no rest exceeds.

    Raises:
        httpx.TransportError, PrefectHTTPStatusError: The server refused, or stayed away for longer.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            with in_haste():
                return request()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            if not is_away(error) or time.monotonic() + rest > deadline:
                raise
            warn(f"the Prefect server does not answer ({type(error).__name__}); trying again")
        pause(rest)
        rest = min(rest * 2, longest_rest)


def is_away(error: Exception) -> bool:
    """Return whether the server may be back soon, by the type of what happened."""
    if isinstance(error, PrefectHTTPStatusError):
        code = error.response.status_code
        return code >= httpx.codes.INTERNAL_SERVER_ERROR or code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError)


@contextmanager
def in_haste() -> Iterator[None]:
    """Let Prefect's client give up after a few seconds inside the block."""
    now = get_settings_context()
    client = now.settings.client.model_copy(update={"max_retries": _TRIES})
    settings = now.settings.model_copy(update={"client": client})
    with SettingsContext(profile=now.profile, settings=settings):
        yield


def _client(url: str) -> SyncPrefectClient:
    if url not in _clients:
        settings: dict[str, Any] = {"timeout": _REQUEST_SECONDS}
        if not url.startswith("https:"):
            settings["transport"] = _QuickTransport()
        _clients[url] = _open.enter_context(get_client(settings, sync_client=True))
    return _clients[url]


class _QuickTransport(httpx.HTTPTransport):
    """Asks again soon where the database was locked; what lasts longer is up to the client."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            response = super().handle_request(request)
            busy = response.status_code == httpx.codes.SERVICE_UNAVAILABLE
            if not busy or time.monotonic() > deadline:
                return response
            response.close()
            time.sleep(random.uniform(_SHORTEST_REST, _LONGEST_REST))  # noqa: S311 - no secret
