"""Rolling a client token's password: which step comes next, read from the world alone.

A token has two slots. One is in use; the spare one is generated, the site's own registry learns of
it, the pull secrets take it over, a pull proves it, and only then the old one goes. Nothing of this
is remembered by us: Azure shows when each slot was generated, the pull secrets say which slot they
hold and which they held before, and a staging Secret keeps a value that is not in use yet. So a run
that died is taken up by the next one, wherever it died (docs/explanation/rotation.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.azure_objects import PasswordSlot
from fleet.errors import NotOnboardedError
from fleet.passwords import SLOTS, UNKNOWN_SLOT, PasswordMark, is_working, settled
from fleet.pull_errors import PasswordSlotsTakenError, PasswordUnmarkedError
from fleet.strict import Strict


class Holder(Strict):
    """One pull secret as it is.

    `fingerprint` is a hash of the password that it holds, None when it holds none; `changed` is
    when we wrote that password into it, `proved` when a pull at the site worked with it, and
    `previous` the password that it replaced.
    """

    namespace: str
    mark: PasswordMark | None = None
    fingerprint: str | None = None
    changed: datetime | None = None
    proved: datetime | None = None
    previous: PasswordMark | None = None


class Staged(Strict):
    """The staging Secret: a note that a slot is about to be generated, or a value that waits."""

    mark: PasswordMark
    fingerprint: str | None = None


class World(Strict):
    """Everything that decides what comes next. Times are UTC."""

    token: str
    slots: Mapping[str, PasswordSlot]
    holders: tuple[Holder, ...]
    staged: Staged | None = None
    accepted: bool | None = None
    """Whether the site's registry takes the staged password; None: it was not asked yet."""
    now: datetime
    is_due: bool = False
    grace: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Generate:
    """Generate this slot; nobody uses what is in it. `again`: an earlier run lost the value."""

    slot: str
    again: bool = False


@dataclass(frozen=True)
class AskSite:
    """Ask the site's own registry whether it takes the staged password."""

    mark: PasswordMark


@dataclass(frozen=True)
class AwaitSite:
    """The site does not take the new password yet; everything else has to wait for that."""

    mark: PasswordMark


@dataclass(frozen=True)
class Patch:
    """Put this password into these namespaces' pull secrets, in place."""

    mark: PasswordMark
    namespaces: tuple[str, ...]
    previous: PasswordMark | None


@dataclass(frozen=True)
class Unstage:
    """Remove the staging Secret; every pull secret holds its value."""

    mark: PasswordMark


@dataclass(frozen=True)
class Prove:
    """Pull at the site with this password, on every node, and note that it worked."""

    mark: PasswordMark


@dataclass(frozen=True)
class Rest:
    """Leave the old password alone until then: somebody may have read it a moment ago."""

    mark: PasswordMark
    until: datetime


@dataclass(frozen=True)
class Retire:
    """Remove the old password from Azure; `keep` is proven at the site."""

    old: PasswordMark
    keep: PasswordMark


@dataclass(frozen=True)
class Idle:
    """Nothing to do; `spare` is False where somebody else's password is in the other slot."""

    mark: PasswordMark
    spare: bool = True


Step = Generate | AskSite | AwaitSite | Patch | Unstage | Prove | Rest | Retire | Idle


def next_step(world: World) -> Step:
    """Return what to do now; doing it and looking again leads to `Idle`.

    Raises:
        NotOnboardedError: No pull secret holds a password that works.
        PasswordUnmarkedError: A pull secret holds a password of the token that it does not name,
            so either slot may be in use, or two call different passwords by one name.
        PasswordSlotsTakenError: Somebody else's password is in the spare slot, or either slot may
            hold the adopted password in use.
    """
    _refuse_unmarked(world)
    world = _settled(world)
    used = _used(world)
    if world.staged is not None:
        step = _with_staged(world, world.staged, used)
        if step is not None:
            return step
    if not used:
        raise NotOnboardedError(
            f"No pull secret of the token {world.token} holds a password that works in Azure. "
            "Onboard the site; that brings one."
        )
    return _without_staged(world, max(used, key=_age))


def _with_staged(world: World, staged: Staged, used: list[PasswordMark]) -> Step | None:
    """Return the step that a staging Secret calls for; None: it has no more to say."""
    mark = staged.mark
    working = is_working(mark, world.token, world.slots, world.now)
    taken = any(one.slot == mark.slot and one != mark for one in used)
    if mark.token != world.token or taken or (mark.created is not None and not working):
        return Unstage(mark)
    if staged.fingerprint is None or mark.created is None:
        return Generate(mark.slot, again=True)
    late = [one for one in world.holders if not _holds(one, mark, staged.fingerprint)]
    if not late:
        return Unstage(mark)
    if world.accepted is None:
        return AskSite(mark)
    if not world.accepted:
        return AwaitSite(mark)
    return _patch(world, mark, late)


