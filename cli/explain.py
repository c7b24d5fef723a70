"""`acrfleet explain`: why an image does not pull at a site, and what mends it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable

if TYPE_CHECKING:
    from fleet.explain import Explanation

_STYLES = {"FAILED": "bold red", "note": "yellow", "?": "dim", "ok": "green"}


@click.command("explain")
@click.argument("fleet_file", type=click.Path(path_type=Path))
@click.argument("site")
@click.argument("image", required=False)
@click.option("--no-pull", is_flag=True, help="Have no node try the pull; look only.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for scripts.")
def explain(fleet_file: Path, site: str, image: str | None, no_pull: bool, as_json: bool) -> None:
    r"""Say why IMAGE does not pull at SITE of FLEET_FILE, and what mends it; writes nothing.

    IMAGE is REPOSITORY:TAG or REPOSITORY@sha256:..., with the cloud registry's or the site's
    address before it or without; none: the image that proves the site. Each node tries the pull,
    as a pod would, unless --no-pull is given. The exit code is 0 when it works, 1 when it does not.

    \b
    Example:
        acrfleet explain fleet.yaml oslo
        acrfleet explain fleet.yaml oslo vessel/navigation:1.5.0
    """
    from fleet.selection import select_site
    from tasks.explain import explain_site
    from tasks.fleet_files import read_fleet

    with readable():
        fleet = read_fleet(str(fleet_file))
        chosen = select_site(fleet, site)
        found = explain_site(fleet, chosen, str(fleet_file), image, pull=not no_pull)
    if as_json:
        shown = {**found.model_dump(mode="json"), "works": found.works}
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(found)
    sys.exit(ExitCode.OK if found.works else ExitCode.FAILED)


def _print(found: "Explanation") -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.console import print_table
    from fleet.explain_words import COLUMNS, cause_lines, ladder_rows

    click.echo("\n".join(cause_lines(found)) + "\n")
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for mark, *rest in ladder_rows(found):
        table.add_row(Text(mark, style=_STYLES[mark]), *map(Text, rest))
    print_table(table, "")
