"""The run log: what was done, in the operator's words, in Prefect's log and on the terminal."""

import logging

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from fleet.outcomes import Outcome
from tasks.progress import tell


def say(message: str) -> None:
    """Log one sentence to the current run, or to the program's logger outside of a run."""
    tell(message)
    _logger().info(message)


def said(outcome: Outcome) -> Outcome:
    """Say what was written, keep quiet about what was left alone, and pass the outcome on."""
    if outcome.is_change:
        say(str(outcome))
    return outcome


def note(message: str) -> None:
    """Log one sentence to the run alone; the observers have heard it in another form."""
    _logger().info(message)


def warn(message: str) -> None:
    """Log one sentence that an operator should not miss."""
    tell(message)
    _logger().warning(message)


def _logger() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("acrfleet")
