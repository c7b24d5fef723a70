"""Azure's time, as the Date of its answers tells it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest

from clients.azure_transport import ServerClock

MOMENT = timedelta(seconds=0.5)


def _hear(clock: ServerClock, ahead: timedelta) -> None:
    """Give the clock an answer of a server that is ahead of this machine; seconds are whole."""
    date = (datetime.now(UTC) + ahead).replace(microsecond=0)
    headers = {"Date": format_datetime(date, usegmt=True)}
    answer: Any = SimpleNamespace(http_response=SimpleNamespace(headers=headers))
    clock.on_response(answer, answer)


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(days=-9), timedelta(seconds=40)])
def test_the_time_is_azures(ahead: timedelta) -> None:
    clock = ServerClock()
    _hear(clock, ahead)
    assert abs(clock.now() - datetime.now(UTC) - ahead) <= timedelta(seconds=1) + MOMENT


def test_answers_do_not_turn_the_time_back() -> None:
    clock = ServerClock()
    last = clock.now()
    for late in (0, 1.9, 0.1, 2.5, 0.7):
        _hear(clock, timedelta(days=3, seconds=-late))
        assert clock.now() > last
        last = clock.now()


def test_a_clock_that_was_set_back_is_followed() -> None:
    clock = ServerClock()
    _hear(clock, timedelta(hours=1))
    _hear(clock, timedelta())
    assert abs(clock.now() - datetime.now(UTC)) <= timedelta(seconds=1) + MOMENT


def test_an_answer_without_a_date_tells_nothing() -> None:
    clock = ServerClock()
    answer: Any = SimpleNamespace(http_response=SimpleNamespace(headers={}))
    clock.on_response(answer, answer)
    assert abs(clock.now() - datetime.now(UTC)) <= MOMENT
