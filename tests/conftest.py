"""Fixtures that many tests share. Prefect gets a home of its own before anything imports it."""

import atexit
import gc
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator

import pytest

_HOME = tempfile.mkdtemp(prefix="acrfleet-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "PREFECT_HOME": _HOME,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "NO_COLOR": "1",
}
os.environ.pop("PREFECT_API_URL", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that use Prefect's client off its unclosed sockets; ours are checked elsewhere."""
    for item in items:
        if item.get_closest_marker("flow"):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(autouse=True)
def _collect_prefects_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect what a test with Prefect left over while its own warning filter holds."""
    yield
    if request.node.get_closest_marker("flow"):
        gc.collect()


def pytest_sessionfinish() -> None:
    """The same for what only the end of the session lets go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """A Prefect server with a database of its own, once per session (about 7 s)."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
