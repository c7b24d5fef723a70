"""Keep every other rotation away from a site's passwords, whichever Prefect server it is on."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet.cluster_errors import ClusterChangedError, ClusterRefusedError
from fleet.errors import FleetError
from fleet.site_lease import LEASE, Holder, LeaseView, lease_body
from tasks.run_log import warn
from tasks.sessions import SiteSession
from tasks.site_locks import SiteBusyError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def passwords_to_itself(session: SiteSession) -> Iterator[Callable[[], None]]:
    """Hold the site's Lease while the block runs; yields what renews it.

    Call it before every step: whoever lost the Lease must not go on. It reads every time, and
    writes every few minutes.

    Raises:
        SiteBusyError: Another process rolls the passwords of this site.
    """
    me = _me()
    _take(session, me)
    try:
        yield lambda: _take(session, me)
    finally:
        _give_up(session, me)


def _take(session: SiteSession, me: Holder) -> None:
    cluster, namespace = session.cluster, session.site.chart.namespace
    found, now = cluster.find_lease(namespace, LEASE), session.cloud.access.now()
    if found is not None and found.is_fresh(me, now):
        return
    if found is not None and not found.is_free(me, now, is_alive=_is_alive(found)):
        raise _busy(session, found.holder)
    try:
        if found is None:
            cluster.create_lease(namespace, lease_body(me, now, None))
        else:
            cluster.patch_lease(namespace, LEASE, lease_body(me, now, found))
    except (ClusterChangedError, ClusterRefusedError) as error:
        if isinstance(error, ClusterRefusedError) and error.status != 409:
            raise
        found = cluster.find_lease(namespace, LEASE)
        if found is None or found.holder != str(me):  # ours: the answer to our own write was lost
            raise _busy(session, "another process, just now") from None


def _give_up(session: SiteSession, me: Holder) -> None:
    """Let go; where the site does not answer, the Lease ends by itself."""
    cluster, namespace = session.cluster, session.site.chart.namespace
    try:
        found = cluster.find_lease(namespace, LEASE)
        if found is not None and found.holder == str(me):
            now = session.cloud.access.now()
            cluster.patch_lease(namespace, LEASE, lease_body(None, now, found))
    except FleetError as error:
        warn(f"the Lease {namespace}/{LEASE} stays for some minutes: {error}")


def _busy(session: SiteSession, holder: str) -> SiteBusyError:
    return SiteBusyError(
        f"another run rolls the passwords of {session.site.name} ({holder}). Wait until it ends; "
        f"nothing was changed by this one. The Lease {session.site.chart.namespace}/{LEASE} in "
        "the site's cluster says who it is."
    )


def _me() -> Holder:
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"
    return Holder(machine=socket.gethostname(), boot=boot, process=os.getpid())


def _is_alive(lease: LeaseView) -> bool:
    holder = Holder.parse(lease.holder)
    if holder is None:
        return True
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
