"""Prefect on several machines: run it with `make machines`; plain pytest skips it."""

import os

import pytest

from tests.machines.__main__ import INSIDE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test; outside of the suite's namespace skip them with a reason."""
    for item in items:
        if "tests/machines" in item.path.as_posix():
            item.add_marker(pytest.mark.machines)
            if INSIDE not in os.environ:
                item.add_marker(pytest.mark.skip(reason="run `make machines`"))
