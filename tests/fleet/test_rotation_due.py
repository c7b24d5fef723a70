from datetime import UTC, datetime, timedelta

from fleet.passwords import PasswordMark
from fleet.rotation_due import days_left, due_at
from fleet.sites import Rotation

MADE = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _mark(life: timedelta | None) -> PasswordMark:
    expires = MADE + life if life else None
    return PasswordMark(token="oslo-client", slot="password1", created=MADE, expires=expires)


def test_a_fleet_that_was_onboarded_in_one_day_does_not_roll_in_one() -> None:
    life = timedelta(days=90)
    due = [due_at(_mark(life), f"ship-{number}", Rotation()) for number in range(1000)]
    ages = [(when - MADE) / life for when in due if when]
    assert len(ages) == 1000
    assert min(ages) >= 2 / 3, "rolled only with less than a third of the life left"
    assert max(ages) <= 5 / 6, "a sixth of the life is left for sites that are away"
    per_day = [sum(age * 90 // 1 == day for age in ages) for day in range(60, 75)]
    assert max(per_day) < 110, per_day


def test_a_site_is_due_at_the_same_time_whenever_it_is_asked() -> None:
    first, second = (due_at(_mark(timedelta(days=90)), "oslo", Rotation()) for _ in range(2))
    assert first == second


def test_a_password_without_expiry_is_rolled_by_its_age() -> None:
    due = due_at(_mark(None), "oslo", Rotation(max_age=timedelta(days=30)))
    assert due is not None
    assert timedelta(days=20) <= due - MADE <= timedelta(days=25)


def test_a_password_of_unknown_age_is_due_at_once() -> None:
    assert due_at(PasswordMark(token="t", slot="password1"), "oslo", Rotation()) is None


def test_days_left_are_whole_days_and_negative_after_the_end() -> None:
    mark = _mark(timedelta(days=30))
    assert days_left(mark, MADE + timedelta(days=29, hours=1)) == 0
    assert days_left(mark, MADE + timedelta(days=31)) == -1
    assert days_left(_mark(None), MADE) is None
