"""When the passwords of a site end, told by Azure's slots and the site's record alone.

Azure shows when each slot ends and not which one is in use. The record names that one as long as
Azure still shows it; without a record the slot that ends first counts, since it may be the one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.azure_objects import PasswordSlot
from fleet.passwords import PasswordMark
from fleet.rotation_due import whole_days

CLIENT, SYNC = "client", "sync"
_ENDS_WITH = {CLIENT: "no image pulls there", SYNC: "nothing is synchronised any more"}


@dataclass(frozen=True, slots=True)
class Life:
    """How long a site's password lasts.

    `use` is `client` or `sync`; `slot` is empty where Azure has no password at all; `ends` is UTC,
    None for a password without end; `is_sure` says that the record names this very password.
    """

    use: str
    token: str
    slot: str
    ends: datetime | None
    is_sure: bool


def life_of(
    use: str,
    token: str,
    slots: Mapping[str, PasswordSlot],
    mark: PasswordMark | None,
    now: datetime,
) -> Life | None:
    """Return how long the password in use lasts; None: there is none, and none is known of.

    Args:
        use: `client` or `sync`.
        token: The token's name.
        slots: The passwords that Azure has for it.
        mark: Which of them the site held when a run last saw it.
        now: The present by Azure's clock, UTC.
    """
    if not slots:
        return Life(use, token, "", now, is_sure=True) if mark is not None else None
    named = slots.get(mark.slot) if mark is not None and mark.token == token else None
    if mark is not None and named is not None and named.created == mark.created:
        return Life(use, token, mark.slot, named.expires, is_sure=True)
    ending = {name: slot.expires for name, slot in slots.items() if slot.expires is not None}
    alive = {name: end for name, end in ending.items() if end > now}
    if alive:
        slot = min(alive, key=lambda name: alive[name])
        return Life(use, token, slot, alive[slot], is_sure=False)
    if len(ending) == len(slots):
        slot = max(ending, key=lambda name: ending[name])
        return Life(use, token, slot, ending[slot], is_sure=False)
    return Life(use, token, next(name for name in slots if name not in ending), None, is_sure=False)


def ending_soon(lives: Iterable[Life], now: datetime, alert_before: timedelta) -> tuple[Life, ...]:
    """Return the passwords that end within the time for alerts, or have ended."""
    return tuple(one for one in lives if one.ends is not None and one.ends - alert_before <= now)


def describe(life: Life, now: datetime) -> str:
    """Say which password ends, when, and what stops then."""
    what = f"the {life.use} password"
    if not life.slot:
        return f"{what} is gone: Azure has none for {life.token}, so {_ENDS_WITH[life.use]}"
    if life.ends is None:
        return f"{what} ({life.slot} of {life.token}) has no end"
    days = whole_days(life.ends, now)
    when = f"{life.ends:%Y-%m-%d %H:%M} UTC"
    name = f"{life.slot} of {life.token}" + ("" if life.is_sure else ", which may be in use")
    if life.ends <= now:
        return f"{what} ({name}) ended on {when}: {_ENDS_WITH[life.use]}"
    return f"{what} ({name}) ends on {when}, in {days} days; then {_ENDS_WITH[life.use]}"


def what_to_do(site: str) -> str:
    """Say how a site gets another password in time."""
    return (
        f"Run `acrfleet rotate FILE --site {site}`. A site that is away has to be online, and to "
        "synchronise, before that day; where it has been missed, `acrfleet onboard` brings a new "
        "password."
    )
