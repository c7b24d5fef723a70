"""Run `acrfleet` as an operator does: as a process of its own."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Protocol

from prefect.settings import get_current_settings

from lab.thread import LabThread
from tests.flows.lab_runs import VARIABLES, writes

_started: "list[subprocess.Popen[bytes]]" = []


def environment(lab: LabThread, **more: str) -> dict[str, str]:
    """Return what the process needs to find the lab and this test's Prefect server."""
    azure = {name: lab.info["azure"][key] for name, key in VARIABLES.items()}
    return os.environ | azure | prefect_environment() | more


def prefect_environment() -> dict[str, str]:
    """Return what the process needs to find this test's Prefect server."""
    settings = get_current_settings()
    return {"PREFECT_API_URL": str(settings.api.url), "PREFECT_HOME": str(settings.home)}


class Process(Protocol):
    """What a test needs of a run."""

    stdout: IO[bytes] | None
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def communicate(self, *, timeout: float | None = None) -> tuple[bytes, Any]:
        """Read its output to the end, wait for it, and return the output first."""


def start(arguments: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start `acrfleet` with these arguments; its output is collected together."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    _started.append(process)
    return process


def end_left_processes() -> None:
    """Kill what a test that gave up has left: a run that goes on keeps slots from other tests."""
    while _started:
        with _started.pop() as process:
            if process.poll() is None:
                process.kill()


class WarmCli:
    """Starts `acrfleet` as `start` does, in a few milliseconds (see `tests.flows.warm_cli`)."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """Start the process that forks the runs; `env` names the Prefect server of them all."""
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.flows.warm_cli"], env=dict(env), stdin=theirs
            )

    def start(self, arguments: Sequence[str], env: Mapping[str, str]) -> "WarmRun":
        """Start a run."""
        (output, output_end), (told, told_end) = os.pipe(), os.pipe()
        order = json.dumps({"arguments": list(arguments), "environment": dict(env)}).encode()
        socket.send_fds(self._orders, [order], [output_end, told_end])
        os.close(output_end)
        os.close(told_end)
        return WarmRun(os.fdopen(output, "rb"), os.fdopen(told, "rb"))

    def close(self) -> None:
        """End it; runs that still go on go on."""
        self._orders.close()
        assert self._process.wait(30) == 0


class WarmRun:
    """One run, as `subprocess.Popen` shows it."""

    def __init__(self, stdout: IO[bytes], told: IO[bytes]) -> None:
        """Take the pipe with its output, and the one on which its id and exit code come."""
        self.stdout: IO[bytes] | None = stdout
        self.returncode: int | None = None
        self._told = told
        self._pid = int(told.readline())

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def communicate(self, *, timeout: float | None = None) -> tuple[bytes, None]:
        """Read its output to the end, wait for it, and return the output first."""
        assert timeout is None
        assert self.stdout is not None
        try:
            with self.stdout:
                output = self.stdout.read()
        except BaseException:
            self.kill()  # a test that gave up must not leave a run that keeps slots from others
            raise
        if self.returncode is None:
            self.returncode = int(self._told.readline())
            self._told.close()
        return output, None


def kill_when(process: Process, is_time: Callable[[], bool]) -> tuple[int | None, bytes]:
    """SIGKILL the process as soon as `is_time`.

    Returns:
        Its exit code when it ended before, else None; and what it printed.
    """
    try:
        while process.poll() is None:
            if is_time():
                process.kill()
                output, _ = process.communicate()
                return None, output
            time.sleep(0.001)
    except BaseException:
        process.kill()
        raise
    output, _ = process.communicate()
    return process.returncode, output


def writes_reach(lab: LabThread, count: int) -> Callable[[], bool]:
    """Return a check whether at least so many writes reached the lab."""
    path, size = lab.world.audit.path, 0

    def is_time() -> bool:
        nonlocal size
        now = path.stat().st_size
        if now == size:
            return False
        size = now
        return len(writes(lab)) >= count

    return is_time
