"""Turn what went wrong into words and an exit code: nobody who mistypes sees a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cli.exit_codes import ExitCode
from fleet.errors import FleetError


@contextmanager
def readable() -> Iterator[None]:
    """Print a `FleetError` as the sentences it holds and exit with the code for wrong input."""
    try:
        yield
    except FleetError as error:
        click.echo(str(error), err=True)
        sys.exit(ExitCode.WRONG_INPUT)
    except KeyboardInterrupt:
        click.echo("stopped; run the same command again to go on where this left off", err=True)
        sys.exit(ExitCode.STOPPED)
