"""Rolling a site's sync password: which step comes next, read from the world alone.

The sync password stands in the connection string, and the connection string in the Secret that the
chart follows. The spare slot is generated, Azure has to take it, the string with it goes into the
Secret, the chart takes that up, the registry synchronises with it, and only then the old slot goes.
Where the registry does not follow, the old string goes back and the new password waits for a later
run. At every moment the string in the Secret is one that Azure accepts (docs/explanation/
rotation.md).
"""

from fleet.errors import NotOnboardedError
from fleet.passwords import SLOTS, UNKNOWN_SLOT, PasswordMark, is_working, settled
from fleet.pull_errors import PasswordSlotsTakenError, PasswordUnmarkedError
from fleet.sync_world import (
    AskAzure,
    AwaitSync,
    Followed,
    ForgetString,
    GenerateSync,
    Kept,
    NoteSync,
    PutBack,
    PutString,
    RetireSync,
    SyncIdle,
    SyncStep,
    SyncWorld,
    TakeString,
    UnstageSync,
    WatchSync,
)

OFFLINE = "Azure calls it offline, so no connection string is changed there"
NOT_ACCEPTED = "Azure does not take the new sync password yet; the connection string is as it was"
NOT_TAKEN = "its chart has not taken up the connection string yet"
NOT_SYNCED = (
    "it speaks with Azure with the new sync password and has not synchronised since; the old one "
    "stays until it has"
)
GONE_BACK = (
    "it did not follow the new connection string, so it has the old one again; the new password "
    "waits at the site and the next rotation tries it again"
)


def next_sync_step(world: SyncWorld) -> SyncStep:
    """Return what to do now; doing it and looking again leads to `SyncIdle` or `AwaitSync`.

    Raises:
        NotOnboardedError: The connection string is missing, or Azure refuses its password.
        PasswordUnmarkedError: The Secret does not say which password the string holds.
        PasswordSlotsTakenError: Somebody else's password is in the spare slot, or either slot may
            hold the adopted password in use.
    """
    mark = _held_mark(world)
    if not is_working(mark, world.token, world.slots, world.now):
        return _with_refused(world, mark)
    if not world.held.is_taken:
        return _with_untaken(world, mark)
    if world.staged is not None:
        step = _with_staged(world, world.staged, mark)
        if step is not None:
            return step
    if not world.held.is_proven:
        return _with_unproven(world, mark)
    return _at_rest(world, mark)


def _held_mark(world: SyncWorld) -> PasswordMark:
    held = world.held
    if held.fingerprint is None:
        raise NotOnboardedError(
            "The site's cluster holds no connection string that acrfleet made. Onboard the site."
        )
    if held.mark is None or held.mark.token != world.token:
        raise PasswordUnmarkedError(
            f"The Secret with the site's connection string does not say which password of "
            f"{world.token} it holds. Run `acrfleet onboard`, and rotate then."
        )
    return settled(held.mark, world.slots, world.now)


def _with_refused(world: SyncWorld, mark: PasswordMark) -> SyncStep:
    """Go back to a string that works, if there is one: somebody renewed or removed the slot."""
    if _can_go_back(world, mark):
        return _back(world, mark)
    raise NotOnboardedError(
        f"Azure has no {mark.slot} of {world.token} any more that fits the site's connection "
        "string: somebody renewed or removed it. Onboard the site; that brings another one."
    )


def _with_untaken(world: SyncWorld, mark: PasswordMark) -> SyncStep:
    if world.taken is not False:
        return TakeString(mark)
    if not world.gave_up and _can_go_back(world, mark):
        return _back(world, mark)
    return AwaitSync(mark, GONE_BACK if world.gave_up else NOT_TAKEN)


