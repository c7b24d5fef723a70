"""Runs commands inside a host's root folder, through the launcher process.

Two modes. "namespace": every command gets its own mount table whose `/` is the host's folder, with
the machine's /usr, /bin, /lib*, /sbin, /dev and /proc bound into it. "translate", for machines
that refuse namespaces: the same shell, with the host's own paths rewritten in the command text
(see `lab.hosts.machine.translate`). `LAB_HOST_MODE` forces one.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from lab.hosts.machine import borrowed, shadowed_programs, spawn_launcher, translate

_RETRY = 0.005
_PROTECTED = ("/etc", "/var/lib", "/usr/local")
_KILLED = -9
_MARK = "LAB_HOST"  # in the environment of every process of a host, to find them all at a reboot


@dataclass(frozen=True)
class Command:
    """What to run, as whom, and where."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    uid: int = 0
    gid: int = 0
    folder: str = "/"
    umask: int = 0o022
    not_found: str = "command not found\n"
    not_found_exit: int = 127


@dataclass
class Running:
    """A started command; `status` becomes what `os.waitstatus_to_exitcode` says of it."""

    number: int
    status: asyncio.Future[int] = field(default_factory=asyncio.Future)


class Shells:
    """The launcher of one lab. Each host takes it with `acquire` and gives it back by `release`."""

    _of_loop: ClassVar[dict[asyncio.AbstractEventLoop, "Shells"]] = {}

    def __init__(self, mode: str) -> None:
        """Start a launcher; `mode` is "namespace" or "translate"."""
        self.mode = mode
        self._control, self.process_id = spawn_launcher()
        self._control.setblocking(False)
        self._users = 0
        self._running: dict[int, Running] = {}
        self._count = 0
        asyncio.get_running_loop().add_reader(self._control, self._receive)

    @classmethod
    def acquire(cls, mode: str) -> "Shells":
        """Return the launcher that all hosts on this event loop share; start it when needed."""
        for stale in [loop for loop in cls._of_loop if loop.is_closed()]:
            del cls._of_loop[stale]
        loop = asyncio.get_running_loop()
        shells = cls._of_loop.get(loop)
        if shells is None or shells.mode != mode:
            shells = cls._of_loop[loop] = cls(mode)
        shells._users += 1
        return shells

    async def release(self) -> None:
        """Stop the launcher, and with it every command, when no host needs it any more."""
        self._users -= 1
        if self._users:
            return
        loop = asyncio.get_running_loop()
        if self._of_loop.get(loop) is self:
            del self._of_loop[loop]
        self._close()
        with contextlib.suppress(ChildProcessError):
            await loop.run_in_executor(None, os.waitpid, self.process_id, 0)

    async def start(
        self, root: Path, hostname: str, command: Command, files: Sequence[int]
    ) -> Running:
        """Start a command on the host whose `/` is `root`, with these stdin, stdout and stderr."""
        self._count += 1
        running = self._running[self._count] = Running(self._count)
        await self._send(self._request(running.number, root, hostname, command), files)
        return running

    async def signal(self, running: Running, number: int) -> None:
        """Send a signal to a command's process group."""
        await self._send({"id": running.number, "op": "signal", "signal": number}, [])

    async def kill_all(self, root: Path) -> None:
        """Kill every process of one host, also those that its commands left behind."""
        await self._send({"op": "kill", "marker": f"{_MARK}={root}"}, [])

    def _request(
        self, number: int, root: Path, hostname: str, command: Command
    ) -> dict[str, object]:
        namespace = self.mode == "namespace"
        stands_in_for_user = namespace and command.uid != 0 and os.geteuid() != 0
        return {
            "id": number,
            "op": "run",
            "namespace": namespace,
            "root": str(root),
            "mount_point": str(root.parent / "mnt"),
            "binds": _binds(root) if namespace else [],
            "protected": _PROTECTED if stands_in_for_user else [],
            "closed": _closed_paths(root) if stands_in_for_user else [],
            "nobodys": str(root.parent / "nobodys"),
            "hostname": hostname,
            "argv": command.argv,
            "env": {**command.environment, _MARK: str(root)},
            "uid": command.uid,
            "gid": command.gid,
            "folder": command.folder if namespace else translate(command.folder, root),
            "umask": command.umask,
            "not_found": command.not_found,
            "not_found_exit": command.not_found_exit,
        }

    async def _send(self, request: dict[str, object], files: Sequence[int]) -> None:
        data = json.dumps(request).encode()
        while self._control.fileno() >= 0:
            try:
                socket.send_fds(self._control, [data], list(files))
            except BlockingIOError:
                await asyncio.sleep(_RETRY)
            else:
                return
        raise ConnectionError("the lab's launcher has stopped")

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := self._control.recv(4096):
                answer = json.loads(data)
                _finish(self._running.pop(answer["id"], None), answer["exit"])
            self._close()

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        for running in self._running.values():
            _finish(running, _KILLED)
        self._running.clear()


def _finish(running: Running | None, status: int) -> None:
    if running and not running.status.done():
        running.status.set_result(status)


def _binds(root: Path) -> list[tuple[str, str, bool]]:
    return [
        *borrowed(),
        (str(root / "usr/local"), "/usr/local", False),
        *((_shadow(root, program), program, True) for program in shadowed_programs()),
    ]


def _shadow(root: Path, program: str) -> str:
    """Return what hides a program of this machine: the host's stand-in, or nothing to execute.

    A shell says of the latter "Permission denied" where a real host says "not found"; a missing
    sudo is the one whose words clients read, so the stand-in speaks for it.
    """
    name = Path(program).name
    if name == "sudo" or (root / "usr/local/bin" / name).is_symlink():
        return str(root / "opt/lab/stand-in")
    return os.devnull


def _closed_paths(root: Path) -> list[str]:
    """Return what only root may read, for a lab that cannot give files to different users.

    Without root there is one user behind all users of a host. So a command of the login user gets
    these paths hidden behind something that nobody may read, and root's folders read-only.
    """
    found = ["/root"]
    for folder in ("etc", "var/lib/rancher"):
        for above, folders, files in os.walk(root / folder):
            closed = [name for name in (*files, *folders) if _is_closed(Path(above, name))]
            found += [f"/{Path(above, name).relative_to(root)}" for name in closed]
            folders[:] = [name for name in folders if name not in closed]
    return found


def _is_closed(path: Path) -> bool:
    try:
        return not path.is_symlink() and not path.stat().st_mode & 0o005
    except FileNotFoundError:
        return False
