"""`acrfleet adopt`: take over a site that a script, the portal or Terraform has set up."""

from pathlib import Path

import click

from cli.change_options import ignoring_windows
from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.runs import exit_code, leave, print_or_dump, run_flow
from fleet.adoption import Fate, in_the_way, to_write
from fleet.results import FleetReport, SiteResult, Status

_STYLE = {
    Fate.OBSTACLE: "bold red",
    Fate.CHANGED: "yellow",
    Fate.CREATED: "yellow",
    Fate.ADOPTED: "cyan",
    Fate.KEPT: "green",
}


@click.command()
@click.argument("fleet_file", type=click.Path(path_type=Path))
@click.argument("site")
@click.option("--dry-run", is_flag=True, help="List what would be written, and write nothing.")
@ignoring_windows
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log too.")
def adopt(
    fleet_file: Path, site: str, dry_run: bool, ignore_windows: bool, as_json: bool, verbose: bool
) -> None:
    r"""Take SITE of FLEET_FILE over as it works today; no password in use is renewed.

    Where the fleet file means other objects than the site uses, the lines that it should hold are
    printed. With --dry-run the exit code is 0 when nothing would be written, 2 when something
    would, 1 when something is in the way.

    \b
    Example:
        acrfleet adopt fleet.yaml oslo --dry-run
        acrfleet adopt fleet.yaml oslo
    """
    from clients.fleet_files import read_fleet
    from fleet.selection import select_site

    with readable():
        name = select_site(read_fleet(fleet_file), site).name
    parameters = {
        "fleet_file": str(fleet_file),
        "site": name,
        "dry_run": dry_run,
        "ignore_windows": ignore_windows,
    }
    report = run_flow(
        "flows.adopt.adopt_site", parameters, [name], as_json=as_json, verbose=verbose
    )
    if as_json or not any(result.findings for result in report.results):
        print_or_dump(report, as_json)
    else:
        for result in report.results:
            _print_findings(result)
    leave(_dry_code(report) if dry_run else exit_code(report))


def _dry_code(report: FleetReport) -> ExitCode:
    code = exit_code(report)
    due = any(to_write(result.findings) for result in report.having(Status.DONE))
    return ExitCode.DUE if code is ExitCode.OK and due else code


def _print_findings(result: SiteResult) -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.console import print_table

    table = Table(box=None, pad_edge=False)
    for column in ("where", "object", "what happens", ""):
        table.add_column(column, overflow="fold")
    for one in result.findings:
        table.add_row(
            one.place.value,
            Text(f"{one.kind} {one.name}"),
            Text(one.fate.value, _STYLE[one.fate]),
            Text(one.detail),
        )
    print_table(table, "")
    if result.advice:
        click.echo(f"Put this into the fleet file, at {result.site}:\n")
        click.echo("\n".join(f"    {line}" for line in result.advice) + "\n")
    blocked = in_the_way(result.findings)
    words = f"nothing was written, {len(blocked)} in the way" if blocked else result.message
    click.echo(f"{result.site}: {result.status}: {words}")