def _with_staged(world: SyncWorld, staged: Kept, mark: PasswordMark) -> SyncStep | None:
    """Return the step that a staging Secret calls for; None: its string has to be shown first."""
    if _is_in_use(world, staged, mark):
        return UnstageSync(staged.mark) if world.held.is_proven else None
    if staged.mark == mark and _can_go_back(world, mark):
        return _back(world, mark)  # somebody has edited the string
    if _is_stale(world, staged.mark, mark):
        return UnstageSync(staged.mark)
    if not world.held.is_proven:
        return None
    return _with_waiting(world, staged, mark)


def _is_in_use(world: SyncWorld, staged: Kept, mark: PasswordMark) -> bool:
    return staged.mark == mark and staged.fingerprint == world.held.fingerprint


def _is_stale(world: SyncWorld, new: PasswordMark, mark: PasswordMark) -> bool:
    """Return whether a staged password can never be used: its slot is taken, or it is gone."""
    if new.token != world.token or new.slot == mark.slot or mark.slot == UNKNOWN_SLOT:
        return True
    return new.created is not None and not _works(world, new)


def _with_waiting(world: SyncWorld, staged: Kept, mark: PasswordMark) -> SyncStep:
    """Return how to bring a staged password into the connection string."""
    if world.gave_up:
        return AwaitSync(mark, GONE_BACK)
    if not world.online:
        return AwaitSync(mark, OFFLINE)
    if staged.fingerprint is None:
        return GenerateSync(staged.mark.slot, again=True)
    if world.accepted is None:
        return AskAzure(staged.mark)
    return PutString(staged.mark, mark) if world.accepted else AwaitSync(mark, NOT_ACCEPTED)


def _with_unproven(world: SyncWorld, mark: PasswordMark) -> SyncStep:
    if world.followed is None:
        return WatchSync(mark)
    if world.followed is Followed.SYNCED:
        return NoteSync(mark)
    if world.followed is Followed.SILENT and _can_go_back(world, mark):
        return _back(world, mark)
    return AwaitSync(mark, NOT_SYNCED if world.followed is Followed.SPEAKS else OFFLINE)


def _at_rest(world: SyncWorld, mark: PasswordMark) -> SyncStep:
    if world.before is not None:
        return ForgetString(world.before.mark)
    if mark.slot == UNKNOWN_SLOT:
        return _either(world, mark)
    old = world.held.previous
    if old is not None and old.slot != mark.slot and _works(world, old):
        return RetireSync(old, mark)
    spare = next(name for name in SLOTS if name != mark.slot)
    there = world.slots.get(spare)
    is_free = there is None or (there.expires is not None and there.expires <= world.now)
    if not world.is_due:
        return SyncIdle(mark, spare=is_free)
    if not is_free:
        raise PasswordSlotsTakenError(
            f"The sync token {world.token} has a {spare} that nothing at the site knows, and it is "
            "the only slot that could be renewed. Remove it once nobody needs it, with "
            f"`az acr token credential delete --registry REGISTRY --name {world.token} --{spare}`."
        )
    return GenerateSync(spare) if world.online else AwaitSync(mark, OFFLINE)


def _either(world: SyncWorld, mark: PasswordMark) -> SyncIdle:
    """Leave an adopted password alone while both slots are filled and either may hold it."""
    if not world.is_due:
        return SyncIdle(mark, spare=False)
    raise PasswordSlotsTakenError(
        f"The sync password of the site was adopted, and Azure does not tell in which slot of "
        f"{world.token} it is, so neither can be renewed. Find out which one nobody uses, remove "
        "it with `az acr token credential delete --registry REGISTRY --name "
        f"{world.token} --password1` (or --password2), see that the site still synchronises, and "
        "rotate then."
    )


def _can_go_back(world: SyncWorld, mark: PasswordMark) -> bool:
    before = world.before
    if before is None or before.fingerprint is None or before.mark == mark:
        return False
    return _works(world, before.mark)


def _back(world: SyncWorld, mark: PasswordMark) -> PutBack:
    assert world.before is not None  # noqa: S101 - _can_go_back has looked
    return PutBack(world.before.mark, mark)


def _works(world: SyncWorld, mark: PasswordMark) -> bool:
    return is_working(mark, world.token, world.slots, world.now)
