"""What a site's cluster and its registry say of an image; reads alone."""

from pydantic import SecretStr

from clients.site_registry import SiteRegistry
from fleet.chart_progress import Snapshot, find_endpoint
from fleet.cluster_objects import SecretView
from fleet.errors import FleetError
from fleet.explain_facts import (
    AzureSeen,
    ClusterSeen,
    RegistrySeen,
    Unread,
    WaitingPod,
)
from fleet.explain_image import AskedImage
from fleet.explain_logins import PodLogin, find_login
from fleet.host_errors import PortClosedError
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark
from fleet.pull_errors import (
    PullTargetMissingError,
    SiteAuthorityError,
    SiteCertificateError,
    SiteSchemeError,
)
from fleet.pull_secrets import read_hosts
from fleet.pulling_pods import PullingPod
from tasks.chart_watch import take_snapshot
from tasks.pull_secrets import read_target_namespaces
from tasks.sessions import SiteSession


def find_login_server(session: SiteSession) -> str:
    """Return the cloud registry's name as the site's pull secrets write it; empty: not found.

    For when Azure can't be asked: a registry's name need not be the beginning of it.
    """
    chart, token = session.site.chart, session.site.names.client_token
    try:
        endpoint = find_endpoint(chart, session.cluster.list_services(chart.namespace))
        site = endpoint.host if isinstance(endpoint, SiteEndpoint) else ""
        for namespace in _namespaces(session)[0]:
            secret = session.cluster.find_secret(namespace, session.site.pull_secrets.name)
            hosts = read_hosts(secret, token) if secret else ()
            if found := next((host for host in hosts if host != site), ""):
                return found
    except FleetError:
        return ""
    return ""


def look_at_cluster(
    session: SiteSession, image: AskedImage, login_server: str, azure: AzureSeen | Unread
) -> ClusterSeen | Unread:
    """Return how far the registry is, and what pods that pull the image would log in with."""
    chart = session.site.chart
    try:
        cluster = session.cluster
        version = cluster.read_version()
        services = cluster.list_services(chart.namespace)
        namespaces, absent = _namespaces(session)
        endpoint = find_endpoint(chart, services)
        host = (
            image.host if isinstance(endpoint, SiteEndpoint) and image.host == endpoint.host else ""
        )
        logins = tuple(
            login for one in namespaces for login in _logins(session, one, host or login_server)
        )
        pods = {one: cluster.list_pulling_pods(one) for one in namespaces}
        return ClusterSeen(
            version=version,
            snapshot=_snapshot(session, azure),
            endpoint=endpoint,
            logins=(*absent, *logins),
            mark=_mark(session, namespaces),
            renewed=tuple(one for one, there in pods.items() if _is_renewed(session, one, there)),
            waiting=tuple(
                WaitingPod(name=f"{one}/{pod.name}", reason=pod.reason, words=pod.words)
                for one, there in pods.items()
                for pod in there
                if pod.waits and any(name.endswith(f"/{image.short}") for name in pod.images)
            ),
        )
    except FleetError as error:
        return Unread(why=str(error))


def _namespaces(session: SiteSession) -> tuple[tuple[str, ...], tuple[PodLogin, ...]]:
    """Return the namespaces that get the pull secret, and a broken login for each missing one."""
    try:
        return read_target_namespaces(session), ()
    except PullTargetMissingError as error:
        named = session.site.pull_secrets.namespaces
        there = tuple(name for name in named if session.cluster.find_namespace(name))
        return there, tuple(
            PodLogin(namespace=name, account="*", problem="no-namespace", evidence=str(error))
            for name in named
            if name not in there
        )


def _snapshot(session: SiteSession, azure: AzureSeen | Unread) -> Snapshot:
    state = azure.connected if isinstance(azure, AzureSeen) else None
    if state is None:
        return take_snapshot(session, "Offline", "Inactive")
    return take_snapshot(session, state.connection_state, state.activation)


def _logins(session: SiteSession, namespace: str, host: str) -> list[PodLogin]:
    cluster, wanted, found = session.cluster, session.site.pull_secrets, []
    secrets: dict[str, SecretView | None] = {}
    for name in wanted.service_accounts:
        account = cluster.find_service_account(namespace, name)
        for one in (wanted.name, *(account.pull_secrets if account else ())):
            if one not in secrets:
                secrets[one] = cluster.find_secret(namespace, one)
        token = session.site.names.client_token
        found.append(find_login(namespace, account, secrets, host, token, wanted.name))
    return found


def _mark(session: SiteSession, namespaces: tuple[str, ...]) -> PasswordMark | None:
    for namespace in namespaces:
        secret = session.cluster.find_secret(namespace, session.site.pull_secrets.name)
        mark = PasswordMark.from_annotations(secret.meta.annotations) if secret else None
        if mark is not None:
            return mark
    return None


def _is_renewed(session: SiteSession, namespace: str, pods: tuple[PullingPod, ...]) -> bool:
    """Return whether the pull secret is younger than a pod that pulls with it."""
    name = session.site.pull_secrets.name
    users = [pod.created for pod in pods if name in pod.pull_secrets and pod.created]
    made = session.cluster.find_secret_time(namespace, name) if users else None
    return made is not None and min(users) < made


def look_at_registry(
    session: SiteSession,
    endpoint: SiteEndpoint,
    image: AskedImage,
    user: str,
    password: SecretStr,
) -> RegistrySeen | Unread:
    """Return what the site's registry answers to a login, as the first server reaches it."""
    try:
        session.server.host.probe(endpoint.address, endpoint.port)
    except PortClosedError as error:
        return RegistrySeen(silent=str(error))
    except FleetError as error:
        return Unread(why=str(error))
    try:
        with session.open_registry(endpoint) as registry:
            return _ask(registry, image, user, password)
    except (SiteCertificateError, SiteSchemeError, SiteAuthorityError) as error:
        return RegistrySeen(certificate=str(error))
    except FleetError as error:
        return RegistrySeen(silent=str(error))


def _ask(registry: SiteRegistry, image: AskedImage, user: str, password: SecretStr) -> RegistrySeen:
    """Log in for the catalog, which any login may, then for the image, then look for it."""
    challenge = registry.read_challenge()
    if not user:
        return RegistrySeen()
    if registry.fetch_token(challenge, user, password, "registry:catalog:*") is None:
        return RegistrySeen(let_in=False)
    scope = f"repository:{image.repository}:pull"
    token = registry.fetch_token(challenge, user, password, scope)
    if token is None:
        return RegistrySeen(let_in=True, may_pull=False)
    digest = registry.find_digest(image.repository, image.reference, token)
    platforms = registry.read_platforms(image.repository, digest, token) if digest else ()
    return RegistrySeen(let_in=True, may_pull=True, digest=digest, platforms=platforms)
