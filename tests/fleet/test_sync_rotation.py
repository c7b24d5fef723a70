"""The sync rotation's next step, in every state, and what a run that dies leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.azure_objects import PasswordSlot
from fleet.errors import NotOnboardedError
from fleet.passwords import UNKNOWN_SLOT, PasswordMark
from fleet.pull_errors import PasswordSlotsTakenError, PasswordUnmarkedError
from fleet.sync_rotation import GONE_BACK, NOT_ACCEPTED, NOT_SYNCED, OFFLINE, next_sync_step
from fleet.sync_world import (
    AskAzure,
    AwaitSync,
    Connection,
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

CASES = Path(__file__).parent.parent / "cases"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOKEN = "oslo-sync"
WHY = {
    OFFLINE: "offline",
    NOT_ACCEPTED: "not accepted",
    NOT_SYNCED: "not synced",
    GONE_BACK: "gone back",
}
REFUSALS = {
    "onboard first": NotOnboardedError,
    "slots taken": PasswordSlotsTakenError,
    "unmarked": PasswordUnmarkedError,
}


def _at(hours: float | None) -> datetime | None:
    return None if hours is None else NOW + timedelta(hours=hours)


def _mark(text: str | None) -> PasswordMark | None:
    """Read `1@-5`: slot password1, generated five hours ago; `1` is a note without a time."""
    if text is None:
        return None
    slot, _, hours = text.partition("@")
    name = slot if slot == UNKNOWN_SLOT else f"password{slot}"
    return PasswordMark(token=TOKEN, slot=name, created=_at(float(hours)) if hours else None)


def _kept(case: dict[str, Any] | None) -> Kept | None:
    mark = _mark(case["mark"]) if case else None
    return Kept(mark=mark, fingerprint=case.get("value")) if case and mark else None


def _world(case: dict[str, Any]) -> SyncWorld:
    held, followed = case["held"], case.get("followed")
    times = {name: _at(held.get(name)) for name in ("changed", "taken", "proved")}
    return SyncWorld(
        token=TOKEN,
        slots={
            f"password{name}": PasswordSlot(_at(slot["created"]), _at(slot.get("expires")))
            for name, slot in case["slots"].items()
        },
        held=Connection(
            mark=_mark(held.get("mark")),
            fingerprint=held.get("value"),
            previous=_mark(held.get("previous")),
            **times,
        ),
        staged=_kept(case.get("staged")),
        before=_kept(case.get("before")),
        accepted=case.get("accepted"),
        taken=case.get("taken"),
        followed=Followed(followed) if followed else None,
        online=case.get("online", True),
        gave_up=case.get("gave_up", False),
        now=NOW,
        is_due=case.get("due", False),
    )


VERBS: dict[type, str] = {
    AskAzure: "ask Azure for",
    TakeString: "take",
    WatchSync: "watch",
    NoteSync: "note",
    UnstageSync: "unstage",
    ForgetString: "forget",
}


def _said(step: SyncStep) -> str:
    match step:
        case GenerateSync(slot, again):
            said = f"generate {slot}" + (" again" if again else "")
        case PutString(mark, previous):
            said = f"put {mark.slot} instead of {previous.slot}"
        case PutBack(old, instead_of):
            said = f"put back {old.slot} instead of {instead_of.slot}"
        case RetireSync(old, keep):
            said = f"retire {old.slot}, keep {keep.slot}"
        case AwaitSync(_, why):
            said = f"await ({WHY[why]})"
        case SyncIdle(mark, spare):
            said = f"idle with {mark.slot}" + ("" if spare else ", other slot not ours")
        case _:
            said = f"{VERBS[type(step)]} {step.mark.slot}"
    return said


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["name"])
        for case in yaml.safe_load((CASES / "sync_rotation_steps.yaml").read_text())
    ],
)
def test_every_state_has_one_next_step(case: dict[str, Any]) -> None:
    if case["then"] in REFUSALS:
        with pytest.raises(REFUSALS[case["then"]]):
            next_sync_step(_world(case))
    else:
        assert _said(next_sync_step(_world(case))) == case["then"]


@dataclass
class Site:
    """A model of the world: values are numbers; Azure takes a new one a minute after it is made."""

    now: datetime = NOW
    azure: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    held: Connection = field(default_factory=Connection)
    staged: Kept | None = None
    before: Kept | None = None
    running: int = 1
    last_sync: datetime = NOW
    online: bool = True
    deaf: bool = False
    """Whether the registry does not come up with a new string, whatever it says."""
    made: list[str] = field(default_factory=list)
    rolled: bool = False

    def takes(self, value: str | int) -> bool:
        """Return whether Azure takes a password now: it is in a slot, and has spread."""
        spread = self.now - timedelta(minutes=1)
        known = {number for number, created in self.azure.values() if created <= spread}
        return int(value) in known

    def world(self, gave_up: bool) -> SyncWorld:
        return SyncWorld(
            token=TOKEN,
            slots={name: PasswordSlot(made, None) for name, (_, made) in self.azure.items()},
            held=self.held,
            staged=self.staged,
            before=self.before,
            online=self.online and not self._is_silent(),
            gave_up=gave_up,
            now=self.now,
            is_due=not self.rolled,
        )

    def _is_silent(self) -> bool:
        return self.deaf and self.running != 1

    def pass_time(self, span: timedelta) -> None:
        self.now += span
        if self.online and not self._is_silent() and self.takes(self.running):
            self.last_sync = self.now

    def answer(self, step: SyncStep) -> dict[str, Any]:
        """Wait for what a step needs to know, as the driver does, and return what was found."""
        self.pass_time(timedelta(minutes=2))
        match step:
            case AskAzure():
                assert self.staged is not None
                return {"accepted": self.takes(self.staged.fingerprint or -1)}
            case WatchSync():
                assert self.held.taken is not None
                heard = self.online and self.last_sync > self.held.taken
                return {"followed": Followed.SYNCED if heard else Followed.SILENT}
        return {}

    def check(self) -> None:
        """No moment at which the string in the Secret is one that Azure refuses."""
        assert self.takes(self.held.fingerprint or -1), self.held


def _start() -> Site:
    made = NOW - timedelta(days=90)
    mark = PasswordMark(token=TOKEN, slot="password1", created=made)
    return Site(azure={"password1": (1, made)}, held=Connection(mark=mark, fingerprint="1"))


SIMPLE: dict[type, tuple[str, ...]] = {
    TakeString: ("_restart_pod", "_note_taken"),
    NoteSync: ("_prove",),
    UnstageSync: ("_unstage",),
    ForgetString: ("_forget",),
}


def _changes(step: SyncStep) -> list[Callable[[Site], None]]:
    """Return a step's outside effects, in order; a run can die between any two."""
    match step:
        case GenerateSync(slot):
            return [partial(_note, slot), partial(_generate, slot), partial(_store, slot)]
        case PutString(mark, previous):
            return [_keep, partial(_put, mark, previous)]
        case PutBack(old):
            return [partial(_put_back, old)]
        case RetireSync(old):
            return [partial(_retire, old.slot)]
    return [globals()[name] for name in SIMPLE.get(type(step), ())]


