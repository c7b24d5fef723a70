"""One writer per site: two runs that write to the same site at once would undo each other.

Azure's connected registries, scope maps and tokens have no ETag, so the later of two writers wins
in silence. A Prefect concurrency limit of one per site keeps runs apart, on one machine or many. A
run that is killed leaves its lock behind for at most `_LEASE` seconds.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from fleet.errors import FleetError
from fleet.sites import Site

_LEASE = 60.0


class SiteBusyError(FleetError):
    """Wait for the other run of this site, or cancel it; nothing was changed by this one."""


@contextmanager
def site_to_itself(site: Site, patience: float = _LEASE + 15) -> Iterator[None]:
    """Keep every other run from writing to the site while the block runs.

    Args:
        site: The site.
        patience: Seconds to wait for another run; longer than the lock of a killed run lives.

    Raises:
        SiteBusyError: Another run holds the site and is alive.
    """
    name = f"acrfleet-site-{site.registry}-{site.names.connected_registry}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with _acquired(name, site, patience):
        yield


@contextmanager
def _acquired(name: str, site: Site, patience: float) -> Iterator[None]:
    slot = concurrency(
        name,
        timeout_seconds=patience,
        lease_duration=_LEASE,
        strict=True,
        raise_on_lease_renewal_failure=False,
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(slot)
        except TimeoutError:
            raise SiteBusyError(
                f"another run has been at work on {site.name} for {patience:.0f} s: wait until it "
                "ends, or cancel it in the Prefect UI, and start this one again"
            ) from None
        yield
