from datetime import UTC, datetime, timedelta

import pytest

from fleet.azure_objects import PasswordSlot
from fleet.expiry import CLIENT, SYNC, Life, describe, ending_soon, life_of, what_to_do
from fleet.passwords import PasswordMark

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOKEN = "oslo-client"


def _in(days: float) -> datetime:
    return NOW + timedelta(days=days)


def _slot(made: float, ends: float | None) -> PasswordSlot:
    return PasswordSlot(_in(made), None if ends is None else _in(ends))


def _mark(slot: str, made: float) -> PasswordMark:
    return PasswordMark(token=TOKEN, slot=slot, created=_in(made), expires=None)


CASES = {
    "the record's password counts, not the spare one that the site has not got yet": (
        {"password1": _slot(-80, 10), "password2": _slot(-1, 89)},
        _mark("password1", -80),
        ("password1", _in(10), True),
    ),
    "the record's password counts when the old slot, which nobody uses, ends first": (
        {"password1": _slot(-80, 10), "password2": _slot(-1, 89)},
        _mark("password2", -1),
        ("password2", _in(89), True),
    ),
    "a slot that was renewed since is not the one of the record": (
        {"password1": _slot(-2, 88)},
        _mark("password1", -80),
        ("password1", _in(88), False),
    ),
    "without a record the slot that ends first may be the one in use": (
        {"password1": _slot(-80, 10), "password2": _slot(-1, None)},
        None,
        ("password1", _in(10), False),
    ),
    "a slot that ended long ago is not in use while another one works": (
        {"password1": _slot(-180, -90), "password2": _slot(-80, 10)},
        None,
        ("password2", _in(10), False),
    ),
    "when all have ended the last one counts": (
        {"password1": _slot(-180, -90), "password2": _slot(-95, -5)},
        None,
        ("password2", _in(-5), False),
    ),
    "a password without end never ends": (
        {"password2": _slot(-500, None)},
        None,
        ("password2", None, False),
    ),
    "the record's password is gone": ({}, _mark("password1", -80), ("", NOW, True)),
}


@pytest.mark.parametrize(("slots", "mark", "wanted"), CASES.values(), ids=CASES.keys())
def test_which_password_counts(
    slots: dict[str, PasswordSlot],
    mark: PasswordMark | None,
    wanted: tuple[str, datetime | None, bool],
) -> None:
    life = life_of(CLIENT, TOKEN, slots, mark, NOW)
    assert life == Life(CLIENT, TOKEN, *wanted)


def test_a_site_that_was_never_onboarded_has_no_password_to_end() -> None:
    assert life_of(CLIENT, TOKEN, {}, None, NOW) is None


@pytest.mark.parametrize(
    ("ends", "alarm"), [(-1.0, True), (13.9, True), (14.0, True), (14.1, False), (None, False)]
)
def test_the_alarm_comes_before_the_end(ends: float | None, alarm: bool) -> None:
    life = Life(SYNC, "oslo-sync", "password1", None if ends is None else _in(ends), True)
    assert bool(ending_soon([life], NOW, timedelta(days=14))) is alarm


def test_an_alarm_names_password_date_days_and_what_stops() -> None:
    text = describe(Life(CLIENT, TOKEN, "password1", _in(7.5), True), NOW)
    assert text == (
        "the client password (password1 of oslo-client) ends on 2026-12-02 00:00 UTC, in 7 days; "
        "then no image pulls there"
    )
    assert "ended on 2026-11-23" in describe(Life(SYNC, TOKEN, "password1", _in(-1), False), NOW)
    assert "is gone" in describe(Life(SYNC, TOKEN, "", NOW, True), NOW)
    assert "acrfleet rotate FILE --site oslo" in what_to_do("oslo")
