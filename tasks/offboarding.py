"""Take away what a site has in Azure: read and plan anew, then write in the plan's order."""

from collections.abc import Callable
from typing import assert_never

from prefect import task

from clients.registry_access import RegistryAccess
from fleet.access_changes import ChangeScopeMap
from fleet.azure_objects import ConnectedRegistryState
from fleet.offboarding import CloudRemoval, ExistingCloud, plan_cloud_removal, plan_narrowing
from fleet.outcomes import Outcome
from fleet.removals import (
    CloudChange,
    Deactivate,
    DeleteConnectedRegistry,
    DeleteScopeMap,
    DeleteToken,
    ForgetClientToken,
    require_approval,
)
from fleet.sites import Site
from tasks.access import read_clients, read_sync_access
from tasks.azure_limits import azure_slot
from tasks.policy import READ, WRITE
from tasks.run_log import said
from tasks.site_locks import scope_map_to_itself
from tasks.upstreams import Upstream

Did = Callable[[tuple[Outcome, ...]], None]


@task(name="plan removal in Azure", task_run_name="plan removal of {site.name} in Azure", **READ)
def plan_in_azure(
    upstream: Upstream, site: Site, going: frozenset[str]
) -> tuple[CloudRemoval, ...]:
    """Return what goes in Azure with a site; write nothing.

    Args:
        upstream: The site's registry.
        site: The site.
        going: Connected registries of the sites that go in the same run, before this one.

    Raises:
        SitesBelowError: Others are below the site and stay.
    """
    cloud = upstream.cloud
    with azure_slot(cloud.registry):
        existing = _read(cloud.access, site)
        found = list(plan_cloud_removal(site, existing, going))
        left = _without(existing.registries, going | {site.names.connected_registry})
        for ancestor in upstream.tree.above(site):
            found += _plan_narrowing(upstream, site, ancestor, left)
    return tuple(found)


@task(name="remove from Azure", task_run_name="remove {site.name} from Azure", **WRITE)
def remove_from_azure(
    upstream: Upstream,
    site: Site,
    approved: frozenset[str],
    did: Did,
) -> None:
    """Remove a site's objects from Azure, and what its ancestors had for it alone.

    What is gone already is not asked for again, so that a run that died is finished by the next.

    Args:
        upstream: The site's registry.
        site: The site.
        approved: The keys of what may be removed.
        did: Hears what was removed, one by one.

    Raises:
        SitesBelowError: Others are below the site; nothing was removed.
        RemovalNotApprovedError: There is more to remove than was approved.
    """
    cloud = upstream.cloud
    with azure_slot(cloud.registry):
        clear_access(cloud.access, site, approved, did)
    for ancestor in upstream.tree.above(site):
        with scope_map_to_itself(ancestor), azure_slot(cloud.registry):
            narrow_ancestor(upstream, site, ancestor, approved, did)


def clear_access(access: RegistryAccess, site: Site, approved: frozenset[str], did: Did) -> None:
    """Remove a site's own objects, within a slot that the caller holds."""
    with access.one_writer(site.names.connected_registry):
        plan = plan_cloud_removal(site, _read(access, site))
        require_approval(site.name, plan, approved)
        _apply(access, plan, did)


def narrow_ancestor(
    upstream: Upstream, site: Site, ancestor: Site, approved: frozenset[str], did: Did
) -> None:
    """Take from an ancestor's scope map what was for a site alone, within locks of the caller."""
    access = upstream.cloud.access
    with access.one_writer(ancestor.names.connected_registry):
        registries = access.list_connected_registries()
        left = _without(registries, frozenset({site.names.connected_registry}))
        plan = _plan_narrowing(upstream, site, ancestor, left)
        require_approval(site.name, plan, approved)
        _apply(access, plan, did)


def _plan_narrowing(
    upstream: Upstream, site: Site, ancestor: Site, left: frozenset[str]
) -> tuple[CloudRemoval, ...]:
    """Plan what an ancestor loses; only what exists in Azure counts as staying below it."""
    below = upstream.below(ancestor)
    gone = [
        one.site.name for one in below if one.site.names.connected_registry.casefold() not in left
    ]
    existing = upstream.cloud.access.read_scope_map(ancestor.names.sync_scope_map)
    repositories = upstream.descendant(ancestor).repositories
    return plan_narrowing(site, ancestor, repositories, below, gone, existing)


def _read(access: RegistryAccess, site: Site) -> ExistingCloud:
    return ExistingCloud(
        clients=read_clients(access, site),
        sync=read_sync_access(access, site),
        registries=access.list_connected_registries(),
    )


def _without(
    registries: tuple[ConnectedRegistryState, ...], gone: frozenset[str]
) -> frozenset[str]:
    names = {name.casefold() for name in gone}
    return frozenset(one.name.casefold() for one in registries) - names


def _apply(
    access: RegistryAccess,
    plan: tuple[CloudRemoval, ...],
    did: Did,
) -> None:
    for removal in plan:
        if removal.change is not None:
            _write(access, removal.change)
        did((said(removal.outcome),))


def _write(access: RegistryAccess, change: CloudChange) -> None:
    match change:
        case ForgetClientToken(name, _, others):
            access.update_client_tokens(name, others)
        case Deactivate(name):
            access.deactivate_connected_registry(name)
        case DeleteConnectedRegistry(name):
            access.delete_connected_registry(name)
        case DeleteToken(name):
            access.delete_token(name)
        case DeleteScopeMap(name):
            access.delete_scope_map(name)
        case ChangeScopeMap(name, actions):
            access.update_scope_map(name, actions=actions)
        case _:
            assert_never(change)
