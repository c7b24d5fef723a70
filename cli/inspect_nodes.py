"""`acrfleet inspect`: what a site's nodes are, and what stands in the way of onboarding them."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.site_options import Wanted, choosing_sites

if TYPE_CHECKING:
    from rich.table import Table

    from fleet.inspection import NodeReport
    from fleet.sites import Site

_STYLES = {"obstacle": "bold red", "warning": "yellow", "note": "dim"}


@click.command("inspect")
@choosing_sites
@click.option("--facts", is_flag=True, help="Show everything that was found, node by node.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for scripts.")
def inspect(fleet_file: Path, wanted: Wanted, facts: bool, as_json: bool) -> None:
    r"""Look at the nodes of each SITE (name or glob) of FLEET_FILE over SSH; changes nothing.

    \b
    Example:
        acrfleet inspect fleet.yaml oslo
        acrfleet inspect fleet.yaml 'north-*' --json
    """
    from tasks.inspection import inspect_sites

    sites = wanted.choose_from(fleet_file)
    with readable():
        found = inspect_sites(sites)
    reports = [report for ones in found for report in ones]
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in reports], indent=2))
    else:
        for site, ones in zip(sites, found, strict=True):
            _print(site, ones, facts)
    stuck = any(report.obstacles for report in reports)
    sys.exit(ExitCode.FAILED if stuck else ExitCode.OK)


def _print(site: "Site", reports: "Sequence[NodeReport]", facts: bool) -> None:
    from cli.console import print_table
    from fleet.inspection import COLUMNS, facts_in_words, group_findings, summarise

    nodes = _table(*COLUMNS, title=site.name)
    findings, everything = _table("finding", "on", ""), _table("node", "fact", "")
    for report in reports:
        worst = "obstacle" if report.obstacles else "warning" if report.warnings else ""
        style = _STYLES.get(worst, "green")
        first, *rest = summarise(report, site.host)
        _add(nodes, first, *rest, style=style)
        for what, how in facts_in_words(report.facts) if facts and report.facts else ():
            _add(everything, report.node, what, how)
    for kind, names, text in group_findings(reports):
        _add(findings, kind, names, text, style=_STYLES[kind])
    for table in (nodes, findings, everything):
        if table.row_count:
            print_table(table, "")


def _table(*columns: str, title: str | None = None) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add(table: "Table", first: str, *rest: str, style: str = "") -> None:
    from rich.text import Text

    table.add_row(Text(first, style=style), *map(Text, rest))
