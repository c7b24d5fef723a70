"""The history of a fleet: one set of figures per day, small enough to keep for a year and more.

A day's figures tell how the whole fleet stood, not what one run did; so several runs may write the
same day in any order, and the last one counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import Field, ValidationError

from fleet.site_views import SiteView, count_statuses
from fleet.sites import Strict

MOST_DAYS = 400
"""A year and a month: about 120 KB."""
SOON = timedelta(days=14)
"""A password that ends within this time counts as ending; as `rotation.alert_before`'s default."""


class DayFigures(Strict):
    """How a fleet stood on a day (UTC), after the last run of that day.

    `statuses` counts sites by how their last run ended; `ending` and `ended` count sites with a
    password that ends soon, or has ended; `behind` counts sites that lack an image, of `compared`;
    `images_behind` counts such images at all of them.
    """

    made_at: datetime
    sites: int
    statuses: dict[str, int]
    ending: int = 0
    ended: int = 0
    compared: int = 0
    behind: int = 0
    images_behind: int = 0

    @property
    def day(self) -> date:
        """Return the day."""
        return self.made_at.date()


def figures_of(views: Sequence[SiteView], now: datetime) -> DayFigures:
    """Count how the sites of a fleet stand now (UTC)."""
    ends = [view.first_end for view in views if view.first_end]
    compared = [view.images for view in views if view.images and view.images.checked_at]
    return DayFigures(
        made_at=now,
        sites=len(views),
        statuses=count_statuses(views),
        ending=sum(now < end <= now + SOON for end in ends),
        ended=sum(end <= now for end in ends),
        compared=len(compared),
        behind=sum(bool(images.late) for images in compared),
        images_behind=sum(len(images.late) for images in compared),
    )


class History(Strict):
    """A fleet's figures by day, oldest first."""

    fleet: str
    days: tuple[DayFigures, ...] = ()

    @property
    def last(self) -> datetime | None:
        """Return when figures were noted last, UTC."""
        return self.days[-1].made_at if self.days else None

    def noting(self, figures: DayFigures) -> "History":
        """Return the history with a day's figures, in place of those it has for that day."""
        others = [day for day in self.days if day.day != figures.day]
        days = sorted([*others, figures], key=lambda one: one.made_at)
        return self.model_copy(update={"days": tuple(days[-MOST_DAYS:])})


class _Rough(Strict):
    fleet: str
    days: tuple[Mapping[str, Any], ...] = Field(default=())


def read_history_text(fleet: str, text: str | None) -> History:
    """Return the history that was kept; days that this version does not understand are left out.

    Args:
        fleet: The fleet's name.
        text: JSON, or None where nothing was kept yet.
    """
    try:
        rough = _Rough.model_validate_json(text) if text else _Rough(fleet=fleet)
    except ValidationError:
        return History(fleet=fleet)
    return History(fleet=fleet, days=tuple(_understood(rough.days)))


def _understood(days: Iterable[Mapping[str, Any]]) -> Iterable[DayFigures]:
    for day in days:
        try:
            yield DayFigures.model_validate(day)
        except ValidationError:
            continue


def history_key(fleet: str) -> str:
    """Return the storage key of a fleet's history."""
    return f"history/{fleet}.json"
