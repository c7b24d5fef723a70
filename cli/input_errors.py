"""Turn what went wrong into words and an exit code: nobody who mistypes sees a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cli.exit_codes import ExitCode
from fleet.errors import FleetError


@contextmanager
def readable(wrong: ExitCode = ExitCode.WRONG_INPUT) -> Iterator[None]:
    """Print a `FleetError` as the sentences it holds and exit with the code for wrong input.

    Args:
        wrong: Another code, for commands where that one means something else.
    """
    try:
        yield
    except FleetError as error:
        click.echo(str(error), err=True)
        sys.exit(wrong)
    except KeyboardInterrupt:
        click.echo("stopped; run the same command again to go on where this left off", err=True)
        sys.exit(ExitCode.STOPPED)
