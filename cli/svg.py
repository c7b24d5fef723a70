"""Make an SVG that stands inside a page: with ids of its own, and words for those who don't see."""

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from fleet.errors import FleetError

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "acrfleet",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.5,
}
_NOTHING: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))


class DrawingMissingError(FleetError):
    """Install the extra `report`: pictures are drawn by matplotlib, which is not there."""


def picture(
    key: str,
    words: str,
    draw: Callable[[Sequence[Any]], None],
    *,
    height: float = 3.4,
    columns: int = 1,
) -> str:
    """Return what `draw` draws on the axes it is given, as an `<svg>` element.

    Args:
        key: Goes before every id, so that two pictures on a page never share one.
        words: What the picture shows, for those who don't see it.
        draw: Draws on so many axes as there are columns; what has a label is in the legend.
        height: Inches; the width is 8, and in the page as much as there is room for.
        columns: How many axes stand side by side.

    Raises:
        DrawingMissingError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise DrawingMissingError(
            "pictures are drawn by matplotlib, which is not there: in the clone, "
            "pip install '.[report]'"
        ) from None
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, height), layout="constrained")
        all_axes = figure.subplots(1, columns, squeeze=False)[0]
        draw(list(all_axes))
        handles, labels = all_axes[0].get_legend_handles_labels()
        if labels:
            place: dict[str, Any] = {"loc": "outside lower center", "frameon": False}
            figure.legend(handles, labels, ncols=len(labels), **place)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=_NOTHING, transparent=True)
    return _inline(out.getvalue(), key, words)


def _inline(svg: str, key: str, words: str) -> str:
    body = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{key}-\1"', body)
    head, rest = body.split(">", 1)
    view = re.search(r'viewBox="[^"]+"', head)
    assert view is not None  # noqa: S101 - matplotlib always writes one
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view[0]} role="img" aria-labelledby="{key}-words">'
        f'<title id="{key}-words">{escape(words)}</title>{rest}'
    )
