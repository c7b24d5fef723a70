"""`acrfleet reconcile`: where sites have drifted from the fleet file."""

from typing import TYPE_CHECKING, Any

import click

from cli.change_options import in_waves
from cli.exit_codes import ExitCode
from cli.runs import exit_code, run_command, with_run_options
from fleet.drift import is_adrift

if TYPE_CHECKING:
    from fleet.results import FleetReport


@click.command()
@with_run_options
@click.option("--no-mend", is_flag=True, help="Only report, whatever the fleet file allows.")
@in_waves
def reconcile(no_mend: bool, **options: Any) -> None:
    r"""Report where sites differ from FLEET_FILE, and mend what its `reconcile` allows.

    The exit code is 2 when something has drifted and is not mended, and no site failed or waits.

    \b
    Example:
        acrfleet reconcile fleet.yaml
        acrfleet reconcile fleet.yaml oslo --no-mend
    """
    more = {"mend": not no_mend, **options}
    run_command("flows.reconcile", "reconcile_fleet", judge=code_with_drift, **more)


def code_with_drift(report: "FleetReport") -> ExitCode:
    """Return what a report means to a script: drift that is left is due, where nothing is worse."""
    code = exit_code(report)
    adrift = any(is_adrift(result.outcomes) for result in report.results)
    return ExitCode.DUE if code is ExitCode.OK and adrift else code
