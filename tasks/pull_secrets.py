"""Give a site's namespaces the credentials that pull from its own registry."""

from collections.abc import Container
from datetime import UTC, datetime

from prefect import task
from pydantic import SecretStr

from fleet.azure_objects import PasswordSlot, TokenState
from fleet.cluster_objects import SecretView
from fleet.errors import NotOnboardedError, TemporaryError, WaitingForSiteError
from fleet.helm_chart import our_labels
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.passwords import PasswordMark, as_azure_shows_it
from fleet.pull_choice import PullPassword, PullTargets, choose_pull_password
from fleet.pull_secrets import (
    TYPE,
    compare_pull_secret,
    docker_config,
    pull_hosts,
    pull_secret_body,
    require_ours,
    staging_body,
    staging_name,
    target_namespaces,
    without_value,
)
from fleet.rotation_notes import change_notes
from tasks.azure_limits import azure_slot
from tasks.policy import WAIT
from tasks.run_log import said, say
from tasks.service_accounts import attach_pull_secrets, require_accounts
from tasks.sessions import SiteSession
from tasks.waiting import wait_for


@task(
    name="deliver pull secrets", task_run_name="deliver pull secrets to {session.site.name}", **WAIT
)
def deliver_pull_secrets(
    session: SiteSession,
    endpoint: SiteEndpoint,
    login_server: str,
    repositories: tuple[str, ...],
) -> tuple[Outcome, ...]:
    """Give every target namespace a pull secret that the site's registry accepts.

    A password is generated only when no Secret at the site holds a working one, and it is kept at
    the site from then on, so that neither a crash nor a long wait loses it.

    Raises:
        WaitingForSiteError: The site's registry does not accept the password yet.
        PullTargetMissingError: A namespace or service account is not there.
        PasswordSlotsTakenError: No slot of the client token is free.
        NotOursError: A Secret of that name was made by somebody else.
    """
    targets = read_targets(session)
    require_accounts(session, tuple(targets.secrets))
    password = _find_or_make_password(session, targets)
    _wait_until_accepted(session, endpoint, password.value, repositories)
    mark, hosts = password.mark, pull_hosts(endpoint, login_server)
    outcomes = [
        *(
            _write_secret(
                session, name, found, docker_config(hosts, mark.token, password.value, found), mark
            )
            for name, found in targets.secrets.items()
        ),
        *attach_pull_secrets(session, tuple(targets.secrets)),
    ]
    if password.is_staged:
        session.cluster.delete_secret(session.site.chart.namespace, staging_name(session.site))
    return tuple(outcomes)


def read_target_namespaces(session: SiteSession) -> tuple[str, ...]:
    """Return the namespaces that get the pull secret.

    Raises:
        PullTargetMissingError: The fleet file names one that does not exist.
    """
    wanted = session.site.pull_secrets
    found = [session.cluster.find_namespace(name) for name in wanted.namespaces]
    labelled = (
        session.cluster.list_namespaces(wanted.namespace_labels) if wanted.namespace_labels else ()
    )
    return target_namespaces(session.site, [item for item in found if item], labelled)


def read_targets(session: SiteSession) -> PullTargets:
    """Return where pull secrets go and what is there now.

    Raises:
        PullTargetMissingError: The fleet file names a namespace that does not exist.
        NotOursError: A Secret of that name was made by somebody else.
    """
    cluster, site = session.cluster, session.site
    secrets = {
        name: cluster.find_secret(name, site.pull_secrets.name)
        for name in read_target_namespaces(session)
    }
    for name, found in secrets.items():
        require_ours(site, name, found)
    others = read_pull_secrets_elsewhere(session, secrets)
    staged = cluster.find_secret(site.chart.namespace, staging_name(site))
    return PullTargets(secrets, others, staged)


def read_pull_secrets_elsewhere(
    session: SiteSession, namespaces: Container[str]
) -> tuple[SecretView, ...]:
    """Return our pull secrets in other namespaces than these: their passwords are in use, too."""
    return tuple(
        one
        for one in session.cluster.list_secrets(our_labels(session.site))
        if one.type == TYPE and one.meta.namespace not in namespaces
    )


