"""When a password is due: by its age, spread over the fleet, and early enough for slow sites."""

from datetime import datetime, timedelta
from hashlib import sha256

from fleet.passwords import PasswordMark
from fleet.sites import Rotation


def due_at(mark: PasswordMark, site: str, rules: Rotation) -> datetime | None:
    """Return when a password is due to be rolled; None: at once, since its age is unknown.

    Between a third and a sixth of the life is left then. Where in between is the site's own, the
    same every time, so that a fleet that was onboarded in one day does not roll in one.
    """
    if mark.created is None:
        return None
    life = mark.expires - mark.created if mark.expires else rules.max_age
    return mark.created + life * (2 / 3 + _share(site) / 6)


def days_left(mark: PasswordMark, now: datetime) -> int | None:
    """Return the whole days until a password expires, negative after it; None: it never does."""
    return whole_days(mark.expires, now) if mark.expires else None


def whole_days(end: datetime, now: datetime) -> int:
    """Return the whole days until a moment, negative after it."""
    return (end - now) // timedelta(days=1)


def _share(site: str) -> float:
    """Return a number from 0 to 1 that is a site's own and never changes."""
    return int.from_bytes(sha256(site.encode()).digest()[:4]) / 0xFFFFFFFF
