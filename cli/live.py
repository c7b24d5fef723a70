"""The terminal's view of a run: a live table on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.console import print_lines, print_table
from fleet.failures import failure_lines, group_failures
from fleet.results import FleetReport
from tasks.progress import Observer, Step, observing

_STYLE = {
    "queued": "dim",
    "running": "cyan",
    "done": "green",
    "waiting": "yellow",
    "failed": "bold red",
    "stopped": "red",
    "not started": "red",
    "skipped": "dim",
}
_ROOM = 6


def watching(names: Sequence[str], *, quiet: bool) -> AbstractContextManager[None]:
    """Show news about the sites while the block runs; `quiet` shows nothing."""
    if quiet:
        return nullcontext()
    if sys.stderr.isatty():
        return _live(names)
    return observing(_print_line())


def print_report(report: FleetReport) -> None:
    """Print what failed by its cause, a row per site, and the headline."""
    print_lines(failure_lines(group_failures(report.results)))
    table = Table(box=None, pad_edge=False)
    for column in ("site", "status", "changes", "seconds", ""):
        table.add_column(column, overflow="fold")
    for result in report.results:
        table.add_row(
            result.site,
            Text(result.status.value, style=_STYLE[result.status.value]),
            str(result.changes),
            f"{result.seconds:.0f}",
            Text(result.message),
        )
    print_table(table, report.headline)


class _Board:
    """The rows of the live table."""

    def __init__(self, names: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._steps = {name: Step(name, "", "running") for name in names}
        self._started: dict[str, float] = {}
        self._news = ""

    def take(self, step: Step) -> None:
        with self._lock:
            if not step.site:
                self._news = step.text
                return
            self._started.setdefault(step.site, time.monotonic())
            self._steps[step.site] = step

    def __rich_console__(self, console: Console, _options: object) -> Iterator[RenderableType]:
        with self._lock:
            steps, started = list(self._steps.values()), dict(self._started)
        yield _table(_most_interesting(steps, started, console.height - _ROOM), started)
        ended = sum(step.state != "running" for step in steps)
        news = f"; {self._news}" if self._news else ""
        yield Text(f"{ended} of {len(steps)} sites ended{news}", style="dim")


def _most_interesting(
    steps: Sequence[Step], started: dict[str, float], room: int
) -> Sequence[Step]:
    """Return the rows for which there is room: sites at work, then failures, then the rest."""
    if len(steps) <= room:
        return steps

    def interest(step: Step) -> int:
        if step.state == "running":
            return 0 if step.site in started else 3
        return 1 if step.state in ("failed", "waiting") else 2

    return sorted(steps, key=interest)[: max(1, room)]


def _table(steps: Sequence[Step], started: dict[str, float]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("site", "status", "now"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for step in steps:
        state = step.state if step.site in started else "queued"
        text = step.text.splitlines()[0] if step.text else ""
        table.add_row(step.site, Text(state, style=_STYLE[state]), Text(text))
    return table


@contextmanager
def _live(names: Sequence[str]) -> Iterator[None]:
    board = _Board(names)
    console = Console(stderr=True)
    with Live(board, console=console, refresh_per_second=6, transient=True), observing(board.take):
        yield


def _print_line() -> Observer:
    lock = threading.Lock()

    def show(step: Step) -> None:
        with lock:
            who = f"{step.site}: " if step.site else ""
            mark = "" if step.state == "running" else f"{step.state}: "
            print(f"{who}{mark}{step.text}", file=sys.stderr, flush=True)  # noqa: T201

    return show
