"""A Prefect server with its UI, a lab's runs on it, a headless Chromium, and somebody who listens.

Without Playwright or a Chromium these tests are skipped with the reason; where
ACRFLEET_ACCEPTANCE is `required`, as in CI, they fail instead.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.thread import LabThread
from tests.flows.lab_runs import VARIABLES, change_fleet, running_lab
from tests.ui.messages import Listener

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE = 90.0


def _missing(reason: str) -> None:
    if os.environ.get("ACRFLEET_ACCEPTANCE") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; each test opens pages of its own."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("Playwright is not installed: run `make screens`, which does it")
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, _BROWSERS)), None)
        path = found or playwright.chromium.executable_path
        if not Path(path).exists():
            _missing("no Chromium: get Debian's `chromium` or run `playwright install chromium`")
        # Chromium refuses its sandbox to root, as CI is.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server as an operator starts it: UI and all services."""
    url = f"http://127.0.0.1:{_free_port()}"
    environment = {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        # Otherwise the UI looks for the API at port 4200.
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",
        "PREFECT_UI_URL": url,
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with _process([*command, "--port", url.rsplit(":", 1)[1]], environment):
        _await(lambda: httpx.get(f"{url}/api/health", timeout=5).status_code == 200)
        yield url


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """A webhook that keeps what it is sent."""
    heard = Listener()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.messages.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    http = HTTPServer(("127.0.0.1", 0), Webhook)
    heard.url = f"http://127.0.0.1:{http.server_port}/"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield heard
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(scope="session")
def runs(
    server: str, listener: Listener, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabThread]:
    """A lab of which one site was onboarded, one waits, and one failed; automations were on."""
    from tests.ui.messages import tell_people

    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch, running_lab(folder, patch, sites=3) as lab:
        change_fleet(lab, "rotterdam", patience={"accepted": "3s"})
        change_fleet(lab, "singapore", repositories={"include": ["nothing/*"]})
        lab.faults.add(part="registry", kind="skip", match="sync", site="rotterdam")
        home = tmp_path_factory.mktemp("home")
        tell_people(server, home, listener.url)
        azure = {name: lab.info["azure"][key] for name, key in VARIABLES.items()}
        ended = subprocess.run(
            [sys.executable, "-m", "cli", "onboard", str(lab.folder / "fleet.yaml")],
            env=os.environ
            | azure
            | {"PREFECT_HOME": str(home), "PREFECT_API_URL": f"{server}/api"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "1 done, 1 waiting, 1 failed" in ended.stdout, ended.stdout + ended.stderr
        yield lab


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _await(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if is_there():
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "the Prefect server does not answer"
        time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
