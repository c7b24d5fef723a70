"""Waves: canaries first, then the rest of the fleet piece by piece, while it goes well.

A site that waits has not failed, but it has proven nothing either: so at least one canary has to be
done before the others begin (docs/decisions/0017-waves.md).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from fleet.results import SiteResult, Status
from fleet.sites import Site
from fleet.wave_settings import Waves, means, percent

_NAMED = 5
_TODO = "See to the sites that failed, then run the same again with `--resume`."


class Wave(NamedTuple):
    """Sites that are worked on together; numbers begin with 1.

    `looks_only` stands for the waves that may no longer begin, in a run that reports on their sites
    all the same.
    """

    number: int
    of: int
    sites: tuple[Site, ...]
    is_canary: bool = False
    looks_only: bool = False

    def __str__(self) -> str:
        """Say which wave it is."""
        canaries = "the canaries, " if self.is_canary else ""
        sites = "1 site" if len(self.sites) == 1 else f"{len(self.sites)} sites"
        return f"wave {self.number} of {self.of} ({canaries}{sites})"


def plan_waves(
    sites: Sequence[Site],
    settings: Waves | None,
    before: Mapping[str, frozenset[str]] = MappingProxyType({}),
    unfinished: Collection[str] = (),
) -> tuple[Wave, ...]:
    """Return the waves of a run, each with at least one site, in their order.

    Args:
        sites: The sites of the run.
        settings: What the fleet file says; None: one wave.
        before: For each site those that have to end first; they are never in a later wave, so that
            a canary brings its parents along.
        unfinished: Names of sites that come first, after the canaries: what an earlier run left.
    """
    settings = settings or Waves()
    by_name = {site.name: site for site in sites}
    above = {name: before.get(name, frozenset()) & set(by_name) for name in by_name}
    named = {s.name for s in sites if any(means(e, s.name, s.tags) for e in settings.canaries)}
    chosen = _with_those_before(named, above)
    ordered = _in_order(_first(list(by_name), unfinished), above)
    canaries = [name for name in ordered if name in chosen]
    rest = [name for name in ordered if name not in chosen]
    size = _size(settings, len(sites))
    pieces = [canaries, *(rest[at : at + size] for at in range(0, len(rest), size))]
    return _numbered(
        [[by_name[name] for name in piece] for piece in pieces], has_canaries=bool(canaries)
    )


def why_stop(settings: Waves, wave: Wave, results: Iterable[SiteResult]) -> str:
    """Return why no further wave may begin; empty: it may.

    Args:
        settings: What the fleet file says.
        wave: The one that has ended.
        results: Of all sites that have ended in this run; a share is one of these.
    """
    ended = list(results)
    failed = sorted(one.site for one in ended if one.status is Status.FAILED)
    allowed = _allowed(settings.allowed_failures, len(ended))
    if len(failed) > allowed:
        told = _allowed_words(settings.allowed_failures, allowed)
        return f"{len(failed)} of {len(ended)} sites failed ({_some(failed)}), allowed {told}"
    mine = {site.name for site in wave.sites}
    proofs = (Status.DONE, Status.SKIPPED)
    done = [one for one in ended if one.site in mine and one.status in proofs]
    if wave.is_canary and not done:
        return f"no canary is done yet ({_some(sorted(mine))}), so nothing is proven"
    return ""


def looking(later: Iterable[Wave]) -> Wave:
    """Return the sites of waves that may no longer begin, as one wave in which nothing is done."""
    sites = tuple(site for wave in later for site in wave.sites)
    return Wave(1, 1, sites, looks_only=True)


def not_begun(verb: str, wave: Wave, why: str) -> list[SiteResult]:
    """Return the results of a wave's sites when the run stopped before it."""
    return [
        SiteResult(
            site=site.name,
            verb=verb,
            status=Status.NOT_STARTED,
            message=f"wave {wave.number} was not begun: {why}",
            cause=f"the run stopped before their wave: {why}",
            todo=_TODO,
        )
        for site in wave.sites
    ]


def _first(names: Sequence[str], chosen: Collection[str]) -> list[str]:
    """Return all names in their order, but the chosen ones first."""
    return sorted(names, key=lambda name: name not in chosen)


def _in_order(names: Sequence[str], above: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the names in their order, but none ahead of those above it."""
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        for other in sorted(above[name] - set(placed)):
            place(other)
        placed[name] = None

    for name in names:
        if name not in placed:
            place(name)
    return list(placed)


def _with_those_before(
    names: Collection[str], above: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    wanted = frozenset(names)
    while True:
        more = wanted.union(*(above[name] for name in wanted))
        if more == wanted:
            return wanted
        wanted = more


def _size(settings: Waves, sites: int) -> int:
    if settings.share is not None:
        return max(1, math.ceil(sites * percent(settings.share) / 100))
    return settings.size or max(1, sites)


def _numbered(groups: Sequence[Sequence[Site]], *, has_canaries: bool) -> tuple[Wave, ...]:
    filled = [tuple(group) for group in groups if group]
    return tuple(
        Wave(number, len(filled), group, has_canaries and number == 1)
        for number, group in enumerate(filled, 1)
    )


def _allowed(allowed: int | str, ended: int) -> int:
    return allowed if isinstance(allowed, int) else ended * percent(allowed) // 100


def _allowed_words(setting: int | str, allowed: int) -> str:
    if isinstance(setting, str):
        return f"are {setting}"
    return f"is {allowed}" if allowed == 1 else f"are {allowed}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
