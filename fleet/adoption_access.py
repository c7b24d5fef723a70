"""Taking over a site's objects in Azure: the plan of an onboarding, as if they were ours.

Onboarding refuses what it did not make and what differs. An adoption was asked for and has shown
the differences, so it plans with the owner's mark already in place and writes the mark with them.
What Azure cannot change, and what belongs to another fleet or to Azure, stays refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from fleet.access_changes import ChangeScopeMap, Step
from fleet.access_plan import (
    ExistingAccess,
    owner_description,
    plan_client_access,
    plan_sync_access,
)
from fleet.adoption import Fate, Finding, Place
from fleet.azure_objects import ConnectedRegistryState, ScopeMapState, same_name
from fleet.errors import FleetError
from fleet.nesting import Descendant
from fleet.outcomes import Action
from fleet.sites import Site

OWNED = "Managed by acrfleet: "
_FATES = {
    Action.CREATED: Fate.CREATED,
    Action.CHANGED: Fate.CHANGED,
    Action.ADOPTED: Fate.ADOPTED,
    Action.UNCHANGED: Fate.KEPT,
}
Plan = Callable[[ExistingAccess], tuple[Step, ...]]


def adopt_sync_access(
    site: Site,
    repositories: tuple[str, ...],
    existing: ExistingAccess,
    below: Sequence[Descendant] = (),
) -> tuple[Step, ...]:
    """Plan the takeover of sync scope map, sync token and connected registry.

    Raises:
        ImmutableSettingError: The mode or the parent differs.
        TokenDisabledError, NotOursError, TooManyRepositoriesError, AzureBusyError: As onboarding.
    """
    return _adopt(
        site, "sync", existing, lambda state: plan_sync_access(site, repositories, state, below)
    )


def adopt_client_access(
    site: Site, repositories: tuple[str, ...], existing: ExistingAccess
) -> tuple[Step, ...]:
    """Plan the takeover of client scope map and client token.

    Raises:
        TokenDisabledError, NotOursError, TooManyRepositoriesError, AzureBusyError: As onboarding.
    """
    return _adopt(
        site, "client", existing, lambda state: plan_client_access(site, repositories, state)
    )


def access_findings(
    plan: Callable[[], tuple[Step, ...]], kind: str, name: str
) -> tuple[tuple[Step, ...], list[Finding]]:
    """Return a plan and what it does, or the obstacle that its error is, at `kind` and `name`."""
    try:
        steps = plan()
    except FleetError as error:
        found = Finding(
            place=Place.AZURE, kind=kind, name=name, fate=Fate.OBSTACLE, detail=str(error)
        )
        return (), [found]
    return steps, [_finding(step) for step in steps]


def shared_token(site: Site, registries: Sequence[ConnectedRegistryState]) -> Finding | None:
    """Return the obstacle that a client token of several sites is; None: it is this site's alone.

    A token has one owner and two passwords: one site's rotation would cut the others off.
    """
    token = site.names.client_token
    others = [
        one.name
        for one in registries
        if not same_name(one.name, site.names.connected_registry)
        and any(same_name(accepted, token) for accepted in one.client_token_ids)
    ]
    if not others:
        return None
    return Finding(
        place=Place.AZURE,
        kind="token",
        name=token,
        fate=Fate.OBSTACLE,
        detail=(
            f"connected registries {', '.join(sorted(others))} accept it too, and a client token"
            " has to be one site's alone, because its passwords are rolled with the site. Leave"
            " `names.client_token` and `names.client_scope_map` out of the fleet file and choose"
            " another `pull_secrets.name`: the site gets a token of its own, and the shared one"
            " stays accepted"
        ),
    )


def _adopt(site: Site, role: str, existing: ExistingAccess, plan: Plan) -> tuple[Step, ...]:
    description, scope_map = owner_description(site, role), existing.scope_map
    if not _may_be_taken(scope_map) or not _may_be_moved(existing.token_scope_map):
        return plan(existing)
    pretended = replace(
        existing,
        scope_map=scope_map and replace(scope_map, description=description),
        token_scope_map=existing.token_scope_map
        and replace(existing.token_scope_map, description=description),
    )
    steps = plan(pretended)
    if scope_map is None or scope_map.description == description:
        return steps
    return (_marked(steps[0], description), *(_taken(step) for step in steps[1:]))


def _may_be_taken(scope_map: ScopeMapState | None) -> bool:
    if scope_map is None:
        return True
    system = scope_map.kind.casefold() == "systemdefined"
    return not system and not scope_map.description.startswith(OWNED)


def _may_be_moved(scope_map: ScopeMapState | None) -> bool:
    """Return whether a token may leave the scope map that it is bound to."""
    return scope_map is None or not scope_map.description.startswith(OWNED)


def _marked(step: Step, description: str) -> Step:
    """Return the scope map's step with the owner's mark in what it writes."""
    if isinstance(step.change, ChangeScopeMap):
        return replace(step, change=replace(step.change, description=description))
    if step.change is not None:
        return step
    outcome = step.outcome.model_copy(
        update={"action": Action.ADOPTED, "detail": "settings match, the owner is noted"}
    )
    return Step(outcome, ChangeScopeMap(step.outcome.name, description=description))


def _taken(step: Step) -> Step:
    if step.change is not None or step.outcome.action is not Action.UNCHANGED:
        return step
    if step.outcome.kind == "client token":
        return step
    outcome = step.outcome.model_copy(update={"action": Action.ADOPTED, "detail": "settings match"})
    return Step(outcome)


def _finding(step: Step) -> Finding:
    outcome = step.outcome
    return Finding(
        place=Place.AZURE,
        kind=outcome.kind,
        name=outcome.name,
        fate=_FATES[outcome.action],
        detail=outcome.detail,
    )
