"""
Charts: bars in an SVG that is stretched to the width of the page, and labels of HTML beside it.

A stretched SVG would stretch its text too, and one that is scaled has text that nobody can read on a small screen. So
the labels stand outside. Colours are classes: the page has them for light and for dark. Each bar has a title, which
browsers show under the pointer. A table below the chart has the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .markup import Markup, element, joined
from .scales import round_top, shown_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEIGHT: Final = 100.0

# Labels under a chart. The page leaves out every other one on a small screen.
LABELS: Final = 5


@attrs.frozen
class Series:
    """
    The numbers of one colour.

    Attributes:
        name: Its name, and its class in the page.
        values: A number for each column.
    """

    name: str
    values: Sequence[float]


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


def legend(series: Sequence[Series], shown: Callable[[float], str] = shown_number) -> Markup | None:
    """Return the names of several series, with their colours and sums. None for one series: the heading names it."""
    if len(series) < 2:  # noqa: PLR2004  nothing to tell apart
        return None
    return element("ul", *(_key(one.name, shown(sum(one.values))) for one in series), class_="legend")


def _key(name: str, number: str) -> Markup:
    return element("li", swatch(name), f" {name} ", element("b", number))


def swatch(name: str) -> Markup:
    """Return a small square with the colour of a series."""
    square = element("rect", width=10, height=10, rx=2, class_=name)
    return element("svg", square, class_="swatch", viewBox="0 0 10 10", aria_hidden="true")


def _numbers(
    series: Sequence[Series], names: Sequence[str], totals: Sequence[float], shown: Callable[[float], str]
) -> Markup:
    """Return the numbers of a chart as a table that can be opened. Columns without a number are left out."""
    rows = [(name, *(shown(one.values[place]) for one in series)) for place, name in enumerate(names) if totals[place]]
    heads = ("", *(one.name for one in series))
    return element("details", element("summary", "Numbers"), table(heads, rows))


def table(heads: Sequence[str], rows: Sequence[Sequence[str | Markup]], kinds: Sequence[str] = ()) -> Markup:
    """
    Return a table in a box of its own, which scrolls sideways where it has no room.

    Args:
        heads: The names of the columns.
        rows: The cells.
        kinds: The class of each column. Without it the first one is text, and the others are numbers.
    """
    of_column = kinds or ("text", *("number" for _ in heads[1:]))
    head = element("tr", *(element("th", name, class_=kind) for name, kind in zip(heads, of_column, strict=True)))
    body = [
        element("tr", *(element("td", cell, class_=kind) for cell, kind in zip(row, of_column, strict=True)))
        for row in rows
    ]
    return element(
        "div", element("table", element("thead", head), element("tbody", *body)), class_="scroll", tabindex="0"
    )


def share(value: float, most: float, name: str) -> Markup:
    """Return a flat bar as long as the part that a number is of the largest one."""
    bar = element("rect", width=max(value / most * 100, 0.5) if most > 0 else 0, height=8, class_=name)
    return element("svg", bar, class_="share", viewBox="0 0 100 8", preserveAspectRatio="none", aria_hidden="true")


def stacked(series: Sequence[Series], caption: str) -> Markup:
    """Return one flat bar of all series, each as long as its part of the sum."""
    total = sum(sum(one.values) for one in series)
    parts: list[Markup] = []
    left = 0.0
    for one in series:
        width = sum(one.values) / total * 1000 if total else 0
        if width:
            title = element("title", f"{shown_number(sum(one.values))} {one.name}")
            parts.append(element("g", title, element("rect", x=left, width=width, height=10, class_=one.name)))
            left += width
    return element(
        "svg",
        *parts,
        class_="stacked",
        viewBox="0 0 1000 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=caption,
    )
