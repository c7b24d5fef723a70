"""`acrfleet status`: the fleet as its records tell it, without asking anything outside."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable
from fleet.results import Status

if TYPE_CHECKING:
    from fleet.records import SiteRecord
    from fleet.sites import Fleet

_COLUMNS = ("site", "last run", "when (UTC)", "address", "verified", "password", "days left")


@click.command()
@click.argument("fleet_file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON, for scripts.")
def status(fleet_file: Path, as_json: bool) -> None:
    r"""Show how each site of FLEET_FILE stood after its last run.

    \b
    Example:
        acrfleet status fleet.yaml
        acrfleet status fleet.yaml --json
    """
    from clients.fleet_files import read_fleet
    from tasks.records import read_record

    with readable():
        fleet = read_fleet(fleet_file)
    records = {site.name: read_record(fleet.name, site.name) for site in fleet.sites}
    if as_json:
        kept = {name: record and record.model_dump(mode="json") for name, record in records.items()}
        click.echo(json.dumps(kept, indent=2))
    else:
        _print(fleet, records)
    sys.exit(ExitCode.OK)


def _print(fleet: "Fleet", records: "dict[str, SiteRecord | None]") -> None:
    from rich.table import Table

    from cli.console import print_table

    table = Table(box=None, pad_edge=False)
    for column in (
        "site",
        "last run",
        "when (UTC)",
        "address",
        "verified",
        "password",
        "days left",
    ):
        table.add_column(column, no_wrap=True)
    table.add_column("", overflow="fold")
    now = datetime.now(UTC)
    for site in fleet.sites:
        table.add_row(*_row(site.name, records[site.name], now))
    known = sum(record is not None for record in records.values())
    print_table(table, f"{known} of {len(fleet.sites)} sites have a record")


def _row(name: str, record: "SiteRecord | None", now: datetime) -> list[str]:
    if record is None:
        return [name, "never run", "", "", "", "", "", ""]
    password, evidence = record.password, record.evidence
    days = ""
    if password is not None:
        days = str((password.expires - now).days) if password.expires else "no expiry"
    return [
        name,
        f"{record.last_verb} {record.last_status}",
        f"{record.last_run_at:%Y-%m-%d %H:%M}",
        record.endpoint.host if record.endpoint else "",
        f"{evidence.time:%Y-%m-%d %H:%M}" if evidence else "never",
        password.slot if password else "",
        days,
        record.last_message if record.last_status != Status.DONE else "",
    ]
