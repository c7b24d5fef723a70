"""`acrfleet status --watch`: the table of sites, shown anew in place until Ctrl-C."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.status_tables import headline, sites_table
from fleet.site_views import SiteView

_ROOM = 4


def watch(look: Callable[[], tuple[list[SiteView], int]], every: timedelta) -> None:
    """Show what `look` returns, again and again; Ctrl-C ends it and leaves the terminal as it was.

    What does not fit on the screen is left out and counted: the rows at the top stay, so sort and
    choose what matters.

    Args:
        look: Returns the sites to show and of how many they are.
        every: From one look to the next.
    """
    console = Console()
    ended = threading.Event()
    with (
        suppress(KeyboardInterrupt),
        Live(Text("reading"), console=console, screen=True, auto_refresh=False) as live,
    ):
        while not ended.wait(0):
            live.update(_screen(console, *look()), refresh=True)
            ended.wait(every.total_seconds())


def _screen(console: Console, views: list[SiteView], of: int) -> RenderableType:
    return Group(*_parts(views, of, max(1, console.height - _ROOM)))


def _parts(views: list[SiteView], of: int, room: int) -> Iterator[RenderableType]:
    now = datetime.now(UTC)
    yield sites_table(views[:room], now, one_line=True)
    if len(views) > room:
        yield Text(f"and {len(views) - room} more; choose with --failing, --site, --sort", "dim")
    yield Text(f"{headline(views, of)} · {now:%H:%M:%S} UTC · Ctrl-C ends", "dim")
