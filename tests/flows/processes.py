"""Run `acrfleet` as an operator does: as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from prefect.settings import get_current_settings

from lab.thread import LabThread
from tests.flows.lab_runs import VARIABLES, writes


def environment(lab: LabThread, **more: str) -> dict[str, str]:
    """Return what the process needs to find the lab and this test's Prefect server."""
    settings = get_current_settings()
    azure = {name: lab.info["azure"][key] for name, key in VARIABLES.items()}
    prefect = {"PREFECT_API_URL": str(settings.api.url), "PREFECT_HOME": str(settings.home)}
    return os.environ | azure | prefect | more


def start(arguments: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start `acrfleet` with these arguments; its output is collected together."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_when(
    process: "subprocess.Popen[bytes]", is_time: Callable[[], bool]
) -> tuple[int | None, bytes]:
    """SIGKILL the process as soon as `is_time`.

    Returns:
        Its exit code when it ended before, else None; and what it printed.
    """
    while process.poll() is None:
        if is_time():
            process.kill()
            output, _ = process.communicate()
            return None, output
        time.sleep(0.001)
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
