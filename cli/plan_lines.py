"""Print a plan on a terminal: what each site gets, with differences, and what it all comes to."""

from collections.abc import Mapping

import click

from fleet.fleet_plan import unread_lines
from fleet.plan_pages import site_lines
from fleet.site_plan import FleetPlan

_COLOURS = {
    "created": "green",
    "changed": "yellow",
    "adopted": "yellow",
    "deleted": "red",
    "obstacle": "red",
    "note": "cyan",
}
_SIGNS = {"+": "green", "-": "red", "@": "cyan"}


def print_fleet_plan(plan: FleetPlan, passed: Mapping[str, str], *, on_stderr: bool) -> None:
    """Print the plans of all sites where there is something to do, and the sum below them.

    Args:
        plan: The plan.
        passed: What is larger than the fleet file allows, by what `--over` takes.
        on_stderr: Leave the standard output to something else.
    """
    for one in plan.sites:
        if one.is_empty:
            continue
        click.secho(f"{one.site}: {one.headline}", bold=True, err=on_stderr)
        for kind, text in site_lines(one):
            colour = _SIGNS.get(text.strip()[:1]) if kind == "diff" else _COLOURS.get(kind)
            click.secho(text, fg=colour, err=on_stderr)
        click.echo(err=on_stderr)
    for line in unread_lines(plan):
        click.secho(line, fg="red", err=on_stderr)
    idle = sum(one.is_empty for one in plan.sites)
    more = f" ({idle} of {len(plan.sites)} sites with nothing to do)" if idle else ""
    click.secho(f"plan for {plan.fleet}: {plan.headline}{more}", bold=True, err=on_stderr)
    for name, words in passed.items():
        click.secho(f"too large: {words}; apply needs --over {name}", fg="red", err=on_stderr)
