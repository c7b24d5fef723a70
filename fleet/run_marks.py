"""What is remembered of a run over a fleet, so that an interrupted one can be taken up.

A run is the same as another when it does the same with the same choice of sites. Which sites are
done is in their own records; the mark only says since when that counts.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from fleet.records import SiteRecord, site_digest
from fleet.results import FleetReport, Status
from fleet.sites import Site
from fleet.strict import Strict


class RunMark(Strict):
    """A run: when it began, resumed runs with the first, and whether every site was done."""

    verb: str
    began_at: datetime
    is_complete: bool = False

    def after(self, report: FleetReport) -> "RunMark":
        """Return the mark of a run that has ended."""
        done = all(one.status in (Status.DONE, Status.SKIPPED) for one in report.results)
        return self.model_copy(update={"is_complete": done})


def mark_key(fleet: str, verb: str, choice: Mapping[str, Sequence[str]], how: str = "") -> str:
    """Return the storage key of a run's mark.

    Args:
        fleet: The fleet's name.
        verb: What is done.
        choice: How the sites were chosen: names, tags and so on, each in any order.
        how: What else makes its work its own, as for `site_digest`.
    """
    told = json.dumps({key: sorted(value) for key, value in choice.items() if value}) + how
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    return f"runs/{fleet}/{verb.replace(' ', '-')}-{digest}.json"


def done_since(
    verb: str,
    sites: Iterable[Site],
    records: Mapping[str, SiteRecord | None],
    began_at: datetime,
    how: str = "",
) -> dict[str, str]:
    """Return the sites that need not run again, each with the reason in words.

    That is where the same was done since `began_at`, and the fleet file has not changed for it.
    """
    found = {}
    for site in sites:
        record = records.get(site.name)
        done = record.done.get(verb) if record else None
        if done and done.at >= began_at and done.digest == site_digest(site, how):
            found[site.name] = (
                f"done at {done.at:%Y-%m-%d %H:%M:%S} UTC, after the run began that is resumed, "
                "and the fleet file still says the same of it; not run again"
            )
    return found


def unfinished(
    verb: str, sites: Iterable[Site], records: Mapping[str, SiteRecord | None]
) -> frozenset[str]:
    """Return the sites that were never done, or not the last time."""
    return frozenset(site.name for site in sites if _is_unfinished(verb, records.get(site.name)))


def _is_unfinished(verb: str, record: SiteRecord | None) -> bool:
    if record is None:
        return True
    if record.last_verb == verb:
        return record.last_status is not Status.DONE
    return verb not in record.done
