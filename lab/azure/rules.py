"""What a body may say: pure checks and normalisation, each with a refusal."""

import re
from datetime import datetime, timedelta
from typing import Any

from lab.azure.errors import ArmError, refused

REPOSITORY_ACTIONS = (
    "content/read",
    "content/write",
    "content/delete",
    "metadata/read",
    "metadata/write",
)
GATEWAY_ACTIONS = ("config/read", "config/write", "message/read", "message/write")
MAX_ACTIONS = 500
CONTINUOUS = "* * * * *"
_REPOSITORY = re.compile(r"\*|[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?:/\*)?")
_GATEWAY = re.compile(r"[a-zA-Z0-9]{5,50}")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,?#-]+")
_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,6}(?:\.\d+)?)S)?)?"
)


def one_of(value: object, allowed: tuple[str, ...], where: str) -> str:
    """Return the allowed word that `value` is, whatever its case."""
    for word in allowed:
        if isinstance(value, str) and value.lower() == word.lower():
            return word
    raise refused("InvalidValue", f"'{where}' is {value!r}, expected one of {', '.join(allowed)}.")


def as_bool(value: object, where: str) -> bool:
    """Return a boolean; the strings "true" and "false" count too, as recorded."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    raise refused("InvalidValue", f"'{where}' is {value!r}, expected a boolean.")


def as_object(value: object, where: str) -> dict[str, Any]:
    """Return a JSON object; an absent one is empty."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise ArmError(400, "InvalidRequestContent", f"'{where}' is not a JSON object.")


def as_texts(value: object, where: str) -> list[str]:
    """Return a list of strings; an absent one is empty."""
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return list(value)
    raise ArmError(400, "InvalidRequestContent", f"'{where}' is not a list of strings.")


def parse_duration(text: object, where: str) -> timedelta:
    """Return an ISO 8601 duration of weeks, days, hours, minutes and seconds."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or not any(match.groupdict().values()):
        raise refused("InvalidDuration", f"'{where}' is {text!r}, expected an ISO 8601 duration.")
    return timedelta(**{unit: float(value) for unit, value in match.groupdict().items() if value})


def check_duration(text: object, where: str, least: timedelta, most: timedelta) -> str:
    """Return a duration as sent when it lies within the limits."""
    span = parse_duration(text, where)
    if not least <= span <= most:
        raise refused("DurationOutOfRange", f"'{where}' is {text}, expected {least} to {most}.")
    return str(text)


def check_schedule(text: object, where: str) -> str:
    """Return a schedule that has five cron fields."""
    fields = text.split() if isinstance(text, str) else []
    if len(fields) != 5 or not all(_CRON_FIELD.fullmatch(part) for part in fields):
        raise refused("InvalidSchedule", f"'{where}' is {text!r}, expected five cron fields.")
    return " ".join(fields)


def check_actions(value: object) -> list[str]:
    """Return a scope map's actions when there are at most 500 and each is one."""
    actions = as_texts(value, "properties.actions")
    if len(actions) > MAX_ACTIONS:
        message = f"A scope map may have {MAX_ACTIONS} actions, this one has {len(actions)}."
        raise refused("TooManyActions", message)
    for action in actions:
        if not _is_action(action):
            raise refused("InvalidAction", f"'{action}' is not an action of a scope map.")
    return actions


def parse_time(value: object, where: str) -> datetime:
    """Return an RFC 3339 time with its zone."""
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise refused("InvalidTime", f"'{where}' is {value!r}, expected RFC 3339.") from error
    if time.tzinfo is None:
        raise refused("InvalidTime", f"'{where}' is {value!r}: the time zone is missing.")
    return time


def allows(actions: list[str], repository: str, action: str) -> bool:
    """Tell whether a scope map's actions allow `action` on `repository`."""
    for entry in actions:
        kind, _, rest = entry.partition("/")
        if kind == "repositories" and rest.endswith("/" + action):
            pattern = rest[: -len(action) - 1]
            if pattern in ("*", repository) or (
                pattern.endswith("/*") and repository.startswith(pattern[:-1])
            ):
                return True
    return False


def _is_action(action: str) -> bool:
    kind, _, rest = action.partition("/")
    name, _, verb = rest.rpartition("/")
    target, _, area = name.rpartition("/")
    if kind == "repositories":
        return f"{area}/{verb}" in REPOSITORY_ACTIONS and bool(_REPOSITORY.fullmatch(target))
    if kind == "gateway":
        return f"{area}/{verb}" in GATEWAY_ACTIONS and bool(_GATEWAY.fullmatch(target))
    return False
