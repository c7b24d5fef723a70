"""Adopt a site: take over what a script, the portal or Terraform has set up, passwords included."""

from prefect import flow
from prefect.client.schemas.objects import State

from fleet.adoption import Finding, in_the_way, summary, to_write
from fleet.adoption_plan import plan_adoption
from fleet.errors import AdoptionBlockedError
from flows.onboard import onboard_open_site
from flows.running import run_fleet
from tasks.adoption import Upstairs, find_installation, survey_site
from tasks.adoption_nodes import view_nodes
from tasks.adoption_writes import Takeover, take_over_access, take_over_cluster
from tasks.sessions import SiteSession, open_site
from tasks.site_runs import SiteRun, alone_at
from tasks.upstreams import Upstream


@flow(name="adopt site", flow_run_name="adopt {site}", persist_result=False)
def adopt_site(
    fleet_file: str, site: str, dry_run: bool = False, ignore_windows: bool = False
) -> State[None]:
    """Take a site that works under management, without a new password.

    Args:
        fleet_file: Path of the fleet file.
        site: Name of the site in it.
        dry_run: Only list what would be written; nothing is.
        ignore_windows: Restart what is due outside of maintenance windows too, in this run.
    """
    if dry_run:
        return run_fleet("plan adoption of", look, fleet_file, [site], read_only=True)
    return run_fleet("adopt", adopt, fleet_file, [site], ignore_windows=ignore_windows)


def look(run: SiteRun, upstream: Upstream) -> None:
    """List what an adoption would do to one site, and write nothing."""
    with open_site(run.site, upstream.cloud) as session:
        _decide(run, upstream, session)
    due = to_write(run.findings)
    run.message = f"would be: {summary(due)}" if due else "nothing to do: it is adopted"


def adopt(run: SiteRun, upstream: Upstream) -> None:
    """Take one site over, then onboard it, which finds everything in place and proves a pull."""
    with alone_at(run), open_site(run.site, upstream.cloud) as session:
        takeover = _decide(run, upstream, session)
        run.did(take_over_access(session, takeover))
        run.did(take_over_cluster(session, takeover))
        onboard_open_site(run, upstream, session)
    run.message = f"adopted; {run.message}"


def _decide(run: SiteRun, upstream: Upstream, session: SiteSession) -> Takeover:
    """Return what is to be written, or raise everything that is in the way."""
    nodes = view_nodes(session, upstream.facts.login_server)
    discovery = find_installation(session, nodes)
    run.findings, run.advice = discovery.findings, discovery.lines
    _refuse_obstacles(run)
    installation = discovery.installation
    assert installation is not None  # noqa: S101 - without one there is an obstacle
    repositories = upstream.repositories_of(run.site)
    upstairs = Upstairs(upstream.facts.login_server, repositories)
    survey = survey_site(session, installation, nodes, upstairs)
    if isinstance(survey, Finding):
        run.findings = (survey,)
        raise AdoptionBlockedError([str(survey)])
    plan = plan_adoption(run.site, repositories, upstream.below(run.site), installation, survey)
    run.findings = tuple(plan.findings)
    _refuse_obstacles(run)
    return Takeover(installation, plan)


def _refuse_obstacles(run: SiteRun) -> None:
    obstacles = in_the_way(run.findings)
    if obstacles:
        raise AdoptionBlockedError([str(one) for one in obstacles])
