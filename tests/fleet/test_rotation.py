"""The rotation's next step, in every state, and what a run that dies anywhere leaves behind."""

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
from fleet.rotation import (
    AskSite,
    AwaitSite,
    Generate,
    Holder,
    Idle,
    Patch,
    Prove,
    Rest,
    Retire,
    Staged,
    Step,
    Unstage,
    World,
    next_step,
)

CASES = Path(__file__).parent.parent / "cases"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOKEN = "oslo-client"
GRACE = timedelta(hours=1)


def _at(hours: float | None) -> datetime | None:
    return None if hours is None else NOW + timedelta(hours=hours)


def _mark(text: str | None) -> PasswordMark | None:
    """Read `1@-5`: slot password1, generated five hours ago; `1` is a note without a time.

    `unknown@-5` is an adopted password.
    """
    if text is None:
        return None
    slot, _, hours = text.partition("@")
    return PasswordMark(
        token=TOKEN,
        slot=slot if slot == UNKNOWN_SLOT else f"password{slot}",
        created=_at(float(hours)) if hours else None,
    )


def _holder(number: int, case: dict[str, Any]) -> Holder:
    return Holder(
        namespace=case.get("namespace", f"ns{number}"),
        mark=_mark(case.get("mark")),
        fingerprint=case.get("value"),
        changed=_at(case.get("changed")),
        proved=_at(case.get("proved")),
        previous=_mark(case.get("previous")),
    )


def _world(case: dict[str, Any]) -> World:
    staged = case.get("staged")
    return World(
        token=TOKEN,
        slots={
            f"password{name}": PasswordSlot(_at(slot["created"]), _at(slot.get("expires")))
            for name, slot in case.get("slots", {}).items()
        },
        holders=tuple(_holder(i, one) for i, one in enumerate(case.get("holders", []), start=1)),
        staged=Staged(mark=_mark(staged["mark"]), fingerprint=staged.get("value"))
        if staged
        else None,
        accepted=case.get("accepted"),
        now=NOW,
        is_due=case.get("due", False),
        grace=GRACE,
    )


def _said(step: Step) -> str:
    match step:
        case Generate(slot, again):
            return f"generate {slot}" + (" again" if again else "")
        case Patch(mark, namespaces, previous):
            before = f" instead of {previous.slot}" if previous else ""
            return f"patch {', '.join(namespaces)} with {mark.slot}{before}"
        case Retire(old, keep):
            return f"retire {old.slot}, keep {keep.slot}"
        case Rest(mark, until):
            return f"rest on {mark.slot} until {(until - NOW) / timedelta(hours=1):+g}"
        case Idle(mark, spare):
            return f"idle with {mark.slot}" + ("" if spare else ", other slot not ours")
        case AskSite(mark) | AwaitSite(mark) | Unstage(mark) | Prove(mark):
            verb = {AskSite: "ask", AwaitSite: "await", Unstage: "unstage", Prove: "prove"}
            return f"{verb[type(step)]} {mark.slot}"
    raise AssertionError(step)


REFUSALS = {
    "onboard first": NotOnboardedError,
    "slots taken": PasswordSlotsTakenError,
    "unmarked": PasswordUnmarkedError,
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["name"])
        for case in yaml.safe_load((CASES / "rotation_steps.yaml").read_text())
    ],
)
def test_every_state_has_one_next_step(case: dict[str, Any]) -> None:
    if case["then"] in REFUSALS:
        with pytest.raises(REFUSALS[case["then"]]):
            next_step(_world(case))
    else:
        assert _said(next_step(_world(case))) == case["then"]


@dataclass
class Site:
    """A model of the world: values are numbers, and what the site knows lags behind Azure."""

    now: datetime = NOW
    azure: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, Holder] = field(default_factory=dict)
    staged: Staged | None = None
    online: bool = True
    made: int = 1
    rolled: bool = False

    def world(self, *, asked: bool) -> World:
        waits = self.staged.fingerprint if self.staged else None
        return World(
            token=TOKEN,
            slots={name: PasswordSlot(made, None) for name, (_, made) in self.azure.items()},
            holders=tuple(self.secrets.values()),
            staged=self.staged,
            accepted=(int(waits) in self.known.values()) if asked and waits else None,
            now=self.now,
            is_due=not self.rolled,
            grace=GRACE,
        )

    def sync(self) -> None:
        if self.online:
            self.known = {name: value for name, (value, _) in self.azure.items()}

    def check(self) -> None:
        """No moment at which a pull secret's password is refused by the site."""
        for holder in self.secrets.values():
            if holder.fingerprint is not None:
                assert int(holder.fingerprint) in self.known.values(), holder


def _start() -> Site:
    made = NOW - timedelta(days=60)
    mark = PasswordMark(token=TOKEN, slot="password1", created=made)
    site = Site(azure={"password1": (1, made)}, known={"password1": 1})
    for name in ("crew", "bridge"):
        site.secrets[name] = Holder(namespace=name, mark=mark, fingerprint="1")
    return site


