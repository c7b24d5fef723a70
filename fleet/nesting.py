"""Which site is below which: the tree of nested connected registries in one fleet.

A nested connected registry fetches from its parent's registry at another site, not from the cloud.
Everything that it may see has to pass all of its ancestors, so their sync tokens must allow what it
needs: its repositories, and messages for its gateway (facts, connected-registry.md section 2.1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleet.azure_objects import ConnectedRegistryState
from fleet.errors import ParentNotReadyError, ParentRefusesRepositoryError
from fleet.repositories import matches_any
from fleet.scope_maps import check_total, fold_actions, sync_actions
from fleet.sites import Site

_GATEWAY = "gateway/"


@dataclass(frozen=True, slots=True)
class Descendant:
    """A site below another one; `repositories` is None when its globs select nothing right now."""

    site: Site
    repositories: tuple[str, ...] | None


class Tree:
    """Who feeds whom in a fleet whose file was checked: every parent exists, nothing is a cycle."""

    def __init__(self, sites: Iterable[Site]) -> None:
        """Take all sites of a fleet, also those that a run leaves out."""
        self._sites = {site.name: site for site in sites}

    def above(self, site: Site) -> tuple[Site, ...]:
        """Return a site's ancestors, its parent first."""
        found: list[Site] = []
        parent = site.parent
        while parent is not None and parent in self._sites:
            found.append(self._sites[parent])
            parent = found[-1].parent
        return tuple(found)

    def below(self, site: Site) -> tuple[Site, ...]:
        """Return a site's descendants, in the order of the fleet file."""
        return tuple(one for one in self._sites.values() if site in self.above(one))

    def parents_first(self, chosen: Sequence[Site]) -> dict[str, frozenset[str]]:
        """Return for each chosen site the chosen ones that have to be done before it."""
        names = {site.name for site in chosen}
        return {
            site.name: frozenset(one.name for one in self.above(site)) & names for site in chosen
        }

    def children_first(self, chosen: Sequence[Site]) -> dict[str, frozenset[str]]:
        """Return for each chosen site the chosen ones that have to be gone before it."""
        names = {site.name for site in chosen}
        return {
            site.name: frozenset(one.name for one in self.below(site)) & names for site in chosen
        }


def branch_actions(
    site: Site, repositories: Iterable[str], below: Iterable[Descendant] = ()
) -> frozenset[str]:
    """Return what the sync token of a site may do, for itself and for all that is below it.

    Each site counts with the actions of its own mode, as `az acr connected-registry create` does.

    Raises:
        TooManyRepositoriesError: More actions than one scope map holds.
    """
    mode, name = site.connected_registry.mode, site.names.connected_registry
    actions = sync_actions(mode, repositories, name)
    known = tuple(one for one in below if one.repositories is not None)
    for one in known:
        names, settings = one.site.names, one.site.connected_registry
        actions |= sync_actions(settings.mode, one.repositories or (), names.connected_registry)
    check_total(actions, f"sync scope map of {site.name} with {len(known)} sites below it")
    return actions


def kept_actions(
    existing: Iterable[str], site: Site, below: Iterable[Descendant]
) -> tuple[frozenset[str], str]:
    """Return which actions of a scope map must stay although nothing in the fleet file asks for it.

    A gateway that the fleet file does not know is a connected registry that somebody else put below
    this site, and a descendant whose globs select nothing may still run: nothing tells which of the
    repositories are theirs, so none is taken away.

    Returns:
        The actions, none where everything can be accounted for, and why they stay.
    """
    below = tuple(below)
    actions = fold_actions(existing)
    known = {one.names.connected_registry.lower() for one in (site, *(d.site for d in below))}
    strangers = sorted(gateways(actions) - known)
    lost = sorted(one.site.name for one in below if one.repositories is None)
    reasons = [f"{name} is below it and not in the fleet file" for name in strangers]
    reasons += [f"the repositories of {name} could not be selected" for name in lost]
    return (actions, "; ".join(reasons)) if reasons else (frozenset(), "")


def gateways(actions: Iterable[str]) -> frozenset[str]:
    """Return the connected registries, in lower case, whose gateway actions are among these."""
    return frozenset(one.split("/")[1] for one in fold_actions(actions) if one.startswith(_GATEWAY))


def require_passage(site: Site, repositories: Iterable[str], above: Sequence[Site]) -> None:
    """Refuse a site that mirrors what one of its ancestors is told to leave out.

    An ancestor mirrors what its descendants select, even where its own `include` does not name it;
    an `exclude` says that it must not, and then the descendant cannot have it either.

    Raises:
        ParentRefusesRepositoryError: Which repositories, and who excludes them.
    """
    for ancestor in above:
        exclude = ancestor.repositories.exclude
        refused = [name for name in repositories if matches_any(name, exclude)]
        if refused:
            raise ParentRefusesRepositoryError(site.name, ancestor.name, refused)


def require_parent(site: Site, state: ConnectedRegistryState | None) -> None:
    """Let a site wait until its parent's registry is there and Online.

    Raises:
        ParentNotReadyError: What the parent's connected registry is instead.
    """
    if site.fed_by is None:
        return
    name = site.fed_by.connected_registry
    if state is None:
        found = f"its connected registry {name} does not exist in Azure yet"
    elif not state.is_online:
        found = f"its connected registry {name} is {state.connection_state}"
    else:
        return
    raise ParentNotReadyError(site.name, site.fed_by.name, found)
