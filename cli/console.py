"""The console that commands print tables on: colours and folding only on a terminal."""

import sys

from rich.console import Console
from rich.table import Table

_WIDE = 240


def print_table(table: Table, *below: str) -> None:
    """Print a table and the lines that belong below it; a pipe gets lines that are not folded."""
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    console.print(table, highlight=False)
    for line in below:
        console.print(line, highlight=False)
