"""`acrfleet lab`: the outside world on a laptop, as a process of its own."""

import subprocess
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    r"""Run the lab: Azure and edge sites on this machine, for trying things out.

    \b
    Example:
        acrfleet lab up --sites 3 --dir .lab
    """
    sys.exit(subprocess.run([sys.executable, "-m", "lab", *arguments], check=False).returncode)
