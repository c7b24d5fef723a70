"""Copies bytes between an SSH channel or a socket and a stream, both ways."""

import asyncio
import contextlib
from typing import Any

import asyncssh

_CHUNK = 65536


async def copy_both_ways(
    one: tuple[Any, Any], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Copy until both sides have ended; an end on one side is passed on to the other."""
    try:
        await asyncio.gather(_copy(one[0], other[1]), _copy(other[0], one[1]))
    finally:
        for writer in (one[1], other[1]):
            with contextlib.suppress(OSError, asyncssh.Error):
                writer.close()


async def _copy(reader: Any, writer: Any) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def delay_both_ways(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    seconds: float,
) -> None:
    """Copy like a long cable: every byte arrives `seconds` after it was sent."""
    try:
        await asyncio.gather(_delay(near[0], far[1], seconds), _delay(far[0], near[1], seconds))
    finally:
        near[1].close()
        far[1].close()


async def _delay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    cable: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def arrive() -> None:
        with contextlib.suppress(OSError):
            while True:
                when, data = await cable.get()
                await asyncio.sleep(when - loop.time())
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

    arriving = asyncio.create_task(arrive())
    try:
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            cable.put_nowait((loop.time() + seconds, data))
        await arriving
    finally:
        arriving.cancel()
