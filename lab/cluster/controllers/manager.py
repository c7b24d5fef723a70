"""Runs the controllers of one cluster: one queue, one task, no polling."""

import asyncio
import logging
from collections.abc import Sequence

from lab.cluster.controllers.interface import Controller, Event, Key
from lab.cluster.errors import ApiError
from lab.cluster.store import Change, Store

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.05

Work = tuple[Controller, Key]


class Manager:
    """Feeds events to controllers and calls them again when they ask for it."""

    def __init__(self, store: Store, controllers: Sequence[Controller]) -> None:
        """Watch `store` on behalf of `controllers`."""
        self._store = store
        self._controllers = controllers
        self._queue: asyncio.Queue[Work] = asyncio.Queue()
        self._waiting: set[tuple[int, Key]] = set()
        self._timers: dict[tuple[int, Key], asyncio.TimerHandle] = {}
        self._running = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = store.subscribe(self._note)

    def start(self) -> None:
        """Start working."""
        self._running.set()
        self._task = asyncio.get_running_loop().create_task(self._work())

    def set_running(self, running: bool) -> None:
        """Hold the controllers, as a K3s server that is down does, or let them go on."""
        if running:
            self._running.set()
        else:
            self._running.clear()

    async def stop(self) -> None:
        """Stop for good."""
        self._unsubscribe()
        for timer in self._timers.values():
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def enqueue(self, controller: Controller, key: Key) -> None:
        """Have a controller look at an object soon."""
        mark = (id(controller), key)
        if mark not in self._waiting:
            self._waiting.add(mark)
            self._queue.put_nowait((controller, key))

    def _note(self, change: Change) -> None:
        event = Event(change.type, change.kind.name, change.object)
        for controller in self._controllers:
            for key in controller.keys(event):
                self.enqueue(controller, key)

    async def _work(self) -> None:
        while True:
            controller, key = await self._queue.get()
            await self._running.wait()
            self._waiting.discard((id(controller), key))
            delay = await self._reconcile(controller, key)
            if delay is not None:
                self._later(controller, key, delay)

    async def _reconcile(self, controller: Controller, key: Key) -> float | None:
        try:
            return await controller.reconcile(key)
        except ApiError as error:
            _log.debug("%s %s: %s", type(controller).__name__, key, error)
            return _RETRY_SECONDS
        except Exception:  # noqa: BLE001 - one broken object must not stop the cluster
            _log.exception("%s failed on %s", type(controller).__name__, key)
            return 1.0

    def _later(self, controller: Controller, key: Key, delay: float) -> None:
        mark = (id(controller), key)
        if old := self._timers.get(mark):
            old.cancel()
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.pop(mark, None)
            self.enqueue(controller, key)

        self._timers[mark] = loop.call_later(delay, due)
