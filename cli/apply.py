"""`acrfleet apply`: do exactly what a plan says."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.agreement import agrees
from cli.change_options import in_waves
from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.plan import code_of, keep_plan, make_plan
from cli.plan_lines import print_fleet_plan
from cli.runs import exit_code, leave, print_or_dump, run_flow
from cli.site_options import Wanted, choosing_sites
from fleet.plan_limits import OVER

if TYPE_CHECKING:
    from fleet.site_plan import FleetPlan
    from fleet.sites import Fleet


@click.command()
@choosing_sites
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Do what this plan says, which `acrfleet plan --out` wrote.",
)
@click.option(
    "--over",
    multiple=True,
    type=click.Choice(list(OVER)),
    help="Let the plan be larger than this limit of the fleet file; repeatable.",
)
@click.option("--yes", is_flag=True, help="Apply without asking; for scripts.")
@in_waves
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log too.")
def apply(
    fleet_file: Path,
    wanted: Wanted,
    plan_file: Path | None,
    over: tuple[str, ...],
    yes: bool,
    as_json: bool,
    verbose: bool,
    **how: Any,
) -> None:
    r"""Do what a plan says, or plan each SITE of FLEET_FILE, show it, ask, and do it.

    Each site is planned again right before it is changed. A site where something else would be done
    by then is left alone and named with what has moved; the others go on.

    \b
    Example:
        acrfleet apply fleet.yaml oslo
        acrfleet apply fleet.yaml --plan monday.plan --yes
        acrfleet apply fleet.yaml --tag ship --over restarts
    """
    fleet, made = _plan(fleet_file, wanted, plan_file, quiet=as_json, verbose=verbose)
    _show(made, fleet, over, as_json)
    if not made.has_changes:
        leave(code_of(made))
    if not yes and not _may(made):
        leave(ExitCode.WRONG_INPUT)
    parameters = {"fleet_file": str(fleet_file), "over": list(over), **how}
    with _in_a_file(made) as path:
        report = run_flow(
            "flows.apply.apply_plan",
            {**parameters, "plan_file": str(path)},
            _sites(made),
            as_json=as_json,
            verbose=verbose,
        )
    print_or_dump(report, as_json)
    leave(exit_code(report))


def _plan(
    fleet_file: Path, wanted: Wanted, plan_file: Path | None, *, quiet: bool, verbose: bool
) -> "tuple[Fleet, FleetPlan]":
    from clients.fleet_files import read_fleet
    from clients.plan_files import read_plan_file
    from fleet.fleet_plan import require_fit

    if plan_file is None:
        fleet, made, stopped = make_plan(fleet_file, wanted, quiet=quiet, verbose=verbose)
        if stopped:
            leave(ExitCode.STOPPED)
        return fleet, made
    if not wanted.is_open:
        raise click.UsageError("--plan says which sites; leave SITE, --site, --tag, --label out")
    with readable():
        fleet, made = read_fleet(fleet_file), read_plan_file(plan_file)
        require_fit(made, fleet, str(plan_file))
    return fleet, made


def _show(made: "FleetPlan", fleet: "Fleet", over: tuple[str, ...], as_json: bool) -> None:
    """Show the plan; one that is too large ends the command."""
    from fleet.fleet_plan import excess, require_size

    print_fleet_plan(made, excess(made, fleet.limits), on_stderr=as_json)
    with readable():
        require_size(made, fleet.limits, over)


def _may(made: "FleetPlan") -> bool:
    question = f"Apply this plan ({made.headline})?"
    return agrees(question, undone="nothing was changed", hint="apply the plan")


def _sites(made: "FleetPlan") -> list[str]:
    from fleet.fleet_plan import sites_to_apply

    return sites_to_apply(made)


@contextmanager
def _in_a_file(made: "FleetPlan") -> Iterator[Path]:
    """Yield where the plan that was shown is: a file that nobody else writes to meanwhile."""
    handle, name = tempfile.mkstemp(prefix="acrfleet-", suffix=".plan")
    os.close(handle)
    try:
        keep_plan(Path(name), made)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
