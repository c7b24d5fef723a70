"""Which sites a command is about: the same argument and options everywhere."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cli.input_errors import readable

if TYPE_CHECKING:
    from fleet.sites import Fleet, Site

_options = [
    click.argument("fleet_file", type=click.Path(path_type=Path)),
    click.argument("named", nargs=-1, metavar="[SITE]..."),
    click.option("--site", "sites", multiple=True, help="Name or glob of a site; repeatable."),
    click.option("--tag", "tags", multiple=True, help="Only sites with this tag; repeatable."),
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="KEY=VALUE",
        help="Only sites with this label; the value may be a glob; repeatable.",
    ),
]


class Wanted(NamedTuple):
    """What was asked for on the command line; nothing at all: every site."""

    sites: tuple[str, ...]
    tags: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Return whether no site was asked for in particular."""
        return not any(self)

    def parameters(self) -> dict[str, Any]:
        """Return them as a flow takes them."""
        return {
            "sites": list(self.sites),
            "tags": list(self.tags),
            "labels": list(self.labels),
        }

    def choose(self, fleet: "Fleet") -> "tuple[Site, ...]":
        """Return the sites.

        Raises:
            NoSuchSiteError: Something asked for matches nothing.
        """
        from fleet.selection import select_sites

        return select_sites(fleet, self.sites, self.tags, self.labels)

    def choose_from(self, fleet_file: Path) -> "tuple[Site, ...]":
        """Return the sites of a fleet file; wrong input ends the command."""
        from clients.fleet_files import read_fleet

        with readable():
            return self.choose(read_fleet(fleet_file))


def choosing_sites(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command FLEET_FILE, [SITE]..., --site, --tag and --label; it takes `wanted`."""

    @functools.wraps(command)
    def run(
        named: tuple[str, ...],
        sites: tuple[str, ...],
        tags: tuple[str, ...],
        labels: tuple[str, ...],
        **options: Any,
    ) -> Any:
        return command(wanted=Wanted((*named, *sites), tags, labels), **options)

    decorated: Callable[..., Any] = run
    for option in reversed(_options):
        decorated = option(decorated)
    return decorated


def require_a_choice(wanted: Wanted) -> None:
    """Refuse to mean the whole fleet where sites lose something.

    Raises:
        click.UsageError: No site, tag or label was given.
    """
    if wanted.is_open:
        raise click.UsageError("name sites: SITE, --site, --tag or --label; '*' means all of them")
