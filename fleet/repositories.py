"""Which repositories a site mirrors: globs over the registry's catalog, decided here.

A glob means what a wildcard means in an Azure scope map: `*` stands for any text, slashes included,
so `vessel/*` takes `vessel/web` and `vessel/web/api` too. `?` stands for one character, `[ab]` for
one of a set. Case does not matter, because repository names are always lower case.
"""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from fleet.azure_errors import RepositoriesNotFoundError
from fleet.sites import Repositories

_CLOSEST = 3


def select_repositories(wanted: Repositories, names: Iterable[str]) -> tuple[str, ...]:
    """Return the repositories that a site mirrors, sorted; what `exclude` matches is out.

    Args:
        wanted: The globs of the fleet file.
        names: The registry's catalog.

    Raises:
        RepositoriesNotFoundError: A glob of `include` takes nothing from the catalog, or `exclude`
            removes all it takes. Each such glob is named, with the closest repositories.
    """
    catalog = sorted({name.lower() for name in names})
    excluded = {name for name in catalog if matches_any(name, wanted.exclude)}
    selected: set[str] = set()
    problems = []
    for glob in wanted.include:
        found = {name for name in catalog if _matches(name, glob)}
        selected |= found - excluded
        if not found:
            problems.append(f"no repository matches {glob!r}{_closest(glob, catalog)}")
        elif found <= excluded:
            problems.append(f"everything that {glob!r} matches is excluded ({_listed(found)})")
    if problems:
        raise RepositoriesNotFoundError(
            "; ".join(problems) + f"; the registry has {len(catalog)} repositories; correct"
            " `repositories` in the fleet file or push the images first"
        )
    return tuple(sorted(selected))


def _matches(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob.lower())


def matches_any(name: str, globs: Sequence[str]) -> bool:
    """Return whether a repository matches one of the globs."""
    return any(_matches(name, glob) for glob in globs)


def _closest(glob: str, catalog: Sequence[str]) -> str:
    """Return the repositories that look most like the glob, as the end of a sentence."""
    bare = glob.lower().replace("*", "").strip("/")
    by_folder = {name.rpartition("/")[0]: name for name in reversed(catalog) if "/" in name}
    close = difflib.get_close_matches(bare, catalog, n=_CLOSEST, cutoff=0.5)
    folders = difflib.get_close_matches(bare, list(by_folder), n=_CLOSEST, cutoff=0.5)
    close += [by_folder[folder] for folder in folders if by_folder[folder] not in close]
    return f" (closest: {', '.join(close[:_CLOSEST])})" if close else ""


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _CLOSEST} more" if len(ordered) > _CLOSEST else ""
    return ", ".join(ordered[:_CLOSEST]) + more
