"""The single writes of a sync rotation: each one effect, after which another run can go on."""

from prefect import task
from pydantic import SecretStr

from fleet.azure_objects import PasswordSlot
from fleet.cluster_objects import SecretView
from fleet.errors import NotOnboardedError, NotOursError
from fleet.helm_chart import connection_secret_name, is_ours, read_connection_string
from fleet.outcomes import Action, Outcome
from fleet.passwords import PasswordMark, as_azure_shows_it, settled
from fleet.pull_secrets import read_staged
from fleet.rotation_notes import proof_notes
from fleet.sync_notes import BEFORE, STAGING, before_body, staging_note, string_body, with_password
from fleet.sync_world import PutBack, PutString, RetireSync
from tasks.azure_limits import azure_slot
from tasks.policy import WRITE
from tasks.run_log import said, say
from tasks.sessions import SiteSession


@task(
    name="generate the spare sync password",
    task_run_name="generate the sync token's {slot} for {session.site.name}",
    **WRITE,
)
def generate_sync(session: SiteSession, slot: str) -> list[Outcome]:
    """Generate the slot that nobody uses: a note first, then the password, then its value, kept.

    A run that dies in between leaves a note, and the next one generates the same slot again.
    """
    site, access, token = session.site, session.cloud.access, session.site.names.sync_token
    _keep(session, STAGING, staging_note(site, PasswordMark(token=token, slot=slot), None))
    with azure_slot(session.cloud.registry):
        made = access.renew_password(token, slot, None)
        state = access.read_token(token)
    shown = state.slots.get(slot) if state else None
    times = as_azure_shows_it(PasswordSlot(made.created, made.expires), shown)
    mark = PasswordMark(token=token, slot=slot, created=times.created, expires=times.expires)
    _keep(session, STAGING, staging_note(site, mark, made.value))
    return [said(Outcome(kind="sync password", name=token, action=Action.CREATED, detail=slot))]


@task(
    name="put the new connection string",
    task_run_name="put the new connection string at {session.site.name}",
    **WRITE,
)
def put_string(session: SiteSession, step: PutString) -> list[Outcome]:
    """Keep the string in use, then put the one with the staged password in its place.

    Raises:
        NotOursError: The connection Secret was not made by acrfleet.
        NotOnboardedError: Somebody changed the Secrets meanwhile.
    """
    site, namespace = session.site, session.site.chart.namespace
    found, text = read_string(session)
    held = PasswordMark.from_annotations(found.meta.annotations)
    if held == step.mark:
        return []
    token = session.cloud.access.read_token(step.mark.token)
    slots, now = (token.slots if token else {}), session.cloud.access.now()
    staged, value = read_staged(session.cluster.find_secret(namespace, STAGING))
    new = with_password(text, value) if value and staged == step.mark else None
    if held is None or settled(held, slots, now) != step.previous or new is None:
        raise _changed(session)
    _keep(session, BEFORE, before_body(site, text, step.previous))
    return _write_string(
        session, found, string_body(site, new, step.mark, now, step.previous), step.mark.slot
    )


@task(
    name="put the old connection string back",
    task_run_name="put the old connection string back at {session.site.name}",
    **WRITE,
)
def put_back(session: SiteSession, step: PutBack) -> list[Outcome]:
    """Put the string back that was in use before; it stays kept until nothing may need it."""
    kept = session.cluster.find_secret(session.site.chart.namespace, BEFORE)
    text = read_connection_string(kept) if kept else None
    mark = PasswordMark.from_annotations(kept.meta.annotations) if kept else None
    if text is None or mark != step.old:
        raise _changed(session)
    found, _ = read_string(session)
    body = string_body(session.site, text, step.old, session.cloud.access.now(), None)
    return _write_string(session, found, body, f"{step.old.slot} again")


@task(name="note the sync", task_run_name="note the sync of {session.site.name}", **WRITE)
def note_sync(session: SiteSession) -> list[Outcome]:
    """Note at the string that the registry has synchronised with it."""
    notes = {"metadata": {"annotations": proof_notes(session.cloud.access.now())}}
    chart = session.site.chart
    session.cluster.patch_secret(chart.namespace, connection_secret_name(chart), notes)
    return []


@task(name="remove a Secret", task_run_name="remove {name} of {session.site.name}", **WRITE)
def remove_kept(session: SiteSession, name: str) -> list[Outcome]:
    """Remove the staging Secret, or the one with the string before; it has no more to say."""
    session.cluster.delete_secret(session.site.chart.namespace, name)
    return []


@task(
    name="retire the old sync password",
    task_run_name="retire the sync token's {step.old.slot} of {session.site.name}",
    **WRITE,
)
def retire_sync(session: SiteSession, step: RetireSync) -> list[Outcome]:
    """Remove the old password from Azure, if it is still the one that was replaced."""
    token, access = session.site.names.sync_token, session.cloud.access
    with azure_slot(session.cloud.registry):
        state = access.read_token(token)
        there = state.slots.get(step.old.slot) if state else None
        if there is None or there.created != step.old.created:
            say(f"{step.old.slot} of {token} is not the old password any more; it was left alone")
            return []
        access.keep_passwords(token, (step.keep.slot,))
    kind, detail = "sync password", f"{step.old.slot} retired"
    return [said(Outcome(kind=kind, name=token, action=Action.CHANGED, detail=detail))]


def read_string(session: SiteSession) -> tuple[SecretView, SecretStr]:
    """Return the connection Secret and the string in it.

    Raises:
        NotOnboardedError: There is none.
        NotOursError: Somebody else made it.
    """
    chart = session.site.chart
    name = connection_secret_name(chart)
    found = session.cluster.find_secret(chart.namespace, name)
    text = read_connection_string(found) if found else None
    if found is None or text is None:
        raise NotOnboardedError(
            f"The Secret {chart.namespace}/{name} at {session.site.name} holds no connection "
            "string. Onboard the site."
        )
    if not is_ours(found.meta.labels):
        raise NotOursError(
            f"Secret {chart.namespace}/{name} at {session.site.name} was not made by acrfleet, so "
            "its password is not rolled. Adopt the site."
        )
    return found, text


def _write_string(
    session: SiteSession, found: SecretView, body: dict[str, object], detail: str
) -> list[Outcome]:
    """Change the connection Secret, unless somebody else has since it was read."""
    metadata = body["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101 - made by string_body
    metadata["resourceVersion"] = found.meta.version
    name = found.meta.name
    session.cluster.patch_secret(session.site.chart.namespace, name, body)
    return [said(Outcome(kind="Secret", name=name, action=Action.CHANGED, detail=detail))]


def _keep(session: SiteSession, name: str, body: dict[str, object]) -> None:
    cluster, namespace = session.cluster, session.site.chart.namespace
    if cluster.find_secret(namespace, name) is not None:
        cluster.patch_secret(namespace, name, body)
        return
    data = body.get("data")
    filled = {key: value for key, value in data.items() if value} if isinstance(data, dict) else {}
    cluster.create_secret(namespace, {**body, "data": filled})


def _changed(session: SiteSession) -> NotOnboardedError:
    return NotOnboardedError(
        f"The Secrets of {session.site.name} in {session.site.chart.namespace} are not what they "
        "were a moment ago; somebody changed them. Run the rotation again."
    )
