"""Which password slot to renew: only ever one that nobody may be using.

A token has two slots, and a value is shown once, when it is generated. So that a crash never loses
a value or renews one in use, a note goes before each generation and the value after it
(docs/decisions/0006-passwords-survive-a-crash.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from fleet.azure_objects import PasswordSlot
from fleet.errors import PasswordSlotsTakenError
from fleet.sites import Strict

SLOTS = ("password1", "password2")
_TOKEN, _SLOT = "acrfleet/token", "acrfleet/slot"
_CREATED, _EXPIRES = "acrfleet/created", "acrfleet/expires"


class PasswordMark(Strict):
    """Which password an object in the cluster holds; times are UTC.

    `created` None: a note that this slot is about to be generated, without a value.
    """

    token: str
    slot: str
    created: datetime | None = None
    expires: datetime | None = None

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, str]) -> Self | None:
        """Read the mark of an object, or None when it has none that makes sense."""
        if annotations.get(_SLOT) not in SLOTS or _TOKEN not in annotations:
            return None
        try:
            return cls(
                token=annotations[_TOKEN],
                slot=annotations[_SLOT],
                created=_time(annotations.get(_CREATED)),
                expires=_time(annotations.get(_EXPIRES)),
            )
        except ValueError:
            return None


def mark_annotations(mark: PasswordMark) -> dict[str, str]:
    """Return a mark as annotations; an empty one says that there is no such time."""
    return {
        _TOKEN: mark.token,
        _SLOT: mark.slot,
        _CREATED: mark.created.isoformat() if mark.created else "",
        _EXPIRES: mark.expires.isoformat() if mark.expires else "",
    }


def is_working(
    mark: PasswordMark | None, token: str, slots: Mapping[str, PasswordSlot], now: datetime
) -> bool:
    """Return whether a mark names a password that Azure still has and that has not expired."""
    if mark is None or mark.created is None or mark.token != token:
        return False
    slot = slots.get(mark.slot)
    return slot is not None and slot.created == mark.created and not _has_expired(slot, now)


@dataclass(frozen=True)
class Keep:
    """Use this password; it is where the mark says."""

    mark: PasswordMark


@dataclass(frozen=True)
class Renew:
    """Generate this slot: nobody uses what is in it."""

    slot: str


def choose_sync_password(
    token: str, slots: Mapping[str, PasswordSlot], held: PasswordMark | None, now: datetime
) -> Keep | Renew:
    """Return what to do about a site's sync password.

    The caller has made sure that no other installation is active, so whatever was generated before
    and is not in the site's Secret is lost: after a crash the same slot is generated again.
    """
    if held is not None and is_working(held, token, slots, now):
        return Keep(held)
    if held is None or held.token != token:
        return Renew(SLOTS[0])
    free = [name for name in SLOTS if name not in slots]
    return Renew(free[0] if free else held.slot)


def choose_client_password(
    token: str,
    slots: Mapping[str, PasswordSlot],
    *,
    live: Sequence[PasswordMark],
    lost: Sequence[PasswordMark] = (),
    staged: PasswordMark | None,
    now: datetime,
) -> Keep | Renew:
    """Return which client password the pull secrets get.

    Args:
        token: The client token's name.
        slots: The passwords that Azure has.
        live: Marks of pull secrets that hold a readable password.
        lost: Marks of our Secrets whose password cannot be read any more.
        staged: Mark of the staging Secret: a value that waits, or a note without one.
        now: The present, UTC.

    Raises:
        PasswordSlotsTakenError: Both slots hold passwords that somebody else made.
    """
    if staged is not None and is_working(staged, token, slots, now):
        return Keep(staged)
    working = [mark for mark in live if is_working(mark, token, slots, now)]
    if working:
        return Keep(max(working, key=_created))
    if staged is not None and staged.token == token and staged.created is None:
        return Renew(staged.slot)
    lost_slots = {mark.slot for mark in lost if is_working(mark, token, slots, now)}
    for name in SLOTS:
        if name not in slots or _has_expired(slots[name], now) or name in lost_slots:
            return Renew(name)
    raise PasswordSlotsTakenError(
        f"Both passwords of the token {token} exist in Azure and no pull secret at the site holds "
        "one of them, so somebody else may be using them. Remove the one that nobody uses with "
        f"`az acr token credential delete --name {token} --password1` (or --password2)."
    )


def as_azure_shows_it(
    generated: PasswordSlot, shown: PasswordSlot | None, patience: timedelta = timedelta(seconds=5)
) -> PasswordSlot:
    """Return a new password's times as later reads will show them.

    Later runs compare the mark with what reading the token returns, and nothing promises that it
    has the same fractions of a second as the answer to the generation. A reading that is further
    away is stale or another password's, and is not taken.
    """
    if shown is None or shown.created is None:
        return generated
    if generated.created is not None and abs(shown.created - generated.created) > patience:
        return generated
    return shown


def _has_expired(slot: PasswordSlot, now: datetime) -> bool:
    return slot.expires is not None and slot.expires <= now


def _created(mark: PasswordMark) -> datetime:
    assert mark.created is not None  # noqa: S101 - is_working has looked
    return mark.created


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
