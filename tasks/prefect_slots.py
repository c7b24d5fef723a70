"""Slots of a Prefect global concurrency limit, shared by the threads of this process.

`prefect.concurrency.sync.concurrency` asks the server for a slot at each use and gives it back
right after. On SQLite that costs seconds (threads run into each other's database locks and wait two
seconds each time; 96 uses by 16 threads took 30 s instead of 2.4 s), so here a slot goes from
thread to thread while there is work, and back to the server soon after there is none.
"""

import contextvars
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL

from fleet.errors import PrefectBusyError
from tasks.prefect_calls import ask
from tasks.prefect_limits import make_limit
from tasks.run_log import warn
from tasks.waiting import pause

LEASE_SECONDS = 60.0
_RENEW_AFTER = 20.0
_FAIR_SHARE = 20.0
_LINGER = 0.5
_TICK = 0.25
_LONGEST_PAUSE = 2.0
_STUCK_AFTER = 150.0
_LONGEST_WAIT = 600.0
_LOCKED = 423


@dataclass
class _Lease:
    """A slot that this process has; `idle` is since when no thread uses it."""

    id: UUID
    taken: float
    renewed: float
    idle: float | None = None
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class PrefectSlots:
    """At most `slots` slots at once, in this process and, through Prefect, in all others.

    `stuck_after` is how many seconds no slot may become free before those in use count as lost.
    """

    def __init__(self, name: str, slots: int, stuck_after: float = _STUCK_AFTER) -> None:
        """Take the limit's name and size; the server hears of it at the first use."""
        self._stuck_after = stuck_after
        self.name = name
        self._slots = slots
        self._free = threading.BoundedSemaphore(slots)
        self._guard = threading.Lock()
        self._leases: list[_Lease] = []
        self._keeper: threading.Thread | None = None
        self._made = False

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot.

        Raises:
            PrefectBusyError: Prefect gave none in time.
        """
        with self._free:
            try:
                lease = self._take()
            except (HTTPError, PrefectException) as error:
                raise self._busy(type(error).__name__) from error
            try:
                yield
            finally:
                self._give(lease)

    def _take(self) -> _Lease:
        """Return a lease that is idle here, or one from the server."""
        self._make_limit()
        began = time.monotonic()
        while True:
            lease = self._take_idle()
            if lease is not None:
                return lease
            waited = time.monotonic() - began
            if waited > _LONGEST_WAIT:
                raise self._busy(f"none within {_LONGEST_WAIT:.0f} s")
            if waited > self._stuck_after and not self._leases:
                self._forget_lost_slots()
                began = time.monotonic()
            seconds = self._ask()
            if seconds is not None:
                pause(min(seconds, _LONGEST_PAUSE))

    def _take_idle(self) -> _Lease | None:
        with self._guard:
            for lease in self._leases:
                if lease.idle is not None:
                    lease.idle = None
                    return lease
        return None

    def _ask(self) -> float | None:
        """Ask the server for a slot, idle at first; return how long to wait when it has none."""
        now = time.monotonic()
        try:
            answer = ask(
                lambda client: client.increment_concurrency_slots_with_lease(
                    [self.name], 1, "concurrency", LEASE_SECONDS
                )
            ).json()
        except HTTPStatusError as error:
            if error.response.status_code != _LOCKED:
                raise
            return float(error.response.headers.get("Retry-After", _LONGEST_PAUSE))
        if not answer["limits"]:
            self._made = False
            raise self._busy("somebody deleted the limit; the next try makes it again")
        with self._guard:
            self._leases.append(_Lease(UUID(answer["lease_id"]), now, now, idle=now))
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name=self.name, daemon=True)
                self._keeper.start()
        return None

    def _give(self, lease: _Lease) -> None:
        """Leave a slot to the next thread; after a while other processes have their turn."""
        with self._guard:
            lease.idle = time.monotonic()
            if lease.idle - lease.taken < _FAIR_SHARE:
                return
            self._leases.remove(lease)
        self._release(lease)

    def _keep(self) -> None:
        """Renew what is held and give back what nobody used for a moment; end with the last."""
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            with self._guard:
                unused = [one for one in self._leases if one.idle and now - one.idle > _LINGER]
                self._leases = [one for one in self._leases if one not in unused]
                old = [one for one in self._leases if now - one.renewed > _RENEW_AFTER]
                if not self._leases:
                    self._keeper = None
            for lease in unused:
                self._release(lease)
            for lease in old:
                self._renew(lease, now)
            if self._keeper is not threading.current_thread():
                return

    def _release(self, lease: _Lease) -> None:
        """Give a slot back; where that fails its lease ends by itself."""
        try:
            lease.context.copy().run(
                ask,
                lambda client: client.release_concurrency_slots_with_lease(lease.id),
                patience=0,
            )
        except HTTPError as error:
            self._complain(lease, error)

    def _renew(self, lease: _Lease, now: float) -> None:
        """Renew a lease; where that fails, nothing that is under way is cut off."""
        lease.renewed = now
        try:
            lease.context.copy().run(
                ask,
                lambda client: client.renew_concurrency_lease(lease.id, LEASE_SECONDS),
                patience=0,
            )
        except HTTPError as error:
            if lease in self._leases:
                self._complain(lease, error)

    def _complain(self, lease: _Lease, error: Exception) -> None:
        lease.context.copy().run(
            warn, f"Prefect did not hear about a slot of {self.name}: {type(error).__name__}"
        )

    def _make_limit(self) -> None:
        """Create or correct the limit, because Prefect ignores a missing one without a word.

        A server that belongs to this process alone knows no leases of earlier ones: the slots that
        a killed run has left behind in its database would be taken for ever.
        """
        with self._guard:
            if self._made:
                return
            ask(lambda client: make_limit(client, self.name, self._slots))
            self._made = True
        if PREFECT_API_URL.value() is None:
            self._reset()

    def _forget_lost_slots(self) -> None:
        warn(
            f"concurrency limit {self.name} had no free slot for {self._stuck_after:.0f} s,"
            " although no run keeps one that long: they were lost with a server or run that died;"
            " now reset"
        )
        self._reset()

    def _reset(self) -> None:
        nothing = GlobalConcurrencyLimitUpdate(active_slots=0)
        ask(lambda client: client.update_global_concurrency_limit(self.name, nothing))

    def _busy(self, reason: str) -> PrefectBusyError:
        return PrefectBusyError(
            f"Prefect gave no slot of concurrency limit {self.name}: {reason}; look at Concurrency"
            " in its UI and at the server's log"
        )
