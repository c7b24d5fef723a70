"""What has to be done in Azure for a site: desired and existing state in, a list of changes out.

Who owns an object. A scope map is ours when its description is the one that `owner_description`
gives for this fleet, site and role; a token is ours when its scope map is, a connected registry
when its sync token is. What exists and is not ours is taken over only if its settings are the
wanted ones: then the scope map's description is changed to ours and the object counts as adopted.
Otherwise `NotOursError` shows the difference. All of a plan is checked before any of it is applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from fleet.access_changes import (
    AcceptClientToken,
    Change,
    ChangeConnectedRegistry,
    ChangeScopeMap,
    ChangeToken,
    CreateConnectedRegistry,
    CreateScopeMap,
    CreateToken,
    Step,
)
from fleet.azure_errors import AzureBusyError, ImmutableSettingError, TokenDisabledError
from fleet.azure_objects import (
    ConnectedRegistryState,
    ScopeMapState,
    TokenState,
    last_segment,
    same_name,
)
from fleet.connected_registries import (
    fixed_differences,
    settings_differences,
    wanted_settings,
)
from fleet.disabled_tokens import disabled_words
from fleet.errors import NotOursError, ParentNotReadyError
from fleet.nesting import Descendant, branch_actions, kept_actions
from fleet.outcomes import Action, Outcome
from fleet.scope_maps import check_total, client_actions, fold_actions
from fleet.sites import Site

_OURS = "Managed by acrfleet: "
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class ExistingAccess:
    """What Azure has under the names of one role of a site.

    `token_scope_map` is the scope map that the token is bound to, where that is not `scope_map`.
    """

    scope_map: ScopeMapState | None = None
    token: TokenState | None = None
    token_scope_map: ScopeMapState | None = None
    connected_registry: ConnectedRegistryState | None = None


def owner_description(site: Site, role: str) -> str:
    """Return the description by which a scope map is ours; role is sync or client."""
    if role == "client" and site.seen_through is not None:
        role = f"client {site.seen_through.name}"
    return f"{_OURS}fleet {site.fleet}, site {site.name}, {role}"


def plan_sync_access(
    site: Site,
    repositories: tuple[str, ...],
    existing: ExistingAccess,
    below: Sequence[Descendant] = (),
) -> tuple[Step, ...]:
    """Plan sync scope map, sync token and connected registry, in the order in which they are made.

    The scope map holds what the site needs and what all sites below it need.

    Raises:
        NotOursError: Something exists with other settings and was not made by acrfleet.
        ImmutableSettingError: The mode or the parent differs, which Azure cannot change.
        TokenDisabledError: The token exists and somebody disabled it.
        TooManyRepositoriesError: They do not fit into one scope map.
        AzureBusyError: An object is being deleted right now.
    """
    names = site.names
    description = owner_description(site, "sync")
    actions, why = branch_actions(site, repositories, below), ""
    if _is_ours(existing.scope_map, description):
        assert existing.scope_map is not None  # noqa: S101 - it is ours, so it is there
        kept, why = kept_actions(existing.scope_map.actions, site, below)
        actions |= kept
    scope_map = _plan_scope_map(names.sync_scope_map, actions, description, existing.scope_map)
    scope_map = _explained(scope_map, why)
    token = _plan_token(names.sync_token, names.sync_scope_map, description, existing)
    ours = _is_ours(existing.scope_map, description)
    return scope_map, token, _plan_connected_registry(site, existing.connected_registry, ours)


def plan_passage(
    site: Site, ancestor: Site, needed: frozenset[str], existing: ScopeMapState | None
) -> Step:
    """Plan what the sync scope map of an ancestor lacks of what a site below it needs.

    Nothing is taken away here: what an ancestor no longer needs leaves its map in its own run.

    Raises:
        ParentNotReadyError: The ancestor has no scope map yet.
        NotOursError: It lacks something and was not made by acrfleet.
        TooManyRepositoriesError: They do not fit into one scope map.
        AzureBusyError: It is being deleted right now.
    """
    kind, name = "scope map", ancestor.names.sync_scope_map
    if existing is None:
        found = f"its scope map {name} does not exist in Azure yet"
        raise ParentNotReadyError(site.name, ancestor.name, found)
    _refuse_while_deleting(kind, name, existing.provisioning)
    actions = fold_actions(existing.actions)
    if needed <= actions:
        return _step(kind, name, Action.UNCHANGED)
    difference = _actions_difference(actions, actions | needed)
    if not _is_ours(existing, owner_description(ancestor, "sync")):
        _refuse(kind, name, f"{site.name}, below it, needs more: {difference}")
    check_total(actions | needed, f"sync scope map of {ancestor.name} with the sites below it")
    return _step(kind, name, Action.CHANGED, difference, ChangeScopeMap(name, actions | needed))


def plan_client_access(
    site: Site, repositories: tuple[str, ...], existing: ExistingAccess
) -> tuple[Step, ...]:
    """Plan client scope map, client token, and that the connected registry accepts the token.

    Raises:
        NotOursError: Something exists with other settings and was not made by acrfleet.
        TokenDisabledError: The token exists and somebody disabled it.
        TooManyRepositoriesError: They do not fit into one scope map.
        AzureBusyError: The connected registry is not there yet, or an object is being deleted.
    """
    names = site.names
    description = owner_description(site, "client")
    actions = client_actions(repositories)
    return (
        _plan_scope_map(names.client_scope_map, actions, description, existing.scope_map),
        _plan_token(names.client_token, names.client_scope_map, description, existing),
        _plan_acceptance(site, existing.connected_registry),
    )


def _plan_scope_map(
    name: str, actions: frozenset[str], description: str, existing: ScopeMapState | None
) -> Step:
    kind = "scope map"
    if existing is None:
        detail = f"{len(actions)} actions"
        return _step(kind, name, Action.CREATED, detail, CreateScopeMap(name, actions, description))
    _refuse_while_deleting(kind, name, existing.provisioning)
    difference = _actions_difference(fold_actions(existing.actions), actions)
    if _is_ours(existing, description):
        if _has_failed(existing.provisioning):
            again = CreateScopeMap(name, actions, description)
            return _step(kind, name, Action.CHANGED, "Azure had failed to make it", again)
        if not difference:
            return _step(kind, name, Action.UNCHANGED)
        return _step(kind, name, Action.CHANGED, difference, ChangeScopeMap(name, actions))
    if existing.description.startswith(_OURS) or existing.kind.casefold() == "systemdefined":
        owner = existing.description if existing.description.startswith(_OURS) else "Azure itself"
        _refuse(kind, name, f"it belongs to somebody else ({owner})")
    if difference:
        _refuse(kind, name, f"its actions differ: {difference}")
    adopt = ChangeScopeMap(name, description=description)
    return _step(kind, name, Action.ADOPTED, "made by hand, settings match", adopt)


def _plan_token(name: str, scope_map: str, description: str, existing: ExistingAccess) -> Step:
    kind, token = "token", existing.token
    create = CreateToken(name, scope_map)
    if token is None:
        return _step(kind, name, Action.CREATED, f"for scope map {scope_map}", create)
    _refuse_while_deleting(kind, name, token.provisioning)
    if not token.is_enabled:
        raise TokenDisabledError(disabled_words(token))
    if not same_name(token.scope_map_id, scope_map):
        bound = last_segment(token.scope_map_id or "") or "none"
        if not _is_ours(existing.token_scope_map, description):
            _refuse(kind, name, f"it is bound to scope map {bound}, wanted {scope_map}")
        change = ChangeToken(name, scope_map)
        return _step(kind, name, Action.CHANGED, f"scope map {bound} -> {scope_map}", change)
    if _has_failed(token.provisioning) and not token.slots:
        return _step(kind, name, Action.CHANGED, "Azure had failed to make it", create)
    if existing.scope_map is not None and not _is_ours(existing.scope_map, description):
        return _step(kind, name, Action.ADOPTED, "made by hand, settings match")
    return _step(kind, name, Action.UNCHANGED)


def _plan_connected_registry(
    site: Site, existing: ConnectedRegistryState | None, map_is_ours: bool
) -> Step:
    kind, name = "connected registry", site.names.connected_registry
    mode, wanted = site.connected_registry.mode, wanted_settings(site)
    above = site.fed_by.connected_registry if site.fed_by else None
    create = CreateConnectedRegistry(name, mode, site.names.sync_token, wanted, parent=above)
    if existing is None:
        detail = f"{mode} below {above}" if above else str(mode)
        return _step(kind, name, Action.CREATED, detail, create)
    _refuse_while_deleting(kind, name, existing.provisioning)
    fixed = fixed_differences(site, existing)
    open_ = settings_differences(existing.settings, wanted)
    if not map_is_ours or not same_name(existing.sync_token_id, site.names.sync_token):
        if fixed or open_:
            _refuse(kind, name, "; ".join(map(str, fixed + open_)))
        return _step(kind, name, Action.ADOPTED, "made by hand, settings match")
    if fixed:
        raise ImmutableSettingError(
            f"connected registry {name}: {'; '.join(map(str, fixed))}; Azure cannot change that."
            f" Set it back in the fleet file of site {site.name}, or delete the connected registry"
            " and onboard the site again (its storage at the site has to go too)"
        )
    if _has_failed(existing.provisioning):
        again = replace(create, client_token_ids=existing.client_token_ids)
        return _step(kind, name, Action.CHANGED, "Azure had failed to make it", again)
    if not open_:
        return _step(kind, name, Action.UNCHANGED)
    groups = frozenset(difference.group for difference in open_)
    change = ChangeConnectedRegistry(name, wanted, groups)
    return _step(kind, name, Action.CHANGED, "; ".join(map(str, open_)), change)


def _plan_acceptance(site: Site, existing: ConnectedRegistryState | None) -> Step:
    kind, token, name = "client token", site.names.client_token, site.names.connected_registry
    if existing is None:
        raise AzureBusyError(
            f"connected registry {name} is not there (yet), so it cannot accept token {token};"
            " run the onboarding of the site again"
        )
    accepted = f"accepted by connected registry {name}"
    if any(same_name(one, token) for one in existing.client_token_ids):
        return _step(kind, token, Action.UNCHANGED, accepted)
    change = AcceptClientToken(name, token, existing.client_token_ids)
    return _step(kind, token, Action.CHANGED, accepted, change)


def _explained(step: Step, why: str) -> Step:
    """Say why a scope map keeps what nothing in the fleet file asks for."""
    if not why:
        return step
    detail = "; ".join(filter(None, (step.outcome.detail, f"nothing is taken away: {why}")))
    return replace(step, outcome=step.outcome.model_copy(update={"detail": detail}))


def _actions_difference(existing: frozenset[str], wanted: frozenset[str]) -> str:
    parts = [("adds", wanted - existing), ("removes", existing - wanted)]
    return "; ".join(f"{verb} {_listed(actions)}" for verb, actions in parts if actions)


def _listed(actions: frozenset[str]) -> str:
    ordered = sorted(actions)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more


def _is_ours(scope_map: ScopeMapState | None, description: str) -> bool:
    return scope_map is not None and scope_map.description == description


def _has_failed(provisioning: str) -> bool:
    return provisioning.casefold() in {"failed", "canceled"}


def _refuse_while_deleting(kind: str, name: str, provisioning: str) -> None:
    if provisioning.casefold() == "deleting":
        raise AzureBusyError(f"{kind} {name} is being deleted in Azure; wait until it is gone")


def _refuse(kind: str, name: str, difference: str) -> NoReturn:
    raise NotOursError(
        f"{kind} {name} exists and was not made by acrfleet for this site: {difference}. Change it"
        " in Azure or in the fleet file until both agree (acrfleet then takes it over), delete it,"
        " or give the site other names under `names`"
    )


def _step(
    kind: str, name: str, action: Action, detail: str = "", change: Change | None = None
) -> Step:
    return Step(Outcome(kind=kind, name=name, action=action, detail=detail), change)
