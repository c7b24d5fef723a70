"""Commands about the fleet file: check it, and print its schema for editors."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from fleet.sites import Fleet


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def validate(file: Path, *, as_json: bool) -> None:
    r"""Check a fleet file and show all its problems at once; nothing is changed or contacted.

    Exit code 0 when the file is good, 2 when it is not.

    \b
    Example:
        acrfleet validate fleet.yaml
    """
    fleet, problems = _read(file)
    if as_json:
        click.echo(json.dumps(_as_data(file, fleet, problems), indent=2))
    elif fleet is not None:
        click.echo(_summary(file, fleet))
    else:
        for problem in problems:
            click.echo(problem, err=True)
        click.echo(_counted(len(problems), "problem"), err=True)
    sys.exit(ExitCode.WRONG_INPUT if problems else ExitCode.OK)


@click.command()
def schema() -> None:
    r"""Print a JSON Schema of the fleet file, with which editors check and complete it.

    \b
    Example:
        acrfleet schema > fleet.schema.json
        # first line of the fleet file:
        # yaml-language-server: $schema=fleet.schema.json
    """
    from fleet.fleet_file_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _read(file: Path) -> "tuple[Fleet | None, list[str]]":
    from clients.fleet_files import read_fleet
    from fleet.errors import FleetFileError, FleetFileUnreadableError

    try:
        return read_fleet(file), []
    except FleetFileError as error:
        return None, list(error.problems)
    except FleetFileUnreadableError as error:
        return None, [str(error)]


def _as_data(file: Path, fleet: "Fleet | None", problems: list[str]) -> dict[str, object]:
    return {
        "file": str(file),
        "ok": not problems,
        "problems": problems,
        "fleet": fleet.name if fleet else None,
        "registries": sorted([*fleet.registries, *fleet.registry_blocks]) if fleet else [],
        "sites": [site.name for site in fleet.sites] if fleet else [],
    }


def _summary(file: Path, fleet: "Fleet") -> str:
    nodes = sum(len(site.nodes) for site in fleet.sites)
    registries = len(fleet.registries) + len(fleet.registry_blocks)
    counts = [
        _counted(len(fleet.sites), "site"),
        _counted(nodes, "node"),
        _counted(registries, "registry", "registries"),
    ]
    return f"{file}: fleet {fleet.name} is valid: {', '.join(counts)}"


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
