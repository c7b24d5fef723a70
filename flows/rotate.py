"""Roll credentials: every site's when it is due by its age, one site's on demand."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.client_tokens import clients_of
from fleet.errors import FleetError, WaitingForSiteError
from fleet.pull_errors import (
    PasswordSlotsTakenError,
    PasswordUnmarkedError,
    PullTargetMissingError,
)
from fleet.records import with_client_password
from flows.running import run_fleet
from tasks.rotation import Place, Rolled, roll_client_password, waiting_where_away
from tasks.sessions import open_site
from tasks.site_facts import find_site_registry
from tasks.site_runs import SiteRun, alone_at
from tasks.sync_rotation import RolledSync, roll_sync_password
from tasks.upstreams import Upstream

R = TypeVar("R")
_ITS_OWN = (PasswordSlotsTakenError, PasswordUnmarkedError, PullTargetMissingError)
_End = Rolled | RolledSync | FleetError


@flow(name="rotate site", flow_run_name="rotate {site}", persist_result=False)
def rotate_site(fleet_file: str, site: str, ignore_windows: bool = False) -> State[None]:
    """Roll the passwords of one site now, whatever their age.

    Args:
        fleet_file: Path of the fleet file.
        site: Name of the site in it.
        ignore_windows: Restart what is due outside of maintenance windows too, in this run.
    """
    return run_fleet(
        "rotate", partial(rotate, asked=True), fleet_file, [site], ignore_windows=ignore_windows
    )


@flow(name="rotate tokens", flow_run_name="rotate tokens of {fleet_file}", persist_result=False)
def rotate_tokens(
    fleet_file: str,
    sites: list[str] | None = None,
    tags: list[str] | None = None,
    labels: list[str] | None = None,
    now: bool = False,
    resume: bool = False,
    ignore_windows: bool = False,
) -> State[None]:
    """Roll the passwords that are due by their age, and finish what earlier runs began.

    Args:
        fleet_file: Path of the fleet file.
        sites: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
        now: Roll all of them, whatever their age.
        resume: Leave out sites that are done since the last run of this, which was interrupted.
        ignore_windows: Restart what is due outside of maintenance windows too, in this run.
    """
    work = partial(rotate, asked=now)
    return run_fleet(
        "rotate",
        work,
        fleet_file,
        sites,
        tags,
        labels,
        in_shards=True,
        in_waves=True,
        how="now" if now else "",
        resume=resume,
        ignore_windows=ignore_windows,
    )


def rotate(run: SiteRun, upstream: Upstream, *, asked: bool) -> None:
    """Roll one site's passwords as far as the site follows; the next run takes them up from there.

    The clients' come first, one token after the other. The sync password does not wait for them: a
    registry that cannot synchronise any more never learns of a new client password either. What
    stands in the way of one password (`_ITS_OWN`) or makes it wait holds up no other one; any other
    error says something about the site, where nothing more is rolled then.

    Raises:
        WaitingForSiteError: A password waits; what became of the others is said with it.
        PasswordSlotsTakenError, PasswordUnmarkedError, PullTargetMissingError: So is it here.
    """
    site, login_server = run.site, upstream.facts.login_server
    probe = upstream.probe_image_of(site)
    ends: list[_End] = []
    with (
        alone_at(run),
        open_site(site, upstream.cloud) as session,
        waiting_where_away(session, run),
    ):
        endpoint = find_site_registry(session)
        for view in clients_of(site):
            with session.seen_as(view):
                place = Place(session, endpoint, login_server, upstream.probe_image_of(view))
                client = _or_held(partial(roll_client_password, place, asked=asked, did=run.did))
            if isinstance(client, Rolled):
                run.record = with_client_password(run.record, view, client.mark)
            ends.append(client)
        sync = _or_held(
            partial(roll_sync_password, session, probe.repository, asked=asked, did=run.did)
        )
        if isinstance(sync, RolledSync):
            run.record = run.record.model_copy(update={"sync_password": sync.mark})
        ends.append(sync)
        held = [end for end in ends if isinstance(end, FleetError)]
        if held:
            worst: type[FleetError] = next(
                (type(end) for end in held if isinstance(end, _ITS_OWN)), WaitingForSiteError
            )
            raise worst(" ".join(_words(end) for end in ends))
    run.message = "; ".join(end.message for end in ends if not isinstance(end, FleetError))


def _or_held(roll: Callable[[], R]) -> R | FleetError:
    """Return how a rotation ended, or what holds it up: the others go on all the same."""
    try:
        return roll()
    except (WaitingForSiteError, *_ITS_OWN) as error:
        return error


def _words(end: _End) -> str:
    return str(end) if isinstance(end, FleetError) else f"({end.message}.)"
