"""Checks of the tree of sites: who is fed by whom, and whether Azure and the file allow it."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from fleet.fleet_file_checks import PlacedSite, named_repositories
from fleet.fleet_file_yaml import Problem
from fleet.repositories import matches_any
from fleet.scope_maps import MAX_ACTIONS, unchecked_sync_actions
from fleet.sites import Mode, ParentSite

_Sites = Mapping[str, PlacedSite]


def check_tree(placed: Sequence[PlacedSite]) -> Iterator[Problem]:
    """Yield what is wrong between sites and their parents.

    Azure sets no limit to the depth of the tree that anybody has written down, so there is none
    here; the 50 connected registries of one Azure registry bound it.
    """
    sites = {one.entry.name: one for one in placed}
    for one in placed:
        name = one.entry.parent
        if name is None:
            continue
        if name not in sites:
            yield _unknown(one, name, sites)
        elif any(above is one for above in ancestors(one, sites)):
            yield _cycle(one, sites)
        else:
            yield from _check_pair(one, sites[name])
            yield from _check_excludes(one, sites)
    yield from _check_numbers(placed, sites)


def parent_of(one: PlacedSite, sites: _Sites) -> ParentSite | None:
    """Return the parent of a site, of a tree in which nothing is wrong."""
    if one.entry.parent is None:
        return None
    parent = sites[one.entry.parent]
    return ParentSite(
        name=parent.entry.name,
        connected_registry=parent.names.connected_registry,
        protocol="http" if parent.entry.chart.http_enabled else "https",
    )


def ancestors(one: PlacedSite, sites: _Sites) -> list[PlacedSite]:
    """Return what is above a site, its parent first; a site that is its own ancestor ends it."""
    found: dict[str, PlacedSite] = {}
    name = one.entry.parent
    while name is not None and name in sites and name not in found:
        found[name] = sites[name]
        name = sites[name].entry.parent
    return list(found.values())


def _unknown(one: PlacedSite, name: str, sites: _Sites) -> Problem:
    close = get_close_matches(name, [other for other in sites if other != one.entry.name], n=1)
    advice = f'did you mean "{close[0]}"?' if close else "name a site of this file, or remove it"
    return Problem(
        one.line("parent"), f"{one.shown('parent')} is {name}: there is no such site; {advice}"
    )


def _cycle(one: PlacedSite, sites: _Sites) -> Problem:
    names = [one.entry.name]
    while names[0] not in names[1:]:
        names.append(sites[names[-1]].entry.parent or "")
    return Problem(
        one.line("parent"),
        f"{one.shown('parent')} is {one.entry.parent}: {' is below '.join(names)}; one of them has"
        " to be fed by the Azure registry, remove its parent",
    )


def _check_pair(one: PlacedSite, parent: PlacedSite) -> Iterator[Problem]:
    name = parent.entry.name
    if one.registry != parent.registry:
        yield Problem(
            one.line("parent"),
            f"{one.shown('parent')} is {name}: it is on registry {parent.registry} and this site on"
            f" {one.registry}; a parent and what is below it belong to one Azure registry",
        )
    mode, above = one.entry.connected_registry.mode, parent.entry.connected_registry.mode
    if mode is Mode.READ_WRITE and above is not Mode.READ_WRITE:
        path = ("connected_registry", "mode")
        yield Problem(
            one.line(*path),
            f"{one.shown(*path)} is {mode}: its parent {name} is {above}, and what sites push has"
            f" to pass it; make {name} {Mode.READ_WRITE} or this site {Mode.READ_ONLY}",
        )


def _check_excludes(one: PlacedSite, sites: _Sites) -> Iterator[Problem]:
    """Yield repositories that a site names in full and that an ancestor excludes."""
    for above in ancestors(one, sites):
        exclude = above.entry.repositories.exclude
        refused = sorted(name for name in named_repositories(one) if matches_any(name, exclude))
        if refused:
            path = ("repositories", "include")
            yield Problem(
                one.line(*path),
                f"{one.shown(*path)} names {', '.join(refused)}: {above.entry.name}, above it,"
                " excludes that, and everything passes through it; take it out of one of the two",
            )


def _check_numbers(placed: Sequence[PlacedSite], sites: _Sites) -> Iterator[Problem]:
    """Yield parents whose scope map can't hold what is named in full for them and below them."""
    below: dict[str, list[PlacedSite]] = {}
    for one in placed:
        for above in ancestors(one, sites):
            below.setdefault(above.entry.name, []).append(one)
    for one in placed:
        members = below.get(one.entry.name, [])
        actions: set[str] = set()
        for member in (one, *members):
            mode = member.entry.connected_registry.mode
            names, gateway = named_repositories(member), member.names.connected_registry
            actions |= unchecked_sync_actions(mode, names, gateway)
        if members and len(actions) > MAX_ACTIONS:
            yield Problem(
                one.line("repositories", "include"),
                f"{one.shown('repositories', 'include')} and those of the {len(members)} sites"
                f" below {one.entry.name} need {len(actions)} actions in its sync scope map:"
                f" allowed are {MAX_ACTIONS}; name fewer, or move sites below another parent",
            )
