"""
Charts: bars in an SVG that is stretched to the width of the page, and labels of HTML beside it.

A stretched SVG would stretch its text too, and one that is scaled has text that nobody can read on a small screen. So
the labels stand outside. Colours are classes: the page has them for light and for dark. Each bar has a title, which
browsers show under the pointer. A table below the chart has the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lionpride_exec._display.markup import Markup, element, joined
from lionpride_exec._display.pieces import Series, legend, table
from lionpride_exec._display.quantities import shown_number

from .scales import round_top

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEIGHT: Final = 100.0

# Labels under a chart. The page leaves out every other one on a small screen.
LABELS: Final = 5


def columns(
    series: Sequence[Series],
    names: Sequence[str],
    labels: Sequence[str],
    *,
    shown: Callable[[float], str] = shown_number,
    caption: str,
) -> Markup:
    """
    Return a chart of columns, in which the numbers of several series stand on each other.

    Args:
        series: What is shown.
        names: The name of each column, for its title and the table.
        labels: What stands under the chart, from its left to its right end.
        shown: How a number is written.
        caption: What the chart shows, for those who cannot see it.
    """
    totals = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    top = round_top(max(totals, default=0))
    bars = [_column(series, place, name, top, shown) for place, name in enumerate(names) if totals[place]]
    grid = [_grid_line(height, len(names)) for height in (0.0, HEIGHT / 2, HEIGHT)]
    drawing = element(
        "svg",
        *grid,
        *bars,
        viewBox=f"0 0 {len(names)} {HEIGHT:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=caption,
    )
    scale = element("div", *(element("span", shown(top * part)) for part in (1, 0.5, 0)), class_="scale")
    below = element("div", *(element("span", label) for label in labels), class_="labels")
    chart = element("div", scale, element("div", drawing, class_="plot"), below, class_="chart")
    return joined(legend(series, shown), chart, _numbers(series, names, totals, shown))


def _column(series: Sequence[Series], place: int, name: str, top: float, shown: Callable[[float], str]) -> Markup:
    parts: list[Markup] = []
    base = HEIGHT
    for one in series:
        height = one.values[place] / top * HEIGHT
        if height > 0:
            base -= height
            parts.append(element("rect", x=place + 0.08, y=base, width=0.84, height=height, class_=one.name))
    told = ", ".join(f"{shown(one.values[place])} {one.name}" for one in series if one.values[place])
    return element("g", element("title", f"{name}: {told}"), *parts)


def _grid_line(y: float, width: int) -> Markup:
    return element("line", x1=0, x2=width, y1=y, y2=y, class_="grid", vector_effect="non-scaling-stroke")


def _numbers(
    series: Sequence[Series], names: Sequence[str], totals: Sequence[float], shown: Callable[[float], str]
) -> Markup:
    """Return the numbers of a chart as a table that can be opened. Columns without a number are left out."""
    rows = [(name, *(shown(one.values[place]) for one in series)) for place, name in enumerate(names) if totals[place]]
    heads = ("", *(one.name for one in series))
    return element("details", element("summary", "Numbers"), table(heads, rows))
