"""`acrfleet plan`: every change that an onboarding would make, and none is made."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.plan_lines import print_fleet_plan
from cli.runs import exit_code, leave, run_flow
from cli.site_options import Wanted, choosing_sites

if TYPE_CHECKING:
    from fleet.site_plan import FleetPlan
    from fleet.sites import Fleet


class PlanCommand(click.Command):
    """A command that ends with 1 when it is mistyped: 2 means that there are changes."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the command line."""
        try:
            return super().make_context(*args, **more)
        except click.UsageError as error:
            error.show()
            sys.exit(ExitCode.FAILED)


@click.command(cls=PlanCommand)
@choosing_sites
@click.option(
    "--out",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the plan to this file, for `acrfleet apply --plan`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON, for scripts.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log too.")
def plan(fleet_file: Path, wanted: Wanted, out: Path | None, as_json: bool, verbose: bool) -> None:
    r"""Show every change that onboarding each SITE of FLEET_FILE would make; write nothing.

    Cloud, cluster and nodes are read. The exit code is 1 when a site could not be read, something
    is in the way, or the input is wrong; else 3 when a site is away; else 2 when there are changes;
    else 0.

    \b
    Example:
        acrfleet plan fleet.yaml
        acrfleet plan fleet.yaml oslo 'north-*' --out monday.plan
    """
    from fleet.fleet_plan import excess

    with two_means_changes():
        fleet, made, stopped = make_plan(fleet_file, wanted, quiet=as_json, verbose=verbose)
        if out is not None:
            keep_plan(out, made)
    if as_json:
        click.echo(json.dumps(made.model_dump(mode="json"), indent=2))
    else:
        print_fleet_plan(made, excess(made, fleet.limits), on_stderr=False)
        if out is not None and made.has_changes:
            click.echo(f"do exactly this with `acrfleet apply {fleet_file} --plan {out}`")
    leave(ExitCode.STOPPED if stopped else code_of(made))


def make_plan(
    fleet_file: Path, wanted: Wanted, *, quiet: bool, verbose: bool
) -> "tuple[Fleet, FleetPlan, bool]":
    """Return the fleet, the plan of the chosen sites and whether somebody stopped the planning.

    Wrong input ends the command.
    """
    from clients.fleet_files import read_fleet
    from fleet.fleet_plan import fleet_digest, fleet_plan

    with readable():
        fleet = read_fleet(fleet_file)
        names = [site.name for site in wanted.choose(fleet)]
    parameters = {"fleet_file": str(fleet_file), **wanted.parameters()}
    flow = "flows.plan.plan_fleet"
    report = run_flow(flow, parameters, names, as_json=quiet, verbose=verbose)
    stopped = exit_code(report) is ExitCode.STOPPED
    return fleet, fleet_plan(report, fleet_digest(fleet), datetime.now(UTC)), stopped


def keep_plan(path: Path, made: "FleetPlan") -> None:
    """Write a plan to a file; if that fails, the command ends."""
    from clients.plan_files import write_plan_file

    with readable():
        write_plan_file(path, made)


def code_of(made: "FleetPlan") -> ExitCode:
    """Return what a plan means to a script, the worst of its sites."""
    if made.is_blocked:
        return ExitCode.FAILED
    if made.is_waiting:
        return ExitCode.WAITING
    return ExitCode.DUE if made.has_changes else ExitCode.OK


@contextmanager
def two_means_changes() -> Iterator[None]:
    """End with 1 where other commands end with 2, for wrong input."""
    try:
        yield
    except SystemExit as error:
        sys.exit(ExitCode.FAILED if error.code == ExitCode.WRONG_INPUT else error.code)
