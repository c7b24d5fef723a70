"""What a sync rotation waits for: Azure, the chart, the registry's next synchronisation."""

from datetime import datetime, timedelta

from prefect import task

from fleet.azure_objects import ConnectedRegistryState
from fleet.chart_progress import belongs_to
from fleet.cluster_errors import ChartFailedError
from fleet.errors import NotOnboardedError, TemporaryError
from fleet.helm_chart import connection_secret_name
from fleet.helm_release import read_release, release_connection_string
from fleet.outcomes import Outcome
from fleet.pull_secrets import read_staged
from fleet.sync_notes import STAGING, connection_of, taken_note
from fleet.sync_world import Followed
from tasks.azure_limits import azure_slot
from tasks.helm_install import choose, install_with_helm
from tasks.policy import READ, WAIT
from tasks.run_log import said, say
from tasks.sessions import SiteSession
from tasks.sync_secrets import read_string
from tasks.waiting import wait_for

_CONTINUOUS = "* * * * *"
_SECOND = timedelta(seconds=1)
"""How far Azure's clock as we know it may be behind: its answers tell whole seconds."""


@task(
    name="wait until Azure accepts",
    task_run_name="wait until Azure accepts the sync password of {session.site.name}",
    **READ | {"timeout_seconds": 3600},
)
def wait_until_azure_accepts(session: SiteSession, repository: str) -> bool:
    """Return whether the registry in the cloud takes the staged password within patience."""
    site, user = session.site, session.site.names.sync_token
    _, value = read_staged(session.cluster.find_secret(site.chart.namespace, STAGING))
    if value is None:
        return False

    def look() -> tuple[bool | None, str]:
        with azure_slot(session.cloud.registry):
            taken = session.cloud.catalog.lets_in(user, value, repository)
        return (True, "") if taken else (None, f"Azure to accept the new password of {user}")

    return bool(wait_for(look, patience=site.patience.accepted)[0])


@task(
    name="take up the connection string",
    task_run_name="take up the connection string at {session.site.name}",
    **WAIT,
)
def take_string(session: SiteSession) -> tuple[bool, list[Outcome]]:
    """Have the chart take up the string in the Secret; return whether it did within patience.

    The helm-controller follows the Secret by itself. That it did is seen at the release, which
    holds the string, and at the pods, all of which are of the newest template: from then on no pod
    speaks with another string.
    """
    site, outcomes = session.site, list[Outcome]()
    if choose(session).is_helm:
        try:
            outcomes.append(said(install_with_helm(session, may_wait=False)))
        except ChartFailedError as error:
            say(f"the chart did not take the connection string: {error}")
            return False, outcomes
    taken, phase = wait_for(lambda: _look_at_chart(session), patience=site.patience.online)
    if not taken:
        say(f"gave up waiting for {phase}")
        return False, outcomes
    change = taken_note(session.cloud.access.now() + _SECOND)
    name = connection_secret_name(site.chart)
    session.cluster.patch_secret(site.chart.namespace, name, change)
    return True, outcomes


@task(
    name="watch the next sync",
    task_run_name="watch the next sync of {session.site.name}",
    **WAIT,
)
def watch_sync(session: SiteSession) -> Followed:
    """Return what Azure hears from the registry since the chart took the string.

    A registry that only synchronises at certain hours is not waited for once it has spoken.
    """
    site = session.site
    secret, _ = read_string(session)
    since = connection_of(secret).taken
    if since is None:
        return Followed.SILENT
    last = [Followed.SILENT]

    def look() -> tuple[Followed | None, str]:
        state = read_state(session)
        last[0] = _followed(state, since)
        done = last[0] is Followed.SYNCED
        done |= last[0] is Followed.SPEAKS and state.settings.schedule != _CONTINUOUS
        return last[0] if done else None, f"{site.name} to synchronise with the new password"

    found, _ = wait_for(look, patience=site.patience.online)
    return found or last[0]


def read_state(session: SiteSession) -> ConnectedRegistryState:
    """Return what Azure says about the site's connected registry.

    Raises:
        NotOnboardedError: There is none.
    """
    name = session.site.names.connected_registry
    with azure_slot(session.cloud.registry):
        state = session.cloud.access.read_connected_registry(name)
    if state is None:
        raise NotOnboardedError(f"The connected registry {name} does not exist in Azure.")
    return state


def _followed(state: ConnectedRegistryState, since: datetime) -> Followed:
    if not state.is_online:
        return Followed.SILENT
    if state.last_sync is not None and state.last_sync > since:
        return Followed.SYNCED
    spoke = state.last_activity is not None and state.last_activity > since
    return Followed.SPEAKS if spoke else Followed.SILENT


def _look_at_chart(session: SiteSession) -> tuple[bool | None, str]:
    site, chart = session.site, session.site.chart
    try:
        _, wanted = read_string(session)
        secret = session.cluster.find_newest_release(chart.namespace, chart.release)
        deployments = session.cluster.list_deployments(chart.namespace)
    except TemporaryError as error:
        return None, f"{site.name} to be reachable: {error}"
    release = read_release(secret) if secret else None
    if release is None or release_connection_string(release) != wanted:
        return None, f"the Helm release {chart.release} to take the new connection string"
    mine = [item for item in deployments if belongs_to(chart, item.meta)]
    rolled_out = bool(mine) and all(item.rolled_out for item in mine)
    if release.status != "deployed" or not rolled_out:
        return None, f"the Helm release {chart.release} to be rolled out, it is {release.status}"
    return True, ""