def _changes(site: Site, step: Step) -> list[Callable[[Site], None]]:
    """Return a step's outside effects, in order; a run can die between any two."""
    match step:
        case Generate(slot):
            return [partial(_note, slot), partial(_generate, slot), partial(_store, slot)]
        case Patch(mark, names, previous):
            return [partial(_patch, name, mark, previous) for name in names]
        case Unstage():
            return [_unstage]
        case Prove():
            return [partial(_prove, name) for name in site.secrets]
        case Retire(old):
            return [partial(_retire, old.slot)]
    return []


def _note(slot: str, site: Site) -> None:
    site.staged = Staged(mark=PasswordMark(token=TOKEN, slot=slot))


def _unstage(site: Site) -> None:
    site.staged = None


def _retire(slot: str, site: Site) -> None:
    del site.azure[slot]
    site.rolled = True


def _generate(slot: str, site: Site) -> None:
    site.made += 1
    site.azure[slot] = (site.made, site.now)


def _store(slot: str, site: Site) -> None:
    value, made = site.azure[slot]
    mark = PasswordMark(token=TOKEN, slot=slot, created=made)
    site.staged = Staged(mark=mark, fingerprint=str(value))


def _patch(name: str, mark: PasswordMark, previous: PasswordMark | None, site: Site) -> None:
    holders = [one.fingerprint for one in site.secrets.values() if one.mark == mark]
    staged = site.staged.fingerprint if site.staged and site.staged.mark == mark else None
    value = staged or holders[0]
    site.secrets[name] = Holder(
        namespace=name, mark=mark, fingerprint=value, changed=site.now, previous=previous
    )


def _prove(name: str, site: Site) -> None:
    holder = site.secrets[name]
    site.secrets[name] = holder.model_copy(update={"proved": site.now})


@dataclass
class Fate:
    """How many effects there were so far, and after which of them the run dies."""

    deaths: tuple[int, ...] = ()
    effects: int = 0

    def strikes(self) -> bool:
        return self.effects in self.deaths


def _run(site: Site, fate: Fate) -> None:
    """Run until nothing can be done now, or the run dies."""
    for _ in range(60):
        site.now += timedelta(seconds=1)
        site.check()
        step = next_step(site.world(asked=True))
        if isinstance(step, Idle | AwaitSite | Rest):
            return
        for change in _changes(site, step):
            if fate.strikes():
                fate.deaths = tuple(one for one in fate.deaths if one != fate.effects)
                return
            change(site)
            fate.effects += 1
            site.check()
    raise AssertionError("the rotation goes round in circles")


def _run_to_the_end(site: Site, fate: Fate) -> Site:
    for _ in range(8):
        _run(site, fate)
        site.now += timedelta(hours=2)
        site.sync()
        site.check()
    return site


def test_a_run_that_dies_around_any_effect_is_taken_up_and_no_pull_is_ever_refused() -> None:
    whole = Fate()
    _run_to_the_end(_start(), whole)
    assert whole.effects == 11, (
        "two proofs, note, value, store, two Secrets, unstage, proofs, retire"
    )
    for deaths in combinations(range(whole.effects + 3), 2):
        site = _run_to_the_end(_start(), Fate(deaths))
        assert set(site.azure) == {"password2"}, deaths
        values = {one.fingerprint for one in site.secrets.values()}
        assert values == {str(site.azure["password2"][0])}, deaths
        assert site.staged is None, deaths


def test_a_site_that_is_offline_for_a_month_keeps_its_old_password_until_it_has_pulled() -> None:
    site = _start()
    site.online = False
    for _ in range(30):
        _run(site, Fate())
        site.now += timedelta(days=1)
        site.sync()
        site.check()
        assert set(site.azure) == {"password1", "password2"}
    site.online = True
    site.sync()
    assert set(_run_to_the_end(site, Fate()).azure) == {"password2"}


@pytest.mark.parametrize("effects", range(3, 11))
def test_a_site_that_goes_offline_between_two_steps_loses_no_password_that_it_knows(
    effects: int,
) -> None:
    site, fate = _start(), Fate((effects,))
    while fate.deaths:
        _run(site, fate)
        if fate.deaths:
            site.now += timedelta(hours=2)
            site.sync()
    site.online = False
    for _ in range(30):
        _run(site, Fate())
        site.now += timedelta(days=1)
        site.check()
    site.online = True
    site.sync()
    assert set(_run_to_the_end(site, Fate()).azure) == {"password2"}


def test_a_namespace_that_appears_half_way_gets_the_password_in_use_before_the_old_one_goes() -> (
    None
):
    site = _start()
    _run(site, Fate())
    site.sync()
    _run(site, Fate())
    site.secrets["galley"] = Holder(namespace="galley")
    site.now += timedelta(hours=2)
    _run(site, Fate())
    assert site.secrets["galley"].fingerprint == site.secrets["crew"].fingerprint
    assert "password1" in site.azure, "the grace starts again with the last Secret that changed"
