"""`acrfleet revoke`: shut lost or stolen sites out of Azure."""

from pathlib import Path
from typing import Any

import click

from cli.agreement import is_agreed, keys_to_write, known_names, print_plan
from cli.exit_codes import ExitCode
from cli.runs import exit_code, leave, print_or_dump, run_flow
from cli.site_options import Wanted, choosing_sites

_FLOW = "flows.revoke.revoke_sites"


@click.command()
@choosing_sites
@click.option("--yes", is_flag=True, help="Revoke without asking; for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log too.")
def revoke(fleet_file: Path, wanted: Wanted, yes: bool, as_json: bool, verbose: bool) -> None:
    r"""Shut each SITE of FLEET_FILE out of Azure: for devices that were lost or stolen.

    Tokens are disabled and lose their passwords, connected registries are deactivated. It works
    whether a site can be reached or not; where it can, the old passwords are shown to be refused.

    \b
    Example:
        acrfleet revoke fleet.yaml oslo
    """
    names = known_names(fleet_file, wanted)
    parameters = {"fleet_file": str(fleet_file), "sites": names}
    shown: dict[str, Any] = {"as_json": as_json, "verbose": verbose}
    plan = run_flow(_FLOW, parameters, names, **shown)
    if exit_code(plan) is not ExitCode.OK:
        print_or_dump(plan, as_json)
        leave(exit_code(plan))
    print_plan(plan, on_stderr=as_json)
    if not (yes or not keys_to_write(plan) or _may(plan)):
        if as_json:
            print_or_dump(plan, as_json)
        leave(ExitCode.WRONG_INPUT)
    report = run_flow(_FLOW, {**parameters, "agreed": True}, names, **shown)
    print_or_dump(report, as_json)
    leave(exit_code(report))


def _may(plan: Any) -> bool:
    question = "Shut {} out of Azure?"
    return is_agreed(plan, question=question, undone="nothing was revoked", verb="revoke")
