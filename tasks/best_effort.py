"""Things for looking at on the Prefect server, without which the work goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.exceptions import PrefectException

from tasks.run_log import warn


@contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Go on when the Prefect server does not take something that is only for looking at.

    Args:
        what: What it is, as the warning names it.
    """
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        warn(f"the Prefect server did not take {what} ({type(error).__name__}); the work goes on")
