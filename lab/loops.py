"""An event loop in a thread of its own, for callers that are not asynchronous."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any


class LoopThread:
    """Runs an event loop in a thread until it is closed."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(
        self, work: Callable[..., Any] | Awaitable[Any], *args: Any, wait: float = 30, **named: Any
    ) -> Any:
        """Run a function or await a coroutine on the loop; return what it returns or raises.

        Args:
            work: A function, a coroutine function, or a coroutine.
            *args: Its positional arguments, when it is a function.
            wait: Seconds until TimeoutError.
            **named: Its keyword arguments, when it is a function.
        """
        future = asyncio.run_coroutine_threadsafe(_run(work, args, named), self.loop)
        return future.result(wait)

    def close(self) -> None:
        """Cancel what still runs, stop the loop, end the thread; a second call does nothing."""
        if self.loop.is_closed():
            return
        self.call(_cancel_others)
        self.call(asyncio.sleep, 0.05)  # TLS connections end only after some turns of the loop
        self.call(self.loop.shutdown_asyncgens)
        self.call(self.loop.shutdown_default_executor)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _run(work: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    result = work(*args, **named) if callable(work) else work
    return await result if inspect.isawaitable(result) else result


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
