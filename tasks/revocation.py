"""Shut a site out of Azure, and prove it with the passwords that the site knew."""

from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

from prefect import task

from fleet.azure_errors import StillLetInError
from fleet.errors import FleetError
from fleet.helm_chart import our_labels
from fleet.outcomes import Outcome
from fleet.removals import Deactivate, due
from fleet.revocation import (
    Credential,
    Revocation,
    ShutToken,
    credentials_of,
    plan_revocation,
)
from fleet.sites import Site
from tasks.access import read_clients, read_sync_access
from tasks.azure_limits import azure_slot
from tasks.policy import READ, WRITE
from tasks.run_log import said, say
from tasks.sessions import RegistrySession, open_site
from tasks.waiting import wait_for

Did = Callable[[tuple[Outcome, ...]], None]
_PATIENCE = timedelta(minutes=3)
"""A change of a password counts in the cloud about a minute later (connected-registry.md §3)."""
_LOOKS = 3


@task(name="plan revocation", task_run_name="plan to revoke {site.name}", **READ)
def plan_shutting(cloud: RegistrySession, site: Site) -> tuple[Revocation, ...]:
    """Return what shuts a site out; write nothing."""
    with azure_slot(cloud.registry):
        return _plan(cloud, site)


@task(name="shut out", task_run_name="shut {site.name} out of Azure", **WRITE)
def shut_out(cloud: RegistrySession, site: Site, did: Did) -> None:
    """Disable a site's tokens, remove their passwords, deactivate its connected registry.

    Azure is read again until nothing is left: a rotation that runs elsewhere at this moment may
    have generated one more password.

    Raises:
        NotOursError: A token is not the site's alone; nothing was written.
        StillLetInError: Azure goes on showing passwords.
    """
    with azure_slot(cloud.registry):
        left = due(_plan(cloud, site))
        for _ in range(_LOOKS):
            for one in left:
                _write(cloud, one)
                did((said(one.outcome),))
            left = due(_plan(cloud, site)) if left else ()
    if not left:
        return
    keys = ", ".join(one.key for one in left)
    raise StillLetInError(site.name, f"Azure still shows after every write: {keys}")


def read_credentials(
    cloud: RegistrySession, site: Site, repository: str
) -> tuple[tuple[Credential, ...], str]:
    """Return the passwords that a site knows, and what is to be said about them.

    Not a task: what it returns is for nobody else. The site is asked once; a stolen device is not
    waited for.
    """
    try:
        with open_site(site, cloud) as session:
            found = credentials_of(site, session.cluster.list_secrets(our_labels(site)))
    except FleetError as error:
        return (), f"{site.name} could not be asked for its passwords ({error})"
    if not found:
        return (), f"the Secrets of {site.name} hold no password"
    try:
        worked = {one.token for one in found if _is_let_in(cloud, one, repository)}
    except FleetError as error:
        return (), f"the registry could not be asked whether they work ({error})"
    names = " and ".join(sorted(worked))
    return found, f"{names} worked just before" if worked else "they were refused before already"


def prove_refused(
    cloud: RegistrySession, site: Site, repository: str, credentials: tuple[Credential, ...]
) -> None:
    """See that the registry refuses passwords that it took a moment ago.

    Raises:
        StillLetInError: It takes one of them after minutes.
    """
    for one in credentials:

        def look(one: Credential = one) -> tuple[bool | None, str]:
            taken = _is_let_in(cloud, one, repository)
            return None if taken else True, f"Azure to refuse the old password of {one.token}"

        refused, _ = wait_for(look, patience=_PATIENCE)
        if not refused:
            why = f"the registry lets in {one.token} with its old password"
            raise StillLetInError(site.name, why)
        say(f"refused: the old password of {one.token}")


def _is_let_in(cloud: RegistrySession, one: Credential, repository: str) -> bool:
    with azure_slot(cloud.registry):
        return cloud.catalog.lets_in(one.token, one.password, repository)


def _plan(cloud: RegistrySession, site: Site) -> tuple[Revocation, ...]:
    clients, sync = read_clients(cloud.access, site), read_sync_access(cloud.access, site)
    return plan_revocation(site, clients, sync)


def _write(cloud: RegistrySession, one: Revocation) -> None:
    match one.change:
        case ShutToken(name):
            cloud.access.shut_token(name)
        case Deactivate(name):
            cloud.access.deactivate_connected_registry(name)
        case None:
            pass
        case _:
            assert_never(one.change)
