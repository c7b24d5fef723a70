"""Show what a command is about to do and ask whether it may: for what cannot be taken back."""

import sys
from pathlib import Path

import click

from cli.site_options import Wanted, require_a_choice
from fleet.outcomes import Action, Outcome
from fleet.results import FleetReport

_SIGNS = {Action.TO_DELETE: "-", Action.TO_CHANGE: "~"}


def known_names(fleet_file: Path, wanted: Wanted) -> list[str]:
    """Return the names of the sites that were chosen; unknown ones and none end the command."""
    require_a_choice(wanted)
    return [site.name for site in wanted.choose_from(fleet_file)]


def print_plan(plan: FleetReport, *, on_stderr: bool) -> None:
    """Print what happens to each object of each site."""
    for result in sorted(plan.results, key=lambda one: one.site):
        click.echo(f"{result.site}: {result.message}", err=on_stderr)
        for outcome in result.outcomes:
            detail = f" ({outcome.detail})" if outcome.detail else ""
            sign = _SIGNS.get(outcome.action, " ")
            click.echo(f"  {sign} {key_of(outcome)}{detail}", err=on_stderr)


def keys_to_write(plan: FleetReport) -> list[str]:
    """Return the keys of all objects that would be written."""
    outcomes = [one for result in plan.results for one in result.outcomes]
    return [key_of(one) for one in outcomes if one.action in _SIGNS]


def key_of(outcome: Outcome) -> str:
    """Return what is agreed to: which object."""
    return f"{outcome.kind} {outcome.name}"


def is_agreed(plan: FleetReport, *, question: str, undone: str, verb: str) -> bool:
    """Ask on the terminal; without one nobody can have agreed.

    Args:
        plan: What was shown.
        question: Is asked, with the sites' names in place of `{}`.
        undone: What did not happen, if nobody agrees.
        verb: What `--yes` would do.
    """
    names = ", ".join(sorted(result.site for result in plan.results))
    return agrees(question.format(names), undone=undone, hint=f"{verb} {names}")


def agrees(question: str, *, undone: str, hint: str) -> bool:
    """Ask a question on the terminal; without one nobody can have agreed.

    Args:
        question: Is asked as it stands.
        undone: What did not happen, if nobody agrees.
        hint: What `--yes` would do.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        click.echo(f"{undone}: run it with --yes to {hint}", err=True)
        return False
    agreed = click.confirm(question, err=True)
    if not agreed:
        click.echo(undone, err=True)
    return agreed
