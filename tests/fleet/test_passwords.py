from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.azure_objects import PasswordSlot
from fleet.passwords import (
    UNKNOWN_SLOT,
    Keep,
    PasswordMark,
    Renew,
    adopted_mark,
    as_azure_shows_it,
    choose_client_password,
    choose_sync_password,
    mark_annotations,
)
from fleet.pull_errors import PasswordSlotsTakenError

CASES = Path(__file__).parent.parent / "cases"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIMES = {
    "t1": NOW - timedelta(days=2),
    "t2": NOW - timedelta(days=1),
    "later": NOW + timedelta(days=1),
}


def _cases(file: str) -> list[Any]:
    cases = yaml.safe_load((CASES / file).read_text())
    return [pytest.param(case, id=case["name"]) for case in cases]


def _mark(case: dict[str, str] | None) -> PasswordMark | None:
    if case is None:
        return None
    times = {key: TIMES[case[key]] for key in ("created", "expires") if key in case}
    return PasswordMark(token=case.get("token", "oslo-client"), slot=case["slot"], **times)


def _marks(case: list[dict[str, str]]) -> list[PasswordMark]:
    return [mark for mark in (_mark(item) for item in case) if mark]


def _slots(case: dict[str, dict[str, str]]) -> dict[str, PasswordSlot]:
    return {
        name: PasswordSlot(TIMES[slot["created"]], TIMES.get(slot.get("expires", "")))
        for name, slot in case.items()
    }


def _check(choice: Keep | Renew, then: dict[str, str]) -> None:
    if isinstance(choice, Keep):
        assert {"keep": choice.mark.slot} == then
    else:
        assert {"renew": choice.slot} == then


@pytest.mark.parametrize("case", _cases("client_passwords.yaml"))
def test_a_client_password_in_use_is_never_renewed(case: dict[str, Any]) -> None:
    def choose() -> Keep | Renew:
        return choose_client_password(
            "oslo-client",
            _slots(case["slots"]),
            live=_marks(case.get("live", [])),
            lost=_marks(case.get("lost", [])),
            staged=_mark(case.get("staged")),
            now=NOW,
        )

    if "error" in case["then"]:
        with pytest.raises(PasswordSlotsTakenError, match=case["then"]["error"]):
            choose()
    else:
        _check(choose(), case["then"])


@pytest.mark.parametrize("case", _cases("sync_passwords.yaml"))
def test_a_sync_password_is_renewed_only_when_the_site_has_none(case: dict[str, Any]) -> None:
    held = _mark(case.get("held"))
    choice = choose_sync_password("oslo-client", _slots(case["slots"]), held, NOW)
    _check(choice, case["then"])


def test_a_mark_survives_being_written_as_annotations() -> None:
    mark = PasswordMark(
        token="oslo-client",
        slot="password2",
        created=datetime(2026, 11, 24, 12, 0, 0, 123457, tzinfo=UTC),
        expires=NOW + timedelta(days=90),
    )
    assert PasswordMark.from_annotations(mark_annotations(mark)) == mark


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"acrfleet/token": "t"},
        {"acrfleet/token": "t", "acrfleet/slot": "password3"},
        {"acrfleet/token": "t", "acrfleet/slot": "password1", "acrfleet/created": "yesterday"},
    ],
)
def test_annotations_that_make_no_sense_are_no_mark(annotations: dict[str, str]) -> None:
    assert PasswordMark.from_annotations(annotations) is None


def test_the_time_is_remembered_as_azure_will_show_it() -> None:
    generated = PasswordSlot(NOW.replace(microsecond=123456), None)
    shown = PasswordSlot(NOW, None)
    assert as_azure_shows_it(generated, shown) == shown


def test_a_stale_reading_is_not_taken_for_the_new_password() -> None:
    generated = PasswordSlot(NOW, None)
    assert as_azure_shows_it(generated, PasswordSlot(NOW - timedelta(days=1), None)) == generated
    assert as_azure_shows_it(generated, None) == generated


def _adopted(written: datetime | None, **slots: str | tuple[str, str]) -> str | None:
    times = {name: (one, "") if isinstance(one, str) else one for name, one in slots.items()}
    shown = {name: PasswordSlot(TIMES[c], TIMES.get(e)) for name, (c, e) in times.items()}
    mark = adopted_mark("oslo-client", shown, written, NOW)
    return mark.slot if mark else None


def test_the_slot_of_an_adopted_password_is_known_only_where_no_other_can_hold_it() -> None:
    both = {"password1": "t1", "password2": "t2"}
    assert _adopted(None, password2="t1") == "password2"
    assert _adopted(None, **both) == UNKNOWN_SLOT
    assert _adopted(NOW, **both) == UNKNOWN_SLOT
    assert _adopted(TIMES["t1"] + timedelta(hours=1), **both) == "password1"
    assert _adopted(NOW, password1=("t1", "t2"), password2="t1") == "password2"
    assert _adopted(NOW) is None
    assert _adopted(TIMES["t1"], password1="t2", password2="t2") is None


def test_an_unknown_slot_is_remembered_with_the_time_of_the_newest_that_it_may_be() -> None:
    one, two = (PasswordSlot(TIMES[at], None) for at in ("t1", "t2"))
    slots = {"password1": two, "password2": one}
    mark = adopted_mark("oslo-client", slots, None, NOW)
    assert mark == PasswordMark(token="oslo-client", slot=UNKNOWN_SLOT, created=TIMES["t2"])
    assert PasswordMark.from_annotations(mark_annotations(mark)) == mark
