"""Answers the stand-in programs of one host over the unix socket in its folder."""

import ast
import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.hosts.descriptors import readable


@dataclass
class ToolCall:
    """One run of a stand-in program; `files` are its standard input, output and errors."""

    tool: str
    arguments: list[str]
    environment: dict[str, str]
    uid: int
    folder: str
    umask: int
    files: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Reply:
    """What the program prints and exits with."""

    stdout: str = ""
    stderr: str = ""
    exit: int = 0


Handler = Callable[[ToolCall], Awaitable[Reply]]


class StandIns:
    """The lab's end of a host's stand-in programs."""

    def __init__(self, folder: Path, handler: Handler) -> None:
        """Answer at `folder`/socket with what `handler` returns."""
        self._handler = handler
        self._path = folder / "socket"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen. The path goes through /proc because a socket's path has to be short."""
        self._path.unlink(missing_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            self._socket.bind(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)
        self._path.chmod(0o777)
        self._socket.listen(64)
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    async def stop(self) -> None:
        """Stop answering; programs that wait for an answer end with status 255."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            task = asyncio.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        files: list[int] = []
        with connection, contextlib.suppress(ConnectionError):
            try:
                call = ToolCall(**await _receive(connection, files), files=files)
                reply = await self._handle(connection, call)
                if reply:
                    await _answer(connection, reply)
            finally:
                for file in files:
                    os.close(file)

    async def _handle(self, connection: socket.socket, call: ToolCall) -> Reply | None:
        """Return the handler's answer; when the program ends first, cancel the handler."""
        handling = asyncio.ensure_future(self._handler(call))
        watching = asyncio.create_task(_until_closed(connection))
        try:
            either: list[asyncio.Future[Any]] = [handling, watching]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return await handling if handling.done() else None
        finally:
            watching.cancel()
            handling.cancel()
            await asyncio.wait([handling])


async def _receive(connection: socket.socket, files: list[int]) -> dict[str, Any]:
    await readable(connection)
    data, received, _, _ = socket.recv_fds(connection, 65536, 3)
    files += received
    if len(data) < 4:
        raise ConnectionError("a stand-in program died before it said what it wants")
    length = 4 + int.from_bytes(data[:4], "big")
    while len(data) < length:
        part = await asyncio.get_running_loop().sock_recv(connection, length - len(data))
        if not part:
            raise ConnectionError("a stand-in program died in the middle of its message")
        data += part
    message: dict[str, Any] = ast.literal_eval(data[4:].decode())
    return message


async def _until_closed(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionError):
        await asyncio.get_running_loop().sock_recv(connection, 1)


async def _answer(connection: socket.socket, reply: Reply) -> None:
    frames = (
        (b"1", reply.stdout.encode()),
        (b"2", reply.stderr.encode()),
        (b"x", str(reply.exit).encode()),
    )
    data = b"".join(kind + len(text).to_bytes(4, "big") + text for kind, text in frames if text)
    await asyncio.get_running_loop().sock_sendall(connection, data)
