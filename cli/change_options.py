"""Options of commands that change sites: when they may restart, and what they leave out."""

from collections.abc import Callable
from typing import Any

import click

ignoring_windows = click.option(
    "--ignore-windows",
    is_flag=True,
    help="Restart what is due outside of the sites' maintenance windows too.",
)
resuming = click.option(
    "--resume",
    is_flag=True,
    help="Leave out what is done since the last run of this, which was interrupted, began.",
)


def in_waves(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that goes over the fleet in waves --resume and --ignore-windows."""
    return resuming(ignoring_windows(command))
