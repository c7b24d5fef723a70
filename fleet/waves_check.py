"""What is wrong with the waves of a fleet file, seen together with its sites."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from fleet.fleet_file_models import SiteEntry
from fleet.fleet_file_problems import show_path
from fleet.fleet_file_yaml import Document, Problem
from fleet.wave_settings import Waves, means


def check_canaries(
    document: Document, waves: Waves, sites: Sequence[SiteEntry]
) -> Iterator[Problem]:
    """Yield entries of `canaries` that mean no site: without a canary the fleet goes first."""
    for place, entry in enumerate(waves.canaries):
        if any(means(entry, site.name, site.tags) for site in sites):
            continue
        path = ("waves", "canaries", place)
        known = sorted({*(site.name for site in sites), *(t for site in sites for t in site.tags)})
        close = get_close_matches(entry, known, n=1)
        advice = f'did you mean "{close[0]}"?' if close else "correct it or take it out"
        yield Problem(
            document.line(path),
            f"{show_path(document, path)} is {entry}: allowed are names, globs and tags of sites, "
            f"and no site has it; {advice}",
        )
