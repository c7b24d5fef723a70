"""How the cloud notices that a registry has gone silent."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from lab.clock import Clock
from lab.registry.parent import Parent, Report

MISSED = timedelta(minutes=3)


class Heartbeats:
    """Passes a registry's reports on, and reports it Offline after three silent minutes.

    It lives on the cloud's side: a registry that lost its link, or its pod, cannot say so itself.
    """

    def __init__(self, clock: Clock) -> None:
        """Start with nobody heard."""
        self._clock = clock
        self._heard = 0.0
        self._listening: asyncio.Task[None] | None = None
        self._last: tuple[Parent, str, Report] | None = None

    def beat(self, parent: Parent, name: str, report: Report) -> None:
        """Report now, and start to listen for silence."""
        parent.report(name, report)
        self._heard = asyncio.get_running_loop().time()
        self._last = (parent, name, report)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening; the last state stays."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._heard + self._clock.real_seconds(MISSED) - loop.time()) > 0:
            await asyncio.sleep(left)
        if self._last is not None:
            parent, name, report = self._last
            parent.report(name, replace(report, state="Offline", last_sync=None))
