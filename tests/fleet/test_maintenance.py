"""Maintenance windows, from tests/cases/maintenance.yaml: clocks that change, and what is left."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.maintenance import Maintenance, Window, find_window, why_not_now

CASES = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "maintenance.yaml").read_text(encoding="utf-8")
)
RESTART = timedelta(minutes=5)


def at(value: str | datetime) -> datetime:
    """Return a time of the table, which may stand there without seconds."""
    return datetime.fromisoformat(str(value)).replace(tzinfo=UTC)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_window_is_found(case: dict[str, Any]) -> None:
    found = find_window(Maintenance(**case["maintenance"]), at(case["now"]))
    assert found == Window(*map(at, case["window"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_restart_waits_for_it(case: dict[str, Any]) -> None:
    assert why_not_now(Maintenance(**case["maintenance"]), at(case["now"]), RESTART) == case["held"]


def test_without_windows_a_restart_may_begin_at_any_time() -> None:
    assert why_not_now(None, datetime(2026, 11, 24, tzinfo=UTC), RESTART) == ""


def test_a_window_that_never_closes_is_open_and_the_look_at_it_ends() -> None:
    always = Maintenance(cron="* * * * *", length="1h")
    now = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
    assert why_not_now(always, now, timedelta(days=7)) == ""


@pytest.mark.parametrize("zone", ["Europe/Oslo", "America/St_Johns", "Australia/Lord_Howe"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 1-3 * * *", "0 0 * * sun", "15 * * * *"])
def test_a_season_of_hours_agrees_with_the_list_of_all_windows(zone: str, cron: str) -> None:
    """Walking from window to window gives the same answer as asking at any hour."""
    maintenance = Maintenance(cron=cron, length="40m", time_zone=zone)
    begin = datetime(2026, 9, 20, 0, 7, tzinfo=UTC)
    windows, now = [], begin
    while now < begin + timedelta(days=50):
        found = find_window(maintenance, now)
        assert found is not None
        windows.append(found)
        now = found.closes
    assert all(a.closes < b.opens for a, b in pairwise(windows))
    for hour in range(0, 24 * 49, 5):
        asked = begin + timedelta(hours=hour)
        expected = next(window for window in windows if window.closes > asked)
        assert find_window(maintenance, asked) == expected
