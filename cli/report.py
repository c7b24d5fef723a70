"""`acrfleet report`: one page on the fleet, for people who don't use a terminal."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.site_options import Wanted, choosing_sites


@click.command()
@choosing_sites
@click.option(
    "--html",
    "out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write the page to, in place of one that is there.",
)
def report(fleet_file: Path, wanted: Wanted, out: Path) -> None:
    r"""Write a page on the fleet of FLEET_FILE: health over time, passwords, freshness of images.

    It reads what the runs have recorded and asks nothing outside. The page is one file that opens
    without a network and holds no secret. Of chosen sites it shows today alone: what a day was like
    is noted for the whole fleet. Drawing needs the extra: pip install '.[report]'

    \b
    Example:
        acrfleet report fleet.yaml --html fleet.html
        acrfleet report fleet.yaml --html ships.html --tag ship
    """
    from cli.report_page import render_page
    from clients.fleet_files import read_fleet
    from clients.output_files import replace_file
    from fleet.fleet_report import report_figures
    from tasks.history import read_history
    from tasks.site_views import read_views

    with readable():
        fleet = read_fleet(fleet_file)
        views, history = read_views(fleet.name, wanted.choose(fleet)), read_history(fleet.name)
        figures = report_figures(fleet.name, views, len(fleet.sites), history, datetime.now(UTC))
        page = render_page(figures)
        replace_file(out, page)
    click.echo(f"wrote {out} ({len(page.encode()) // 1024} KB, {len(views)} sites)")
    sys.exit(ExitCode.OK)
