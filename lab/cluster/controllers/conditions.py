"""Conditions in a status."""

from datetime import datetime

from lab.cluster.kinds import Object
from lab.cluster.metadata import timestamp


def set_condition(
    status: Object, kind: str, value: str, now: datetime, reason: str = "", message: str = ""
) -> None:
    """Set a condition in place; its transition time moves only when its value does."""
    conditions = status.setdefault("conditions", [])
    old = next((item for item in conditions if item["type"] == kind), None)
    moved = timestamp(now)
    if old is not None:
        moved = old["lastTransitionTime"] if old["status"] == value else moved
        conditions.remove(old)
    new = {"type": kind, "status": value, "lastTransitionTime": moved}
    new |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
    conditions.append(new)
    conditions.sort(key=lambda item: str(item["type"]))


def has_condition(obj: Object, kind: str) -> bool:
    """Return whether a condition is True."""
    return any(
        item["type"] == kind and item["status"] == "True"
        for item in obj.get("status", {}).get("conditions", ())
    )
