"""What a reconciliation looks at that an onboarding does not write."""

from prefect import task

from fleet.cluster_objects import NodeState
from fleet.expiry import describe, ending_soon
from fleet.records import SiteRecord
from fleet.sites import Site
from tasks.expiry import read_lives
from tasks.policy import READ
from tasks.sessions import RegistrySession, SiteSession


@task(name="list nodes", task_run_name="list the nodes of {session.site.name}", **READ)
def list_nodes(session: SiteSession) -> tuple[NodeState, ...]:
    """Return the nodes of a site's cluster."""
    return tuple(session.cluster.list_nodes())


def read_ending_passwords(
    cloud: RegistrySession, site: Site, record: SiteRecord
) -> tuple[str, ...]:
    """Return which passwords of a site end within `rotation.alert_before`, each in a sentence."""
    lives = read_lives(cloud, site, record)
    now = cloud.access.now()
    return tuple(describe(one, now) for one in ending_soon(lives, now, site.rotation.alert_before))
