"""What of a site is taken away in Azure, in which order, and what is left alone because of whom.

The order keeps every step repeatable. What proves that something is ours outlives it: the client's
and the sync's scope maps, whose description names us, go after the tokens and the connected
registry that are ours through them. And nothing goes that something else still uses: Azure deletes
no token that a connected registry uses, and no connected registry that others are below.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from fleet.access_changes import ChangeScopeMap
from fleet.access_plan import ExistingAccess, owner_description
from fleet.azure_errors import AzureBusyError
from fleet.azure_objects import ConnectedRegistryState, ScopeMapState, last_segment, same_name
from fleet.client_tokens import tokens_of
from fleet.errors import SitesBelowError
from fleet.nesting import Descendant, branch_actions, gateways
from fleet.removals import (
    FOREIGN,
    CloudChange,
    Deactivate,
    DeleteConnectedRegistry,
    DeleteScopeMap,
    DeleteToken,
    ForgetClientToken,
    Removal,
    changed,
    left_alone,
    removed,
)
from fleet.scope_maps import fold_actions
from fleet.sites import Site

CloudRemoval = Removal[CloudChange]


@dataclass(frozen=True, slots=True)
class ExistingCloud:
    """What Azure has of a site: its clients' and its sync's objects, and all that is registered.

    `clients` has each view of `clients_of` the site with what is under its client's names.
    """

    clients: tuple[tuple[Site, ExistingAccess], ...]
    sync: ExistingAccess
    registries: tuple[ConnectedRegistryState, ...]


def plan_cloud_removal(
    site: Site, existing: ExistingCloud, going: Iterable[str] = ()
) -> tuple[CloudRemoval, ...]:
    """Plan what goes in Azure, in this order; what is not ours is left alone and said.

    Args:
        site: The site.
        existing: What Azure has.
        going: Connected registries that are taken away in the same run, before this site's.

    Raises:
        SitesBelowError: Others are below its connected registry and stay.
        AzureBusyError: An object is being deleted right now.
    """
    _refuse_while_feeding(site, existing.registries, going)
    return (
        *_forget_client_tokens(existing.clients, existing.registries),
        *(one for view, found in existing.clients for one in _plan_role(view, "client", found)),
        *_plan_connected_registry(site, existing.sync),
        *_plan_role(site, "sync", existing.sync),
    )


def plan_narrowing(
    site: Site,
    ancestor: Site,
    repositories: tuple[str, ...] | None,
    below: Sequence[Descendant],
    gone: Collection[str],
    existing: ScopeMapState | None,
) -> tuple[CloudRemoval, ...]:
    """Plan what the sync scope map of an ancestor loses once a site below it is gone.

    The gateway of the site always goes. What nothing that stays needs goes with it, so that sites
    that go one after the other do not hold on to each other's repositories. Where that can't be
    told, because a stranger is below the ancestor or somebody's globs select nothing, the rest
    stays until the ancestor's next run.

    Args:
        site: The site that goes.
        ancestor: A site above it.
        repositories: What the ancestor itself mirrors; None: not known.
        below: What the fleet file puts below the ancestor.
        gone: Names of those sites of them that do not exist in Azure, or go with this one.
        existing: The ancestor's sync scope map.
    """
    if existing is None:
        return ()
    kind, name = "scope map", ancestor.names.sync_scope_map
    actions = fold_actions(existing.actions)
    gateway = f"gateway/{site.names.connected_registry.lower()}/"
    kept = frozenset(one for one in actions if not one.startswith(gateway))
    strangers = gateways(kept) - _gateways_of(ancestor, below)
    staying = [one for one in below if one.site.name not in {*gone, site.name}]
    known = repositories is not None and all(one.repositories is not None for one in staying)
    if known and not strangers and kept != actions:
        kept &= branch_actions(ancestor, repositories or (), staying)
    if kept == actions:
        return ()
    if not _is_ours(ancestor, "sync", existing):
        why = f"{FOREIGN}; take the gateway actions of {site.names.connected_registry} out of it"
        return (left_alone(kind, name, why),)
    lost = sorted({one.rpartition("/")[0].rpartition("/")[0] for one in actions - kept})
    return (changed(kind, name, ChangeScopeMap(name, kept), f"loses {', '.join(lost)}"),)


def _refuse_while_feeding(
    site: Site, registries: Iterable[ConnectedRegistryState], going: Iterable[str]
) -> None:
    mine = site.names.connected_registry
    gone = {name.casefold() for name in going}
    below = [
        one.name
        for one in registries
        if "/connectedregistries/" in (one.parent_id or "").casefold()
        and same_name(one.parent_id, mine)
        and one.name.casefold() not in gone
    ]
    if below:
        raise SitesBelowError(site.name, below)


def _forget_client_tokens(
    clients: Iterable[tuple[Site, ExistingAccess]], registries: Iterable[ConnectedRegistryState]
) -> list[CloudRemoval]:
    """Let every connected registry forget our client tokens: Azure deletes no token in use."""
    ours = [view.names.client_token for view, found in clients if _owns(view, "client", found)]
    removals: list[CloudRemoval] = []
    for one in registries:
        left = one.client_token_ids
        for token in ours:
            others = tuple(entry for entry in left if not same_name(entry, token))
            if len(others) < len(left):
                change = ForgetClientToken(one.name, token, others)
                detail = f"without {token}"
                removals.append(changed("client tokens of", one.name, change, detail))
            left = others
    return removals


def _plan_role(site: Site, role: str, existing: ExistingAccess) -> list[CloudRemoval]:
    """Plan a token and, after it, the scope map that says whose it is."""
    names = site.names
    token = names.client_token if role == "client" else names.sync_token
    scope_map = names.client_scope_map if role == "client" else names.sync_scope_map
    found: list[CloudRemoval] = []
    if existing.token is not None:
        _wait_while_deleting("token", token, existing.token.provisioning)
        if _owns(site, role, existing):
            passwords = f"with {len(existing.token.slots)} passwords"
            found.append(removed("token", token, DeleteToken(token), passwords))
        else:
            found.append(left_alone("token", token, FOREIGN))
    if existing.scope_map is not None:
        _wait_while_deleting("scope map", scope_map, existing.scope_map.provisioning)
        if _is_ours(site, role, existing.scope_map):
            found.append(removed("scope map", scope_map, DeleteScopeMap(scope_map)))
        else:
            found.append(left_alone("scope map", scope_map, FOREIGN))
    return found


def _plan_connected_registry(site: Site, existing: ExistingAccess) -> list[CloudRemoval]:
    kind, name = "connected registry", site.names.connected_registry
    state = existing.connected_registry
    if state is None:
        return []
    _wait_while_deleting(kind, name, state.provisioning)
    ours = _is_ours(site, "sync", existing.scope_map)
    if not ours or not same_name(state.sync_token_id, site.names.sync_token):
        return [left_alone(kind, name, FOREIGN)]
    found: list[CloudRemoval] = []
    if state.is_active:
        found.append(changed("activation of", name, Deactivate(name), "deactivated"))
    others = [last_segment(one) for one in state.client_token_ids]
    mine = {token.casefold() for token in tokens_of(site)}
    others = [one for one in others if one.casefold() not in mine]
    detail = f"{', '.join(others)} can't log in there any more" if others else ""
    return [*found, removed(kind, name, DeleteConnectedRegistry(name), detail)]


def _owns(site: Site, role: str, existing: ExistingAccess) -> bool:
    """Return whether the token of a role is ours: its scope map is."""
    names = site.names
    scope_map = names.client_scope_map if role == "client" else names.sync_scope_map
    bound = existing.token is not None and same_name(existing.token.scope_map_id, scope_map)
    return bound and _is_ours(site, role, existing.scope_map)


def _is_ours(site: Site, role: str, scope_map: ScopeMapState | None) -> bool:
    return scope_map is not None and scope_map.description == owner_description(site, role)


def _gateways_of(ancestor: Site, below: Iterable[Descendant]) -> frozenset[str]:
    sites = (ancestor, *(one.site for one in below))
    return frozenset(one.names.connected_registry.lower() for one in sites)


def _wait_while_deleting(kind: str, name: str, provisioning: str) -> None:
    if provisioning.casefold() == "deleting":
        raise AzureBusyError(f"{kind} {name} is being deleted in Azure; wait until it is gone")
