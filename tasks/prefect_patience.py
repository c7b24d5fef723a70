"""Calls to the Prefect server that outlast a time in which it is away."""

from collections.abc import Callable
from typing import TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError

from fleet.dispatch_errors import DispatchTroubleError
from tasks.prefect_calls import PATIENCE, is_away, outlast

T = TypeVar("T")
_REST = 5.0
_REQUEST_SECONDS = 60.0


def patiently(
    call: Callable[[SyncPrefectClient], T], *, patience: float = PATIENCE, rest: float = _REST
) -> T:
    """Make a call, again and again while the server is away: 429, 5xx, a broken connection.

    Args:
        call: What is asked; it may be asked several times.
        patience: Seconds for which to go on.
        rest: Seconds between two tries.

    Raises:
        DispatchTroubleError: The server stayed away for longer.
    """

    def request() -> T:
        with get_client({"timeout": _REQUEST_SECONDS}, sync_client=True) as client:
            return call(client)

    try:
        return outlast(request, patience + rest, rest, rest)
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        if not is_away(error):
            raise
        raise DispatchTroubleError(
            f"the Prefect server has not answered for {patience / 60:.0f} minutes "
            f"({type(error).__name__}); shards go on, and the same command takes them up"
        ) from error
