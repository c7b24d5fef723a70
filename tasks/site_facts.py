"""What a site's own cluster says about itself: where its registry is, which password is in use."""

from prefect import task

from fleet.chart_progress import find_endpoint
from fleet.errors import NotOnboardedError
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark
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


@task(name="find password in use", task_run_name="find password of {session.site.name}", **READ)
def find_password_in_use(session: SiteSession) -> PasswordMark | None:
    """Return which slot of the client token the site's pull secrets hold, never its value."""
    name = session.site.pull_secrets.name
    for namespace in read_target_namespaces(session):
        secret = session.cluster.find_secret(namespace, name)
        mark = PasswordMark.from_annotations(secret.meta.annotations) if secret else None
        if mark is not None:
            return mark
    return None
