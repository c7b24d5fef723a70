"""How fresh a fleet is: images that are not fresh, by image and by site."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from fleet.freshness import ImageState, SiteImages, age
from fleet.sites import Strict

_FAR = datetime.max.replace(tzinfo=UTC)


class ImageGroup(Strict):
    """One tag in one state, and the sites where it stands so."""

    name: str
    state: ImageState
    since: datetime | None
    sites: tuple[str, ...]


def group_images(sites: Iterable[SiteImages]) -> tuple[ImageGroup, ...]:
    """Return every tag that is not fresh somewhere, the one that was moved first at the top."""
    found: defaultdict[tuple[str, ImageState], list[tuple[str, datetime | None]]]
    found = defaultdict(list)
    for site in sites:
        for image in site.images:
            if image.state is not ImageState.FRESH:
                found[image.name, image.state].append((site.site, image.since))
    groups = [_group(name, state, places) for (name, state), places in found.items()]
    return tuple(sorted(groups, key=lambda one: (one.since or _FAR, one.name, one.state)))


def _group(name: str, state: ImageState, places: list[tuple[str, datetime | None]]) -> ImageGroup:
    """Return a group; sites that were compared earlier may know an older time of the tag."""
    times = [since for _, since in places if since is not None]
    sites = tuple(sorted(site for site, _ in places))
    return ImageGroup(name=name, state=state, since=min(times, default=None), sites=sites)


def image_rows(sites: Sequence[SiteImages], now: datetime) -> list[dict[str, str | int]]:
    """Return a row per site, the one that has been behind for longest first."""
    ranked = sorted(sites, key=lambda one: (one.behind_since or _FAR, one.site))
    return [_row(one, now) for one in ranked]


def _row(one: SiteImages, now: datetime) -> dict[str, str | int]:
    late = one.late
    note = f"{one.failed_at:%Y-%m-%d %H:%M} UTC: {one.problem}" if one.failed_at else ""
    return {
        "site": one.site,
        "compared": f"{one.checked_at:%Y-%m-%d %H:%M}" if one.checked_at else "never",
        **{state.value: len(one.having(state)) for state in ImageState},
        "behind for": age(late[0].behind(now)) if late else "",
        "oldest": late[0].name if late else "",
        "note": f"last known figures; {note}" if note and one.checked_at else note,
    }


def images_headline(sites: Iterable[SiteImages], of: int) -> str:
    """Count the sites that were compared and that are behind, in one line."""
    compared = [one for one in sites if one.checked_at]
    behind = sum(bool(one.late) for one in compared)
    return f"{len(compared)} of {of} sites compared, {behind} of them behind"
