"""A fleet's history has one set of figures per day, whoever writes it, and never grows too long."""

import json
from datetime import datetime, timedelta

from fleet.history import MOST_DAYS, DayFigures, History, figures_of, read_history_text
from fleet.site_views import SiteView
from tests.builders import NOW
from tests.many_sites import images_of, names, record_of

DAY = timedelta(days=1)


def figures(when: datetime, done: int = 1) -> DayFigures:
    return DayFigures(made_at=when, sites=done, statuses={"done": done})


def test_the_last_run_of_a_day_counts_in_whatever_order_they_write() -> None:
    history = History(fleet="many").noting(figures(NOW)).noting(figures(NOW - DAY))
    history = history.noting(figures(NOW + timedelta(hours=1), done=2))
    assert [day.made_at for day in history.days] == [NOW - DAY, NOW + timedelta(hours=1)]
    assert history.last == NOW + timedelta(hours=1)


def test_the_oldest_days_go() -> None:
    history = History(fleet="many")
    for number in range(MOST_DAYS + 5):
        history = history.noting(figures(NOW + number * DAY))
    assert len(history.days) == MOST_DAYS
    assert history.days[0].made_at == NOW + 5 * DAY
    assert len(history.model_dump_json()) < 200_000


def test_a_day_that_this_version_does_not_understand_costs_only_that_day() -> None:
    history = History(fleet="many").noting(figures(NOW)).noting(figures(NOW + DAY))
    kept = json.loads(history.model_dump_json())
    kept["days"][0]["of_a_later_version"] = 1
    assert read_history_text("many", json.dumps(kept)).days == history.days[1:]
    assert read_history_text("many", history.model_dump_json()) == history
    assert read_history_text("many", None) == read_history_text("many", "[]")


def test_figures_count_sites_passwords_and_images() -> None:
    views = [SiteView(name, record_of(name, NOW), images_of(name, NOW)) for name in names(200)]
    found = figures_of([*views, SiteView("new")], NOW)
    assert found.sites == sum(found.statuses.values()) == 201
    assert found.statuses["never"] == sum(view.record is None for view in views) + 1
    ends = [view.record.password.expires for view in views if view.record and view.record.password]
    assert found.ending == sum(end is not None and end <= NOW + 14 * DAY for end in ends) > 0
    assert found.ended == 0
    assert 0 < found.behind < found.compared < 200
    assert found.images_behind == 8 * found.behind
    assert figures_of(views, NOW + 200 * DAY).ended > 0
