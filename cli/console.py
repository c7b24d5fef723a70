"""The console that commands print tables on: colours and folding only on a terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 240


def print_lines(lines: Sequence[str]) -> None:
    """Print lines as they are: on a terminal folded at its edge, a pipe gets them whole."""
    console = Console(soft_wrap=not sys.stdout.isatty())
    for line in lines:
        console.print(Text(line))


def print_table(table: Table, *below: str) -> None:
    """Print a table and the lines that belong below it; a pipe gets lines that are not folded."""
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    console.print(table, highlight=False)
    for line in below:
        console.print(line, highlight=False)
