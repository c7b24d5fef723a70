"""Processes of a stack: each ends with the process that started it, and can be killed as a machine.

`setpriv --pdeathsig` has the kernel end a process with its parent, also after a SIGKILL; what it
started itself ends with the namespace that `python -m tests.machines` enters, or with `stop`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PATIENCE = 120.0
_LAST_WORDS = 15


class NotUpError(Exception):
    """Something of the stack did not come up; the message quotes what it printed."""


class Program:
    """One running program, its log and its children."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            name: Of its log.
            command: Program and arguments.
            folder: Where its log goes.
            environment: All of its variables.
            user: Who it runs as; None: as we do.
            cwd: Where it runs.
        """
        self.name = name
        self.log = folder / f"{name}.log"
        switch = ("--reuid", user, "--regid", user, "--init-groups") if user else ()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", *switch, "--pdeathsig", "TERM", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self.process.poll() is None

    def kill(self) -> list[int]:
        """SIGKILL it and everything it has started, as when its machine loses power."""
        family = [self.pid, *descendants(self.pid)]
        for pid in family:
            _signal(pid, signal.SIGKILL)
        self.process.wait()
        return family

    def stop(self) -> None:
        """End it, the hard way when it does not go; what it started goes as well."""
        family = descendants(self.pid)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in family:
            _signal(pid, signal.SIGKILL)

    def wait_until(self, is_up: Callable[[], bool]) -> None:
        """Wait until it is up.

        Raises:
            NotUpError: It ended, or patience did.
        """
        deadline = time.monotonic() + _PATIENCE
        while not is_up():
            if not self.is_alive or time.monotonic() > deadline:
                raise NotUpError(f"{self.name} did not come up; it said:\n{self.last_words}")
            time.sleep(0.1)

    @property
    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LAST_WORDS:])


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found, left = [], [pid]
    while left:
        mine = children.get(left.pop(), [])
        found += mine
        left += mine
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
