"""Which password slot to renew: only ever one that nobody may be using.

A token has two slots, and a value is shown once, when it is generated. So that a crash never loses
a value or renews one in use, a note goes before each generation and the value after it
(docs/decisions/0006-passwords-survive-a-crash.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from fleet.azure_objects import PasswordSlot
from fleet.pull_errors import PasswordSlotsTakenError
from fleet.sites import Strict

SLOTS = ("password1", "password2")
UNKNOWN_SLOT = "unknown"
"""The slot of an adopted password when Azure has two that it may be; see `adopted_mark`."""
_TOKEN, _SLOT = "acrfleet/token", "acrfleet/slot"
_CREATED, _EXPIRES = "acrfleet/created", "acrfleet/expires"


class PasswordMark(Strict):
    """Which password an object in the cluster holds; times are UTC.

    `created` None: a note that this slot is about to be generated, without a value.
    `slot` may be `UNKNOWN_SLOT`: the password is one of those that Azure had made by `created`.
    """

    token: str
    slot: str
    created: datetime | None = None
    expires: datetime | None = None

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, str]) -> Self | None:
        """Read the mark of an object, or None when it has none that makes sense."""
        if annotations.get(_SLOT) not in (*SLOTS, UNKNOWN_SLOT) or _TOKEN not in annotations:
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


@dataclass(frozen=True)
class PasswordsInUse:
    """Which passwords a site holds, without their values; None: its Secrets do not say.

    `further` has those of client tokens besides the site's own, by the token's name in Azure.
    """

    client: PasswordMark | None = None
    sync: PasswordMark | None = None
    further: Mapping[str, PasswordMark] = field(default_factory=dict)


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
    if mark.slot == UNKNOWN_SLOT:
        return any(may_hold(slot, mark.created, now) for slot in slots.values())
    slot = slots.get(mark.slot)
    return slot is not None and slot.created == mark.created and not _has_expired(slot, now)


def may_hold(slot: PasswordSlot, written: datetime | None, now: datetime) -> bool:
    """Return whether a password that was in use by `written` may be the one in this slot.

    Args:
        slot: What Azure shows.
        written: The latest moment at which the value can have been made; None: nobody knows.
        now: The present, UTC.
    """
    if _has_expired(slot, now):
        return False
    return written is None or slot.created is None or slot.created <= written


def adopted_mark(
    token: str, slots: Mapping[str, PasswordSlot], written: datetime | None, now: datetime
) -> PasswordMark | None:
    """Return the mark of a password that works and that somebody else made.

    Azure does not say which slot a value belongs to. It is known where only one slot can hold it,
    and recorded as unknown otherwise; then no rotation may renew a slot that Azure shows as filled.

    Args:
        token: The token's name.
        slots: The passwords that Azure has.
        written: When the object that holds the value was last written, as late as it can have
            been; None: nobody knows.
        now: The present, UTC.

    Returns:
        The mark; None when no slot can hold the password: it does not work, whatever was tried.
    """
    able = {name: slot for name, slot in slots.items() if may_hold(slot, written, now)}
    if len(able) == 1:
        (name, slot), *_ = able.items()
        if slot.created is not None:
            return PasswordMark(token=token, slot=name, created=slot.created, expires=slot.expires)
    times = [slot.created for slot in able.values() if slot.created is not None]
    if not times:
        return None
    return PasswordMark(token=token, slot=UNKNOWN_SLOT, created=max(times))


def settled(mark: PasswordMark, slots: Mapping[str, PasswordSlot], now: datetime) -> PasswordMark:
    """Return an adopted mark with its slot, once Azure has only one left that it may be."""
    if mark.slot != UNKNOWN_SLOT:
        return mark
    return adopted_mark(mark.token, slots, mark.created, now) or mark


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

    Raises:
        PasswordSlotsTakenError: An adopted password is gone and both slots are somebody else's.
    """
    if held is not None and is_working(held, token, slots, now):
        return Keep(settled(held, slots, now))
    if held is None or held.token != token:
        return Renew(SLOTS[0])
    free = [name for name in SLOTS if name not in slots]
    if not free and held.slot == UNKNOWN_SLOT:
        raise PasswordSlotsTakenError(
            f"The sync password of the site was adopted, and Azure's two passwords of {token} were "
            "both made after it, by somebody else. Find out who uses them and remove one with "
            f"`az acr token credential delete --registry REGISTRY --name {token} --password1` (or "
            "--password2)."
        )
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
        f"`az acr token credential delete --registry REGISTRY --name {token} --password1` (or "
        "--password2)."
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
