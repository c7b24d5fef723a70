"""One writer per site: two runs that write to the same site at once would undo each other.

Azure's connected registries, scope maps and tokens have no ETag, so the later of two writers wins
in silence. A Prefect concurrency limit of one per site keeps runs apart, on one machine or many.

A run that is killed leaves its slot taken. Prefect frees it after a minute, but keeps leases in
memory by default: a server that restarts first, as a temporary one always does, never frees it. So
each machine also keeps a locked file per site: the system drops that lock with the process, and a
file that is free but still names a slot tells the next run on this machine what to give back.
"""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import IO
from uuid import UUID

import httpx
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from fleet.errors import FleetError
from fleet.sites import Site
from tasks.prefect_calls import PATIENCE, ask
from tasks.prefect_limits import make_limit
from tasks.run_log import say, warn
from tasks.waiting import pause

_LEASE = 60.0
_REPOSSESSION = 45.0
"""Prefect looks for ended leases every 15 s; a busy one takes longer."""
_RENEW = 20.0
_POLL = 1.0


class SiteBusyError(FleetError):
    """Wait for the other run of this site, or cancel it; nothing was changed by this one."""


def limit_name(site: Site) -> str:
    """Return the name of a site's concurrency limit, as it stands in the Prefect UI."""
    return f"acrfleet-site-{site.registry}-{site.names.connected_registry}"


@contextmanager
def site_to_itself(site: Site, patience: float = _LEASE + _REPOSSESSION) -> Iterator[None]:
    """Keep every other run from writing to the site while the block runs.

    Args:
        site: The site.
        patience: Seconds to wait for another run; longer than the slot of a killed run lives.

    Raises:
        SiteBusyError: Another run holds the site.
    """
    with _alone(limit_name(site), site, patience):
        yield


@contextmanager
def scope_map_to_itself(
    site: Site, *, unless: bool = False, patience: float = _LEASE + _REPOSSESSION
) -> Iterator[None]:
    """Keep every other run from writing a site's sync scope map while the block runs.

    Only sites with others below them need it: runs of those extend the scope map of a site that
    they do not hold. It is held for a few calls, so that siblings do not wait for each other long.

    Args:
        site: The site whose scope map it is.
        unless: Nobody else writes it, so there is nothing to hold.
        patience: Seconds to wait for another run.

    Raises:
        SiteBusyError: Another run holds it.
    """
    if unless:
        yield
        return
    name = limit_name(site).replace("acrfleet-site-", "acrfleet-map-", 1)
    with _alone(name, site, patience):
        yield


class _Wait:
    """Waiting for another run, which is said once: hundreds of sites may wait."""

    def __init__(self, site: Site, patience: float) -> None:
        self._site = site
        self._deadline = time.monotonic() + patience
        self._said = False

    def go_on(self) -> None:
        """Wait a moment, or raise that the site is busy."""
        site = self._site
        if time.monotonic() >= self._deadline:
            raise SiteBusyError(
                f"another run is at work on {site.name}: wait until it ends, or cancel it in the "
                "Prefect UI, and start this one again. If you are sure that none is alive (run and "
                "server were killed together), free the site with "
                f"`prefect gcl update {limit_name(site)} --active-slots 0`."
            )
        if not self._said:
            say(f"waiting: another run is at work on {site.name}")
        self._said = True
        pause(_POLL)


@contextmanager
def _alone(name: str, site: Site, patience: float) -> Iterator[None]:
    wait = _Wait(site, patience)
    with _locked_file(name, wait) as file:
        ask(lambda client: make_limit(client, name, 1))
        _give_back_forgotten_slot(name, file)
        hold = _Hold(name, site, _take_slot(name, wait), file)
        try:
            with _renewing(hold):
                yield
        finally:
            _release(hold.lease)
            _write(file, "")


class _Hold:
    """A slot that a run has, and that it takes again when it was lost while the server was away."""

    def __init__(self, name: str, site: Site, lease: UUID, file: IO[str]) -> None:
        self._name, self._site, self._file = name, site, file
        self._keep(lease)

    def _keep(self, lease: UUID) -> None:
        self.lease = lease
        _write(self._file, str(lease))

    def renew(self) -> None:
        """Keep the lease alive; where that fails it is tried again, and the work goes on."""
        try:
            ask(lambda client: client.renew_concurrency_lease(self.lease, _LEASE), patience=0)
        except PrefectHTTPStatusError as error:
            if error.response.status_code == httpx.codes.GONE:
                self._take_again()
        except httpx.HTTPError:
            return

    def _take_again(self) -> None:
        """Take the slot as soon as it is free: nobody could take it while the server was away."""
        try:
            self._keep(_ask_for_slot(self._name, patience=0))
        except PrefectHTTPStatusError as error:
            if error.response.status_code == httpx.codes.LOCKED:
                warn(
                    f"the slot of {self._site.name} was lost while the Prefect server was away, and"
                    " is taken: if another run is at work on it, cancel one of both"
                )
        except httpx.HTTPError:
            return


@contextmanager
def _locked_file(name: str, wait: _Wait) -> Iterator[IO[str]]:
    folder = Path(get_current_settings().home) / "acrfleet-locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                wait.go_on()
        yield file


def _give_back_forgotten_slot(name: str, file: IO[str]) -> None:
    """Free the slot that a killed run of this machine still holds."""
    file.seek(0)
    left = file.read().strip()
    if not left:
        return
    warn("an earlier run on this machine was killed while it held this site; going on after it")
    _release(UUID(left))
    if get_current_settings().api.url is None:
        # A temporary server ended with the run that it served and forgot the lease.
        change = GlobalConcurrencyLimitUpdate(active_slots=0)
        ask(lambda client: client.update_global_concurrency_limit(name, change))
    _write(file, "")


def _take_slot(name: str, wait: _Wait) -> UUID:
    while True:
        try:
            return _ask_for_slot(name)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != httpx.codes.LOCKED:
                raise
            wait.go_on()


def _ask_for_slot(name: str, patience: float = PATIENCE) -> UUID:
    answer = ask(
        lambda client: client.increment_concurrency_slots_with_lease(
            [name], 1, "concurrency", _LEASE
        ),
        patience=patience,
    )
    return UUID(answer.json()["lease_id"])


@contextmanager
def _renewing(hold: _Hold) -> Iterator[None]:
    """Renew what a run holds for as long as the block runs."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_RENEW):
            hold.renew()

    thread = threading.Thread(
        target=copy_context().run, args=(renew,), name="site lock", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _release(lease: UUID) -> None:
    """Give a slot back; where the server does not answer, the lease ends by itself."""
    try:
        ask(lambda client: client.release_concurrency_slots_with_lease(lease), patience=0)
    except httpx.HTTPError as error:
        warn(f"the site's slot could not be given back ({type(error).__name__}); it ends by itself")


def _write(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
