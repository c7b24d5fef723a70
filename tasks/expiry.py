"""Look up in Azure when sites' passwords end, and raise the alarm in time; no site is asked."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from prefect import task

from fleet.client_tokens import further_clients
from fleet.errors import FleetError
from fleet.expiry import CLIENT, SYNC, Life, describe, ending_soon, life_of, what_to_do
from fleet.passwords import PasswordMark
from fleet.pull_errors import PasswordEndsError
from fleet.records import SiteRecord
from fleet.rotation_due import whole_days
from fleet.site_events import SiteEvent
from fleet.sites import Fleet, Site
from tasks.azure_limits import azure_slot
from tasks.events import emit_site_event
from tasks.policy import READ
from tasks.run_log import warn
from tasks.sessions import RegistrySession, open_registry_session
from tasks.upstreams import UpstreamBrokenError


class Clouds:
    """The registries of a run, open but not looked at: an expiry needs no data endpoint."""

    def __init__(self, fleet: Fleet, sites: Iterable[Site]) -> None:
        """Open the registries of these sites; one that cannot be fails its own sites alone."""
        self._open: dict[str, RegistrySession] = {}
        self._broken: dict[str, str] = {}
        for key in sorted({site.registry for site in sites}):
            try:
                self._open[key] = open_registry_session(fleet.registries[key])
            except FleetError as error:
                self._broken[key] = f"registry {key}: {error}"
                warn(self._broken[key])

    def of(self, site: Site) -> RegistrySession:
        """Return a site's registry, or raise what is wrong with it."""
        if site.registry in self._broken:
            raise UpstreamBrokenError(self._broken[site.registry])
        return self._open[site.registry]

    def close(self) -> None:
        """Close the connections to Azure."""
        for cloud in self._open.values():
            cloud.close()


@contextmanager
def open_clouds(fleet: Fleet, sites: Sequence[Site]) -> Iterator[Clouds]:
    """Open the registries that these sites use, and close them after the block."""
    clouds = Clouds(fleet, sites)
    try:
        yield clouds
    finally:
        clouds.close()


@task(name="read lives", task_run_name="read how long the passwords of {site.name} last", **READ)
def read_lives(cloud: RegistrySession, site: Site, record: SiteRecord) -> tuple[Life, ...]:
    """Return how long a site's passwords last: one call to Azure for each token."""
    tokens = (
        (CLIENT, site.names.client_token, record.password),
        (SYNC, site.names.sync_token, record.sync_password),
        *(
            (CLIENT, view.names.client_token, record.further_passwords.get(view.names.client_token))
            for view in further_clients(site)
        ),
    )
    lives = (_read_life(cloud, use, name, mark) for use, name, mark in tokens)
    return tuple(life for life in lives if life is not None)


def _read_life(
    cloud: RegistrySession, use: str, name: str, mark: PasswordMark | None
) -> Life | None:
    with azure_slot(cloud.registry):
        token = cloud.access.read_token(name)
    return life_of(use, name, token.slots if token else {}, mark, cloud.access.now())


def raise_alarm(site: Site, lives: Sequence[Life], now: datetime, why: str | None = None) -> None:
    """Tell Prefect and fail the site if a password of it ends before long.

    Args:
        site: The site.
        lives: How long its passwords last.
        now: The present by Azure's clock, UTC.
        why: Why it cannot get another one by itself; None: nothing is known to be in the way.

    Raises:
        PasswordEndsError: Names the passwords, their ends, and what to do.
    """
    ending = ending_soon(lives, now, site.rotation.alert_before)
    if not ending:
        return
    told = "; ".join(describe(life, now) for life in ending)
    passwords = [_row(life, now) for life in ending]
    payload = {"message": told, "reason": why or "", "passwords": passwords}
    emit_site_event(SiteEvent.EXPIRING, site, payload)
    because = f" It cannot get another one now: {why}" if why else ""
    raise PasswordEndsError(f"{site.name}: {told}.{because} {what_to_do(site.name)}")


def _row(life: Life, now: datetime) -> dict[str, str | int | None]:
    return {
        "use": life.use,
        "token": life.token,
        "slot": life.slot,
        "ends": life.ends.isoformat() if life.ends and life.slot else None,
        "days_left": whole_days(life.ends, now) if life.ends and life.slot else None,
    }
