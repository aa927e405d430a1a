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
    from collections.abc import Callable, Mapping, Sequence

HEIGHT: Final = 100.0

# Labels under a chart. The page leaves out every other one on a small screen.
LABELS: Final = 5

# The part of the width that a label takes, on a large and on a small screen; from where on it stands at the right end.
ROOM: Final = 0.17
ROOM_IF_SMALL: Final = 0.45
LAST_PLACE: Final = 0.85

_NO_BREAKS: Final[Mapping[int, str]] = {}


def columns(
    series: Sequence[Series],
    names: Sequence[str],
    labels: Sequence[str] | Markup,
    *,
    shown: Callable[[float], str] = shown_number,
    caption: str,
    breaks: Mapping[int, str] = _NO_BREAKS,
    bound: float | None = None,
) -> Markup:
    """
    Return a chart of columns, in which the numbers of several series stand on each other.

    Args:
        series: What is shown.
        names: The name of each column, for its title and the table.
        labels: What stands under the chart, from its left to its right end, at equal distances; or :func:`ticks`.
        shown: How a number is written.
        caption: What the chart shows, for those who cannot see it.
        breaks: Columns that stand for what was left out, and what that was.
        bound: A number at which a line is drawn. None without a line.
    """
    totals = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    top = round_top(max(*totals, bound or 0, 0))
    bars = [_column(series, place, name, top, shown) for place, name in enumerate(names) if totals[place]]
    grid = [_line(height, len(names), "grid") for height in (0.0, HEIGHT / 2, HEIGHT)]
    if bound is not None:
        bars.append(_line(HEIGHT - bound / top * HEIGHT, len(names), "bound"))
    drawing = element(
        "svg",
        *grid,
        *(_break(place, told) for place, told in breaks.items()),
        *bars,
        viewBox=f"0 0 {len(names)} {HEIGHT:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=caption,
    )
    scale = element("div", *(element("span", shown(top * part)) for part in (1, 0.5, 0)), class_="scale")
    if not isinstance(labels, Markup):
        labels = element("div", *(element("span", label) for label in labels), class_="labels")
    chart = element("div", scale, element("div", drawing, class_="plot"), labels, class_="chart")
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


def _line(y: float, width: int, kind: str) -> Markup:
    return element("line", x1=0, x2=width, y1=y, y2=y, class_=kind, vector_effect="non-scaling-stroke")


def _break(place: int, told: str) -> Markup:
    """Return a column that stands for a time that was left out."""
    return element("g", element("title", told), element("rect", x=place, width=1, height=HEIGHT, class_="break"))


def ticks(labels: Sequence[tuple[float, str]]) -> Markup:
    """
    Return labels at places under a chart, in the order of the places. One that has no room is left out.

    Args:
        labels: The place of each, from 0 at the left end to 1 at the right end, and its text.
    """
    texts: list[Markup] = []
    free = free_if_small = 0.0  # from where on there is room
    for at, text in labels:
        if at < free:
            continue
        kind = None if at >= free_if_small else "rare"
        place, anchor = (1.0, "end") if at > LAST_PLACE else (at, "start")
        texts.append(element("text", text, x=f"{place * 100:.2f}%", y=12, text_anchor=anchor, class_=kind))
        free = at + ROOM
        if kind is None:
            free_if_small = at + ROOM_IF_SMALL
    return element("svg", *texts, class_="ticks", height=16)


def _numbers(
    series: Sequence[Series], names: Sequence[str], totals: Sequence[float], shown: Callable[[float], str]
) -> Markup:
    """Return the numbers of a chart as a table that can be opened. Columns without a number are left out."""
    rows = [(name, *(shown(one.values[place]) for one in series)) for place, name in enumerate(names) if totals[place]]
    heads = ("", *(one.name for one in series))
    return element("details", element("summary", "Numbers"), table(heads, rows))
