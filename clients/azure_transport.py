"""How requests to Azure are sent: with time limits, and repeated only where that is harmless.

azure-core's own retries do not fit. They repeat a POST after 500, 503 and 504, so that
generateCredentials may replace a password twice; they repeat a PUT whose answer was lost; and they
sleep for as long as Retry-After says. Here only reads are repeated, and writes that were turned
away with 429 before anything happened. Everything else is for the step to decide, which reads again
first.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import RetryPolicy, SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport

from clients.azure_clouds import CloudEndpoints
from fleet.azure_errors import AzureBusyError

_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for Azure; seconds.

    `backoff` is the first pause between two tries, doubled each time; `longest_pause` bounds what
    Retry-After may ask for; `polling` is the pause between two looks at a running operation, which
    ends after `operation`; `activation` is how long a new token may take to become active.
    """

    retries: int = 4
    backoff: float = 0.8
    longest_pause: float = 60.0
    polling: float = 1.0
    operation: float = 300.0
    activation: float = 60.0
    connect: float = 10.0
    read: float = 60.0


class BoundedTransport(RequestsTransport):  # type: ignore[misc]  # azure-core exports it untyped
    """Sockets with time limits whose owner does not sleep for as long as a server says."""

    def __init__(self, endpoints: CloudEndpoints, patience: Patience) -> None:
        """Take the time limits and what verifies certificates; no connection is made yet."""
        super().__init__(
            connection_timeout=patience.connect,
            read_timeout=patience.read,
            connection_verify=endpoints.connection_verify,
        )
        self._longest_pause = patience.longest_pause
        self.open()

    def sleep(self, duration: float) -> None:
        """Sleep, or give up at once when it would take too long.

        Raises:
            AzureBusyError: Azure asks for more than the longest pause.
        """
        if duration > self._longest_pause:
            raise AzureBusyError(
                f"Azure is throttling and asks to wait {duration:.0f} s; run this again after that"
            )
        time.sleep(duration)


class CautiousRetryPolicy(RetryPolicy[Any, Any]):
    """Repeats reads, and writes that were certainly not carried out."""

    def __init__(self, patience: Patience) -> None:
        """Take how often and with which pauses to repeat."""
        super().__init__(
            retry_total=patience.retries,
            retry_connect=patience.retries,
            retry_read=patience.retries,
            retry_status=patience.retries,
            retry_backoff_factor=patience.backoff,
            retry_backoff_max=patience.longest_pause,
        )
        self._method_whitelist = _READS

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Return whether this answer may be better next time and asking again does no harm."""
        if response.http_response.status_code == 429:
            return bool(settings["total"] > 0)
        if response.http_request.method.upper() not in _READS:
            return False
        return super().is_retry(settings, response)


_LATE = timedelta(seconds=10)


class ServerClock(SansIOHTTPPolicy[Any, Any]):
    """Learns Azure's time from the Date of its answers.

    Passwords are made and expire by Azure's clock; the one of a laptop or a ship may be anything.
    A Date has whole seconds and is as old as its answer was on the way, so Azure's time is never
    earlier than it says. The time that `now` returns does not go back by that little: what is
    noted later is later.
    """

    def __init__(self) -> None:
        """Start with this machine's time, until Azure has answered once."""
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return Azure's time, UTC, to about a second."""
        return datetime.now(UTC) + self._ahead

    def on_response(
        self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]
    ) -> None:
        """Compare the clocks; an answer without a readable Date tells nothing."""
        try:
            date = parsedate_to_datetime(response.http_response.headers.get("Date", ""))
        except ValueError:
            return
        found = date.astimezone(UTC) - datetime.now(UTC)
        if not found <= self._ahead <= found + _LATE:
            self._ahead = found
