"""Read everything that an adoption is decided from; nothing here writes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from pydantic import SecretStr

from fleet.adoption import Fate, Finding, Place
from fleet.adoption_names import Login, client_tokens, logins_of, used_names
from fleet.adoption_passwords import SyncFacts
from fleet.adoption_plan import Discovery, Survey, choose_installation, compare_file
from fleet.adoption_pulls import HeldPassword, PullFacts
from fleet.adoption_sources import Installation, find_installations
from fleet.azure_objects import ConnectedRegistryState, TokenState, same_name
from fleet.chart_installer import InstallerChoice
from fleet.chart_progress import belongs_to, find_endpoint
from fleet.cluster_objects import SecretView
from fleet.errors import FleetError
from fleet.helm_chart import connection_secret_name
from fleet.outcomes import SiteEndpoint
from fleet.pull_secrets import TYPE, pull_hosts, read_password, staging_name
from fleet.rotation_notes import fingerprint
from tasks.access import read_client_access, read_sync_access
from tasks.adoption_nodes import NodesView
from tasks.azure_limits import azure_slot
from tasks.helm_install import check_installer
from tasks.policy import READ
from tasks.pull_secrets import read_target_namespaces
from tasks.sessions import SiteSession


@dataclass(frozen=True)
class Upstairs:
    """What the cloud's side gives to a survey."""

    login_server: str
    repositories: tuple[str, ...]


@task(
    name="find installation",
    task_run_name="find the installation at {session.site.name}",
    **READ,
)
def find_installation(session: SiteSession, nodes: NodesView) -> Discovery:
    """Return which connected registry, tokens and release the cluster uses.

    Where the fleet file means others, the finding says so and the lines are what it should say.
    """
    cluster, site = session.cluster, session.site
    charts = cluster.list_charts()
    deployed = cluster.list_secrets({"owner": "helm", "status": "deployed"})
    chosen, missing = choose_installation(site, find_installations(deployed, charts))
    if chosen is None:
        return Discovery(None, (missing,) if missing else ())
    history = cluster.list_secrets({"owner": "helm", "name": chosen.release.name})
    mine = [one for one in history if one.meta.namespace == chosen.namespace]
    (chosen,) = find_installations(mine, charts)
    secrets = cluster.list_secrets_of_type(TYPE)
    return _with_names(session, chosen, secrets, nodes.logins)


@task(name="survey site", task_run_name="survey {session.site.name}", **READ)
def survey_site(
    session: SiteSession, installation: Installation, nodes: NodesView, upstairs: Upstairs
) -> Survey | Finding:
    """Return everything that decides about an adoption, or why it can't be decided.

    Raises:
        PullTargetMissingError: The fleet file names a namespace that does not exist.
        SiteRegistryUnreachableError: The site's registry does not answer.
    """
    cluster, chart = session.cluster, session.site.chart
    endpoint = find_endpoint(chart, cluster.list_services(chart.namespace))
    if not isinstance(endpoint, SiteEndpoint):
        return Finding(
            place=Place.CLUSTER,
            kind="Service",
            name=f"{chart.namespace}/{chart.release}",
            fate=Fate.OBSTACLE,
            detail=f"there should be {endpoint}",
        )
    with azure_slot(session.cloud.registry):
        access = session.cloud.access
        registries = access.list_connected_registries()
        sync = read_sync_access(access, session.site)
        client = read_client_access(access, session.site)
    now = datetime.now(UTC)
    return Survey(
        registries=registries,
        sync=sync,
        client=client,
        facts=SyncFacts(
            token=sync.token,
            state=sync.connected_registry,
            secret=cluster.find_secret(chart.namespace, connection_secret_name(chart)),
            runs=_runs(session),
            now=now,
        ),
        pulls=_read_pulls(session, endpoint, client.token, nodes.logins, upstairs, now),
        accounts={
            (namespace, name): cluster.find_service_account(namespace, name)
            for namespace in read_target_namespaces(session)
            for name in session.site.pull_secrets.service_accounts
        },
        choice=_choice(session),
        nodes=nodes.findings_for(session, endpoint, upstairs.login_server),
    )


