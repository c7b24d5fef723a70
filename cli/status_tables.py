"""The tables of `acrfleet status`: sites, how fresh their images are, who holds a digest."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from fleet.freshness import ImageState, SiteImages, age, find_holders
from fleet.freshness_groups import group_images, images_headline
from fleet.passwords import PasswordMark
from fleet.results import Status
from fleet.rotation_due import days_left
from fleet.site_views import NEVER, SiteView, count_statuses

STYLES = {
    Status.DONE.value: "green",
    Status.WAITING.value: "yellow",
    Status.FAILED.value: "bold red",
    Status.STOPPED.value: "red",
    NEVER: "dim",
}
_COLUMNS = (
    "site",
    "last run",
    "when (UTC)",
    "address",
    "verified",
    "password",
    "days left",
    "sync days left",
    "images",
)
_SOON = 14


def sites_table(views: Sequence[SiteView], now: datetime, *, one_line: bool = False) -> Table:
    """Return a row per site: its last run, its passwords, its images.

    Args:
        views: The sites, in their order.
        now: The present, UTC.
        one_line: Cut what the last run said instead of folding it.
    """
    table = _table(*_COLUMNS)
    table.add_column("", overflow="fold")
    for view in views:
        table.add_row(*_row(view, now), _message(view, one_line=one_line))
    return table


def headline(views: Sequence[SiteView], of: int) -> str:
    """Return how many sites are shown, how many have which status and a record."""
    known = sum(view.record is not None for view in views)
    counts = ", ".join(f"{count} {status}" for status, count in count_statuses(views).items())
    shown = f"{len(views)} of {of} sites shown: {counts or 'none'}; " if len(views) != of else ""
    rest = f" ({counts})" if not shown and known else ""
    return f"{shown}{known} of {len(views)} sites have a record{rest}"


def _row(view: SiteView, now: datetime) -> list[Text | str]:
    record = view.record
    images = _images(view.images, now)
    if record is None:
        return [view.name, Text("never run", "dim"), *[""] * (len(_COLUMNS) - 3), images]
    return [
        view.name,
        Text(f"{record.last_verb} {view.status}", STYLES.get(view.status, "")),
        f"{record.last_run_at:%Y-%m-%d %H:%M}",
        record.endpoint.host if record.endpoint else "",
        f"{view.proven:%Y-%m-%d %H:%M}" if view.proven else "never",
        view.password.slot if view.password else "",
        _days(view.password, now),
        _days(view.sync_password, now),
        images,
    ]


def _message(view: SiteView, *, one_line: bool) -> Text:
    record = view.record
    if record is None or record.last_status is Status.DONE:
        return Text()
    if not one_line:
        return Text(record.last_message)
    return Text(" ".join(record.last_message.split()), no_wrap=True, overflow="ellipsis")


def _days(mark: PasswordMark | None, now: datetime) -> Text:
    """Return the days until a password ends, as far as that is known."""
    if mark is None:
        return Text()
    days = days_left(mark, now)
    if days is None:
        return Text("no expiry")
    return Text(str(days), "bold red" if days < 0 else "yellow" if days < _SOON else "")


def _images(images: SiteImages | None, now: datetime) -> Text:
    if images is None or images.checked_at is None:
        return Text()
    late = images.late
    if not late:
        return Text("fresh", "green")
    return Text(f"{len(late)} behind, {age(late[0].behind(now))}", "yellow")


def images_tables(views: Sequence[SiteView], now: datetime) -> list[tuple[Table, *tuple[str, ...]]]:
    """Return the images that sites lack or have too much, and a row per site, each with a line."""
    known = [view.images for view in views if view.images]
    groups = group_images(known)
    table = _table("image", "state", "sites", "Azure moved it", "since", "at")
    for group in groups:
        table.add_row(
            group.name,
            Text(group.state.value, "yellow"),
            str(len(group.sites)),
            f"{group.since:%Y-%m-%d %H:%M}" if group.since else "no longer there",
            age(now - group.since) if group.since else "",
            _few(group.sites),
        )
    line = "" if groups else "no site lacks an image that Azure has, as far as is known"
    return [(table, line), (_freshness_table(views, now), images_headline(known, len(views)))]


def _freshness_table(views: Sequence[SiteView], now: datetime) -> Table:
    table = _table("site", "compared", *ImageState, "behind for")
    table.add_column("", overflow="fold")
    for view in views:
        images = view.images
        if images is None or images.checked_at is None:
            table.add_row(
                view.name, Text("never", "dim"), *[""] * 5, images.problem if images else ""
            )
            continue
        counts = [str(len(images.having(state))) for state in ImageState]
        since = images.behind_since
        behind = Text(age(now - since) if since else "", "yellow")
        table.add_row(
            view.name, f"{age(now - images.checked_at)} ago", *counts, behind, _note(images)
        )
    return table


def _note(images: SiteImages) -> str:
    if images.failed_at is None:
        return ""
    return f"last known; {images.failed_at:%Y-%m-%d %H:%M}: {images.problem}"


def holders_table(views: Sequence[SiteView], digest: str, now: datetime) -> tuple[Table, str]:
    """Return which sites hold or run a digest, and a line that says how many."""
    known = [view.images for view in views if view.images]
    holders = find_holders(known, digest)
    table = _table("site", "as known", "its registry holds it as", "pods run it as")
    for one in holders:
        when = f"{age(now - one.checked_at)} ago" if one.checked_at else ""
        table.add_row(one.site, when, _few(one.held), _few(one.running))
    running = sum(bool(one.running) for one in holders)
    unknown = len(views) - sum(bool(images.checked_at) for images in known)
    rest = f"; of {unknown} nothing is known" if unknown else ""
    line = (
        f"{len(holders)} of {len(views)} sites hold or run {digest}, pods of {running} run it{rest}"
    )
    return table, line


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table
