"""What a benchmark found, as values: runs, ratios of two runs, and targets that are met or not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """One run of a whole fleet.

    Attributes:
        sites: How many sites it had.
        at_once: How many of them were worked on at the same time.
        engine: `floor` (no Prefect), `sqlite` or `postgresql` (Prefect, and its database).
        first: It onboarded the sites; else it found nothing to do.
        wall: Seconds it took.
        cpu: CPU seconds of the runner.
        server_cpu: CPU seconds of the Prefect server meanwhile; 0 for the floor.
        memory: Highest resident memory of the runner, in MB.
        changes: How many objects it wrote.
    """

    sites: int
    at_once: int
    engine: str
    first: bool
    wall: float
    cpu: float
    server_cpu: float
    memory: float
    changes: int

    @property
    def key(self) -> tuple[int, str, int, bool]:
        """Return what was run; two runs with the same key are the same measurement."""
        return self.sites, self.engine, self.at_once, self.first


@dataclass(frozen=True)
class Target:
    """A figure of the issue, what was measured, and whether it is met."""

    what: str
    limit: float
    measured: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Return whether the figure is within its limit."""
        return self.measured <= self.limit


class Figures:
    """All runs of one benchmark."""

    def __init__(self, runs: Iterable[Run]) -> None:
        """Take the runs."""
        self.runs = tuple(runs)

    def find(self, sites: int, engine: str, at_once: int, *, first: bool) -> Run | None:
        """Return a run, or None where it was not measured."""
        key = (sites, engine, at_once, first)
        found = [run for run in self.runs if run.key == key]
        return found[-1] if found else None

    def floor_of(self, run: Run) -> Run | None:
        """Return the run without Prefect of the same sites, as many at once."""
        return self.find(run.sites, "floor", run.at_once, first=run.first)

    def ratio(self, run: Run) -> float | None:
        """Return a run's wall time in those of its floor."""
        floor = self.floor_of(run)
        return run.wall / floor.wall if floor else None

    def targets(self) -> Iterator[Target]:
        """Yield the targets that these runs can tell about."""
        for run in self.runs:
            if run.sites == 100 and run.first and run.engine != "floor":
                limit = 1.5 if run.engine == "sqlite" else 1.3
                ratio = self.ratio(run)
                if ratio is not None:
                    what = f"first run of 100 sites on {run.engine} over the floor, wall time"
                    yield Target(what, limit, ratio)
            if run.sites == 500 and not run.first and run.engine != "floor":
                yield from self._large(run)

    def _large(self, run: Run) -> Iterator[Target]:
        name = f"500 sites on {run.engine}"
        first = self.find(run.sites, run.engine, run.at_once, first=True)
        small = self.find(10, run.engine, run.at_once, first=True)
        if first is None:
            return
        what = f"no-change run of {name} over the first run"
        yield Target(f"{what}, wall time", 0.2, run.wall / first.wall)
        cost = (run.cpu + run.server_cpu) / (first.cpu + first.server_cpu)
        yield Target(f"{what}, CPU time", 0.2, cost)
        memory = max(run.memory, first.memory)
        yield Target(f"memory of the runner, {name}", 400, memory, " MB")
        if small is not None:
            growth = (first.memory - small.memory) / (first.sites - small.sites)
            yield Target(f"memory per further site, {name}", 0.3, growth, " MB")


def run_of(sites: int, at_once: int, engine: str, first: bool, found: dict[str, Any]) -> Run:
    """Return a run from what its runner printed."""
    numbers = ("wall", "cpu", "server_cpu", "memory", "changes")
    return Run(sites, at_once, engine, first, **{key: found.get(key, 0) for key in numbers})


def table(figures: Figures) -> str:
    """Return the runs as a Markdown table."""
    head = (
        "| sites | at once | run | on | wall s | of floor | CPU s/site | server CPU s/site | MB |\n"
        "| ---: | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
    )
    return head + "".join(_row(figures, run) for run in figures.runs)


def _row(figures: Figures, run: Run) -> str:
    ratio = figures.ratio(run)
    cells = (
        str(run.sites),
        str(run.at_once),
        "first" if run.first else "no change",
        "no Prefect" if run.engine == "floor" else run.engine,
        f"{run.wall:.1f}",
        f"{ratio:.2f}" if ratio and run.engine != "floor" else "1",
        f"{run.cpu / run.sites:.2f}",
        f"{run.server_cpu / run.sites:.2f}" if run.server_cpu else "",
        f"{run.memory:.0f}",
    )
    return f"| {' | '.join(cells)} |\n"


def target_table(figures: Figures) -> str:
    """Return the targets as a Markdown table."""
    head = "| target | at most | measured | |\n| --- | ---: | ---: | --- |\n"
    rows = (
        f"| {one.what} | {one.limit:g}{one.unit} | {one.measured:.2f}{one.unit} "
        f"| {'met' if one.is_met else '**missed**'} |\n"
        for one in figures.targets()
    )
    return head + "".join(rows)
