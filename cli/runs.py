"""Start a fleet flow and show how it goes: `onboard`, `verify`, `rotate`, and others' parts."""

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

from cli.change_options import in_waves
from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.site_options import Wanted, choosing_sites
from fleet.errors import FleetError
from fleet.failures import group_failures
from fleet.results import FleetReport, Status

_PATIENT = {
    "PREFECT_CLIENT_MAX_RETRIES": "15",  # a busy server must not end a fleet's run
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # nor a busy machine its start
}
_QUIET = {
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
_UNTOUCHED = (Status.STOPPED, Status.NOT_STARTED, Status.SKIPPED)
_VERBS = (
    "onboard",
    "verify",
    "rotate",
    "check",
    "revoke",
    "adopt",
    "offboard",
    "plan",
    "apply",
    "reconcile",
)
_options = [
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts."),
    click.option("--verbose", is_flag=True, help="Show Prefect's own log too."),
]


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that runs a fleet flow its sites, --json and --verbose."""
    for option in reversed(_options):
        command = option(command)
    return choosing_sites(command)


@click.command()
@with_run_options
@in_waves
def onboard(**options: Any) -> None:
    r"""Give sites their own registry, or bring them in line with FLEET_FILE; twice is once.

    \b
    Example:
        acrfleet onboard fleet.yaml
        acrfleet onboard fleet.yaml oslo 'north-*' --json
        acrfleet onboard fleet.yaml --resume
    """
    run_command("flows.onboard", "onboard_fleet", **options)


@click.command()
@with_run_options
def verify(**options: Any) -> None:
    r"""Prove that images pull from each site's own registry; changes nothing.

    \b
    Example:
        acrfleet verify fleet.yaml --tag ship --label vessel=Fjordkraft
    """
    run_command("flows.verify", "verify_fleet", **options)


@click.command()
@with_run_options
@click.option("--now", is_flag=True, help="Roll passwords whatever their age.")
@in_waves
def rotate(**options: Any) -> None:
    r"""Roll the passwords that are due, and finish what earlier rotations began.

    A site that is away or has not synchronised yet keeps its old password; run it again later.

    \b
    Example:
        acrfleet rotate fleet.yaml
        acrfleet rotate fleet.yaml --site oslo --now
    """
    run_command("flows.rotate", "rotate_tokens", **options)


def run_command(
    module: str,
    name: str,
    fleet_file: Path,
    wanted: Wanted,
    as_json: bool,
    verbose: bool,
    judge: Callable[[FleetReport], ExitCode] | None = None,
    **more: Any,
) -> None:
    """Run a flow on the chosen sites, show its report, and exit as it went.

    Args:
        module: Where the flow is, `flows.onboard`.
        name: The flow.
        fleet_file: Path of the fleet file.
        wanted: Which sites.
        as_json: Print the report as JSON.
        verbose: Show Prefect's own log.
        judge: Returns the exit code; None: `exit_code`.
        more: More parameters of the flow.
    """
    names = [site.name for site in wanted.choose_from(fleet_file)]
    parameters = {"fleet_file": str(fleet_file), **wanted.parameters(), **more}
    report = run_flow(f"{module}.{name}", parameters, names, as_json=as_json, verbose=verbose)
    print_or_dump(report, as_json)
    leave((judge or exit_code)(report))


def run_flow(
    name: str, parameters: dict[str, Any], sites: list[str], *, as_json: bool, verbose: bool
) -> FleetReport:
    """Run a fleet flow in this process, show how it goes, and return its report.

    Args:
        name: Module and flow, `flows.onboard.onboard_fleet`.
        parameters: The flow's.
        sites: Names of the sites that are shown while it runs.
        as_json: Show nothing on the way.
        verbose: Show Prefect's own log.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    _set_unless_set(_PATIENT)
    if not verbose:
        _quiet_prefect()
    module, _, function = name.rpartition(".")
    return _watch(getattr(importlib.import_module(module), function), parameters, sites, as_json)


def _watch(flow: Any, parameters: dict[str, Any], names: list[str], as_json: bool) -> FleetReport:
    from prefect.settings import get_current_settings

    from cli.live import watching
    from tasks.progress import collecting_reports

    if get_current_settings().api.url is None:
        click.echo(
            "starting a temporary Prefect server (set PREFECT_API_URL to use yours)", err=True
        )
    state = None  # as it stays when Ctrl-C ends the run
    with (
        collecting_reports() as reports,
        readable(),
        _stoppable(reports),
        watching(names, quiet=as_json),
    ):
        state = flow(**parameters, return_state=True)
        if not reports:
            state.result()
    if state is not None and state.is_failed():
        _say_error(state.result(raise_on_failure=False), reports[-1], as_json)
    return reports[-1]


def _say_error(error: object, report: FleetReport, as_json: bool) -> None:
    """Say what ended a run that had begun to tell how far it got, and leave."""
    if not isinstance(error, FleetError):
        return
    has_begun = any(result.status not in _UNTOUCHED for result in report.results)
    if has_begun:
        print_or_dump(report, as_json)
    click.echo(str(error), err=True)
    leave(ExitCode.FAILED if has_begun else ExitCode.WRONG_INPUT)


@contextmanager
def _stoppable(reports: "list[FleetReport]") -> Iterator[None]:
    """Let Ctrl-C through only when there is no report to show for it."""
    try:
        yield
    except KeyboardInterrupt:
        if not reports:
            raise


def print_or_dump(report: FleetReport, as_json: bool) -> None:
    """Print a report for people or for scripts."""
    from cli.live import print_report

    if as_json:
        groups = [group._asdict() for group in group_failures(report.results)]
        click.echo(json.dumps({**report.model_dump(mode="json"), "failures": groups}, indent=2))
    else:
        print_report(report)


def exit_code(report: FleetReport) -> ExitCode:
    """Return what a report means to a script, the worst of its sites."""
    if report.having(Status.STOPPED):
        return ExitCode.STOPPED
    if report.having(Status.FAILED) or report.having(Status.NOT_STARTED):
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


def leave(code: ExitCode) -> None:
    """Exit; after a second Ctrl-C without waiting for the threads that are still at work."""
    if any(thread.name.startswith(_VERBS) for thread in threading.enumerate()):
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
