"""What a report on a fleet says: figures, series and lists, before anything is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.freshness import age
from fleet.freshness_groups import ImageGroup, group_images
from fleet.history import DayFigures, History, figures_of
from fleet.passwords import PasswordMark
from fleet.results import Status
from fleet.site_views import SiteView, SortBy, sort_views

_DAY = timedelta(days=1)
WELL = (Status.DONE.value, Status.SKIPPED.value)
SPANS = (
    ("up to a day", _DAY),
    ("up to a week", 7 * _DAY),
    ("up to a month", 30 * _DAY),
    ("over a month", timedelta.max),
)
"""Into which classes times are put in the pictures, by their upper ends."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Counts by class, in the order of the classes."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ages:
    """Passwords of one use by age and by the time that is left, both in whole days."""

    use: str
    ages: tuple[int, ...]
    left: tuple[int, ...]
    endless: int
    unknown: int


@dataclass(frozen=True, slots=True)
class FleetReportFigures:
    """Everything that the page shows; `of` is how many sites the fleet has."""

    fleet: str
    of: int
    made_at: datetime
    today: DayFigures
    days: tuple[DayFigures, ...]
    proven: Bars
    behind: Bars
    ages: tuple[Ages, ...]
    groups: tuple[ImageGroup, ...]
    attention: tuple[SiteView, ...]
    views: tuple[SiteView, ...]

    @property
    def well(self) -> int:
        """Return how many sites came well out of their last run."""
        return _well(self.today)

    @property
    def summary(self) -> str:
        """Say how the fleet stands, in a sentence or two that need no other figure."""
        counts = self.today.statuses
        others = [f"{count} {_WORDS.get(key, key)}" for key, count in counts.items()]
        rest = [text for text, key in zip(others, counts, strict=True) if key not in WELL]
        first = f"{self.well} of {self.today.sites} sites came well out of their last run"
        return f"{first}{'; ' + _and(rest) if rest else ''}."


_WORDS = {
    Status.WAITING.value: "wait for the site or its link",
    Status.FAILED.value: "failed",
    Status.STOPPED.value: "were stopped",
    "never": "never ran",
}


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def report_figures(
    fleet: str, views: Sequence[SiteView], of: int, history: History, now: datetime
) -> FleetReportFigures:
    """Return what there is to say about a fleet, or about some of its sites.

    Args:
        fleet: Its name.
        views: The sites.
        of: How many sites the fleet has.
        history: Its days so far, which count all its sites: of some of them only today is known.
        now: The present, UTC; today's figures are made anew from `views`.
    """
    today = figures_of(views, now)
    days = history.noting(today).days if len(views) == of else (today,)
    known = [view.images for view in views if view.images and view.images.checked_at]
    return FleetReportFigures(
        fleet=fleet,
        of=of,
        made_at=now,
        today=today,
        days=days,
        proven=_proven(views, now),
        behind=_behind(views, now),
        ages=(
            _ages("client", [view.password for view in views], now),
            _ages("sync", [view.sync_password for view in views], now),
        ),
        groups=group_images(known),
        attention=tuple(
            view for view in sort_views(views, SortBy.STATUS) if needs_attention(view, now)
        ),
        views=tuple(views),
    )


def needs_attention(view: SiteView, now: datetime) -> str:
    """Return why a person should look at a site; empty when nobody need."""
    if view.record is None:
        return "no run has reached it yet"
    if view.status not in WELL:
        return view.record.last_message or view.status
    end = view.first_end
    if end is not None and end <= now + 14 * _DAY:
        return f"a password {'ended' if end <= now else 'ends'} on {end:%Y-%m-%d}"
    return ""


def _proven(views: Sequence[SiteView], now: datetime) -> Bars:
    times = [view.proven for view in views]
    return _by_span([now - time for time in times if time], (("never", times.count(None)),))


def _behind(views: Sequence[SiteView], now: datetime) -> Bars:
    compared = [view for view in views if view.images and view.images.checked_at]
    late = [now - view.behind_since for view in compared if view.behind_since]
    bars = _by_span(late, (("not compared", len(views) - len(compared)),))
    fresh = len(compared) - len(late)
    return Bars(("fresh", *bars.labels), (fresh, *bars.counts))


def _by_span(lengths: Sequence[timedelta], others: tuple[tuple[str, int], ...]) -> Bars:
    counts = [0] * len(SPANS)
    for length in lengths:
        counts[next(n for n, (_, limit) in enumerate(SPANS) if length <= limit)] += 1
    labels = (*(name for name, _ in SPANS), *(name for name, _ in others))
    return Bars(labels, (*counts, *(count for _, count in others)))


def _ages(use: str, marks: Sequence[PasswordMark | None], now: datetime) -> Ages:
    known = [mark for mark in marks if mark]
    return Ages(
        use=use,
        ages=tuple((now - mark.created) // _DAY for mark in known if mark.created),
        left=tuple((mark.expires - now) // _DAY for mark in known if mark.expires),
        endless=sum(mark.expires is None for mark in known),
        unknown=len(marks) - len(known),
    )


def describe_bars(bars: Bars) -> str:
    """Say what bars show, for those who don't see them."""
    return ", ".join(
        f"{label}: {count}" for label, count in zip(bars.labels, bars.counts, strict=True)
    )


def describe_days(days: Sequence[DayFigures]) -> str:
    """Say how the fleet went, for those who don't see the picture."""
    first, last = days[0], days[-1]
    end = f"on {last.day} {_well(last)} of {last.sites} sites were well"
    if len(days) == 1:
        return f"There are figures of one day: {end}."
    start = f"On {first.day} {_well(first)} of {first.sites} sites were well"
    return f"{start}, {end}; figures of {len(days)} days."


def _well(figures: DayFigures) -> int:
    return sum(figures.statuses.get(status, 0) for status in WELL)


def describe_ages(ages: Ages) -> str:
    """Say how old the passwords of one use are and how long they last."""
    if not ages.ages and not ages.left:
        return f"No {ages.use} passwords are known."
    old = f"oldest {max(ages.ages)} days" if ages.ages else "age unknown"
    left = f"first ends in {min(ages.left)} days" if ages.left else "none ends"
    return f"{len(ages.ages)} {ages.use} passwords: {old}, {left}."


def oldest_figures(views: Sequence[SiteView], now: datetime) -> str:
    """Say how old the oldest comparison of images is, since sites keep their last known figures."""
    times = [view.images.checked_at for view in views if view.images and view.images.checked_at]
    return f"{age(now - min(times))} ago" if times else ""
