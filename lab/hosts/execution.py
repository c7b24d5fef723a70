"""Runs commands on a host for a logged-in user, and connects them with SSH channels."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncssh

from lab.hosts.changes import Changes
from lab.hosts.descriptors import read_some, write_all
from lab.hosts.folder import USER_ID
from lab.hosts.machine import translate
from lab.hosts.shells import Command, Running, Shells

_SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/games"
_SIGNALS = {number.name.removeprefix("SIG"): number.value for number in signal.Signals}


class Executor:
    """Starts commands on one host and watches what they change."""

    def __init__(self, root: Path, hostname: str, shells: Shells, changes: Changes) -> None:
        """Run commands in `root`."""
        self.root = root
        self.namespace = shells.mode == "namespace"
        self._hostname = hostname
        self._shells = shells
        self._changes = changes

    async def run(self, command: Command, files: Sequence[int]) -> Running:
        """Start a command; its file changes are reported before its status is known."""
        self._changes.begin()
        try:
            running = await self._shells.start(self.root, self._hostname, command, files)
        except BaseException:
            self._changes.end()
            raise
        running.status.add_done_callback(lambda _: self._changes.end())
        return running

    async def signal(self, running: Running, number: int) -> None:
        """Send a signal to all processes of a command's group."""
        with contextlib.suppress(ConnectionError):
            await self._shells.signal(running, number)

    async def kill_all(self) -> None:
        """Kill every process of the host."""
        with contextlib.suppress(ConnectionError):
            await self._shells.kill_all(self.root)

    def path(self, path: str) -> str:
        """Return a host's path as commands see it in this mode."""
        return path if self.namespace else str(self.root) + path

    def search_path(self, path: str) -> str:
        """Return a PATH that finds the stand-ins first in this mode too."""
        return path if self.namespace else f"{self.root}/usr/local/bin:{path}"

    def login_command(self, text: str | None, user: str) -> Command:
        """Return what sshd runs for `ssh host TEXT`, or a plain shell without a text."""
        root = user == "root"
        home = "/root" if root else f"/home/{user}"
        environment = {
            "HOME": self.path(home),
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/sh",
            "PATH": self.search_path(_SEARCH_PATH),
            "SSH_CONNECTION": "127.0.0.1 0 127.0.0.1 22",
        }
        if text is not None and not self.namespace:
            text = translate(text, self.root)
        argv = ("/bin/sh",) if text is None else ("/bin/sh", "-c", text)
        number = 0 if root else USER_ID
        return Command(argv, environment, uid=number, gid=number, folder=home)


async def _tell(status: asyncio.Future[int], ended: Callable[[int], None]) -> None:
    ended(await asyncio.shield(status))


class Channel:
    """One SSH exec channel and the command behind it.

    As with a real sshd, a command goes on when the connection drops; it gets SIGPIPE when it
    writes, and the end of its input when it reads.
    """

    def __init__(self, process: "asyncssh.SSHServerProcess[bytes]", executor: Executor) -> None:
        """Connect `process` with commands of `executor`."""
        self._process = process
        self._executor = executor
        self._ends: list[int] = []

    async def run(self, command: Command, ended: Callable[[int], None]) -> int:
        """Run a command to its end and until its output is closed; return its status.

        `ended` gets the status as soon as there is one: like sshd, which does not wait for what
        a command has left behind and what may still write.
        """
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        for end in ours:
            os.set_blocking(end, False)
        try:
            running = await self._executor.run(command, theirs)
        finally:
            for end in theirs:
                os.close(end)
        telling = asyncio.create_task(_tell(running.status, ended))
        feed = asyncio.create_task(self._feed(running, ours[0]))
        try:
            await asyncio.gather(
                self._drain(ours[1], self._process.stdout),
                self._drain(ours[2], self._process.stderr),
            )
            await telling
            return running.status.result()
        finally:
            feed.cancel()

    async def _feed(self, running: Running, end: int) -> None:
        try:
            while data := await self._next_input(running):
                await write_all(end, data)
        except OSError:
            pass  # the command reads no more, or the connection dropped
        finally:
            os.close(end)

    async def _next_input(self, running: Running) -> bytes:
        while True:
            try:
                return await self._process.stdin.read(65536)
            except asyncssh.SignalReceived as received:
                await self._executor.signal(running, _SIGNALS.get(received.signal, signal.SIGTERM))
            except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                continue

    async def _drain(self, end: int, writer: "asyncssh.SSHWriter[bytes]") -> None:
        try:
            while data := await read_some(end):
                writer.write(data)
                await writer.drain()
        except (OSError, asyncssh.Error):
            pass  # the connection dropped: closing our end is what the command notices
        finally:
            os.close(end)
