"""When a site may be disturbed: windows that open by a cron in the site's own time.

The length of a window is elapsed time, so a window over a change of the clocks is as long as any
other. A start that the clocks skip in spring comes right after the gap, one that comes twice in
autumn counts once, the first time: as Debian's cron does it, whose rules cronsim follows.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from fleet.strict import Strict
from fleet.validation import broken_rule
from fleet.validation_time import DURATION_SCHEMA, as_duration

_GAP = timedelta(hours=3)
"""More than any clock is ever set back: local times within it may come twice."""
_FAR = timedelta(days=8)
_SHORTEST, _LONGEST = timedelta(minutes=5), timedelta(days=7)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Window(NamedTuple):
    """A time in which a site may be disturbed, aware and in UTC; it ends before `closes`."""

    opens: datetime
    closes: datetime


def _local_cron(value: str) -> str:
    fields = value.split()
    if len(fields) != 5:
        raise broken_rule(
            "allowed are 5 cron fields (minute hour day month weekday, in time_zone), not "
            f"{len(fields)}; write for example 0 2 * * sun"
        )
    try:
        next(CronSim(value, _EPOCH))
    except CronSimError as error:
        raise broken_rule(
            f"allowed are 5 cron fields: {str(error).lower()}; write for example 0 2 * * sun"
        ) from None
    except StopIteration:
        raise broken_rule("this day never comes; write for example 0 2 * * sun") from None
    return " ".join(fields)


def _length(value: timedelta) -> timedelta:
    if not _SHORTEST <= value <= _LONGEST:
        length = "longer" if value < _SHORTEST else "shorter"
        raise broken_rule(f"allowed are 5m to 7d; choose a {length} window")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise broken_rule(
            "allowed are names of the time zone database; write for example Europe/Oslo or UTC"
        ) from None
    return value


class Maintenance(Strict):
    """When a site may be disturbed; outside of it nothing is restarted there."""

    cron: Annotated[
        str, AfterValidator(_local_cron), Field(description="When a window opens, 5 cron fields")
    ]
    length: Annotated[
        timedelta,
        AfterValidator(_length),
        BeforeValidator(as_duration),
        WithJsonSchema(DURATION_SCHEMA),
        Field(description="How long it stays open"),
    ]
    time_zone: Annotated[
        str, AfterValidator(_time_zone), Field(description="Zone of the cron, as Europe/Oslo")
    ] = "UTC"


def find_window(maintenance: Maintenance, now: datetime) -> Window | None:
    """Return the window that is open, or else the next one; None: there will be none.

    Windows that touch or overlap count as one; of one that never closes about a week is looked at.

    Args:
        maintenance: When windows open.
        now: Aware.
    """
    found: Window | None = None
    for opens in _starts(maintenance, now - maintenance.length - _GAP):
        closes = opens + maintenance.length
        if found is None or opens > found.closes:
            if found is not None and found.closes > now:
                return found
            found = Window(opens, closes)
        else:
            found = Window(found.opens, closes)
        if found.closes > max(now, found.opens) + _FAR:
            return found
    return found if found is not None and found.closes > now else None


def why_not_now(maintenance: Maintenance | None, now: datetime, needed: timedelta) -> str:
    """Return why a restart may not begin now and when it may; empty: it may begin.

    Args:
        maintenance: When windows open; None: always.
        now: Aware.
        needed: What the restart may take: so much must be left of the window.
    """
    if maintenance is None:
        return ""
    window = find_window(maintenance, now)
    if window is None or window.opens > now:
        return f"the maintenance window opens {_when(window, maintenance)}"
    left = window.closes - now
    if left >= needed:
        return ""
    following = find_window(maintenance, window.closes)
    return (
        f"the maintenance window closes in {_minutes(left)}, and a restart may take "
        f"{_minutes(needed)}; the next one opens {_when(following, maintenance)}"
    )


def _starts(maintenance: Maintenance, since: datetime) -> Iterator[datetime]:
    local = since.astimezone(ZoneInfo(maintenance.time_zone)).replace(fold=0)
    for start in CronSim(maintenance.cron, local):
        yield start.astimezone(UTC)


def _when(window: Window | None, maintenance: Maintenance) -> str:
    """Say a time as the site's clocks show it, and in UTC."""
    if window is None:
        return "never again"
    local = window.opens.astimezone(ZoneInfo(maintenance.time_zone))
    if maintenance.time_zone == "UTC":
        return f"{local:%a %Y-%m-%d %H:%M} UTC"
    utc = f"{window.opens:%H:%M}"
    if window.opens.date() != local.date():
        utc = f"{window.opens:%a %H:%M}"
    return f"{local:%a %Y-%m-%d %H:%M} {maintenance.time_zone} ({utc} UTC)"


def _minutes(span: timedelta) -> str:
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    return f"{minutes} min" if minutes and not seconds else f"{minutes * 60 + seconds} s"
