"""A site's objects in Azure: read, plan, check the whole plan, then write only what differs."""

from collections.abc import Callable, Collection

from prefect import task

from clients.registry_access import RegistryAccess
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
from fleet.access_plan import ExistingAccess, plan_client_access, plan_sync_access
from fleet.azure_errors import AzureBusyError
from fleet.azure_objects import ConnectedRegistryState, last_segment, same_name
from fleet.client_tokens import clients_of
from fleet.nesting import Descendant
from fleet.outcomes import Outcome
from fleet.plan_access import steps_of
from fleet.site_plan import Part
from fleet.sites import Site
from tasks.azure_limits import azure_slot
from tasks.policy import WRITE
from tasks.run_log import say
from tasks.sessions import RegistrySession
from tasks.site_locks import scope_map_to_itself


@task(
    name="create connected registry",
    task_run_name="create connected registry for {site.name}",
    **WRITE,
)
def create_connected_registry(
    cloud: RegistrySession,
    site: Site,
    repositories: tuple[str, ...],
    below: tuple[Descendant, ...] = (),
    parts: Collection[Part] = tuple(Part),
) -> tuple[Outcome, ...]:
    """Bring a site's sync scope map, sync token and connected registry about.

    What exists and fits is left alone. `fleet.access_plan` says what is taken over and what is
    refused; a refusal comes before the first write. No password is made here. Changes of other
    parts than `parts` are not made.
    """
    with scope_map_to_itself(site, unless=not below), azure_slot(cloud.registry):
        return grant_sync_access(cloud.access, site, repositories, below, parts)


@task(name="create client token", task_run_name="create client token for {site.name}", **WRITE)
def create_client_token(
    cloud: RegistrySession,
    site: Site,
    repositories: tuple[str, ...],
    parts: Collection[Part] = tuple(Part),
) -> tuple[Outcome, ...]:
    """Bring the token about with which a site pulls, and have the connected registry accept it.

    Tokens of others that the connected registry accepts stay accepted. No password is made here.
    Changes of other parts than `parts` are not made.
    """
    with azure_slot(cloud.registry):
        return grant_client_access(cloud.access, site, repositories, parts)


def grant_sync_access(
    access: RegistryAccess,
    site: Site,
    repositories: tuple[str, ...],
    below: tuple[Descendant, ...] = (),
    parts: Collection[Part] = tuple(Part),
) -> tuple[Outcome, ...]:
    """Do what `create_connected_registry` says, within a slot that the caller holds."""
    names = site.names
    with access.one_writer(names.connected_registry):
        existing = read_sync_access(access, site)
        steps = plan_sync_access(site, repositories, existing, below)
        return apply_steps(access, steps_of(steps, parts))


def read_sync_access(access: RegistryAccess, site: Site) -> ExistingAccess:
    """Return what Azure has under the names of a site's sync objects."""
    names = site.names
    return _read(access, names.sync_scope_map, names.sync_token, names.connected_registry)


def grant_client_access(
    access: RegistryAccess,
    site: Site,
    repositories: tuple[str, ...],
    parts: Collection[Part] = tuple(Part),
) -> tuple[Outcome, ...]:
    """Do what `create_client_token` says, within a slot that the caller holds."""
    names = site.names
    with access.one_writer(names.connected_registry):
        existing = read_client_access(access, site)
        steps = plan_client_access(site, repositories, existing)
        return apply_steps(access, steps_of(steps, parts))


def read_client_access(
    access: RegistryAccess, site: Site, known: ConnectedRegistryState | None = None
) -> ExistingAccess:
    """Return what Azure has under the names of a site's client objects.

    `known` is the connected registry where it has just been read; none: it is read.
    """
    names = site.names
    return _read(
        access, names.client_scope_map, names.client_token, names.connected_registry, known
    )


def read_clients(access: RegistryAccess, site: Site) -> tuple[tuple[Site, ExistingAccess], ...]:
    """Return each view of `clients_of` the site with what Azure has of its client token."""
    return tuple((view, read_client_access(access, view)) for view in clients_of(site))


def _read(
    access: RegistryAccess,
    scope_map: str,
    token: str,
    connected_registry: str,
    known: ConnectedRegistryState | None = None,
) -> ExistingAccess:
    found = access.read_token(token)
    bound = found.scope_map_id if found else None
    elsewhere = bound is not None and not same_name(bound, scope_map)
    return ExistingAccess(
        scope_map=access.read_scope_map(scope_map),
        token=found,
        token_scope_map=access.read_scope_map(last_segment(bound or "")) if elsewhere else None,
        connected_registry=known or access.read_connected_registry(connected_registry),
    )


def apply_steps(access: RegistryAccess, steps: tuple[Step, ...]) -> tuple[Outcome, ...]:
    """Make a plan's changes, one after the other; what came out is said and returned."""
    for step in steps:
        if step.change is not None:
            _write(access, step.change)
        say(str(step.outcome))
    return tuple(step.outcome for step in steps)


def _write(access: RegistryAccess, change: Change) -> None:
    match change:
        case CreateScopeMap() | CreateToken() | CreateConnectedRegistry():
            _create(access, change)
        case ChangeScopeMap(name, actions, description):
            access.update_scope_map(name, actions=actions, description=description)
        case ChangeToken(name, scope_map):
            access.update_token(name, scope_map)
        case ChangeConnectedRegistry(name, settings, groups):
            access.update_connected_registry(name, settings, groups)
        case AcceptClientToken(name, token, others):
            access.update_client_tokens(name, (*others, access.token_id(token)))


def _create(
    access: RegistryAccess, change: CreateScopeMap | CreateToken | CreateConnectedRegistry
) -> None:
    match change:
        case CreateScopeMap(name, actions, description):
            _once(
                lambda: access.create_scope_map(name, actions, description),
                lambda: access.read_scope_map(name),
            )
        case CreateToken(name, scope_map):
            _once(lambda: access.create_token(name, scope_map), lambda: access.read_token(name))
        case CreateConnectedRegistry(name, mode, sync_token, settings, client_token_ids, parent):
            _once(
                lambda: access.create_connected_registry(
                    name,
                    mode=mode,
                    sync_token=sync_token,
                    settings=settings,
                    client_token_ids=client_token_ids,
                    parent=parent,
                ),
                lambda: access.read_connected_registry(name),
            )


def _once(create: Callable[[], object], read: Callable[[], object | None]) -> None:
    """Create something; when the answer is lost, look whether it is there instead of repeating."""
    try:
        create()
    except AzureBusyError:
        if read() is None:
            raise
        say("Azure's answer was lost, but the object is there")
