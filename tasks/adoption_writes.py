"""The writes of an adoption that onboarding would refuse: marks of ownership and what was listed.

Azure comes first, then the connection string, the release and the pull secrets. Each is written in
place and none holds a new password, so a run that dies leaves a site that works and can be adopted
again.
"""

from prefect import task

from fleet.adoption_plan import AdoptionPlan
from fleet.adoption_sources import Installation
from fleet.helm_chart import connection_secret_name
from fleet.outcomes import Action, Outcome
from fleet.pull_secrets import staging_name
from tasks.access import apply_steps
from tasks.azure_limits import azure_slot
from tasks.policy import WRITE
from tasks.run_log import said
from tasks.sessions import SiteSession


class Takeover:
    """A plan on its way to a task: a plain object, because Prefect walks through collections."""

    def __init__(self, installation: Installation, plan: AdoptionPlan) -> None:
        """Take what was decided; it holds secrets."""
        self.installation, self.plan = installation, plan


@task(name="take over access", task_run_name="take over access of {session.site.name}", **WRITE)
def take_over_access(session: SiteSession, takeover: Takeover) -> tuple[Outcome, ...]:
    """Write the owner, and what differs, on the site's objects in Azure."""
    access, plan = session.cloud.access, takeover.plan
    with azure_slot(session.cloud.registry):
        return (*apply_steps(access, plan.sync), *apply_steps(access, plan.client))


@task(
    name="take over cluster", task_run_name="take over the cluster of {session.site.name}", **WRITE
)
def take_over_cluster(session: SiteSession, takeover: Takeover) -> tuple[Outcome, ...]:
    """Keep the passwords in use where acrfleet looks for them, and mark what is there."""
    done = [
        *_connection(session, takeover.plan),
        *_release(session, takeover),
        *_pull_secrets(session, takeover.plan),
    ]
    return tuple(said(outcome) for outcome in done)


def _connection(session: SiteSession, plan: AdoptionPlan) -> list[Outcome]:
    if plan.connection is None:
        return []
    cluster, chart = session.cluster, session.site.chart
    name = connection_secret_name(chart)
    if cluster.find_secret(chart.namespace, name) is None:
        cluster.create_secret(chart.namespace, plan.connection)
    else:
        cluster.patch_secret(chart.namespace, name, plan.connection)
    return [Outcome(kind="Secret", name=name, action=Action.ADOPTED, detail="connection string")]


def _release(session: SiteSession, takeover: Takeover) -> list[Outcome]:
    cluster, chart = session.cluster, session.site.chart
    plan, done = takeover.plan.chart, []
    if plan.release_labels is not None:
        meta = takeover.installation.release.meta
        cluster.patch_secret(
            meta.namespace, meta.name, {"metadata": {"labels": plan.release_labels}}
        )
        done.append(Outcome(kind="Helm release", name=chart.release, action=Action.ADOPTED))
    if plan.chart_patch is not None:
        cluster.patch_chart(chart.namespace, chart.release, plan.chart_patch)
        action = Action.CHANGED if "spec" in plan.chart_patch else Action.ADOPTED
        done.append(Outcome(kind="HelmChart", name=chart.release, action=action))
    return done


def _pull_secrets(session: SiteSession, plan: AdoptionPlan) -> list[Outcome]:
    cluster, site = session.cluster, session.site
    done = []
    for namespace, body in plan.pulls.bodies.items():
        cluster.patch_secret(namespace, site.pull_secrets.name, body)
        name = f"{namespace}/{site.pull_secrets.name}"
        done.append(Outcome(kind="pull secret", name=name, action=Action.ADOPTED))
    if plan.pulls.staging is not None:
        namespace = site.chart.namespace
        if cluster.find_secret(namespace, staging_name(session.site)) is None:
            cluster.create_secret(namespace, plan.pulls.staging)
        else:
            cluster.patch_secret(namespace, staging_name(session.site), plan.pulls.staging)
    return done
