"""Go over a fleet in waves, stop when too much fails, and take up what was interrupted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fleet.results import FleetReport, SiteResult, Status
from fleet.run_marks import RunMark, done_since, mark_key, unfinished
from fleet.sites import Fleet, Site
from fleet.wave_settings import Waves
from fleet.waves import Wave, looking, not_begun, plan_waves, why_stop
from tasks.progress import announce, collecting_reports, tell, tell_report
from tasks.records import read_records
from tasks.run_log import note, warn
from tasks.run_marks import keep_mark, read_mark

WorkOn = Callable[[Sequence[Site], Wave | None], FleetReport]
"""Works on sites, those of a wave that are not skipped, and reports on all of them."""


@dataclass(frozen=True)
class Course:
    """In which order a run goes over its sites.

    Attributes:
        waves: All waves of the run, with the sites that are skipped.
        settings: When it stops.
        skipped: Sites that are done already, each with the reason.
        key: Where the run's mark is kept; empty: it has none.
        mark: The run's mark; None where it has none.
        looks_on: Whether the sites of waves that may not begin are looked at all the same.
    """

    waves: tuple[Wave, ...]
    settings: Waves = field(default_factory=Waves)
    skipped: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    mark: RunMark | None = None
    looks_on: bool = False


def one_wave(sites: Sequence[Site]) -> Course:
    """Return the course of a run that does all sites at once and remembers nothing."""
    return Course(plan_waves(sites, None))


def open_course(
    verb: str,
    fleet: Fleet,
    sites: Sequence[Site],
    before: Mapping[str, frozenset[str]],
    choice: Mapping[str, Sequence[str]],
    *,
    how: str = "",
    resume: bool = False,
    looks_on: bool = False,
) -> Course:
    """Plan the waves of a run from the fleet file and the sites' records, and note that it began.

    Args:
        verb: What is done, as it stands in run names.
        fleet: The fleet.
        sites: The chosen sites.
        before: For each site those that have to end first.
        choice: How the sites were chosen: runs of the same choice are the same run.
        how: What else makes the run's work its own, as for `fleet.records.site_digest`.
        resume: Do not run again what is done since the last run of this, which was interrupted,
            began.
        looks_on: As for `Course`.
    """
    records = read_records(fleet.name, [site.name for site in sites])
    key = mark_key(fleet.name, verb, choice, how)
    last = read_mark(key) if resume else None
    skipped: dict[str, str] = {}
    mark = RunMark(verb=verb, began_at=datetime.now(UTC))
    if last is not None and not last.is_complete:
        mark, skipped = last, done_since(verb, sites, records, last.began_at, how)
        note(f"resuming the run that began {last.began_at:%Y-%m-%d %H:%M:%S} UTC")
    elif resume:
        warn("there is no interrupted run of this to resume, so all sites are run")
    keep_mark(key, mark)
    waves = plan_waves(sites, fleet.waves, before, unfinished(verb, sites, records))
    return Course(waves, fleet.waves or Waves(), skipped, key, mark, looks_on)


def close_course(course: Course, report: FleetReport) -> None:
    """Note how the run ended, so that it can be taken up."""
    if course.mark is not None:
        keep_mark(course.key, course.mark.after(report))


def run_waves(verb: str, fleet: str, course: Course, work_on: WorkOn) -> FleetReport:
    """Run wave after wave until one goes wrong, and report on all sites of all waves.

    A run that is interrupted tells how far it got and goes on upwards.
    """
    results: dict[str, SiteResult] = {}
    with collecting_reports() as told:
        try:
            for wave in course.waves:
                if not _run_wave(verb, course, wave, work_on, results):
                    break
        except BaseException:
            results |= {one.site: one for report in told for one in report.results}
            tell_report(_report(verb, fleet, course, results))
            raise
    return _report(verb, fleet, course, results)


def _run_wave(
    verb: str, course: Course, wave: Wave, work_on: WorkOn, results: dict[str, SiteResult]
) -> bool:
    """Run a wave, put its results to the others, and return whether the next may begin."""
    if wave.of > 1:
        _proclaim(f"{wave} begins")
    _take(results, _skipped(verb, course, wave))
    todo = [site for site in wave.sites if site.name not in results]
    if todo:
        results |= {one.site: one for one in work_on(todo, wave).results}
    if wave.of > 1:
        _proclaim(f"{wave} ended: {_counted(wave, results)}")
    why = why_stop(course.settings, wave, results.values())
    if not why or wave.number == wave.of:
        return True
    _proclaim(f"stopped after wave {wave.number} of {wave.of}: {why}", is_bad=True)
    later = course.waves[wave.number :]
    _take(results, [one for each in later for one in _skipped(verb, course, each)])
    if course.looks_on:
        rest = looking(later)
        _proclaim("the sites of later waves are looked at, and nothing is changed there")
        todo = [site for site in rest.sites if site.name not in results]
        results |= {one.site: one for one in work_on(todo, rest).results} if todo else {}
        return False
    for each in later:
        _take(results, [one for one in not_begun(verb, each, why) if one.site not in results])
    return False


def _proclaim(words: str, *, is_bad: bool = False) -> None:
    announce(words)
    (warn if is_bad else note)(words)


def _take(results: dict[str, SiteResult], more: Sequence[SiteResult]) -> None:
    for one in more:
        results[one.site] = one
        tell(one.message, one.status.value, one.site)


def _skipped(verb: str, course: Course, wave: Wave) -> list[SiteResult]:
    return [
        SiteResult(
            site=site.name, verb=verb, status=Status.SKIPPED, message=course.skipped[site.name]
        )
        for site in wave.sites
        if site.name in course.skipped
    ]


def _counted(wave: Wave, results: Mapping[str, SiteResult]) -> str:
    found = [results[site.name].status for site in wave.sites if site.name in results]
    counts = [(found.count(status), status) for status in Status]
    return ", ".join(f"{count} {status}" for count, status in counts if count)


def _report(
    verb: str, fleet: str, course: Course, results: Mapping[str, SiteResult]
) -> FleetReport:
    sites = [site for wave in course.waves for site in wave.sites]
    missing = [
        SiteResult(site=site.name, verb=verb, status=Status.STOPPED, message="not started")
        for site in sites
        if site.name not in results
    ]
    return FleetReport.of(verb, fleet, [*results.values(), *missing])
