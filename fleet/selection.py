"""Choose sites of a fleet by name, glob or tag."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from fleet.errors import FleetError
from fleet.sites import Fleet, Site


class NoSuchSiteError(FleetError):
    """Correct the name, glob or tag: no site of the fleet file matches it."""


def select_sites(
    fleet: Fleet, names: Sequence[str] | None = None, tags: Sequence[str] | None = None
) -> tuple[Site, ...]:
    """Return the sites that match any of the names and, where tags are given, carry one of them.

    Args:
        fleet: The fleet.
        names: Names or globs (`north-*`); none: all sites.
        tags: Tags; none: all sites.

    Raises:
        NoSuchSiteError: A name, glob or tag matches no site, so that a typo never means "nothing".
    """
    for name in names or ():
        if not any(fnmatchcase(site.name, name) for site in fleet.sites):
            raise NoSuchSiteError(_nothing("site", name, [site.name for site in fleet.sites]))
    for tag in tags or ():
        if not any(tag in site.tags for site in fleet.sites):
            raise NoSuchSiteError(
                _nothing("tag", tag, sorted({tag for site in fleet.sites for tag in site.tags}))
            )
    chosen = tuple(site for site in fleet.sites if _named(site, names) and _tagged(site, tags))
    if not chosen:
        raise NoSuchSiteError("no site has both a name and a tag that were asked for")
    return chosen


def _named(site: Site, names: Sequence[str] | None) -> bool:
    return not names or any(fnmatchcase(site.name, name) for name in names)


def _tagged(site: Site, tags: Sequence[str] | None) -> bool:
    return not tags or any(tag in site.tags for tag in tags)


def _nothing(kind: str, value: str, known: Sequence[str]) -> str:
    close = get_close_matches(value, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {len(known)} {kind}s"
    return f"no {kind} of the fleet file matches {value!r}: {hint}"
