"""What every fleet flow has in common: read, choose, run each site, show, and end as it went."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Annotated, Any, NamedTuple

from prefect.client.schemas.objects import State
from pydantic import Field

from fleet.nesting import Tree
from fleet.results import FleetReport
from fleet.selection import select_sites
from fleet.shard_settings import Dispatch
from fleet.site_plan import FleetPlan
from fleet.sites import Fleet, Site
from fleet.waves import Wave
from tasks.dispatch import dispatch_sites
from tasks.fleet_files import read_fleet
from tasks.history import note_day
from tasks.progress_bar import showing_progress
from tasks.reporting import end_of_run, publish_fleet
from tasks.run_names import name_run, tag_run
from tasks.shard_run import parent_of_this_run, reporting
from tasks.site_runs import SiteRun, run_sites, sites_at_once
from tasks.upstreams import Upstream, Upstreams, open_upstreams
from tasks.wave_runs import WorkOn, close_course, one_wave, open_course, run_waves

Chosen = Annotated[list[str], Field(min_length=1)]
"""Sites that something is taken from: an empty list, which would mean all, is refused."""

Work = Callable[[SiteRun, Upstream], None]


class Look(NamedTuple):
    """What is done at sites whose wave may not begin, because too much failed: it only looks.

    `parameters` are those of the flow with which a worker does the same.
    """

    work: Work
    parameters: Mapping[str, Any]


Order = Callable[[Tree, Sequence[Site]], Mapping[str, frozenset[str]]]


def run_fleet(
    verb: str,
    work: Work,
    fleet_file: str,
    names: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    *,
    read_only: bool = False,
    order: Order = Tree.parents_first,
    in_shards: bool = False,
    in_waves: bool = False,
    how: str = "",
    resume: bool = False,
    ignore_windows: bool = False,
    plan: FleetPlan | None = None,
    look: Look | None = None,
    read: Fleet | None = None,
) -> State[None]:
    """Do `work` on the chosen sites and return the state in which the flow run ends.

    Args:
        verb: What is done, as it stands in run names.
        work: Does it to one site.
        fleet_file: Path of the fleet file.
        names: Names or globs of sites; none: all.
        tags: Only sites that carry one of these tags; none: all.
        labels: Only sites with these labels, each KEY=VALUE; none: all.
        read_only: Keep the registries from being prepared, even where the fleet file allows it.
        order: Which sites have to end before which others.
        in_shards: Let workers do it where the fleet file says `dispatch: deployment`; needs a
            deployment named `shard` of the flow, whose `sites` are then a shard's.
        in_waves: Go over the fleet as its `waves` say, and remember what was done.
        how: What else makes the work its own, so that no run with the same verb is taken for it.
        resume: Leave out what is done since the last run of this, which was interrupted, began.
        ignore_windows: Restart what is due outside of maintenance windows too.
        plan: What `work` does, where that is a plan; workers get it too.
        look: What is done at sites whose wave may not begin; None: nothing is.
        read: The fleet, where the flow has read the file already.
    """
    written = read or read_fleet(fleet_file)
    fleet = written.without_preparations() if read_only else written
    fleet = fleet.without_windows() if ignore_windows else fleet
    sites = select_sites(fleet, names, tags, labels)
    before = order(Tree(fleet.sites), sites)
    parent = parent_of_this_run()
    here = working_here(verb, work, fleet, sites, before, how=how, look=look)
    if parent is not None:
        return run_shard(written, sites, parent, here)
    name_run(verb, written, sites)
    choice = {"names": names or (), "tags": tags or (), "labels": labels or ()}
    course = one_wave(sites)
    if in_waves:
        course = open_course(
            verb, fleet, sites, before, choice, how=how, resume=resume, looks_on=look is not None
        )
    workers = by_workers(verb, written, plan, look) if in_shards else None
    with showing_progress(fleet.name, verb, len(sites)), workers or here as work_on:
        report = run_waves(verb, fleet.name, course, work_on)
    close_course(course, report)
    publish_fleet(report, (site.name for site in written.sites))
    note_day(written, len(report.results))
    return end_of_run(report)


def run_shard(
    fleet: Fleet, sites: Sequence[Site], parent: str, here: AbstractContextManager[WorkOn]
) -> State[None]:
    """Work on a shard's sites, tell the run that dispatched it, and return how the shard ends.

    Args:
        fleet: The fleet as this machine's file has it.
        sites: The shard's.
        parent: The run that dispatched it.
        here: Works on them, see `working_here`.
    """
    tag_run(sites)
    with reporting(fleet, parent), here as work_on:
        return end_of_run(work_on(sites, None))


def by_workers(
    verb: str, fleet: Fleet, plan: FleetPlan | None = None, look: Look | None = None
) -> AbstractContextManager[WorkOn] | None:
    """Return what has workers do `verb`, where the fleet file says `dispatch: deployment`."""
    if fleet.dispatch is not Dispatch.DEPLOYMENT:
        return None

    def work_on(some: Sequence[Site], wave: Wave | None) -> FleetReport:
        changed = look.parameters if look and wave and wave.looks_only else {}
        return dispatch_sites(verb, fleet, some, plan=plan, changed=changed)

    return nullcontext(work_on)


@contextmanager
def working_here(
    verb: str,
    work: Work,
    fleet: Fleet,
    sites: Sequence[Site],
    before: Mapping[str, frozenset[str]] | None = None,
    *,
    how: str = "",
    look: Look | None = None,
    looking: bool = False,
) -> Iterator[WorkOn]:
    """Open what the sites are fed from, and yield what works on some of them in this process.

    `how` and `look` are `run_fleet`'s. `looking`: the registries are only looked at, not prepared.
    """
    with open_upstreams(fleet, sites, looking=looking) as upstreams:

        def work_on(some: Sequence[Site], wave: Wave | None) -> FleetReport:
            done = look.work if look and wave and wave.looks_only else work
            return run_sites(
                verb,
                fleet.name,
                some,
                partial(_with_upstream, done, upstreams, how),
                sites_at_once(fleet.max_sites_at_once),
                before or {},
                tags=[f"wave:{wave.number}"] if wave and wave.of > 1 else [],
            )

        yield work_on


def _with_upstream(work: Work, upstreams: Upstreams, how: str, run: SiteRun) -> None:
    run.how = how
    work(run, upstreams.of(run.site))