def _note(slot: str, site: Site) -> None:
    site.staged = Kept(mark=PasswordMark(token=TOKEN, slot=slot))


def _generate(slot: str, site: Site) -> None:
    site.made.append(slot)
    site.azure[slot] = (len(site.made) + 1, site.now)


def _store(slot: str, site: Site) -> None:
    value, made = site.azure[slot]
    mark = PasswordMark(token=TOKEN, slot=slot, created=made)
    site.staged = Kept(mark=mark, fingerprint=str(value))


def _keep(site: Site) -> None:
    assert site.held.mark is not None
    site.before = Kept(mark=site.held.mark, fingerprint=site.held.fingerprint)


def _put(mark: PasswordMark, previous: PasswordMark, site: Site) -> None:
    assert site.staged is not None
    site.held = Connection(
        mark=mark, fingerprint=site.staged.fingerprint, changed=site.now, previous=previous
    )


def _put_back(old: PasswordMark, site: Site) -> None:
    assert site.before is not None
    site.held = Connection(mark=old, fingerprint=site.before.fingerprint, changed=site.now)


def _restart_pod(site: Site) -> None:
    site.running = int(site.held.fingerprint or -1)


def _note_taken(site: Site) -> None:
    site.held = site.held.model_copy(update={"taken": site.now})


