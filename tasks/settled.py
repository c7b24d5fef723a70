"""Find out in one look whether there is anything to do at a site at all.

Most runs at most sites change nothing. Taking every step for that asked Azure and the cluster the
same things several times over, and had Prefect write down a dozen steps that did nothing
(docs/decisions/0027-sites-with-nothing-to-do.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task

from fleet.chart_progress import Online, judge
from fleet.errors import FleetError
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark, PasswordsInUse
from fleet.plan_draft import Draft
from fleet.plan_pulls import PullView
from fleet.pull_secrets import first_mark
from fleet.sync_notes import connection_of
from tasks.chart_watch import take_snapshot
from tasks.planning import SiteLook, look_at_site
from tasks.policy import ONCE
from tasks.run_log import say
from tasks.sessions import SiteSession
from tasks.upstreams import Upstream


@dataclass(frozen=True)
class SettledSite:
    """A site that is as the fleet file says, as far as looking tells.

    Attributes:
        endpoint: Where its registry answers.
        passwords: Which slots of its tokens its Secrets hold.
    """

    endpoint: SiteEndpoint
    passwords: PasswordsInUse


def find_settled(
    session: SiteSession, upstream: Upstream, facts: Sequence[NodeFacts]
) -> SettledSite | None:
    """Return what was found of a site at which there is nothing to do; None: take every step.

    A site whose nodes do not know the registry yet is not looked at any further.

    Args:
        session: The site.
        upstream: The registry that it mirrors.
        facts: What was found on its nodes in this run.
    """
    if not all(one.knows(upstream.facts.login_server) for one in facts):
        return None
    return _look(session, upstream, facts)


@task(
    name="look for something to do",
    task_run_name="look for something to do at {session.site.name}",
    **ONCE,
)
def _look(
    session: SiteSession, upstream: Upstream, facts: Sequence[NodeFacts]
) -> SettledSite | None:
    """Look at everything but the nodes.

    Whatever can't be told here, or is in the way, the steps find out and say; so nothing is tried
    again. Whether the site accepts its password is left to the proof.
    """
    site = session.site
    nodes = {node: one for node in site.nodes for one in facts if one.node == node.name}
    try:
        look = look_at_site(session, upstream, nodes, Draft(site.name))
        open_points = (*map(str, look.plan.changes), *look.plan.obstacles, *look.plan.notes)
        state = look.cloud.sync.connected_registry
        if open_points or state is None:
            say("; ".join(open_points) or "it has no connected registry")
            return None
        seen = take_snapshot(session, state.connection_state, state.activation, look.cluster)
        verdict = judge(site, seen)
    except (FleetError, TimeoutError) as error:
        say(f"it could not be told: {error}")
        return None
    if not isinstance(verdict, Online):
        say("its registry is not online")
        return None
    say("nothing to do")
    return SettledSite(verdict.endpoint, _passwords(look))


def _passwords(look: SiteLook) -> PasswordsInUse:
    marks = {token: _mark(pulls) for token, pulls in look.further.items()}
    return PasswordsInUse(
        client=_mark(look.cluster.pulls),
        sync=connection_of(look.cluster.connection).mark,
        further={token: mark for token, mark in marks.items() if mark is not None},
    )


def _mark(pulls: PullView | FleetError) -> PasswordMark | None:
    return None if isinstance(pulls, FleetError) else first_mark(pulls.targets.secrets.values())
