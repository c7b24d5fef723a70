"""A fleet's figures as gauges, for those who have Prometheus.

Only gauges: they alone read the same in OpenMetrics and in the older text format, which is what
node_exporter's textfile collector takes. Moments are seconds since 1970, so that a file that is not
written any more does not look fresh: an age is `time() - metric`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fleet.freshness import ImageState
from fleet.passwords import PasswordMark
from fleet.results import Status
from fleet.site_views import NEVER, SiteView, count_statuses

_USUAL = (
    *(one.value for one in (Status.DONE, Status.WAITING, Status.FAILED, Status.STOPPED)),
    NEVER,
)
Values = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric: its name, what it is, the names of its labels, and a value for each set of them.

    Labels are names of the fleet file and a few fixed words, so a site has about 20 values.
    """

    name: str
    help: str
    labels: Values
    samples: tuple[tuple[Values, float], ...]


def fleet_gauges(fleet: str, views: Sequence[SiteView], now: datetime) -> tuple[Gauge, ...]:
    """Return a fleet's gauges; what is not known of a site has no value.

    Args:
        fleet: The fleet's name, the first label of each value.
        views: Its sites, or those that were chosen of them.
        now: The present, UTC.
    """
    made = Gauge(
        "acrfleet_metrics_made_timestamp_seconds",
        "When these figures were made.",
        ("fleet",),
        (((fleet,), now.timestamp()),),
    )
    counts = count_statuses(views)
    words = _words(views)
    sites = Gauge(
        "acrfleet_sites",
        "Sites of the fleet file by how their last run ended.",
        ("fleet", "status"),
        tuple(((fleet, word), float(counts.get(word, 0))) for word in words),
    )
    return (
        made,
        sites,
        *_of_runs(fleet, views),
        *_of_passwords(fleet, views),
        *_of_images(fleet, views),
    )


def _words(views: Sequence[SiteView]) -> Values:
    """Return the usual statuses, and what else a site of this fleet has."""
    return tuple(dict.fromkeys((*_USUAL, *count_statuses(views))))


def _of_runs(fleet: str, views: Sequence[SiteView]) -> Iterable[Gauge]:
    words = _words(views)
    yield Gauge(
        "acrfleet_site_status",
        "1 for how the last run of a site ended, 0 for the rest.",
        ("fleet", "site", "status"),
        tuple(
            ((fleet, view.name, word), float(view.status == word))
            for view in views
            for word in words
        ),
    )
    yield _moments(
        "acrfleet_site_last_run_timestamp_seconds",
        "When the last run of a site began.",
        fleet,
        [(view.name, view.last_run) for view in views],
    )
    yield _moments(
        "acrfleet_site_last_success_timestamp_seconds",
        "When a pull from the site's own registry was proven last.",
        fleet,
        [(view.name, view.proven) for view in views],
    )
    yield Gauge(
        "acrfleet_site_last_run_changes",
        "Objects that the last run of a site wrote.",
        ("fleet", "site"),
        tuple(
            ((fleet, view.name), float(view.record.last_changes)) for view in views if view.record
        ),
    )


def _of_passwords(fleet: str, views: Sequence[SiteView]) -> Iterable[Gauge]:
    marks = [
        (view.name, use, mark)
        for view in views
        for use, mark in (("client", view.password), ("sync", view.sync_password))
        if mark
    ]
    for name, words, moment in (
        ("expiry", "When the password in use ends; no value: never.", _expiry),
        ("created", "When the password in use was made.", _creation),
    ):
        yield Gauge(
            f"acrfleet_password_{name}_timestamp_seconds",
            words,
            ("fleet", "site", "use"),
            tuple(
                ((fleet, site, use), found.timestamp())
                for site, use, mark in marks
                if (found := moment(mark))
            ),
        )


def _expiry(mark: PasswordMark) -> datetime | None:
    return mark.expires


def _creation(mark: PasswordMark) -> datetime | None:
    return mark.created


def _of_images(fleet: str, views: Sequence[SiteView]) -> Iterable[Gauge]:
    known = [view.images for view in views if view.images and view.images.checked_at]
    yield Gauge(
        "acrfleet_site_images",
        "Compared images of a site by state: fresh, behind, missing, gone (from Azure).",
        ("fleet", "site", "state"),
        tuple(
            ((fleet, one.site, state.value), float(len(one.having(state))))
            for one in known
            for state in ImageState
        ),
    )
    yield _moments(
        "acrfleet_site_images_behind_since_timestamp_seconds",
        "Since when a site has lacked an image that Azure has; no value: it lacks none.",
        fleet,
        [(one.site, one.behind_since) for one in known],
    )
    yield _moments(
        "acrfleet_site_images_compared_timestamp_seconds",
        "When the images of a site were compared with Azure last.",
        fleet,
        [(one.site, one.checked_at) for one in known],
    )


def _moments(
    name: str, words: str, fleet: str, moments: Iterable[tuple[str, datetime | None]]
) -> Gauge:
    samples = tuple(((fleet, site), moment.timestamp()) for site, moment in moments if moment)
    return Gauge(name, words, ("fleet", "site"), samples)
