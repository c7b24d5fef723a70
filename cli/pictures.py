"""The pictures of a report, drawn by matplotlib.

Colours are those of Okabe and Ito, which colour-blind people tell apart, with hatches beside them.
Names of sites are never drawn: there may be 500, and counts don't overlap.
"""

from collections.abc import Sequence
from datetime import date
from itertools import accumulate
from typing import Any

from cli.svg import picture
from fleet.fleet_report import Ages, Bars
from fleet.history import SOON, DayFigures
from fleet.results import Status
from fleet.site_views import NEVER, STATUSES

BLUE, GREEN, ORANGE = "#0072B2", "#009E73", "#E69F00"
RED, PURPLE, GREY = "#D55E00", "#CC79A7", "#767676"
COLOURS = {
    Status.DONE.value: GREEN,
    Status.WAITING.value: ORANGE,
    Status.FAILED.value: RED,
    Status.STOPPED.value: PURPLE,
    NEVER: GREY,
}
_HATCHES = {Status.FAILED.value: "///", Status.WAITING.value: "..", NEVER: "xx"}
_BY_LATENESS = {5: (GREEN, BLUE, ORANGE, RED, GREY), 6: (GREEN, GREEN, BLUE, ORANGE, RED, GREY)}
_FEW_DAYS = 60
_WEEKS = 30


def draw_health(days: Sequence[DayFigures], words: str) -> str:
    """Draw how many sites had which status on each day."""

    def draw(all_axes: Sequence[Any]) -> None:
        (axes,) = all_axes
        names = [name for name in STATUSES if any(day.statuses.get(name) for day in days)]
        rows = [[day.statuses.get(name, 0) for day in days] for name in names]
        floors = accumulate(rows, _add, initial=[0] * len(days))
        for name, row, floor in zip(names, rows, floors, strict=False):
            _layer(axes, days, row, floor, name)
        axes.set_ylabel("sites")
        axes.set_ylim(bottom=0)
        _date_axis(axes, days)

    return picture("health", words, draw)


def draw_trouble(days: Sequence[DayFigures], words: str) -> str:
    """Draw at how many sites a password was ending, and how many were behind, on each day."""

    def draw(all_axes: Sequence[Any]) -> None:
        (axes,) = all_axes
        soon = f"a password ends within {SOON.days} days or has ended"
        marker = "o" if len(days) <= _FEW_DAYS else ""
        for label, colour, style, row in (
            (soon, RED, "-", [day.ending + day.ended for day in days]),
            ("images are behind", BLUE, "--", [day.behind for day in days]),
        ):
            axes.plot(
                _numbers(days),
                row,
                style,
                color=colour,
                marker=marker,
                markersize=4,
                label=label,
                clip_on=False,
            )
        axes.set_ylabel("sites")
        axes.set_ylim(0, max(1, axes.get_ylim()[1]))
        _date_axis(axes, days)

    return picture("trouble", words, draw)


def draw_bars(key: str, bars: Bars, words: str) -> str:
    """Draw a bar per class of time with its count at the end, the latest in the darkest colour."""

    def draw(all_axes: Sequence[Any]) -> None:
        (axes,) = all_axes
        colours = _BY_LATENESS[len(bars.labels)]
        drawn = axes.barh(bars.labels, bars.counts, color=colours, edgecolor="black", linewidth=0.5)
        axes.bar_label(drawn, padding=4)
        axes.invert_yaxis()
        axes.set_xlim(0, max(1, *bars.counts) * 1.12)
        axes.set_xlabel("sites")
        _whole_numbers(axes.xaxis)

    return picture(key, words, draw, height=2.6)


def draw_ages(ages: Sequence[Ages], words: str) -> str:
    """Draw how old passwords are, and how long they still last."""

    def draw(all_axes: Sequence[Any]) -> None:
        older, left = all_axes
        _histogram(older, ages, [one.ages for one in ages], "age in days")
        _histogram(left, ages, [one.left for one in ages], "days left (shaded: ends soon)")
        left.axvspan(left.get_xlim()[0], SOON.days, color=RED, alpha=0.15, linewidth=0, zorder=0)

    return picture("ages", words, draw, columns=2)


def _add(first: list[int], second: list[int]) -> list[int]:
    return [one + other for one, other in zip(first, second, strict=True)]


def _layer(
    axes: Any, days: Sequence[DayFigures], row: list[int], floor: list[int], name: str
) -> None:
    """Draw one status: a bar per day while they are few, an area where they would be hairlines."""
    look = {
        "facecolor": COLOURS.get(name, BLUE),
        "label": name,
        "hatch": _HATCHES.get(name, ""),
        "edgecolor": "white",
        "linewidth": 0.5,
    }
    when = _numbers(days)
    if len(days) <= _FEW_DAYS:
        axes.bar(when, row, bottom=floor, width=0.9, **look)
    else:
        axes.fill_between(when, floor, _add(floor, row), **look)


def _histogram(axes: Any, ages: Sequence[Ages], rows: list[tuple[int, ...]], label: str) -> None:
    """Draw counts by week, or by several weeks where they would be too many."""
    values = [value for row in rows for value in row] or [0]
    low, high = min(0, *values) // 7 * 7, (max(values) // 7 + 1) * 7
    width = 7 * -(-(high - low) // (7 * _WEEKS))
    bins = list(range(low, high + width, width))
    axes.hist(
        rows,
        bins=bins,
        label=[f"{one.use} passwords" for one in ages],
        color=[BLUE, ORANGE][: len(rows)],
        edgecolor="black",
        linewidth=0.4,
    )
    axes.set_xlabel(label)
    axes.set_ylabel("passwords")
    axes.set_xlim(low, bins[-1])
    _whole_numbers(axes.yaxis)


def _numbers(days: Sequence[DayFigures]) -> list[float]:
    return [_number(day.day) for day in days]


def _number(day: date) -> float:
    """Return a day as matplotlib counts: from 1970 on."""
    return float((day - date(1970, 1, 1)).days)


def _date_axis(axes: Any, days: Sequence[DayFigures]) -> None:
    """Mark days, never hours: there is one set of figures a day."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    first, last = _number(days[0].day), _number(days[-1].day)
    axes.set_xlim(min(first, last - 6) - 0.6, last + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(_day_name))
    axes.tick_params(axis="x", pad=8)
    _whole_numbers(axes.yaxis)


def _day_name(number: float, _position: int | None) -> str:
    return date.fromordinal(date(1970, 1, 1).toordinal() + round(number)).isoformat()


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
