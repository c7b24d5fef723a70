"""Choose sites of a fleet by name, glob, tag or label.

One rule for every command and flow: within a kind any match is enough, different kinds have to
match all. Labels with different keys are different kinds. Values are globs (`north-*`).
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from fleet.errors import FleetError
from fleet.sites import Fleet, Site

_SHOWN = 12


class NoSuchSiteError(FleetError):
    """Correct the name, glob, tag or label: no site of the fleet file matches it."""


def select_sites(
    fleet: Fleet,
    names: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> tuple[Site, ...]:
    """Return the sites that match one of the names, one of the tags and, key by key, the labels.

    Args:
        fleet: The fleet.
        names: Names or globs (`north-*`); none: all sites.
        tags: Tags or globs; none: all sites.
        labels: `KEY=VALUE`, where the value may be a glob; none: all sites.

    Raises:
        NoSuchSiteError: One of them matches no site, so that a typo never means "nothing", or no
            site matches all kinds. It names what there is.
    """
    for name in names or ():
        _require("site", name, _names(fleet.sites))
    for tag in tags or ():
        _require("tag", tag, sorted({tag for site in fleet.sites for tag in site.tags}))
    for label in labels or ():
        _require("label", _checked(label), _all_labels(fleet.sites))
    chosen = tuple(
        site
        for site in fleet.sites
        if _matches([site.name], names)
        and _matches(site.tags, tags)
        and all(_matches(_labels(site), group) for group in _by_key(labels or ()))
    )
    if not chosen:
        raise NoSuchSiteError(_nothing_in_common(fleet, names, tags, labels))
    return chosen


def select_site(fleet: Fleet, name: str) -> Site:
    """Return the site of that very name; no glob, because what is done is done to one site.

    Raises:
        NoSuchSiteError: There is none, so that a typo never means another one.
    """
    for site in fleet.sites:
        if site.name == name:
            return site
    raise NoSuchSiteError(_nothing("site", name, _names(fleet.sites)))


def _matches(values: Iterable[str], globs: Sequence[str] | None) -> bool:
    return not globs or any(fnmatchcase(value, glob) for value in values for glob in globs)


def _require(kind: str, glob: str, known: Sequence[str]) -> None:
    if not _matches(known, [glob]):
        raise NoSuchSiteError(_nothing(kind, glob, known))


def _checked(label: str) -> str:
    if not label.partition("=")[0] or "=" not in label:
        raise NoSuchSiteError(
            f"{label!r} is no label: write KEY=VALUE; {label or 'KEY'}=* takes every site that has"
            " it"
        )
    return label


def _names(sites: Iterable[Site]) -> list[str]:
    return [site.name for site in sites]


def _labels(site: Site) -> list[str]:
    return [f"{key}={value}" for key, value in site.labels.items()]


def _all_labels(sites: Iterable[Site]) -> list[str]:
    return sorted({label for site in sites for label in _labels(site)})


def _by_key(labels: Iterable[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(label.partition("=")[0], []).append(label)
    return list(groups.values())


def _nothing(kind: str, value: str, known: Sequence[str]) -> str:
    close = get_close_matches(value, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else _there_are(kind, known)
    return f"no {kind} of the fleet file matches {value!r}: {hint}"


def _there_are(kind: str, known: Sequence[str]) -> str:
    if not known:
        return f"there are no {kind}s in it"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    verb, plural = ("is", "") if len(known) == 1 else ("are", "s")
    return f"there {verb} {len(known)} {kind}{plural}: {', '.join(known[:_SHOWN])}{more}"


def _nothing_in_common(
    fleet: Fleet,
    names: Sequence[str] | None,
    tags: Sequence[str] | None,
    labels: Sequence[str] | None,
) -> str:
    """Say which sites each condition takes by itself: together they take none."""
    asked = [(f"named {', '.join(names)}", select_sites(fleet, names))] if names else []
    asked += [(f"with tag {', '.join(tags)}", select_sites(fleet, None, tags))] if tags else []
    asked += [
        (f"with label {', '.join(group)}", select_sites(fleet, None, None, group))
        for group in _by_key(labels or ())
    ]
    found = "; ".join(f"{words}: {_few(_names(sites))}" for words, sites in asked)
    return f"no site matches everything that was asked for. {found}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