def _without_staged(world: World, newest: PasswordMark) -> Step:
    value = _value_of(world, newest)
    late = [one for one in world.holders if not _holds(one, newest, value)]
    if late:
        return _patch(world, newest, late)
    if newest.slot == UNKNOWN_SLOT:
        return _either(world, newest)
    spare = next(name for name in SLOTS if name != newest.slot)
    there, old = world.slots.get(spare), _ours(world, spare)
    is_free = there is None or (there.expires is not None and there.expires <= world.now)
    if old is None and not world.is_due:
        return Idle(newest, spare=is_free)
    if old is None and not is_free:
        raise _taken(world, spare)
    changed = max(one.changed or newest.created or world.now for one in world.holders)
    if not all(one.proved is not None and one.proved >= changed for one in world.holders):
        return Prove(newest)
    if old is None:
        return Generate(spare)
    end = changed + world.grace
    return Retire(old, newest) if end <= world.now else Rest(newest, end)


def _value_of(world: World, mark: PasswordMark) -> str | None:
    """Return the hash of the password that goes by a mark; no two Secrets may disagree on it."""
    values = {one.namespace: one.fingerprint for one in _marked(world) if one.mark == mark}
    if len(set(values.values())) > 1:
        raise PasswordUnmarkedError(
            f"The pull secrets in the namespaces {', '.join(sorted(values))} hold different "
            f"passwords and all call them {mark.slot} of {mark.token}. Somebody edited one by "
            "hand. Delete the one whose password the site refuses, and run again."
        )
    return next(iter(values.values()))


def _settled(world: World) -> World:
    """Return the world with the slots of adopted passwords that can be told by now."""
    holders = [
        one.model_copy(update={"mark": settled(one.mark, world.slots, world.now)})
        if one.mark
        else one
        for one in world.holders
    ]
    return world.model_copy(update={"holders": tuple(holders)})


def _either(world: World, mark: PasswordMark) -> Idle:
    """Leave an adopted password alone while both slots are filled and either may hold it."""
    if not world.is_due:
        return Idle(mark, spare=False)
    raise PasswordSlotsTakenError(
        f"The password of {world.token} at the site was adopted, and Azure does not tell in which "
        "of its two slots it is, so neither can be renewed. Find out which one nobody uses, remove "
        f"it with `az acr token credential delete --registry REGISTRY --name {world.token} "
        "--password1` (or --password2), see that the site still pulls after its next sync, and "
        "rotate then."
    )


def _taken(world: World, spare: str) -> PasswordSlotsTakenError:
    return PasswordSlotsTakenError(
        f"The token {world.token} has a {spare} that no pull secret at the site knows, so somebody "
        "else may be using it, and it is the only slot that could be renewed. Remove it once "
        "nobody needs it, with `az acr token credential delete --registry REGISTRY --name "
        f"{world.token} --{spare}`."
    )


def _patch(world: World, mark: PasswordMark, late: list[Holder]) -> Patch:
    names = tuple(one.namespace for one in late)
    replaced = [one.mark for one in world.holders if one.mark and one.mark.slot != mark.slot]
    noted = [one.previous for one in world.holders if one.previous and one.mark == mark]
    before = [one for one in (*replaced, *noted) if one.token == world.token and one.created]
    return Patch(mark, names, max(before, key=_age) if before else None)


def _marked(world: World) -> list[Holder]:
    return [one for one in world.holders if one.mark and one.fingerprint is not None]


def _used(world: World) -> list[PasswordMark]:
    """Return the working passwords that pull secrets hold."""
    marks = [one.mark for one in _marked(world) if one.mark]
    return [one for one in marks if is_working(one, world.token, world.slots, world.now)]


def _ours(world: World, slot: str) -> PasswordMark | None:
    """Return the mark of a slot whose password our pull secrets held before; else it isn't ours."""
    known = [one.previous for one in world.holders if one.previous and one.previous.slot == slot]
    working = [one for one in known if is_working(one, world.token, world.slots, world.now)]
    return working[0] if working else None


def _holds(holder: Holder, mark: PasswordMark, fingerprint: str | None) -> bool:
    return holder.mark == mark and holder.fingerprint == fingerprint


def _refuse_unmarked(world: World) -> None:
    for one in world.holders:
        if one.fingerprint is not None and (one.mark is None or one.mark.token != world.token):
            raise PasswordUnmarkedError(
                f"The pull secret in the namespace {one.namespace} holds a password of the token "
                f"{world.token} and does not say which. Somebody wrote it by hand. Run "
                "`acrfleet onboard`, which finds out or replaces it, and rotate then."
            )


def _age(mark: PasswordMark) -> datetime:
    assert mark.created is not None  # noqa: S101 - working marks have a time
    return mark.created
