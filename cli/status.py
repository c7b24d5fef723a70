"""`acrfleet status`: the fleet as its records tell it, without asking anything outside."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.option_types import as_digest, as_length
from cli.site_options import Wanted as Chosen
from cli.site_options import choosing_sites
from fleet.results import Status
from fleet.site_views import STATUSES, SortBy, Wanted, choose_views, sort_views

if TYPE_CHECKING:
    from fleet.site_views import SiteView
    from fleet.sites import Fleet, Site

_FAILING = (Status.FAILED.value, Status.STOPPED.value)

_options = [
    click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice(STATUSES),
        help="Only sites whose last run ended so; repeatable.",
    ),
    click.option("--failing", is_flag=True, help="Only sites whose last run failed or stopped."),
    click.option(
        "--older-than",
        metavar="AGE",
        callback=as_length,
        help="Only sites without a run for so long: 12h, 2d.",
    ),
    click.option(
        "--ending-within",
        metavar="AGE",
        callback=as_length,
        help="Only sites with a password that ends by then, or has ended.",
    ),
    click.option("--behind", is_flag=True, help="Only sites that lack an image that Azure has."),
    click.option(
        "--sort", type=click.Choice([by.value for by in SortBy]), default="file", show_default=True
    ),
    click.option("--images", is_flag=True, help="How fresh the images are, not the runs."),
    click.option(
        "--digest",
        metavar="DIGEST",
        callback=as_digest,
        help="Which sites hold or run this image: sha256:9f2c4a71, or more digits.",
    ),
    click.option("--watch", is_flag=True, help="Show it anew all the time, until Ctrl-C."),
    click.option("--every", type=click.FloatRange(min=0.2), default=5.0, help="Seconds; --watch."),
    click.option("--json", "as_json", is_flag=True, help="Print what is known, for scripts."),
]


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_options):
        command = option(command)
    return command


@click.command()
@choosing_sites
@_with_options
def status(fleet_file: Path, wanted: Chosen, **how: Any) -> None:
    r"""Show how each site of FLEET_FILE stood after its last run, and how long its passwords last.

    Nothing outside is asked: it reads what the runs have recorded. `--images` shows what the last
    `acrfleet check-images` found.

    \b
    Example:
        acrfleet status fleet.yaml
        acrfleet status fleet.yaml --failing --sort last-run
        acrfleet status fleet.yaml --older-than 2d --tag ship --json
        acrfleet status fleet.yaml --images --behind
        acrfleet status fleet.yaml --images --digest sha256:9f2c4a71
        acrfleet status fleet.yaml --watch
    """
    from clients.fleet_files import read_fleet

    with readable():
        fleet = read_fleet(fleet_file)
        chosen = wanted.choose(fleet)
    filters = Wanted(
        statuses=frozenset((*how["statuses"], *(_FAILING if how["failing"] else ()))),
        older_than=how["older_than"],
        ends_within=how["ending_within"],
        behind=how["behind"],
    )
    _show(fleet, chosen, filters, how)
    sys.exit(ExitCode.OK)


def _show(fleet: "Fleet", chosen: "tuple[Site, ...]", wanted: Wanted, how: dict[str, Any]) -> None:
    from tasks.site_views import read_views

    def look() -> "tuple[list[SiteView], int]":
        views = read_views(fleet.name, chosen)
        kept = choose_views(views, wanted, datetime.now(UTC))
        return sort_views(kept, SortBy(how["sort"])), len(views)

    if how["watch"]:
        _watch(look, how)
    elif how["as_json"]:
        click.echo(json.dumps(_as_json(look()[0], how), indent=2))
    else:
        _print(*look(), how)


def _as_json(views: "list[SiteView]", how: dict[str, Any]) -> Any:
    from fleet.freshness import find_holders

    if how["digest"]:
        known = [view.images for view in views if view.images]
        return [holder.model_dump(mode="json") for holder in find_holders(known, how["digest"])]
    if how["images"]:
        return {view.name: view.images and view.images.model_dump(mode="json") for view in views}
    return {view.name: view.record and view.record.model_dump(mode="json") for view in views}


def _print(views: "list[SiteView]", of: int, how: dict[str, Any]) -> None:
    from cli.console import print_table
    from cli.status_tables import headline, holders_table, images_tables, sites_table

    now = datetime.now(UTC)
    if how["digest"]:
        print_table(*holders_table(views, how["digest"], now))
    elif how["images"]:
        for table, *below in images_tables(views, now):
            print_table(table, *below)
    else:
        print_table(sites_table(views, now), headline(views, of))


def _watch(look: "Callable[[], tuple[list[SiteView], int]]", how: dict[str, Any]) -> None:
    from cli.live_status import watch

    if not sys.stdout.isatty() or how["as_json"] or how["digest"] or how["images"]:
        raise click.UsageError(
            "--watch shows the table of sites on a terminal; elsewhere, and with --json, --images "
            "or --digest, run the command again instead"
        )
    watch(look, timedelta(seconds=how["every"]))