def _prove(site: Site) -> None:
    site.held = site.held.model_copy(update={"proved": site.now})


def _unstage(site: Site) -> None:
    site.staged = None


def _forget(site: Site) -> None:
    site.before = None


def _retire(slot: str, site: Site) -> None:
    del site.azure[slot]
    site.rolled = True


@dataclass
class Fate:
    """How many effects there were so far, and after which of them the run dies."""

    deaths: tuple[int, ...] = ()
    effects: int = 0

    def strikes(self) -> bool:
        return self.effects in self.deaths


def _run(site: Site, fate: Fate) -> SyncStep | None:
    """Run until nothing can be done now; None: the run died."""
    gave_up = False
    for _ in range(60):
        site.pass_time(timedelta(seconds=1))
        step = next_sync_step(site.world(gave_up))
        if isinstance(step, AskAzure | WatchSync):
            answer = site.answer(step)
            step = next_sync_step(site.world(gave_up).model_copy(update=answer))
        if isinstance(step, SyncIdle | AwaitSync):
            return step
        gave_up |= isinstance(step, PutBack)
        for change in _changes(step):
            if fate.strikes():
                fate.deaths = tuple(one for one in fate.deaths if one != fate.effects)
                return None
            change(site)
            fate.effects += 1
            site.check()
    raise AssertionError("the rotation goes round in circles")


def _run_to_the_end(site: Site, fate: Fate) -> Site:
    for _ in range(8):
        _run(site, fate)
        site.pass_time(timedelta(hours=2))
        site.check()
    return site


def test_a_run_that_dies_around_any_effect_is_taken_up_and_azure_takes_every_string() -> None:
    whole = Fate()
    _run_to_the_end(_start(), whole)
    assert whole.effects == 11, (
        "note, value, store, keep, put, restart, taken, proof, unstage, forget, retire"
    )
    for deaths in combinations(range(whole.effects + 3), 2):
        site = _run_to_the_end(_start(), Fate(deaths))
        assert set(site.azure) == {"password2"}, deaths
        assert site.running == site.azure["password2"][0], deaths
        assert (site.staged, site.before) == (None, None), deaths
        assert len(site.made) <= 3, "one more for each death between making and keeping"


@pytest.mark.parametrize("death", range(25))
def test_a_registry_that_does_not_follow_gets_its_old_string_back_wherever_a_run_dies(
    death: int,
) -> None:
    site = _start()
    site.deaf = True
    fate = Fate((death,))
    for _ in range(4):
        _run(site, fate)
        site.pass_time(timedelta(hours=2))
    assert set(site.azure) == {"password1", "password2"}
    assert isinstance(_run(site, Fate()), AwaitSync)
    assert (site.held.fingerprint, site.running) == ("1", 1)
    assert len(site.made) <= 2, "no password is made only because the site did not follow"
    site.deaf = False
    assert set(_run_to_the_end(site, Fate()).azure) == {"password2"}
    assert len(site.made) <= 2


@pytest.mark.parametrize("effects", range(11))
def test_a_site_that_goes_offline_for_a_month_between_two_steps_ends_with_one_that_works(
    effects: int,
) -> None:
    site, fate = _start(), Fate((effects,))
    _run(site, fate)
    site.online = False
    for _ in range(30):
        _run(site, Fate())
        site.pass_time(timedelta(days=1))
        site.check()
    site.online = True
    site.pass_time(timedelta(hours=1))
    assert set(_run_to_the_end(site, Fate()).azure) == {"password2"}
