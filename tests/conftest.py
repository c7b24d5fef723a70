"""Fixtures that many tests share. Prefect gets a home of its own before anything imports it."""

import atexit
import gc
import os
import shutil
import signal
import tempfile
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest

if TYPE_CHECKING:
    from tests.flows.processes import WarmCli

_HOME = tempfile.mkdtemp(prefix="acrfleet-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "PREFECT_HOME": _HOME,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # as commands have it
    "DO_NOT_TRACK": "1",
    "NO_COLOR": "1",
}
os.environ.pop("PREFECT_API_URL", None)
# Prefect's client reads all authorities for each task run, though its server here speaks http: with
# one of them instead of 140 the tests of flows take a third less CPU.
_CA = Path(_HOME) / "one-authority.pem"
_END = "-----END CERTIFICATE-----\n"
_CA.write_text(Path(certifi.where()).read_text().partition(_END)[0] + _END)
os.environ["PREFECT_API_SSL_CERT_FILE"] = str(_CA)
# Who is started in the background by a shell ignores Ctrl-C, and so would every program that a test
# starts in order to stop it.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SLOWEST = 3
"""How many times slower a shared machine may be than the one on which tests got their limits."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that use Prefect's client off its unclosed sockets; ours are checked elsewhere.

    Files that take long come first: xdist hands out whole files, and a long one that comes last is
    what all others wait for.
    """
    cost: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        cost[item.path] += _cost(item)
        if _may_use_prefect(item):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
        limit = item.get_closest_marker("timeout")
        seconds = limit.args[0] if limit else item.config.getini("timeout")
        item.add_marker(pytest.mark.timeout(float(seconds) * _SLOWEST), append=False)
    items.sort(key=lambda item: -cost[item.path])


def _may_use_prefect(item: pytest.Item) -> bool:
    """Return whether a test may talk to the harness's server: commands do once one runs."""
    return item.get_closest_marker("flow") is not None or item.path.parent.name == "cli"


def _cost(item: pytest.Item) -> float:
    """Return about how many seconds a test takes: the longer, the more time it is given."""
    limit = item.get_closest_marker("timeout")
    if limit:
        return float(limit.args[0]) / 20
    return 3.0 if item.get_closest_marker("slow") else 0.5 if item.get_closest_marker("lab") else 0


@pytest.fixture(autouse=True)
def _end_what_prefect_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """End and collect what a test with Prefect left over while its own warning filter holds."""
    yield
    if _may_use_prefect(request.node):
        from tasks.waiting import go_on_waiting
        from tests.flows.processes import end_left_processes

        end_left_processes()
        go_on_waiting()
        gc.collect()


def pytest_sessionfinish() -> None:
    """The same for what only the end of the session lets go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """A Prefect server with a database of its own, once per session (about 4 s)."""
    from prefect.testing import utilities

    from tests.prefect_database import put_database

    # The harness makes a folder for its database and removes it at the end; this one holds one.
    folder = tempfile.mkdtemp(prefix="acrfleet-prefect-")
    put_database(Path(folder) / "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: folder)
        with utilities.prefect_test_harness(server_startup_timeout=120):
            yield


@pytest.fixture(scope="session")
def warm_cli(prefect_harness: None) -> Iterator["WarmCli"]:
    """`acrfleet` as a process of its own, started without the seconds that its imports take."""
    from tests.flows.processes import WarmCli, prefect_environment

    cli = WarmCli(os.environ | prefect_environment())
    yield cli
    cli.close()