def _find_or_make_password(session: SiteSession, targets: PullTargets) -> PullPassword:
    token = read_client_token(session)
    choice = choose_pull_password(targets, token.name, token.slots, datetime.now(UTC))
    if isinstance(choice, PullPassword):
        return choice
    return _make_password(session, token.name, choice.slot, targets.staged)


def read_client_token(session: SiteSession) -> TokenState:
    """Return a site's client token as Azure has it.

    Raises:
        NotOnboardedError: There is none.
    """
    name = session.site.names.client_token
    with azure_slot(session.cloud.registry):
        token = session.cloud.access.read_token(name)
    if token is None:
        raise NotOnboardedError(f"The client token {name} does not exist in Azure.")
    return token


def _make_password(
    session: SiteSession, token: str, slot: str, staged: SecretView | None
) -> PullPassword:
    """Generate a slot: first a note that it is ours, then the password, then its value, kept."""
    site, cluster, access = session.site, session.cluster, session.cloud.access
    namespace = site.chart.namespace
    note = staging_body(site, PasswordMark(token=token, slot=slot), None)
    if staged is None:
        cluster.create_secret(namespace, note)
    else:
        cluster.patch_secret(namespace, staging_name(site), without_value(note))
    lifetime = site.pull_secrets.expires_after
    expires = access.now() + lifetime if lifetime else None
    with azure_slot(session.cloud.registry):
        made = access.renew_password(token, slot, expires)
        state = access.read_token(token)
    shown = state.slots.get(slot) if state else None
    times = as_azure_shows_it(PasswordSlot(made.created, made.expires), shown)
    mark = PasswordMark(token=token, slot=slot, created=times.created, expires=times.expires)
    cluster.patch_secret(namespace, staging_name(site), staging_body(site, mark, made.value))
    say(f"generated {slot} of the client token {token}")
    return PullPassword(mark, made.value, is_staged=True)


def _wait_until_accepted(
    session: SiteSession,
    endpoint: SiteEndpoint,
    password: SecretStr,
    repositories: tuple[str, ...],
) -> None:
    site, user = session.site, session.site.names.client_token
    scope = f"repository:{repositories[0]}:pull"

    def look() -> tuple[bool | None, str]:
        try:
            with session.open_registry(endpoint) as registry:
                token = registry.fetch_token(registry.read_challenge(), user, password, scope)
        except TemporaryError as error:
            return None, f"the registry of {site.name} to answer: {error}"
        return (True, "") if token else (None, f"{site.name} to accept the password of {user}")

    accepted, phase = wait_for(look, patience=site.patience.accepted)
    if not accepted:
        raise WaitingForSiteError(
            f"Still waiting for {phase}. It learns of new passwords when it synchronises with "
            "Azure. The password is kept at the site and used by the next run. If the pull secret "
            f"was edited by hand, delete it ({site.pull_secrets.name}) and run again."
        )


def _write_secret(
    session: SiteSession,
    namespace: str,
    found: SecretView | None,
    content: SecretStr,
    mark: PasswordMark,
) -> Outcome:
    site = session.site
    action = compare_pull_secret(site, namespace, found, content, mark)
    body = pull_secret_body(site, content, mark)
    replaced = PasswordMark.from_annotations(found.meta.annotations) if found else None
    if replaced is not None and replaced.created is not None and replaced.slot != mark.slot:
        body["metadata"]["annotations"] |= change_notes(session.cloud.access.now(), replaced)
    if found is None:
        session.cluster.create_secret(namespace, body)
    elif action is not Action.UNCHANGED:
        session.cluster.patch_secret(namespace, site.pull_secrets.name, body)
    name = f"{namespace}/{site.pull_secrets.name}"
    return said(Outcome(kind="pull secret", name=name, action=action, detail=mark.slot))
