"""Wait for what happens behind a test's back: in the lab, at a host, in a cluster."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], seconds: float = 30) -> None:
    """Look again and again until something holds.

    Raises:
        AssertionError: It did not come true in time.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not happen within {seconds:g} s"
        time.sleep(0.05)
