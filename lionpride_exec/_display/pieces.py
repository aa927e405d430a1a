"""Pieces of a page: a legend, a table, a flat bar. Colours are classes, which the page has for light and for dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .markup import Markup, element
from .quantities import shown_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Characters of a name that are shown. A text of a megabyte is no name.
LONGEST: Final = 200


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


def section(title: str, lead: str | Markup, *parts: Markup | None) -> Markup:
    """Return a section with a heading, and a sentence about what it shows."""
    return element("section", element("h2", title), element("p", lead, class_="lead"), *parts)


def cut(text: str, most: int = LONGEST) -> str:
    """Return at most so many characters of a text, with a mark where the rest is left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
