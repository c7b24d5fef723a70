"""Small requests of ours to the Prefect server: one at a time, by one client, quickly tried again.

On SQLite two writes at once lock each other out. The server then answers 503 within milliseconds,
and Prefect's client rests for two seconds and more before it asks again: measured with ten sites
at once, that was most of a run in which there was nothing to do
(docs/decisions/0010-slots-go-from-thread-to-thread.md).
"""

import atexit
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL

T = TypeVar("T")
_REQUEST_SECONDS = 30.0
_BUSY_SECONDS = 15.0
_SHORTEST_REST, _LONGEST_REST = 0.02, 0.2
_one_at_a_time = threading.Lock()
_clients: dict[str, SyncPrefectClient] = {}
_open = ExitStack()
atexit.register(_open.close)


def ask(call: Callable[[SyncPrefectClient], T]) -> T:
    """Make one request and return its answer.

    The client is none of a run's, which is closed when the run ends, and it stays open: opening one
    asks the server for a token.

    Raises:
        httpx.HTTPError: The server did not answer, after everything that Prefect's client tries.
        PrefectException: It refused.
    """
    with _one_at_a_time:
        return call(_client(PREFECT_API_URL.value() or ""))


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
