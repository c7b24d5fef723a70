"""The names and tags by which people find a run in the Prefect UI."""

from collections.abc import Sequence

from fleet.sites import Fleet, Site

_NAMED = 3
_TAGGED = 20


def run_name(verb: str, fleet: Fleet, sites: Sequence[Site]) -> str:
    """Return a run's name: the verb and its sites while they are few, otherwise how many.

    Example:
        `rotate oslo, riga`; `onboard northsea, 12 of 40 sites`; `verify northsea, all 40 sites`.
    """
    if len(sites) <= _NAMED:
        return f"{verb} {', '.join(site.name for site in sites)}"
    total = len(fleet.sites)
    count = f"all {total}" if len(sites) == total else f"{len(sites)} of {total}"
    return f"{verb} {fleet.name}, {count} sites"


def run_tags(sites: Sequence[Site]) -> set[str]:
    """Return a run's tags: its fleets, its registries and, while they are few, its sites."""
    tags = {f"registry:{site.registry}" for site in sites}
    tags |= {f"fleet:{site.fleet}" for site in sites}
    if len(sites) <= _TAGGED:
        tags |= {f"site:{site.name}" for site in sites}
        tags |= {tag for site in sites for tag in site.tags}
    return tags
