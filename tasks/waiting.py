"""Waiting that says what it waits for, ends at a deadline and can be interrupted."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from tasks.run_log import say

T = TypeVar("T")
_STOP = threading.Event()
_here = threading.local()
_FIRST_REST = 0.25


class StoppedError(BaseException):
    """The operator pressed Ctrl-C; not an `Exception`, so that no step takes it for a failure."""


def stop_waiting() -> None:
    """Make every wait in this process end with `StoppedError` at once."""
    _STOP.set()


def go_on_waiting() -> None:
    """Let this process wait again: a run begins, after one that the operator has stopped."""
    _STOP.clear()


def pause(seconds: float) -> None:
    """Sleep, or raise `StoppedError` as soon as the operator stops the run."""
    if getattr(_here, "finishing", False):
        time.sleep(seconds)
    elif _STOP.wait(seconds):
        raise StoppedError


@contextmanager
def finishing() -> Iterator[None]:
    """Let this thread finish what it does in the block, whatever the operator presses.

    For the moments in which stopping would leave a host worse than it was found. Everything inside
    has time limits of its own, so the block ends.
    """
    before = getattr(_here, "finishing", False)
    _here.finishing = True
    try:
        yield
    finally:
        _here.finishing = before


def wait_for(
    look: Callable[[], tuple[T | None, str]], *, patience: timedelta, every: float = 2.0
) -> tuple[T | None, str]:
    """Look again and again until there is a value or patience ends.

    Args:
        look: Returns the value, or None and a phrase that says what is still missing.
        patience: How long to go on.
        every: Seconds between two looks; the first few come sooner.

    Returns:
        The value, or None once patience has ended, and the last phrase.
    """
    deadline = time.monotonic() + patience.total_seconds()
    said, rest = "", min(_FIRST_REST, every)
    while True:
        value, phrase = look()
        if value is not None or time.monotonic() >= deadline:
            return value, phrase
        if phrase != said:
            say(f"waiting: {phrase}")
            said = phrase
        pause(min(rest, max(0.05, deadline - time.monotonic())))
        rest = min(every, rest * 1.5)
