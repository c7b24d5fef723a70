"""The sites of a fleet as people look at them: record and images together, chosen and sorted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from fleet.freshness import SiteImages
from fleet.passwords import PasswordMark
from fleet.records import SiteRecord
from fleet.results import Status

NEVER = "never"
"""What stands for the status of a site that no run has recorded."""
STATUSES = (*(status.value for status in Status), NEVER)
_WORST_FIRST = (Status.FAILED.value, Status.STOPPED.value, Status.WAITING.value, NEVER)
_FAR = datetime.max.replace(tzinfo=UTC)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SiteView:
    """One site, with what its last run and its last comparison of images left; None: nothing."""

    name: str
    record: SiteRecord | None = None
    images: SiteImages | None = None

    @property
    def status(self) -> str:
        """Return how the last run ended, or `never`."""
        return self.record.last_status.value if self.record else NEVER

    @property
    def last_run(self) -> datetime | None:
        """Return when the last run began, UTC."""
        return self.record.last_run_at if self.record else None

    @property
    def proven(self) -> datetime | None:
        """Return when a pull was proven last, UTC."""
        evidence = self.record.evidence if self.record else None
        return evidence.time if evidence else None

    @property
    def password(self) -> PasswordMark | None:
        """Return which client password is in use; of several that which ends first."""
        if self.record is None:
            return None
        marks = (self.record.password, *self.record.further_passwords.values())
        ending = [mark for mark in marks if mark and mark.expires]
        return min(ending, key=_expires) if ending else self.record.password

    @property
    def sync_password(self) -> PasswordMark | None:
        """Return which sync password is in use."""
        return self.record.sync_password if self.record else None

    @property
    def first_end(self) -> datetime | None:
        """Return when the first of its passwords ends, UTC; None: none does, as far as known."""
        marks = (self.password, self.sync_password)
        return min((mark.expires for mark in marks if mark and mark.expires), default=None)

    @property
    def behind_since(self) -> datetime | None:
        """Return since when the site has lacked an image that Azure has."""
        return self.images.behind_since if self.images else None


class SortBy(StrEnum):
    """By what sites can be sorted; the one to look at first comes first."""

    FILE = "file"
    SITE = "site"
    STATUS = "status"
    LAST_RUN = "last-run"
    VERIFIED = "verified"
    PASSWORD = "password"  # noqa: S105 - a column
    SYNC_PASSWORD = "sync-password"  # noqa: S105 - a column
    BEHIND = "behind"


def sort_views(views: Iterable[SiteView], by: SortBy) -> list[SiteView]:
    """Sort sites: oldest run, soonest end, longest behind first; `file` leaves them as they are."""
    if by is SortBy.FILE:
        return list(views)
    return sorted(views, key=lambda view: (_rank(view, by), view.name))


def _rank(view: SiteView, by: SortBy) -> tuple[int, datetime]:
    if by is SortBy.STATUS:
        known = view.status in _WORST_FIRST
        return _WORST_FIRST.index(view.status) if known else len(_WORST_FIRST), _LONG_AGO
    moments = {
        SortBy.LAST_RUN: view.last_run or _LONG_AGO,
        SortBy.VERIFIED: view.proven or _LONG_AGO,
        SortBy.PASSWORD: _end(view.password),
        SortBy.SYNC_PASSWORD: _end(view.sync_password),
        SortBy.BEHIND: view.behind_since or _FAR,
    }
    return 0, moments.get(by, _LONG_AGO)


def _end(mark: PasswordMark | None) -> datetime:
    return mark.expires if mark and mark.expires else _FAR


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sites to show; what is left at its default does not choose.

    Args:
        statuses: One of these.
        older_than: No run within this time, or none at all.
        ends_within: A password ends within this time, or has ended.
        behind: Lacks an image that Azure has.
    """

    statuses: frozenset[str] = frozenset()
    older_than: timedelta | None = None
    ends_within: timedelta | None = None
    behind: bool = False

    def takes(self, view: SiteView, now: datetime) -> bool:
        """Return whether a site is wanted: all that was asked for holds."""
        return (
            (not self.statuses or view.status in self.statuses)
            and (self.older_than is None or _is_old(view.last_run, now - self.older_than))
            and (self.ends_within is None or _ends_by(view.first_end, now + self.ends_within))
            and (not self.behind or view.behind_since is not None)
        )


def _is_old(last: datetime | None, limit: datetime) -> bool:
    return last is None or last < limit


def _ends_by(end: datetime | None, limit: datetime) -> bool:
    return end is not None and end <= limit


def choose_views(views: Iterable[SiteView], wanted: Wanted, now: datetime) -> list[SiteView]:
    """Return the sites that are wanted, in their order."""
    return [view for view in views if wanted.takes(view, now)]


def count_statuses(views: Sequence[SiteView]) -> dict[str, int]:
    """Return how many sites have each status; one that nobody has is left out."""
    counts = {status: sum(view.status == status for view in views) for status in STATUSES}
    return {status: count for status, count in counts.items() if count}


def _expires(mark: PasswordMark) -> datetime:
    assert mark.expires is not None  # noqa: S101 - the caller has looked
    return mark.expires
