"""Durations and schedules of the fleet file.

Durations are `30m`, `1h`, `7d` or ISO 8601 (`PT1H`, `P2D`). Schedules are 5-field cron in UTC.
Azure takes windows of 1 hour to 7 days and message lifetimes of 1 to 90 days, and drops the window
of a schedule that syncs every minute (facts, connected-registry.md section 1.5).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from fleet.validation import broken_rule

CONTINUOUS = "* * * * *"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ISO = TypeAdapter(timedelta)
_PATTERN = r"^([0-9]+[smhd]|P[0-9A-Z.]+)$"


def as_duration(value: Any) -> timedelta:
    """Return what a duration says, or refuse it."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (short := re.fullmatch(r"([0-9]{1,9})([smhd])", value)):
        return timedelta(**{_UNITS[short[2]]: int(short[1])})
    if isinstance(value, str) and re.fullmatch(r"P[0-9A-Z.]+", value):
        try:
            return _ISO.validate_python(value)
        except ValidationError:
            pass
    raise broken_rule("allowed are durations such as 30m, 12h, 2d, PT1H or P2D; write one of them")


def _optional_duration(value: Any) -> timedelta | None:
    return None if value is None else as_duration(value)


def _window(value: timedelta | None) -> timedelta | None:
    if value is not None and not timedelta(hours=1) <= value <= timedelta(days=7):
        length = "longer" if value < timedelta(hours=1) else "shorter"
        raise broken_rule(f"allowed are 1h to 7d; choose a {length} window")
    return value


def _message_ttl(value: timedelta) -> timedelta:
    if not timedelta(days=1) <= value <= timedelta(days=90):
        length = "longer" if value < timedelta(days=1) else "shorter"
        raise broken_rule(f"allowed are 1d to 90d; choose a {length} time")
    return value


def _expiry(value: timedelta | None) -> timedelta | None:
    if value is not None and not timedelta(days=1) <= value <= timedelta(days=3650):
        raise broken_rule("allowed are 1d to 3650d; leave it out for passwords that do not expire")
    return value


def _age(value: timedelta) -> timedelta:
    if not timedelta(days=1) <= value <= timedelta(days=3650):
        raise broken_rule("allowed are 1d to 3650d; choose a time in between")
    return value


def _patience(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= timedelta(days=7):
        raise broken_rule("allowed are 1s to 7d; choose a time in between")
    return value


def _cron(value: str) -> str:
    fields = value.split()
    if len(fields) != 5:
        raise broken_rule(
            "allowed are 5 cron fields (minute hour day month weekday, in UTC), not "
            f"{len(fields)}; write for example 0 2 * * *"
        )
    try:
        CronSim(value, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise broken_rule(
            f"allowed are 5 cron fields in UTC: {str(error).lower()}; write for example 0 2 * * *"
        ) from None
    if re.search(r"[L#]|[0-9]W", value):
        raise broken_rule("allowed is plain cron without L, W and #; write days as numbers")
    return " ".join(fields)


DURATION_SCHEMA = {"type": "string", "pattern": _PATTERN, "examples": ["30m", "12h", "2d", "P2D"]}
_OPTIONAL_SCHEMA = {"anyOf": [DURATION_SCHEMA, {"type": "null"}]}

Window = Annotated[
    timedelta | None,
    AfterValidator(_window),
    BeforeValidator(_optional_duration),
    WithJsonSchema(_OPTIONAL_SCHEMA),
]
MessageTtl = Annotated[
    timedelta,
    AfterValidator(_message_ttl),
    BeforeValidator(as_duration),
    WithJsonSchema(DURATION_SCHEMA),
]
Expiry = Annotated[
    timedelta | None,
    AfterValidator(_expiry),
    BeforeValidator(_optional_duration),
    WithJsonSchema(_OPTIONAL_SCHEMA),
]
Age = Annotated[
    timedelta,
    AfterValidator(_age),
    BeforeValidator(as_duration),
    WithJsonSchema(DURATION_SCHEMA),
]
Wait = Annotated[
    timedelta,
    AfterValidator(_patience),
    BeforeValidator(as_duration),
    WithJsonSchema(DURATION_SCHEMA),
]
Cron = Annotated[str, AfterValidator(_cron), Field(examples=["0 2 * * *", CONTINUOUS])]
