"""The lab's clock: real time plus a jump, and a scale for waiting.

A month at sea passes with `jump`; a minute between two sync ticks lasts `minute` real seconds, so
that a demo does not take an hour. Everything in the lab that tells the time asks this clock.
"""

from datetime import UTC, datetime, timedelta


class Clock:
    """Tells the time and how long a lab minute is."""

    def __init__(self, minute: float = 1.0) -> None:
        """Make a clock on which a minute of waiting lasts `minute` real seconds."""
        self.minute = minute
        self.offset = timedelta()

    def now(self) -> datetime:
        """Return the lab's time, aware, in UTC."""
        return datetime.now(UTC) + self.offset

    def jump(self, ahead: timedelta) -> None:
        """Move the clock ahead."""
        self.offset += ahead

    def real_seconds(self, span: timedelta) -> float:
        """Return how many real seconds a wait of `span` lasts in the lab."""
        return span.total_seconds() / 60 * self.minute
