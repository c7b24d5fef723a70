"""Reading and writing file descriptors without blocking the lab's event loop."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

_CHUNK = 65536


async def readable(file: Any) -> None:
    """Wait until there is something to read, or the end of the file."""
    loop = asyncio.get_running_loop()
    await _until(lambda ready: loop.add_reader(file, ready), lambda: loop.remove_reader(file))


async def writable(file: Any) -> None:
    """Wait until there is room to write, or nobody reads any more."""
    loop = asyncio.get_running_loop()
    await _until(lambda ready: loop.add_writer(file, ready), lambda: loop.remove_writer(file))


async def read_some(file: int) -> bytes:
    """Return what there is to read, b"" at the end."""
    while True:
        try:
            return os.read(file, _CHUNK)
        except BlockingIOError:
            await readable(file)


async def write_all(file: int, data: bytes) -> None:
    """Write everything; BrokenPipeError when nobody reads any more."""
    while data:
        try:
            data = data[os.write(file, data) :]
        except BlockingIOError:
            await writable(file)


async def _until(start: Callable[[Callable[[], None]], object], stop: Callable[[], object]) -> None:
    ready = asyncio.get_running_loop().create_future()
    start(lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        stop()