def _with_names(
    session: SiteSession,
    chosen: Installation,
    secrets: Sequence[SecretView],
    node_logins: Sequence[HeldPassword],
) -> Discovery:
    site, access = session.site, session.cloud.access
    with azure_slot(session.cloud.registry):
        registries = access.list_connected_registries()
        state = _named(registries, chosen.connection.name)
        if state is None:
            return Discovery(chosen, (_of_another_registry(session, chosen),))
        logins = logins_of(secrets, [Login(user=one.user, where=one.where) for one in node_logins])
        candidates = client_tokens(state, logins)
        token = _chosen_token(site.names.client_token, candidates)
        names = [chosen.connection.sync_token, *([token] if token else [])]
        tokens = {name.casefold(): access.read_token(name) for name in names}
    found = {name: one for name, one in tokens.items() if one is not None}
    return compare_file(site, chosen, used_names(chosen, found, token), candidates, secrets)


def _chosen_token(wanted: str, candidates: Sequence[str]) -> str | None:
    """Return the client token that is the site's: the one the file names, or the only one."""
    named = [one for one in candidates if same_name(one, wanted)]
    if named or len(candidates) == 1:
        return (named or list(candidates))[0]
    return None


def _named(
    registries: Sequence[ConnectedRegistryState], name: str
) -> ConnectedRegistryState | None:
    return next((one for one in registries if same_name(one.name, name)), None)


def _of_another_registry(session: SiteSession, chosen: Installation) -> Finding:
    registry = session.cloud.registry
    return Finding(
        place=Place.FILE,
        kind="registry",
        name=session.site.registry,
        fate=Fate.OBSTACLE,
        detail=(
            f"the cluster runs connected registry {chosen.connection.name} below"
            f" {chosen.connection.gateway_endpoint}, and {registry.name} has none of that name;"
            " name the registry that it belongs to"
        ),
    )


def _read_pulls(
    session: SiteSession,
    endpoint: SiteEndpoint,
    token: TokenState | None,
    node_logins: Sequence[HeldPassword],
    upstairs: Upstairs,
    now: datetime,
) -> PullFacts:
    cluster, site = session.cluster, session.site
    user, name = site.names.client_token, site.pull_secrets.name
    namespaces = read_target_namespaces(session)
    every = cluster.list_secrets_of_type(TYPE)
    targets = {namespace: cluster.find_secret(namespace, name) for namespace in namespaces}
    places = {(namespace, name) for namespace in namespaces}
    others = [one for one in every if (one.meta.namespace, one.meta.name) not in places]
    elsewhere = (
        *_held_by(others, user),
        *(one for one in node_logins if same_name(one.user, user)),
    )
    values = [
        one.value for one in (*_held_by([s for s in targets.values() if s], user), *elsewhere)
    ]
    return PullFacts(
        hosts=pull_hosts(endpoint, upstairs.login_server),
        token=token,
        targets=targets,
        accepted=dict(_ask(session, endpoint, user, values, upstairs.repositories)),
        now=now,
        elsewhere=elsewhere,
        staged=cluster.find_secret(site.chart.namespace, staging_name(site)),
    )


def _held_by(secrets: Sequence[SecretView], user: str) -> Iterator[HeldPassword]:
    for secret in secrets:
        value = read_password(secret, user)
        if value is not None:
            where = f"the Secret {secret.meta.namespace}/{secret.meta.name}"
            yield HeldPassword(where=where, user=user, value=value, secret=secret)


def _ask(
    session: SiteSession,
    endpoint: SiteEndpoint,
    user: str,
    values: Sequence[SecretStr],
    repositories: tuple[str, ...],
) -> Iterator[tuple[str, bool]]:
    """Yield for each password, by its fingerprint, whether the site's registry accepts it."""
    if not values:
        return
    scope = f"repository:{repositories[0]}:pull"
    with session.open_registry(endpoint) as registry:
        challenge = registry.read_challenge()
        for value in {fingerprint(one): one for one in values}.values():
            token = registry.fetch_token(challenge, user, value, scope)
            yield fingerprint(value), token is not None


def _runs(session: SiteSession) -> bool:
    chart = session.site.chart
    found = session.cluster.list_deployments(chart.namespace)
    mine = [one for one in found if belongs_to(chart, one.meta)]
    return bool(mine) and all(one.rolled_out for one in mine)


def _choice(session: SiteSession) -> InstallerChoice | FleetError:
    try:
        return check_installer(session)
    except FleetError as error:
        return error
