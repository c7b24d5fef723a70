"""What a plan says about Azure: the steps of `fleet.access_plan`, shown and not taken."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from fleet.access_changes import ChangeConnectedRegistry, ChangeScopeMap, CreateScopeMap, Step
from fleet.access_plan import ExistingAccess, plan_client_access, plan_passage, plan_sync_access
from fleet.azure_objects import ConnectedRegistryState, RegistryFacts, ScopeMapState
from fleet.connected_registries import wanted_settings
from fleet.nesting import Descendant, branch_actions, require_parent, require_passage
from fleet.outcomes import Action
from fleet.plan_draft import Draft
from fleet.scope_maps import fold_actions
from fleet.site_plan import Part, PlannedChange
from fleet.sites import Site


@dataclass(frozen=True)
class CloudView:
    """What Azure has of a site.

    Attributes:
        registry: The registry itself.
        repositories: What the site mirrors; None: that could not be told.
        below: The sites below it.
        above: The sites above it, its parent first, each with its sync scope map.
        parent: The parent's connected registry; None: there is none, or no parent.
        sync: What is under the names of the sync objects.
        client: What is under the names of the client objects.
    """

    registry: RegistryFacts
    repositories: tuple[str, ...] | None
    below: tuple[Descendant, ...]
    above: tuple[tuple[Site, ScopeMapState | None], ...]
    parent: ConnectedRegistryState | None
    sync: ExistingAccess
    client: ExistingAccess


def draft_access(site: Site, view: CloudView, draft: Draft) -> None:
    """Add what an onboarding does in Azure, in the order in which it does it."""
    if not view.registry.data_endpoint:
        detail = "the dedicated data endpoint is turned on"
        draft.add(Part.ACCESS, "registry", view.registry.name, Action.CHANGED, detail)
    repositories = view.repositories
    if repositories is None:
        return
    if view.above:
        draft.take(lambda: _passage(site, repositories, view))
        draft.take(lambda: _wait_for_parent(site, view))
    draft.take(
        lambda: _shown(
            plan_sync_access(site, repositories, view.sync, view.below), view.sync.scope_map
        )
    )
    draft_client(site, repositories, view.client, draft)


def draft_client(
    site: Site, repositories: tuple[str, ...], client: ExistingAccess, draft: Draft
) -> None:
    """Add what becomes of one client token in Azure; `site` may be the view of a further one."""
    if client.connected_registry is None:
        client = replace(client, connected_registry=connected_registry_to_be(site))
    draft.take(lambda: _shown(plan_client_access(site, repositories, client), client.scope_map))


def connected_registry_to_be(site: Site) -> ConnectedRegistryState:
    """Return a site's connected registry as it is right after it was made."""
    return ConnectedRegistryState(
        name=site.names.connected_registry,
        mode=site.connected_registry.mode,
        settings=wanted_settings(site),
        sync_token_id=site.names.sync_token,
        parent_id=site.fed_by.connected_registry if site.fed_by else None,
    )


def _passage(site: Site, repositories: tuple[str, ...], view: CloudView) -> Iterable[PlannedChange]:
    ancestors = tuple(ancestor for ancestor, _ in view.above)
    require_passage(site, repositories, ancestors)
    needed = branch_actions(site, repositories, view.below)
    changes: list[PlannedChange] = []
    for ancestor, scope_map in reversed(view.above):
        changes += _shown((plan_passage(site, ancestor, needed, scope_map),), scope_map)
    return changes


def _wait_for_parent(site: Site, view: CloudView) -> tuple[PlannedChange, ...]:
    require_parent(site, view.parent)
    return ()


def _shown(steps: Sequence[Step], scope_map: ScopeMapState | None) -> list[PlannedChange]:
    changes = []
    for step in steps:
        outcome = step.outcome
        if outcome.action is Action.UNCHANGED:
            continue
        diff = _difference(step, scope_map)
        changes.append(
            PlannedChange(
                part=part_of(step),
                kind=outcome.kind,
                name=outcome.name,
                action=outcome.action,
                detail=outcome.detail,
                diff=diff,
                takes_away=any(line.startswith("-") for line in diff),
            )
        )
    return changes


def steps_of(steps: Iterable[Step], parts: Collection[Part]) -> tuple[Step, ...]:
    """Return the steps that belong to some parts alone."""
    return tuple(step for step in steps if part_of(step) in parts)


def part_of(step: Step) -> Part:
    """Return the part of a site that a step in Azure belongs to."""
    if step.outcome.kind == "scope map":
        return Part.SCOPE_MAPS
    return Part.SYNC if isinstance(step.change, ChangeConnectedRegistry) else Part.ACCESS


def _difference(step: Step, scope_map: ScopeMapState | None) -> tuple[str, ...]:
    """Return every action that comes or goes: the words of an outcome list only the first few."""
    if not isinstance(step.change, CreateScopeMap | ChangeScopeMap) or step.change.actions is None:
        return ()
    before = fold_actions(scope_map.actions) if scope_map else frozenset[str]()
    gone, come = before - step.change.actions, step.change.actions - before
    return (*(f"-{one}" for one in sorted(gone)), *(f"+{one}" for one in sorted(come)))
