"""What a site's own cluster says: where its registry is, which passwords are in use."""

from prefect import task
from pydantic import SecretStr

from fleet.chart_progress import find_endpoint
from fleet.client_tokens import further_clients
from fleet.errors import NotOnboardedError
from fleet.helm_chart import connection_secret_name
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark, PasswordsInUse
from fleet.pull_secrets import first_mark, read_password
from fleet.sync_notes import connection_of
from tasks.policy import READ
from tasks.pull_secrets import read_target_namespaces
from tasks.sessions import SiteSession


@task(name="find registry", task_run_name="find registry of {session.site.name}", **READ)
def find_site_registry(session: SiteSession) -> SiteEndpoint:
    """Return where the site's registry answers.

    Raises:
        NotOnboardedError: The chart's Service is not there.
    """
    chart = session.site.chart
    found = find_endpoint(chart, session.cluster.list_services(chart.namespace))
    if isinstance(found, SiteEndpoint):
        return found
    raise NotOnboardedError(
        f"{session.site.name} has no registry yet: expected {found}. Onboard the site first."
    )


def find_passwords_in_use(session: SiteSession) -> PasswordsInUse:
    """Return which slots of its tokens the site's Secrets hold, never their values."""
    site, cluster = session.site, session.cluster
    secret = cluster.find_secret(site.chart.namespace, connection_secret_name(site.chart))
    further = {}
    for view in further_clients(site):
        with session.seen_as(view):
            mark = _client_mark(session)
        if mark is not None:
            further[view.names.client_token] = mark
    sync = connection_of(secret).mark
    return PasswordsInUse(client=_client_mark(session), sync=sync, further=further)


def read_pull_password(session: SiteSession) -> SecretStr:
    """Return the password with which the site's pods pull now.

    Raises:
        NotOnboardedError: No namespace has a pull secret with it.
    """
    site = session.site
    for namespace in read_target_namespaces(session):
        secret = session.cluster.find_secret(namespace, site.pull_secrets.name)
        password = read_password(secret, site.names.client_token) if secret else None
        if password is not None:
            return password
    raise NotOnboardedError(
        f"No namespace of {site.name} has a pull secret {site.pull_secrets.name} with the "
        f"credentials of {site.names.client_token}. Onboard the site first."
    )


def _client_mark(session: SiteSession) -> PasswordMark | None:
    name, find = session.site.pull_secrets.name, session.cluster.find_secret
    return first_mark(find(namespace, name) for namespace in read_target_namespaces(session))
