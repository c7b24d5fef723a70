"""When a registry syncs: a 5-field cron in UTC and the window that an occurrence opens."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

CONTINUOUS = "* * * * *"
_MINUTE = timedelta(minutes=1)
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_YEARS_BACK = 5


@dataclass(frozen=True)
class Cron:
    """The allowed values of the five fields; Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Read `minute hour day month weekday`; raises ValueError."""
        fields = text.lower().split()
        if len(fields) != len(_RANGES):
            raise ValueError(f"a schedule has five fields: {text!r}")
        minutes, hours, days, months, weekdays = (
            _values(field, index) for index, field in enumerate(fields)
        )
        either = not fields[2].startswith("*") and not fields[4].startswith("*")
        return cls(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either)

    def last_before(self, moment: datetime, not_before: datetime) -> datetime | None:
        """Return the latest occurrence in [not_before, moment], or None."""
        for day in _days_back(moment, not_before):
            if not self._is_on(day):
                continue
            for hour in sorted(self.hours, reverse=True):
                for minute in sorted(self.minutes, reverse=True):
                    found = day.replace(hour=hour, minute=minute)
                    if found <= moment:
                        return found if found >= not_before else None
        return None

    def _is_on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)


def is_due(schedule: str, window: timedelta | None, since: datetime, now: datetime) -> bool:
    """Tell whether a sync is due now, having last looked at `since`.

    A continuous schedule is always due. Otherwise a sync is due when an occurrence fell after
    `since`, or while the window that the last occurrence opened is still open.
    """
    if schedule == CONTINUOUS:
        return True
    cron = Cron.parse(schedule)
    if cron.last_before(now, since + timedelta(microseconds=1)) is not None:
        return True
    if window is None:
        return False
    opened = cron.last_before(now, now - window)
    return opened is not None and now < opened + window


def _days_back(moment: datetime, not_before: datetime) -> Iterator[datetime]:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(366 * _YEARS_BACK):
        if day + timedelta(days=1) <= not_before:
            return
        yield day
        day -= timedelta(days=1)


def _values(field: str, index: int) -> frozenset[int]:
    values: set[int] = set()
    for part in field.split(","):
        values.update(_part(part, index))
    return frozenset(values)


def _part(part: str, index: int) -> range:
    low, high = _RANGES[index]
    span, slash, step = part.partition("/")
    start, end = low, high
    if span != "*":
        first, dash, last = span.partition("-")
        start = _number(first, index)
        end = _number(last, index) if dash else (high if slash else start)
    if not low <= start <= end <= high or (slash and int(step) < 1):
        raise ValueError(f"{part!r} is outside {low}-{high}")
    return range(start, end + 1, int(step) if slash else 1)


def _number(text: str, index: int) -> int:
    if index == 3 and text in _MONTHS:
        return _MONTHS.index(text) + 1
    if index == 4 and text in _DAYS:
        return _DAYS.index(text)
    return int(text)
