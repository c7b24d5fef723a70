"""Steps of a site that is fed by another site: wait for the parent, open the way through above."""

from prefect import task

from clients.registry_access import RegistryAccess
from fleet.access_plan import plan_passage
from fleet.nesting import Descendant, branch_actions, require_parent, require_passage
from fleet.outcomes import Outcome
from fleet.sites import Site
from tasks.access import apply_steps
from tasks.azure_limits import azure_slot
from tasks.policy import READ, WRITE
from tasks.sessions import RegistrySession
from tasks.site_locks import scope_map_to_itself


@task(name="check parent", task_run_name="check parent of {site.name}", **READ)
def check_parent(
    cloud: RegistrySession, site: Site, repositories: tuple[str, ...], above: tuple[Site, ...]
) -> None:
    """Look whether a site can be fed by its parent; write nothing.

    Raises:
        ParentNotReadyError: The parent's registry is not there or not Online.
        ParentRefusesRepositoryError: An ancestor excludes what the site mirrors.
    """
    if site.fed_by is None:
        return
    require_passage(site, repositories, above)
    with azure_slot(cloud.registry):
        state = cloud.access.read_connected_registry(site.fed_by.connected_registry)
    require_parent(site, state)


@task(name="open the way through", task_run_name="open the way to {site.name}", **WRITE)
def open_passage(
    cloud: RegistrySession,
    site: Site,
    repositories: tuple[str, ...],
    above: tuple[Site, ...],
    below: tuple[Descendant, ...],
) -> tuple[Outcome, ...]:
    """Let the sync tokens of all ancestors pass what a site and those below it need.

    The ancestor next to the cloud comes first, so that no registry is allowed more than its parent.

    Raises:
        ParentNotReadyError: An ancestor was never onboarded.
        NotOursError: The scope map of an ancestor lacks something and is not ours.
        TooManyRepositoriesError: The scope map of an ancestor is full.
    """
    needed = branch_actions(site, repositories, below)
    outcomes: list[Outcome] = []
    for ancestor in reversed(above):
        with scope_map_to_itself(ancestor), azure_slot(cloud.registry):
            outcomes += extend_scope_map(cloud.access, site, ancestor, needed)
    return tuple(outcomes)


def extend_scope_map(
    access: RegistryAccess, site: Site, ancestor: Site, needed: frozenset[str]
) -> tuple[Outcome, ...]:
    """Do for one ancestor what `open_passage` says, within slots that the caller holds."""
    with access.one_writer(ancestor.names.connected_registry):
        existing = access.read_scope_map(ancestor.names.sync_scope_map)
        return apply_steps(access, (plan_passage(site, ancestor, needed, existing),))
