"""Roll a site's client password: do the next step, look again, until nothing is left to do now.

`fleet.rotation` decides each step from what Azure, the pull secrets and the site's registry show;
nothing is carried from one step to the next but the order to roll.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fleet.cluster_errors import ClusterUnreachableError
from fleet.errors import FleetError, WaitingForSiteError
from fleet.host_errors import CommandTimedOutError, ConnectionLostError, SiteUnreachableError
from fleet.outcomes import Outcome
from fleet.passwords import PasswordMark
from fleet.rotation import (
    AskSite,
    AwaitSite,
    Generate,
    Idle,
    Patch,
    Prove,
    Rest,
    Retire,
    Step,
    Unstage,
    next_step,
)
from fleet.rotation_due import due_at
from tasks.expiry import raise_alarm, read_lives
from tasks.rotation_steps import (
    Place,
    attach_to_accounts,
    generate_spare,
    look_at_passwords,
    prove_password,
    put_password,
    retire_old,
    unstage,
    wait_until_accepted,
)
from tasks.sessions import SiteSession
from tasks.site_lease import passwords_to_itself
from tasks.site_runs import SiteRun

__all__ = ["Place", "Rolled", "roll_client_password", "waiting_where_away"]

_STEPS = 60
_LOOK_SECONDS = 15.0
_AWAY = (SiteUnreachableError, ConnectionLostError, CommandTimedOutError)


@dataclass(frozen=True)
class Rolled:
    """How a rotation ended: the password in use, and what happens next."""

    mark: PasswordMark
    message: str


def roll_client_password(
    place: Place, *, asked: bool, did: Callable[[list[Outcome]], None]
) -> Rolled:
    """Take a site's client password as far as it goes now.

    Args:
        place: The site.
        asked: Roll even if the password is not due by its age.
        did: Told of every write as it happens, so that a run that fails shows them too.

    Raises:
        WaitingForSiteError: The site does not know the new password yet; the old one stays.
        SiteBusyError: Another process rolls the passwords of this site.
        PasswordSlotsTakenError, PasswordUnmarkedError, NotOnboardedError: See `fleet.rotation`.
        PullTargetMissingError: The fleet file names a namespace or service account that is gone.
    """
    step = next_step(look_at_passwords(place.session, asked))
    if not isinstance(step, Idle | Rest):
        step = _roll(place, asked, did)
    did(attach_to_accounts(place.session))
    return Rolled(step.mark, _message(step, place))


def _roll(place: Place, asked: bool, did: Callable[[list[Outcome]], None]) -> Idle | Rest:
    with passwords_to_itself(place.session) as renew:
        for _ in range(_STEPS):
            renew()
            step = next_step(look_at_passwords(place.session, asked))
            if isinstance(step, Idle | Rest):
                return step
            if isinstance(step, AskSite):
                step = _ask(place, step, renew)
            asked = asked and not isinstance(step, Generate)
            did(_do(place, step))
    raise FleetError(
        f"the rotation at {place.session.site.name} does not come to an end; report it"
    )


@contextmanager
def waiting_where_away(session: SiteSession, run: SiteRun) -> Iterator[None]:
    """Call a site that cannot be reached waiting, unless its password ends before long.

    Raises:
        WaitingForSiteError: The site is away; the next run takes it up.
        PasswordEndsError: It is away, and the password that it uses ends before long.
    """
    try:
        yield
    except (*_AWAY, ClusterUnreachableError) as error:
        if isinstance(error, ClusterUnreachableError) and _answers(session):
            raise
        _alert(session, run, str(error))
        raise WaitingForSiteError(
            f"{session.site.name} is away ({error}). Its pulls go on with the password that it "
            "has; the next rotation takes it up."
        ) from error
    except WaitingForSiteError as error:
        _alert(session, run, str(error))
        raise


def _answers(session: SiteSession) -> bool:
    """Return whether the site's server answers: then only its cluster is silent."""
    try:
        session.server.host.run("true", timeout=_LOOK_SECONDS)
    except _AWAY:
        return False
    return True


def _alert(session: SiteSession, run: SiteRun, why: str) -> None:
    lives = read_lives(session.cloud, session.site, run.record)
    raise_alarm(session.site, lives, session.cloud.access.now(), why)


def _ask(place: Place, step: AskSite, renew: Callable[[], None]) -> Step:
    """Wait for the site to take the staged password, then return what to do about it."""
    accepted = wait_until_accepted(place, renew)
    renew()
    world = look_at_passwords(place.session, False)
    return next_step(world.model_copy(update={"accepted": accepted}))


def _do(place: Place, step: Step) -> list[Outcome]:
    session = place.session
    match step:
        case Generate(slot):
            return generate_spare(session, slot)
        case Patch():
            return put_password(place, step)
        case Unstage():
            return unstage(session)
        case Prove():
            return prove_password(place)
        case Retire():
            return retire_old(session, step)
        case AwaitSite(mark):
            raise WaitingForSiteError(_still_waiting(session, mark))
    return []


def _still_waiting(session: SiteSession, mark: PasswordMark) -> str:
    name = session.site.name
    return (
        f"{name} or the cloud does not accept the new password ({mark.slot} of {mark.token}) yet: "
        "the site learns of it when it synchronises with Azure. Pulls go on with the old one, "
        "which stays. The next rotation goes on from here."
    )


def _message(step: Idle | Rest, place: Place) -> str:
    if isinstance(step, Rest):
        end = f"{step.until:%Y-%m-%d %H:%M} UTC"
        return f"{step.mark.slot} is in use and proven; the old password goes after {end}"
    due = due_at(step.mark, place.session.site.name, place.session.site.rotation)
    when = f"{due:%Y-%m-%d}" if due else "now"
    return f"{step.mark.slot} is in use, next rotation {when}"
