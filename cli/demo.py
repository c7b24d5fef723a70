"""`acrfleet demo`: the whole story on one machine, with the commands that an operator types.

The demo starts a lab and a Prefect server as processes of their own and then runs `acrfleet
onboard` and `acrfleet status` against them: what it shows is what happens against Azure and K3s.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from cli.demo_fleet import write_demo_fleet

_UI_PORT = 4200
_PATIENCE = 60.0


class DemoBrokenError(Exception):
    """A part of the demo did not start; the message quotes what it printed."""


@click.command()
@click.option(
    "--dir", "folder", default=".demo", type=click.Path(path_type=Path), show_default=True
)
@click.option("--sites", default=3, show_default=True, help="How many edge sites the lab has.")
@click.option("--ui", is_flag=True, help="Show the last demo in the Prefect UI until Ctrl-C.")
def demo(folder: Path, sites: int, ui: bool) -> None:
    r"""Start a lab with edge sites, onboard them, and show what came out.

    \b
    Example:
        acrfleet demo
        acrfleet demo --ui
    """
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        sys.exit(_show_ui(folder) if ui else _run(folder, sites))
    except DemoBrokenError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(130)


def _run(folder: Path, sites: int) -> int:
    started = time.monotonic()
    _clear(folder)
    with ExitStack() as stack:
        url = f"http://127.0.0.1:{_free_port()}"
        server = stack.enter_context(_process("prefect", _server(url), folder, _home(folder)))
        _say(f"starting a lab (Azure and {sites} edge sites) in {folder} and a Prefect server")
        lab = [
            sys.executable,
            "-m",
            "lab",
            "up",
            "--sites",
            str(sites),
            "--dir",
            str(folder / "lab"),
        ]
        world = stack.enter_context(_process("lab", lab, folder, {}))
        _await(world, "lab", folder, lambda: "ready" in _log(folder, "lab").read_text())
        _await(server, "prefect", folder, lambda: _answers(f"{url}/api/health"))
        environment = _home(folder) | read_exports(folder / "lab/env.sh")
        environment["PREFECT_API_URL"] = f"{url}/api"
        _say(f"both are up after {time.monotonic() - started:.0f} s; onboarding the sites")
        fleet = str(write_demo_fleet(folder / "lab/fleet.yaml", folder / "fleet.yaml"))
        code = _acrfleet(["onboard", fleet], environment)
        if code == 0:
            _say("\nthe same command once more: nothing is left to do")
            code = _acrfleet(["onboard", fleet], environment)
        _say("\nwhat `acrfleet status` knows about the fleet")
        _acrfleet(["status", fleet], environment)
    _say(_where_to_look(folder, time.monotonic() - started))
    return code


def _where_to_look(folder: Path, seconds: float) -> str:
    return (
        f"\nfinished in {seconds:.0f} s. Where to look:\n"
        f"  Prefect UI   make ui, then http://127.0.0.1:{_UI_PORT}/v2/runs and /v2/artifacts\n"
        f"  fleet file   {folder}/fleet.yaml (the example with the lab's addresses)\n"
        f"  every write  {folder}/lab/audit.jsonl"
    )


def _show_ui(folder: Path) -> int:
    if not (folder / "prefect").exists():
        raise DemoBrokenError(f"there is no demo in {folder} yet: run `acrfleet demo` first")
    url = f"http://127.0.0.1:{_UI_PORT}"
    if not _is_free(_UI_PORT):
        raise DemoBrokenError(
            f"port {_UI_PORT} is taken, perhaps by another Prefect server; stop it"
        )
    with _process("prefect", _server(url), folder, _home(folder)) as server:
        _await(server, "prefect", folder, lambda: _answers(f"{url}/api/health"))
        _say(f"the Prefect UI shows the last demo at {url} until Ctrl-C")
        return server.wait()


def read_exports(path: Path) -> dict[str, str]:
    """Return the variables that a shell file exports with `export NAME=value` lines."""
    words = shlex.split(path.read_text(), comments=True)
    return dict(word.split("=", 1) for word in words if "=" in word)


def _acrfleet(arguments: Sequence[str], environment: dict[str, str]) -> int:
    click.echo(click.style(f"$ acrfleet {' '.join(arguments)}", bold=True))
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


def _clear(folder: Path) -> None:
    """Remove an earlier demo, and nothing that isn't one."""
    if not folder.exists() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        return
    if not (folder / "prefect").exists():
        raise DemoBrokenError(
            f"{folder} is not empty and holds no earlier demo: name another --dir"
        )
    shutil.rmtree(folder, onerror=_remove_closed)
    folder.mkdir(parents=True)


def _remove_closed(_function: object, path: str, _error: object) -> None:
    """Remove what the lab's hosts closed to everybody, which only root could list."""
    closed = Path(path)
    closed.chmod(0o700)
    if closed.is_dir():
        closed.rmdir()
    else:
        closed.unlink()


def _home(folder: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str((folder / "prefect").resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "DO_NOT_TRACK": "1",
    }


def _server(url: str) -> list[str]:
    port = url.rsplit(":", 1)[1]
    return [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        port,
    ]


@contextmanager
def _process(
    name: str, command: Sequence[str], folder: Path, environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    with _log(folder, name).open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | environment
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _log(folder: Path, name: str) -> Path:
    return folder / f"{name}.log"


def _await(
    process: "subprocess.Popen[bytes]", name: str, folder: Path, is_up: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            last = "\n".join(_log(folder, name).read_text().splitlines()[-15:])
            raise DemoBrokenError(f"{name} did not come up; its last words were:\n{last}")
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


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _say(text: str) -> None:
    click.echo(text)
