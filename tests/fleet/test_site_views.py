"""Which sites `acrfleet status` shows and in what order."""

from datetime import timedelta
from typing import Any

import pytest

from fleet.freshness import CloudTag, SiteImages, compare
from fleet.passwords import PasswordMark
from fleet.results import Status
from fleet.site_views import SiteView, SortBy, Wanted, choose_views, count_statuses, sort_views
from tests.builders import NOW, a_record

DAY = timedelta(days=1)


def view(name: str, status: Status = Status.DONE, ran: int = 0, **days: int) -> SiteView:
    """A site that ran `ran` days ago; `client`, `sync`: days left; `late`: days behind."""
    marks: dict[str, Any] = {
        use: PasswordMark(token="t", slot="password1", created=NOW, expires=NOW + days[key] * DAY)
        for use, key in (("password", "client"), ("sync_password", "sync"))
        if key in days
    }
    record = a_record(name, last_status=status, last_run_at=NOW - ran * DAY, **marks)
    return SiteView(name, record, images(name, days["late"]) if "late" in days else None)


def images(name: str, days: int) -> SiteImages:
    tag = CloudTag(tag="1", digest="sha256:1", updated=NOW - days * DAY)
    held = {"app": {"1": "sha256:1"}} if days == 0 else {}
    found = compare({"app": [tag]}, held, {})
    return SiteImages(fleet="northsea", site=name, checked_at=NOW, images=found)


FLEET = [
    view("cork", ran=3, client=30, late=0),
    view("aden", Status.FAILED, ran=1, client=80, sync=2, late=4),
    view("bergen", Status.WAITING, ran=9, client=5, late=9),
    SiteView("dakar"),
    view("esbjerg", Status.STOPPED, client=-1, sync=200),
]


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (SortBy.FILE, "cork aden bergen dakar esbjerg"),
        (SortBy.SITE, "aden bergen cork dakar esbjerg"),
        (SortBy.STATUS, "aden esbjerg bergen dakar cork"),
        (SortBy.LAST_RUN, "dakar bergen cork aden esbjerg"),
        (SortBy.VERIFIED, "aden bergen cork dakar esbjerg"),
        (SortBy.PASSWORD, "esbjerg bergen cork aden dakar"),
        (SortBy.SYNC_PASSWORD, "aden esbjerg bergen cork dakar"),
        (SortBy.BEHIND, "bergen aden cork dakar esbjerg"),
    ],
)
def test_what_needs_a_look_first_stands_first(by: SortBy, order: str) -> None:
    assert [one.name for one in sort_views(FLEET, by)] == order.split()


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), "cork aden bergen dakar esbjerg"),
        (Wanted(statuses=frozenset(("failed", "stopped"))), "aden esbjerg"),
        (Wanted(statuses=frozenset(("never",))), "dakar"),
        (Wanted(older_than=2 * DAY), "cork bergen dakar"),
        (Wanted(older_than=3 * DAY), "bergen dakar"),
        (Wanted(ends_within=7 * DAY), "aden bergen esbjerg"),
        (Wanted(behind=True), "aden bergen"),
        (Wanted(behind=True, older_than=2 * DAY), "bergen"),
        (Wanted(statuses=frozenset(("done",)), behind=True), ""),
    ],
)
def test_a_site_is_shown_when_all_that_was_asked_for_holds(wanted: Wanted, names: str) -> None:
    assert [one.name for one in choose_views(FLEET, wanted, NOW)] == names.split()


def test_every_site_counts_once() -> None:
    counts = count_statuses(FLEET)
    assert counts == {"done": 1, "waiting": 1, "failed": 1, "stopped": 1, "never": 1}
