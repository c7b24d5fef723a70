"""Give the service accounts of a site's namespaces the pull secret."""

from datetime import timedelta

from fleet.cluster_errors import ClusterChangedError
from fleet.cluster_objects import ServiceAccountView
from fleet.outcomes import Action, Outcome
from fleet.pull_errors import PullTargetMissingError
from fleet.pull_secrets import service_account_patch
from tasks.run_log import said
from tasks.sessions import SiteSession
from tasks.waiting import wait_for

_ACCOUNT_PATIENCE = timedelta(seconds=15)
_CONFLICTS = 5


def require_accounts(session: SiteSession, namespaces: tuple[str, ...]) -> None:
    """Look whether every service account that the fleet file names is there.

    Raises:
        PullTargetMissingError: One is not.
    """
    for namespace, account in _accounts(session, namespaces):
        _read_account(session, namespace, account)


def attach_pull_secrets(session: SiteSession, namespaces: tuple[str, ...]) -> list[Outcome]:
    """Add the pull secret to the service accounts of these namespaces that lack it.

    Raises:
        PullTargetMissingError: The fleet file names one that is not there; the others have theirs.
    """
    outcomes, missing = list[Outcome](), list[PullTargetMissingError]()
    for namespace, account in _accounts(session, namespaces):
        try:
            outcomes.append(_attach(session, namespace, account))
        except PullTargetMissingError as error:
            missing.append(error)
    if missing:
        raise PullTargetMissingError(" ".join(str(error) for error in missing))
    return outcomes


def _accounts(session: SiteSession, namespaces: tuple[str, ...]) -> list[tuple[str, str]]:
    names = session.site.pull_secrets.service_accounts
    return [(namespace, account) for namespace in namespaces for account in names]


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
