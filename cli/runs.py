"""`acrfleet onboard` and `acrfleet verify`: start a fleet flow and show how it goes."""

import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable
from fleet.results import FleetReport, Status

_PATIENT = {"PREFECT_CLIENT_MAX_RETRIES": "15"}  # a busy server must not end a fleet's run
_QUIET = {
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
_options = [
    click.argument("fleet_file", type=click.Path(path_type=Path)),
    click.option("--site", "sites", multiple=True, help="Name or glob of a site; repeatable."),
    click.option("--tag", "tags", multiple=True, help="Only sites with this tag; repeatable."),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts."),
    click.option("--verbose", is_flag=True, help="Show Prefect's own log too."),
]


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_options):
        command = option(command)
    return command


@click.command()
@_with_options
def onboard(**options: Any) -> None:
    r"""Give sites their own registry, or bring them in line with FLEET_FILE; twice is once.

    \b
    Example:
        acrfleet onboard fleet.yaml
        acrfleet onboard fleet.yaml --site oslo --site 'north-*' --json
    """
    _run("flows.onboard", "onboard_fleet", **options)


@click.command()
@_with_options
def verify(**options: Any) -> None:
    r"""Prove that images pull from each site's own registry; changes nothing.

    \b
    Example:
        acrfleet verify fleet.yaml --tag ship
    """
    _run("flows.verify", "verify_fleet", **options)


def _run(
    module: str,
    name: str,
    fleet_file: Path,
    sites: tuple[str, ...],
    tags: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    from clients.fleet_files import read_fleet
    from fleet.selection import select_sites

    with readable():
        chosen = select_sites(read_fleet(fleet_file), sites, tags)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    _set_unless_set(_PATIENT)
    if not verbose:
        _quiet_prefect()
    flow = getattr(importlib.import_module(module), name)
    parameters = {"fleet_file": str(fleet_file), "sites": list(sites), "tags": list(tags)}
    report = _watch(flow, parameters, [site.name for site in chosen], as_json)
    _leave(_exit_code(report))


def _watch(flow: Any, parameters: dict[str, Any], names: list[str], as_json: bool) -> FleetReport:
    from prefect.settings import get_current_settings

    from cli.live import watching
    from tasks.progress import collecting_reports

    if get_current_settings().api.url is None:
        click.echo(
            "starting a temporary Prefect server (set PREFECT_API_URL to use yours)", err=True
        )
    with (
        collecting_reports() as reports,
        readable(),
        _stoppable(reports),
        watching(names, quiet=as_json),
    ):
        state = flow(**parameters, return_state=True)
        if not reports:
            state.result()
    _print(reports[-1], as_json)
    return reports[-1]


@contextmanager
def _stoppable(reports: "list[FleetReport]") -> Iterator[None]:
    """Let Ctrl-C through only when there is no report to show for it."""
    try:
        yield
    except KeyboardInterrupt:
        if not reports:
            raise


def _print(report: FleetReport, as_json: bool) -> None:
    from cli.live import print_report

    if as_json:
        click.echo(json.dumps(report.model_dump(mode="json"), indent=2))
    else:
        print_report(report)


def _exit_code(report: FleetReport) -> ExitCode:
    if report.having(Status.STOPPED):
        return ExitCode.STOPPED
    if report.having(Status.FAILED):
        return ExitCode.FAILED
    return ExitCode.WAITING if report.having(Status.WAITING) else ExitCode.OK


def _set_unless_set(variables: dict[str, str]) -> None:
    for variable, value in variables.items():
        os.environ.setdefault(variable, value)


def _quiet_prefect() -> None:
    """Keep Prefect's log off the terminal; it still goes to the UI.

    A temporary server would write its own troubles there too, and report usage to its makers,
    which from a ship is only noise; what the environment says stands.
    """
    _set_unless_set(_QUIET)
    from prefect.logging.configuration import setup_logging

    setup_logging()
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", ""):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if isinstance(handler, logging.StreamHandler):
                logger.removeHandler(handler)


def _interrupt(_signal: int, _frame: object) -> None:
    click.echo("stopping: steps in progress finish first; Ctrl-C again leaves them", err=True)
    raise KeyboardInterrupt


def _leave(code: ExitCode) -> None:
    """Exit; after a second Ctrl-C without waiting for the threads that are still at work."""
    if any(thread.name.startswith(("onboard", "verify")) for thread in threading.enumerate()):
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
