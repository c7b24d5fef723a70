"""Render a report as one page of HTML that needs nothing else: no network, no script."""

from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cli.pictures import draw_ages, draw_bars, draw_health, draw_trouble
from fleet.fleet_report import (
    FleetReportFigures,
    describe_ages,
    describe_bars,
    describe_days,
    needs_attention,
    oldest_figures,
)
from fleet.freshness import ImageState, describe_images
from fleet.passwords import PasswordMark
from fleet.rotation_due import days_left
from fleet.site_views import STATUSES, SiteView

_MOST_GROUPS = 20
_FIRST_SITES = 25
_STATE_WORDS = {
    ImageState.BEHIND: "an older version there",
    ImageState.MISSING: "not there yet",
    ImageState.GONE: "still there, gone from Azure",
}


@dataclass(frozen=True, slots=True)
class _Tile:
    value: str
    label: str
    mood: str


def render_page(report: FleetReportFigures) -> str:
    """Return the page.

    Raises:
        DrawingMissingError: matplotlib is not installed.
    """
    loader = PackageLoader("cli", "templates")
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(
        "report.html"
    )
    now = report.made_at
    return template.render(
        report=report,
        tiles=_tiles(report),
        pictures=_pictures(report),
        history_words=describe_days(report.days),
        oldest=oldest_figures(report.views, now),
        state_words=_STATE_WORDS,
        most=_MOST_GROUPS,
        first=_FIRST_SITES,
        attention=[_row(view, now) for view in report.attention],
        rows=[_row(view, now) for view in report.views],
        statuses=[name for name in STATUSES if any(day.statuses.get(name) for day in report.days)],
    )


def _pictures(report: FleetReportFigures) -> dict[str, Markup]:
    words = describe_days(report.days)
    drawn = {
        "health": draw_health(report.days, f"Sites by status and day. {words}"),
        "trouble": draw_trouble(report.days, f"Ending passwords and sites behind, by day. {words}"),
        "proven": draw_bars(
            "proven", report.proven, f"Sites by last proof: {describe_bars(report.proven)}"
        ),
        "behind": draw_bars(
            "behind", report.behind, f"Sites by how far behind: {describe_bars(report.behind)}"
        ),
        "ages": draw_ages(report.ages, " ".join(describe_ages(one) for one in report.ages)),
    }
    return {key: Markup(svg) for key, svg in drawn.items()}  # noqa: S704 - drawn here, escaped


def _tiles(report: FleetReportFigures) -> list[_Tile]:
    today = report.today
    share = f"{100 * report.well // today.sites} %" if today.sites else "none"
    ending = today.ending + today.ended
    failed = today.statuses.get("failed", 0) + today.statuses.get("stopped", 0)
    waiting = today.statuses.get("waiting", 0)
    behind = f"{today.behind} of {today.compared}" if today.compared else "unknown"
    return [
        _Tile(str(today.sites), "sites", ""),
        _Tile(share, f"well ({report.well} sites)", "good"),
        _Tile(str(failed), "failed or stopped", "bad" if failed else "good"),
        _Tile(str(waiting), "waiting for their link", "mind" if waiting else "good"),
        _Tile(str(ending), "with a password that ends within 14 days", "bad" if ending else "good"),
        _Tile(behind, "compared sites behind", "mind" if today.behind else "good"),
    ]


def _row(view: SiteView, now: datetime) -> dict[str, str]:
    record = view.record
    return {
        "name": view.name,
        "run": f"{record.last_verb} {view.status}" if record else "never run",
        "when": f"{view.last_run:%Y-%m-%d %H:%M}" if view.last_run else "",
        "why": needs_attention(view, now),
        "proven": f"{view.proven:%Y-%m-%d}" if view.proven else "never",
        "password": _days(view.password, now),
        "sync": _days(view.sync_password, now),
        "images": describe_images(view.images, now) if view.images else "never compared",
    }


def _days(mark: PasswordMark | None, now: datetime) -> str:
    if mark is None:
        return "unknown"
    days = days_left(mark, now)
    return "no end" if days is None else str(days)
