"""Give a site's namespaces the credentials that pull from its own registry."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import task
from pydantic import SecretStr

from fleet.azure_objects import PasswordSlot, TokenState
from fleet.cluster_objects import SecretView, ServiceAccountView
from fleet.errors import (
    ClusterChangedError,
    NotOnboardedError,
    PullTargetMissingError,
    TemporaryError,
    WaitingForSiteError,
)
from fleet.helm_chart import our_labels
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.passwords import (
    Keep,
    PasswordMark,
    as_azure_shows_it,
    choose_client_password,
)
from fleet.pull_secrets import (
    STAGING_SECRET,
    TYPE,
    compare_pull_secret,
    docker_config,
    pull_hosts,
    pull_secret_body,
    read_password,
    read_staged,
    require_ours,
    service_account_patch,
    staging_body,
    target_namespaces,
)
from tasks.azure_limits import azure_slot
from tasks.policy import WAIT
from tasks.run_log import said, say
from tasks.sessions import SiteSession
from tasks.waiting import wait_for

_ACCOUNT_PATIENCE = timedelta(seconds=15)
_CONFLICTS = 5


@dataclass(frozen=True)
class _Targets:
    """Where pull secrets go and what is there now.

    `others` are pull secrets that an earlier fleet file put elsewhere: their password is in use.
    """

    secrets: dict[str, SecretView | None]
    others: tuple[SecretView, ...]
    staged: SecretView | None


@dataclass(frozen=True)
class _Password:
    """A password that works in Azure, and whether the staging Secret is to be removed."""

    mark: PasswordMark
    value: SecretStr
    is_staged: bool


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
    targets = _read_targets(session)
    password = _find_or_make_password(session, targets)
    _wait_until_accepted(session, endpoint, password.value, repositories)
    mark = password.mark
    content = docker_config(pull_hosts(endpoint, login_server), mark.token, password.value)
    outcomes = [
        *(
            _write_secret(session, name, found, content, mark)
            for name, found in targets.secrets.items()
        ),
        *(_attach(session, name, account) for name, account in _accounts(session, targets)),
    ]
    if password.is_staged:
        session.cluster.delete_secret(session.site.chart.namespace, STAGING_SECRET)
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


def _read_targets(session: SiteSession) -> _Targets:
    cluster, site = session.cluster, session.site
    secrets = {
        name: cluster.find_secret(name, site.pull_secrets.name)
        for name in read_target_namespaces(session)
    }
    for name, found in secrets.items():
        require_ours(site, name, found)
    ours = cluster.list_secrets(our_labels(site))
    others = tuple(
        item for item in ours if item.type == TYPE and item.meta.namespace not in secrets
    )
    staged = cluster.find_secret(site.chart.namespace, STAGING_SECRET)
    targets = _Targets(secrets, others, staged)
    for name, account in _accounts(session, targets):
        _read_account(session, name, account)
    return targets


def _find_or_make_password(session: SiteSession, targets: _Targets) -> _Password:
    token = _read_token(session)
    held, lost = _sort(targets, token.name)
    staged, staged_value = read_staged(targets.staged)
    if staged is not None and staged.created is not None and staged_value is None:
        lost, staged = [*lost, staged], None
    choice = choose_client_password(
        token.name,
        token.slots,
        live=[mark for mark, _ in held],
        lost=lost,
        staged=staged,
        now=datetime.now(UTC),
    )
    if not isinstance(choice, Keep):
        return _make_password(session, token.name, choice.slot, targets.staged)
    if choice.mark == staged and staged_value is not None:
        return _Password(choice.mark, staged_value, is_staged=True)
    value = next(value for mark, value in held if mark == choice.mark)
    return _Password(choice.mark, value, is_staged=targets.staged is not None)


def _sort(
    targets: _Targets, token: str
) -> tuple[list[tuple[PasswordMark, SecretStr]], list[PasswordMark]]:
    """Return the marks of pull secrets with a readable password, with it, and those without."""
    held: list[tuple[PasswordMark, SecretStr]] = []
    lost: list[PasswordMark] = []
    for secret in filter(None, (*targets.secrets.values(), *targets.others)):
        mark = PasswordMark.from_annotations(secret.meta.annotations)
        password = read_password(secret, token)
        if mark is not None and password is not None:
            held.append((mark, password))
        elif mark is not None:
            lost.append(mark)
    return held, lost


def _read_token(session: SiteSession) -> TokenState:
    name = session.site.names.client_token
    with azure_slot(session.cloud.registry):
        token = session.cloud.access.read_token(name)
    if token is None:
        raise NotOnboardedError(f"The client token {name} does not exist in Azure.")
    return token


def _make_password(
    session: SiteSession, token: str, slot: str, staged: SecretView | None
) -> _Password:
    """Generate a slot: first a note that it is ours, then the password, then its value, kept."""
    site, cluster, access = session.site, session.cluster, session.cloud.access
    namespace = site.chart.namespace
    note = staging_body(site, PasswordMark(token=token, slot=slot), None)
    if staged is None:
        cluster.create_secret(namespace, note)
    else:
        cluster.patch_secret(namespace, STAGING_SECRET, note)
    lifetime = site.pull_secrets.expires_after
    expires = datetime.now(UTC) + lifetime if lifetime else None
    with azure_slot(session.cloud.registry):
        made = access.renew_password(token, slot, expires)
        state = access.read_token(token)
    shown = state.slots.get(slot) if state else None
    times = as_azure_shows_it(PasswordSlot(made.created, made.expires), shown)
    mark = PasswordMark(token=token, slot=slot, created=times.created, expires=times.expires)
    cluster.patch_secret(namespace, STAGING_SECRET, staging_body(site, mark, made.value))
    say(f"generated {slot} of the client token {token}")
    return _Password(mark, made.value, is_staged=True)


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
    if found is None:
        session.cluster.create_secret(namespace, body)
    elif action is not Action.UNCHANGED:
        session.cluster.patch_secret(namespace, site.pull_secrets.name, body)
    name = f"{namespace}/{site.pull_secrets.name}"
    return said(Outcome(kind="pull secret", name=name, action=action, detail=mark.slot))


def _accounts(session: SiteSession, targets: _Targets) -> list[tuple[str, str]]:
    names = session.site.pull_secrets.service_accounts
    return [(namespace, account) for namespace in targets.secrets for account in names]


def _read_account(session: SiteSession, namespace: str, name: str) -> ServiceAccountView:
    """Return a ServiceAccount; `default` appears a moment after its namespace."""

    def look() -> tuple[ServiceAccountView | None, str]:
        found = session.cluster.find_service_account(namespace, name)
        return found, f"the service account {namespace}/{name}"

    patience = _ACCOUNT_PATIENCE if name == "default" else timedelta()
    found, _ = wait_for(look, patience=patience, every=0.5)
    if found is None:
        raise PullTargetMissingError(
            f"pull_secrets.service_accounts of {session.site.name} names {name}, which the "
            f"namespace {namespace} does not have. Create it, or take it out of the fleet file."
        )
    return found


def _attach(session: SiteSession, namespace: str, account: str) -> Outcome:
    """Add the pull secret to a ServiceAccount, keeping what others put there."""
    secret, name = session.site.pull_secrets.name, f"{namespace}/{account}"
    for attempt in range(_CONFLICTS):
        change = service_account_patch(secret, _read_account(session, namespace, account))
        if change is None:
            return Outcome(kind="service account", name=name, action=Action.UNCHANGED)
        try:
            session.cluster.patch_service_account(namespace, account, change)
        except ClusterChangedError:
            if attempt == _CONFLICTS - 1:
                raise
            continue
        break
    return said(Outcome(kind="service account", name=name, action=Action.CHANGED, detail=secret))
