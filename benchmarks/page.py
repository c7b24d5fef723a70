"""docs/benchmarks.md and its plot, from the results of the last `make bench`."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.figures import Figures, Run, table, target_table

DOCS = Path(__file__).parent.parent / "docs"
_COLOURS = {"floor": "#7f7f7f", "sqlite": "#0072b2", "postgresql": "#d55e00"}

_HEAD = """# Benchmarks

`make bench` wrote this page from runs against the lab on {time} ({machine}).
It takes about two hours on an idle machine; `python -m benchmarks --sites 10 --on sqlite` is a
short one, and `--add` keeps what other runs on this machine have found.

What is compared: `acrfleet onboard` of a whole fleet, first when nothing is there yet and then
once more when nothing is left to do, with Prefect and a server of its own, and the same steps of
the same code without Prefect (the floor, `benchmarks/without_prefect.py`).
Each pair runs one after the other on the same machine with the same number of sites at once, so
the ratio says what Prefect costs; seconds say something about this machine only.
The lab, the Prefect server and the runner share the cores.

The world is as slow as `benchmarks/latency.yaml` says: each answer of Azure takes 150 ms longer,
a round trip to a host 60 ms, the chart needs 5 s, a restart of K3s 2 s, a site's first
synchronisation 2 s, and a registry's sync schedule ticks every second instead of every minute.
"On" is the database of the Prefect server; PostgreSQL runs with its own defaults.
CPU is that of the runner, server CPU that of the Prefect server without its database until it has
written everything down, memory the runner's highest.

![wall time and memory by number of sites](benchmarks.svg)

"""

_WHY = """
What the missed ones are made of is in [decision 24](decisions/0024-benchmarks.md).
"""


def write_page(results: Path) -> None:
    """Write the page and the plot from the file of results."""
    content = json.loads(results.read_text())
    figures = Figures(Run(**run) for run in content["runs"])
    targets = "\n## Targets\n\n" + target_table(figures) + _WHY
    page = _HEAD.format(**content) + table(figures) + targets
    (DOCS / "benchmarks.md").write_text(page)
    draw(figures, DOCS / "benchmarks.svg")


def draw(figures: Figures, path: Path) -> None:
    """Draw wall time per site and memory over the number of sites, one line per engine and run."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (engine, at_once, first), runs in _lines(figures).items():
        style = "-" if first else "--"
        label = f"{'no Prefect' if engine == 'floor' else engine}, {at_once} at once"
        label += ", first" if first else ", no change"
        sizes = [run.sites for run in runs]
        shown = {"color": _COLOURS[engine], "linestyle": style, "marker": "os"[at_once > 16]}
        left.plot(sizes, [run.wall for run in runs], label=label, **shown)
        if first:
            right.plot(sizes, [run.memory for run in runs], **shown)
    for axes, title, unit in ((left, "wall time", "s"), (right, "runner's peak memory", "MB")):
        axes.set(xlabel="sites", ylabel=unit, title=title, xscale="log", ylim=(0, None))
        axes.set_xticks(sorted({run.sites for run in figures.runs}), minor=False)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _lines(figures: Figures) -> dict[tuple[str, int, bool], list[Run]]:
    lines: dict[tuple[str, int, bool], list[Run]] = {}
    for run in sorted(figures.runs, key=lambda run: run.sites):
        lines.setdefault((run.engine, run.at_once, run.first), []).append(run)
    return lines
