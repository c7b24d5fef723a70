"""`acrfleet offboard`: show what goes with sites, ask, and take it away."""

from pathlib import Path
from typing import Any

import click

from cli.agreement import is_agreed, keys_to_write, known_names, print_plan
from cli.change_options import ignoring_windows
from cli.exit_codes import ExitCode
from cli.runs import exit_code, leave, print_or_dump, run_flow
from cli.site_options import Wanted, choosing_sites
from fleet.results import FleetReport, Status

_FLOW = "flows.offboard.offboard_sites"


@click.command()
@choosing_sites
@click.option("--cloud-only", is_flag=True, help="The sites are gone: clean up in Azure alone.")
@click.option("--yes", is_flag=True, help="Remove without asking; for scripts.")
@ignoring_windows
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log too.")
def offboard(
    fleet_file: Path,
    wanted: Wanted,
    cloud_only: bool,
    yes: bool,
    ignore_windows: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    r"""Take each SITE of FLEET_FILE out of the fleet: what acrfleet made goes, nothing else.

    Everything that goes is shown before anything does. Sites that are fed by others go before
    them; one that can't be looked at is named, and the others go on. Afterwards take the sites
    out of the fleet file.

    \b
    Example:
        acrfleet offboard fleet.yaml oslo
        acrfleet offboard fleet.yaml ferry --cloud-only --yes
    """
    names = known_names(fleet_file, wanted)
    parameters = {"fleet_file": str(fleet_file), "sites": names, "cloud_only": cloud_only}
    shown: dict[str, Any] = {"as_json": as_json, "verbose": verbose}
    looked = run_flow(_FLOW, parameters, names, **shown)
    plan = FleetReport.of(looked.verb, looked.fleet, looked.having(Status.DONE))
    if exit_code(looked) is ExitCode.STOPPED or not plan.results:
        print_or_dump(looked, as_json)
        leave(exit_code(looked))
    approved, unplanned = keys_to_write(plan), len(looked.results) - len(plan.results)
    if unplanned and not as_json:
        print_or_dump(looked, as_json)
    print_plan(plan, on_stderr=as_json)
    if not approved or not (yes or _may(plan)):
        if as_json:
            print_or_dump(looked, as_json)
        leave(exit_code(looked) if not approved else ExitCode.WRONG_INPUT)
    planned = [one.site for one in plan.results]
    agreed = {"sites": planned, "approved": approved, "ignore_windows": ignore_windows}
    done = run_flow(_FLOW, {**parameters, **agreed}, planned, **shown)
    # A site that could not be planned is no success, though the others are gone.
    left = [one for one in looked.results if one.site not in planned]
    report = FleetReport.of(done.verb, done.fleet, [*done.results, *left])
    print_or_dump(report, as_json)
    leave(exit_code(report))


def _may(plan: FleetReport) -> bool:
    question = "Remove all of this from {}?"
    return is_agreed(plan, question=question, undone="nothing was removed", verb="offboard")
