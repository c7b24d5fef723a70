"""Roll a site's sync password: do the next step, look again, until nothing is left to do now.

`fleet.sync_rotation` decides each step from what Azure and the Secrets at the site show.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task

from fleet.errors import FleetError, NotOnboardedError, WaitingForSiteError
from fleet.helm_chart import connection_secret_name
from fleet.holds import window_error
from fleet.outcomes import Outcome
from fleet.passwords import PasswordMark
from fleet.rotation_due import due_at
from fleet.sync_notes import BEFORE, STAGING, connection_of, kept_password_of, kept_string_of
from fleet.sync_rotation import next_sync_step
from fleet.sync_world import (
    AskAzure,
    AwaitSync,
    ForgetString,
    GenerateSync,
    NoteSync,
    PutBack,
    PutString,
    RetireSync,
    SyncIdle,
    SyncStep,
    SyncWorld,
    TakeString,
    UnstageSync,
    WatchSync,
)
from tasks.azure_limits import azure_slot
from tasks.helm_install import check_installer
from tasks.policy import READ
from tasks.run_log import say
from tasks.sessions import SiteSession
from tasks.site_lease import passwords_to_itself
from tasks.sync_secrets import (
    generate_sync,
    note_sync,
    put_back,
    put_string,
    remove_kept,
    retire_sync,
)
from tasks.sync_watch import (
    read_state,
    take_string,
    wait_until_azure_accepts,
    watch_sync,
)

_STEPS = 60
Did = Callable[[list[Outcome]], None]


@task(
    name="look at the sync password",
    task_run_name="look at the sync password of {session.site.name}",
    **READ,
)
def look_at_sync(session: SiteSession, asked: bool) -> SyncWorld:
    """Return everything that decides the next step; passwords only as hashes."""
    site, cluster, namespace = session.site, session.cluster, session.site.chart.namespace
    state = read_state(session)
    with azure_slot(session.cloud.registry):
        token = session.cloud.access.read_token(site.names.sync_token)
    if token is None:
        raise NotOnboardedError(f"The sync token {site.names.sync_token} does not exist in Azure.")
    held = connection_of(cluster.find_secret(namespace, connection_secret_name(site.chart)))
    now = session.cloud.access.now()
    due = due_at(held.mark, site.name, site.rotation) if held.mark else None
    return SyncWorld(
        token=token.name,
        slots=token.slots,
        held=held,
        staged=kept_password_of(cluster.find_secret(namespace, STAGING)),
        before=kept_string_of(cluster.find_secret(namespace, BEFORE)),
        online=state.is_online,
        now=now,
        is_due=asked or (due is not None and due <= now),
    )


@dataclass(frozen=True)
class RolledSync:
    """How a rotation of the sync password ended: the one in use, and what happens next."""

    mark: PasswordMark
    message: str


def roll_sync_password(
    session: SiteSession, repository: str, *, asked: bool, did: Did
) -> RolledSync:
    """Take a site's sync password as far as it goes now.

    Args:
        session: The site.
        repository: Any repository of its registry, to ask Azure with.
        asked: Roll even if the password is not due by its age.
        did: Told of every write as it happens, so that a run that fails shows them too.

    Raises:
        WaitingForSiteError: Azure or the site has not followed; both passwords stay.
        WindowClosedError: The registry would be restarted outside of the site's window.
        SiteBusyError: Another process rolls the passwords of this site.
        PasswordSlotsTakenError, PasswordUnmarkedError, NotOnboardedError: See
            `fleet.sync_rotation`.
    """
    step = next_sync_step(look_at_sync(session, asked))
    if isinstance(step, GenerateSync | AskAzure | PutString):
        _refuse_outside_window(session)
    if not isinstance(step, SyncIdle | AwaitSync):
        with passwords_to_itself(session) as renew:
            step = _Roll(session, repository, asked, did, renew).run()
    if isinstance(step, AwaitSync):
        raise WaitingForSiteError(f"The sync password of {session.site.name}: {step.why}.")
    due = due_at(step.mark, session.site.name, session.site.rotation)
    when = f"{due:%Y-%m-%d}" if due else "now"
    return RolledSync(step.mark, f"sync {step.mark.slot}, next rotation {when}")


def _refuse_outside_window(session: SiteSession) -> None:
    """Refuse to begin what ends in a restart of the registry; what has begun is brought to an end.

    Raises:
        WindowClosedError: It says when the next window opens.
    """
    name = session.site.name
    what = f"The sync password of {name} is due, and a new one restarts the site's registry"
    error = window_error(session.site, what, datetime.now(UTC))
    if error:
        raise error


class _Roll:
    """One run of the rotation: what it was told, and what it has done so far."""

    def __init__(
        self,
        session: SiteSession,
        repository: str,
        asked: bool,
        did: Did,
        renew: Callable[[], None],
    ) -> None:
        self._session, self._repository = session, repository
        self._asked, self._did, self._renew = asked, did, renew
        self._gave_up = False

    def run(self) -> SyncIdle | AwaitSync:
        for _ in range(_STEPS):
            self._renew()
            step = next_sync_step(self._look())
            if isinstance(step, AskAzure | TakeString | WatchSync):
                step = self._wait(step)
            if isinstance(step, SyncIdle | AwaitSync):
                return step
            self._begins(step)
            self._did(self._do(step))
        name = self._session.site.name
        raise FleetError(f"the sync rotation at {name} does not come to an end; report it")

    def _look(self) -> SyncWorld:
        world = look_at_sync(self._session, self._asked)
        return world.model_copy(update={"gave_up": self._gave_up})

    def _wait(self, step: AskAzure | TakeString | WatchSync) -> SyncStep:
        """Wait for what a step needs to know, then return what to do about it."""
        found: dict[str, object] = {}
        if isinstance(step, AskAzure):
            found["accepted"] = wait_until_azure_accepts(self._session, self._repository)
        elif isinstance(step, TakeString):
            found["taken"], outcomes = take_string(self._session)
            self._did(outcomes)
        else:
            found["followed"] = watch_sync(self._session)
        self._renew()
        return next_sync_step(self._look().model_copy(update=found))

    def _begins(self, step: SyncStep) -> None:
        if isinstance(step, GenerateSync | PutString):
            _refuse_outside_window(self._session)
            check_installer(self._session)
        if isinstance(step, GenerateSync | PutString | NoteSync):
            self._asked = False
        if isinstance(step, PutBack):
            say("the registry did not follow the new connection string; the old one goes back")
            self._gave_up = True

    def _do(self, step: SyncStep) -> list[Outcome]:
        session, done = self._session, list[Outcome]()
        match step:
            case GenerateSync(slot):
                done = generate_sync(session, slot)
            case PutString():
                done = put_string(session, step)
            case NoteSync():
                done = note_sync(session)
            case PutBack():
                done = put_back(session, step)
            case UnstageSync():
                done = remove_kept(session, STAGING)
            case ForgetString():
                done = remove_kept(session, BEFORE)
            case RetireSync():
                done = retire_sync(session, step)
        return done
