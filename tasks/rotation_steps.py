"""The single steps of a rotation: each one effect, after which another run can go on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect import task
from pydantic import SecretStr

from fleet.azure_objects import PasswordSlot
from fleet.cluster_objects import SecretView
from fleet.errors import NotOnboardedError, TemporaryError
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.passwords import PasswordMark, as_azure_shows_it, settled
from fleet.pull_secrets import (
    docker_config,
    pull_hosts,
    pull_secret_body,
    read_password,
    read_staged,
    require_ours,
    staging_body,
    staging_name,
    without_value,
)
from fleet.rotation import Patch, Retire, World
from fleet.rotation_due import due_at
from fleet.rotation_notes import change_notes, holder_of, proof_notes, staged_of
from fleet.verification import ProbeImage
from tasks.azure_limits import azure_slot
from tasks.policy import READ, WRITE
from tasks.pull_secrets import (
    read_client_token,
    read_pull_secrets_elsewhere,
    read_target_namespaces,
)
from tasks.run_log import said, say
from tasks.service_accounts import attach_pull_secrets
from tasks.sessions import SiteSession
from tasks.verification import verify_pulls
from tasks.waiting import wait_for


@dataclass(frozen=True)
class Place:
    """Where a rotation happens: the site, where its registry answers, and what proves a pull."""

    session: SiteSession
    endpoint: SiteEndpoint
    login_server: str
    probe: ProbeImage


@task(
    name="look at passwords",
    task_run_name="look at the passwords of {session.site.name}",
    **READ,
)
def look_at_passwords(session: SiteSession, asked: bool) -> World:
    """Return everything that decides the next step; passwords only as hashes."""
    site, token = session.site, read_client_token(session)
    now = session.cloud.access.now()
    holders = [
        holder_of(namespace, found, token.name)
        for namespace, found in _read_secrets(session).items()
    ]
    named = [
        one.model_copy(update={"mark": settled(one.mark, token.slots, now)}) if one.mark else one
        for one in holders
    ]
    staged = session.cluster.find_secret(site.chart.namespace, staging_name(site))
    marks = [one.mark for one in named if one.mark is not None]
    return World(
        token=token.name,
        slots=token.slots,
        holders=tuple(named),
        staged=staged_of(staged),
        now=now,
        is_due=asked or is_due(session, marks, now),
        grace=site.rotation.grace,
    )


def is_due(session: SiteSession, marks: list[PasswordMark], now: datetime) -> bool:
    """Return whether the newest password of a site is due by its age."""
    newest = max(marks, key=lambda mark: (mark.created is not None, mark.created), default=None)
    if newest is None:
        return False
    due = due_at(newest, session.site.name, session.site.rotation)
    return due is None or due <= now


@task(
    name="wait until accepted",
    task_run_name="wait until {place.session.site.name} accepts the password",
    **READ | {"timeout_seconds": 3600},
)
def wait_until_accepted(place: Place, renew: Callable[[], None]) -> bool:
    """Return whether the site's own registry and the cloud take the staged password in time.

    The cloud, because pulls go there while the site's registry is away, and for images that it
    does not have; a renewed password counts there a minute later. A site that Azure calls offline
    is asked once: no new password reaches it. `renew` keeps the site's Lease meanwhile.
    """
    session = place.session
    site, user = session.site, session.site.names.client_token
    staged = session.cluster.find_secret(site.chart.namespace, staging_name(site))
    _, value = read_staged(staged)
    if value is None:
        return False
    patience = site.patience.accepted if _is_online(session) else timedelta()
    scope = f"repository:{place.probe.repository}:pull"

    def look() -> tuple[bool | None, str]:
        renew()
        try:
            with session.open_registry(place.endpoint) as registry:
                token = registry.fetch_token(registry.read_challenge(), user, value, scope)
        except TemporaryError as error:
            return None, f"the registry of {site.name} to answer: {error}"
        if token is None:
            return None, f"{site.name} to accept the new password of {user}"
        with azure_slot(session.cloud.registry):
            taken = session.cloud.catalog.lets_in(user, value, place.probe.repository)
        return (True, "") if taken else (None, f"the cloud to accept the new password of {user}")

    return bool(wait_for(look, patience=patience)[0])


@task(
    name="generate the spare password",
    task_run_name="generate {slot} for {session.site.name}",
    **WRITE,
)
def generate_spare(session: SiteSession, slot: str) -> list[Outcome]:
    """Generate the slot that nobody uses: a note first, then the password, then its value, kept.

    A run that dies in between leaves a note, and the next one generates the same slot again.
    """
    site, cluster, access = session.site, session.cluster, session.cloud.access
    namespace, token = site.chart.namespace, site.names.client_token
    note = staging_body(site, PasswordMark(token=token, slot=slot), None)
    if cluster.find_secret(namespace, staging_name(site)) is None:
        cluster.create_secret(namespace, note)
    else:
        cluster.patch_secret(namespace, staging_name(site), without_value(note))
    lifetime = site.pull_secrets.expires_after
    with azure_slot(session.cloud.registry):
        expires = access.now() + lifetime if lifetime else None
        made = access.renew_password(token, slot, expires)
        state = access.read_token(token)
    shown = state.slots.get(slot) if state else None
    times = as_azure_shows_it(PasswordSlot(made.created, made.expires), shown)
    mark = PasswordMark(token=token, slot=slot, created=times.created, expires=times.expires)
    cluster.patch_secret(namespace, staging_name(site), staging_body(site, mark, made.value))
    return [said(Outcome(kind="password", name=token, action=Action.CREATED, detail=slot))]


@task(
    name="put the new password",
    task_run_name="put the new password into the pull secrets of {place.session.site.name}",
    **WRITE,
)
def put_password(place: Place, step: Patch) -> list[Outcome]:
    """Write the new password into the pull secrets that lack it, in place."""
    session, site = place.session, place.session.site
    secrets = _read_secrets(session)
    value = _value_of(session, secrets, step.mark)
    hosts, outcomes = pull_hosts(place.endpoint, place.login_server), []
    for namespace in step.namespaces:
        found = secrets[namespace]
        require_ours(site, namespace, found)
        body = pull_secret_body(
            site, docker_config(hosts, step.mark.token, value, found), step.mark
        )
        body["metadata"]["annotations"] |= change_notes(session.cloud.access.now(), step.previous)
        if found is None:
            session.cluster.create_secret(namespace, body)
        else:
            session.cluster.patch_secret(namespace, site.pull_secrets.name, body)
        name = f"{namespace}/{site.pull_secrets.name}"
        action = Action.CREATED if found is None else Action.CHANGED
        outcomes.append(
            said(Outcome(kind="pull secret", name=name, action=action, detail=step.mark.slot))
        )
    return outcomes


@task(
    name="remove the staging Secret",
    task_run_name="remove the staging Secret of {session.site.name}",
    **WRITE,
)
def unstage(session: SiteSession) -> list[Outcome]:
    """Remove the staging Secret, which has nothing more to say."""
    session.cluster.delete_secret(session.site.chart.namespace, staging_name(session.site))
    return []


def prove_password(place: Place) -> list[Outcome]:
    """Pull at the site with what the pull secrets hold, on every node, and note that it worked."""
    session, name = place.session, place.session.site.pull_secrets.name
    verify_pulls(session, place.endpoint, place.login_server, place.probe)
    notes = {"metadata": {"annotations": proof_notes(session.cloud.access.now())}}
    for namespace, found in _read_secrets(session).items():
        if found is not None:
            session.cluster.patch_secret(namespace, name, notes)
    return []


@task(
    name="attach pull secrets",
    task_run_name="attach the pull secrets of {session.site.name} to service accounts",
    **WRITE,
)
def attach_to_accounts(session: SiteSession) -> list[Outcome]:
    """Give the pull secret to service accounts that are new since the last time."""
    return attach_pull_secrets(session, read_target_namespaces(session))


@task(
    name="retire the old password",
    task_run_name="retire {step.old.slot} of {session.site.name}",
    **WRITE,
)
def retire_old(session: SiteSession, step: Retire) -> list[Outcome]:
    """Remove the old password from Azure, if it is still the one that we replaced."""
    token = session.site.names.client_token
    with azure_slot(session.cloud.registry):
        state = session.cloud.access.read_token(token)
        there = state.slots.get(step.old.slot) if state else None
        if there is None or there.created != step.old.created:
            say(f"{step.old.slot} of {token} is not the old password any more; it was left alone")
            return []
        session.cloud.access.keep_passwords(token, (step.keep.slot,))
    kind, detail = "password", f"{step.old.slot} retired"
    return [said(Outcome(kind=kind, name=token, action=Action.CHANGED, detail=detail))]


def _value_of(
    session: SiteSession, secrets: dict[str, SecretView | None], mark: PasswordMark
) -> SecretStr:
    """Return the password that a mark names: it waits in the staging Secret, or is in use."""
    staged = session.cluster.find_secret(session.site.chart.namespace, staging_name(session.site))
    staged_mark, value = read_staged(staged)
    if staged_mark == mark and value is not None:
        return value
    for found in filter(None, secrets.values()):
        password = read_password(found, mark.token)
        if password is not None and PasswordMark.from_annotations(found.meta.annotations) == mark:
            return password
    raise NotOnboardedError(
        f"No Secret at {session.site.name} holds {mark.slot} of {mark.token} any more; somebody "
        "changed them meanwhile. Run the rotation again."
    )


def _read_secrets(session: SiteSession) -> dict[str, SecretView | None]:
    """Return the pull secrets by namespace, those of the fleet file and others of ours.

    A namespace that has left the fleet file keeps its Secret, and its pods pull with it.
    """
    name = session.site.pull_secrets.name
    wanted = {
        namespace: session.cluster.find_secret(namespace, name)
        for namespace in read_target_namespaces(session)
    }
    elsewhere = read_pull_secrets_elsewhere(session, wanted)
    return wanted | {one.meta.namespace: one for one in elsewhere if one.meta.name == name}


def _is_online(session: SiteSession) -> bool:
    with azure_slot(session.cloud.registry):
        state = session.cloud.access.read_connected_registry(session.site.names.connected_registry)
    return state is not None and state.is_online
