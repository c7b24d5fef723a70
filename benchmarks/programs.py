"""The programs of a benchmark, each a process of its own: the lab, a Prefect server, a runner."""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
LATENCY = HERE / "latency.yaml"
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PATIENCE = 600.0
_REST, _IDLE = 3.0, 0.1
"""Seconds for which a server at rest is watched, and how much of a core it may take then."""


class BenchmarkBrokenError(Exception):
    """A part of the benchmark did not do what it should; its figures would mean nothing."""


@dataclass(frozen=True)
class Lab:
    """A lab that runs: its fleet file and the variables with which the product logs in to Azure."""

    fleet_file: Path
    environment: Mapping[str, str]


@contextmanager
def running_lab(folder: Path, sites: int, at_once: int) -> Iterator[Lab]:
    """Run a lab with `sites` sites; its fleet file works on `at_once` of them at once."""
    lab = folder / "lab"
    command = ["lab", "up", "--sites", str(sites), "--dir", str(lab), "--latency", str(LATENCY)]
    log = folder / "lab.log"
    with _process([*command, "--minute", "1"], log, {}) as process:
        _await(process, log, lambda: "ready" in log.read_text())
        path = lab / "fleet.yaml"
        content = yaml.safe_load(path.read_text()) | {"max_sites_at_once": at_once}
        path.write_text(yaml.safe_dump(content))
        words = shlex.split((lab / "env.sh").read_text(), comments=True)
        yield Lab(path, dict(word.split("=", 1) for word in words if "=" in word))


@dataclass(frozen=True)
class Server:
    """A Prefect server that runs."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return what the server has cost so far, user and system time."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * _TICK

    def cpu_seconds_at_rest(self) -> float:
        """Return the same once it has written down what the runs so far have told it.

        It does so behind its answers: without this, a run's cost would be counted to the next one.
        """
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(_REST)
            if self.cpu_seconds() - before < _IDLE * _REST:
                return self.cpu_seconds()
        raise BenchmarkBrokenError(f"the Prefect server did not come to rest in {_PATIENCE:.0f} s")


@contextmanager
def running_server(folder: Path, database: str | None = None) -> Iterator[Server]:
    """Run a Prefect server on SQLite in `folder`, or on the database with this URL."""
    port = _free_port()
    url, log = f"http://127.0.0.1:{port}/api", folder / "prefect.log"
    environment = settings(folder)
    if database:
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with _process(command, log, environment) as process:
        _await(process, log, lambda: _answers(f"{url}/health"))
        yield Server(url, process.pid)


def settings(folder: Path) -> dict[str, str]:
    """Return the variables that keep everything of Prefect in `folder`."""
    return {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }


def run_once(module: str, lab: Lab, folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run one runner on the lab's fleet and return what it measured of itself.

    Raises:
        BenchmarkBrokenError: It failed, or not every site was done.
    """
    command = [sys.executable, "-m", module, str(lab.fleet_file)]
    variables = {**os.environ, **settings(folder), **lab.environment, **environment}
    done = subprocess.run(  # noqa: S603 - our own module, no shell
        command, env=variables, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise BenchmarkBrokenError(f"{module} ended with {done.returncode}: {done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


@contextmanager
def _process(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
            [sys.executable, "-m", *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: "subprocess.Popen[bytes]", log: Path, is_up: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkBrokenError(f"{log.stem} did not come up: {log.read_text()[-3000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
