"""Who may roll a site's passwords: every state that a Lease can be found in."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.site_lease import LASTS, LEASE, Holder, LeaseView, lease_body

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ME = Holder(machine="shore", boot="b1", process=7)
TWIN = Holder(machine="shore", boot="b1", process=8)
BEFORE = Holder(machine="shore", boot="b0", process=7)
SHIP = Holder(machine="ship", boot="b1", process=7)
A_MOMENT, LONG = timedelta(minutes=1), LASTS + timedelta(seconds=1)


def _lease(holder: str, ago: timedelta | None) -> LeaseView:
    return LeaseView(version="5", holder=holder, renewed=NOW - ago if ago is not None else None)


@pytest.mark.parametrize(
    ("holder", "ago", "alive", "free"),
    [
        pytest.param("", A_MOMENT, True, True, id="given up"),
        pytest.param(str(ME), A_MOMENT, True, True, id="mine"),
        pytest.param(str(TWIN), A_MOMENT, True, False, id="another process of this machine runs"),
        pytest.param(str(TWIN), A_MOMENT, False, True, id="another process of this machine died"),
        pytest.param(str(TWIN), LONG, True, True, id="its number may be another process's by now"),
        pytest.param(str(BEFORE), A_MOMENT, True, True, id="this machine was started anew since"),
        pytest.param(str(SHIP), A_MOMENT, False, False, id="another machine's process: who knows"),
        pytest.param(str(SHIP), LASTS, False, False, id="not over yet, by a hair"),
        pytest.param(str(SHIP), LONG, True, True, id="another machine's is over"),
        pytest.param("kubectl", A_MOMENT, True, False, id="somebody's who writes in another way"),
        pytest.param("kubectl", LONG, True, True, id="somebody's, over"),
        pytest.param(str(SHIP), None, True, True, id="without a time"),
    ],
)
def test_who_may_take_it(holder: str, ago: timedelta | None, alive: bool, free: bool) -> None:
    assert _lease(holder, ago).is_free(ME, NOW, is_alive=alive) is free


@pytest.mark.parametrize(
    ("holder", "ago", "fresh"),
    [
        (ME, timedelta(), True),
        (ME, A_MOMENT, True),
        (ME, LASTS / 5, False),
        (ME, -A_MOMENT, True),
        (ME, -LASTS, False),
        (ME, None, False),
        (TWIN, A_MOMENT, False),
    ],
)
def test_it_is_written_again_long_before_it_is_over(
    holder: Holder, ago: timedelta | None, fresh: bool
) -> None:
    assert _lease(str(holder), ago).is_fresh(ME, NOW) is fresh


@pytest.mark.parametrize("found", [None, _lease(str(SHIP), LONG)])
def test_what_is_written_is_what_others_read(found: LeaseView | None) -> None:
    body: dict[str, Any] = lease_body(ME, NOW, found)
    assert body["metadata"]["name"] == LEASE
    assert body["metadata"].get("resourceVersion") == (found.version if found else None)
    read = LeaseView.from_json({**body, "metadata": {"resourceVersion": "6"}})
    assert (read.version, Holder.parse(read.holder), read.renewed) == ("6", ME, NOW)
    given_up = LeaseView.from_json(lease_body(None, NOW, read))
    assert given_up.holder == ""
    assert given_up.is_free(SHIP, NOW, is_alive=True)


@pytest.mark.parametrize("text", ["", "pod-1", "shore/b1", "shore/b1/x", "a/b/1/2"])
def test_a_holder_that_another_program_wrote_is_nobody_we_know(text: str) -> None:
    assert Holder.parse(text) is None
