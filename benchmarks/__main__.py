"""`make bench`: run the matrix and write docs/benchmarks.md with a table and a plot."""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figures, Run, run_of, target_table
from benchmarks.page import write_page
from benchmarks.postgres import running_postgres
from benchmarks.programs import Lab, run_once, running_lab, running_server

RESULTS = Path(__file__).parent / "results.json"
AT_ONCE = {"sqlite": 16, "postgresql": 50}


def main() -> None:
    """Measure what was asked for, in place of the results of last time or beside them."""
    options = _options()
    found = _last_results() if options.add else []
    for sites in options.sites:
        for engine in options.on:
            for run in measure(sites, engine):
                found = [*(one for one in found if one.key != run.key), run]
                print(f"{run.sites} {run.engine} first={run.first}: {run.wall:.1f} s", flush=True)
                _keep(found)
    print(target_table(Figures(found)))


def _last_results() -> list[Run]:
    """Return the results of this machine, beside which others may stand."""
    content = json.loads(RESULTS.read_text())
    if content["machine"] != _machine():
        raise SystemExit(f"{RESULTS} is of another machine ({content['machine']}): omit --add")
    return [Run(**run) for run in content["runs"]]


def _keep(found: list[Run]) -> None:
    found.sort(key=lambda run: (run.sites, run.at_once, run.engine != "floor", not run.first))
    here = {"time": datetime.now(UTC).isoformat(timespec="minutes"), "machine": _machine()}
    RESULTS.write_text(
        json.dumps({**here, "runs": [asdict(run) for run in found]}, indent=1) + "\n"
    )
    write_page(RESULTS)


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def measure(sites: int, engine: str) -> Iterator[Run]:
    """Yield the floor's first and no-change run and then Prefect's, each pair on a lab of its own.

    Floor and Prefect work on the same number of sites at once, and in the same minute, so that the
    ratio says what Prefect costs and not what the machine did meanwhile.
    """
    at_once = AT_ONCE[engine]
    with tempfile.TemporaryDirectory(prefix="acrfleet-bench-") as name:
        folder = Path(name)
        with running_lab(folder / "floor", sites, at_once) as lab:
            for first in (True, False):
                figures = run_once("benchmarks.without_prefect", lab, folder / "floor", {})
                yield run_of(sites, at_once, "floor", first, figures)
        with ExitStack() as stack:
            url = stack.enter_context(running_postgres(folder)) if engine != "sqlite" else None
            lab = stack.enter_context(running_lab(folder / engine, sites, at_once))
            yield from _with_prefect(lab, folder / engine, url, (sites, at_once, engine))


def _with_prefect(
    lab: Lab, folder: Path, url: str | None, what: tuple[int, int, str]
) -> Iterator[Run]:
    with running_server(folder, url) as server:
        for first in (True, False):
            before = server.cpu_seconds_at_rest()
            told = {"PREFECT_API_URL": server.url}
            figures = run_once("benchmarks.with_prefect", lab, folder, told)
            figures["server_cpu"] = server.cpu_seconds_at_rest() - before
            yield run_of(*what, first, figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--sites", type=int, nargs="+", default=[10, 100, 500])
    parser.add_argument("--on", nargs="+", choices=sorted(AT_ONCE), default=sorted(AT_ONCE))
    parser.add_argument("--add", action="store_true", help="keep the results of other sizes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
