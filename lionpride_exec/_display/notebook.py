"""
How objects show themselves in a notebook: as text, and as HTML beside it.

The HTML has no script, no id and no style sheet, since a page has the outputs of many cells, and its own colours, light
or dark. So colours are those of the page, but for the colours of statuses, which suit both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .markup import Markup, element
from .pieces import cut
from .quantities import shown_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLOURS: Final[Mapping[str, str]] = {
    "completed": "#3a76b8",
    "failed": "#d0482f",
    "cancelled": "#dba21a",
    "skipped": "#8d969e",
    "aborted": "#7d55b5",
    "processing": "#1f9d93",
    "pending": "#b4c0cb",
    "held": "#94714f",
}
_OTHER: Final = "#5f7f9f"

# Characters of a value that are shown.
LONGEST: Final = 500

_CELL: Final = "text-align: left; vertical-align: top; padding: 2px 16px 2px 0; overflow-wrap: anywhere"
_NAME: Final = f"{_CELL}; opacity: 0.7; white-space: nowrap; font-weight: normal"


def bundle(text: str, html: Markup) -> dict[str, str]:
    """Return what ``_repr_mimebundle_()`` returns."""
    return {"text/plain": text, "text/html": str(html)}


def frame(title: str, state: str, *parts: Markup | None) -> Markup:
    """
    Return what an object is, how it is, and the rest below.

    Args:
        title: What it is.
        state: How it is, in a few words.
        parts: What else is shown.
    """
    head = element("div", element("b", cut(title)), f" {cut(state)}" if state else None)
    return element("div", head, *parts, style="max-width: 60em; line-height: 1.5")


def facts(rows: Sequence[tuple[str, str | Markup]]) -> Markup | None:
    """Return names and values below each other. None without any."""
    if not rows:
        return None
    lines = [
        element("tr", element("th", name, style=_NAME), element("td", _value(value), style=_CELL))
        for name, value in rows
    ]
    return element("table", element("tbody", *lines), style="margin: 6px 0; border-collapse: collapse")


def code(text: str) -> Markup:
    """Return a value as code."""
    return element("code", cut(text, LONGEST))


def _value(value: str | Markup) -> str | Markup:
    return value if isinstance(value, Markup) else cut(value, LONGEST)


def bar(counts: Mapping[str, float], words: Mapping[str, str] | None = None) -> Markup | None:
    """
    Return a flat bar of the parts of a sum, with their names below. None if the sum is 0.

    Args:
        counts: The number of each part, by status.
        words: Other words for statuses.
    """
    total = sum(counts.values())
    if not total:
        return None
    left, parts, names = 0.0, list[Markup](), list[Markup]()
    for status, number in counts.items():
        if not number:
            continue
        width, colour = number / total * 1000, COLOURS.get(status, _OTHER)
        word = (words or {}).get(status, status)
        told = element("title", f"{shown_number(number)} {word}")
        parts.append(element("g", told, element("rect", x=left, width=width, height=10, fill=colour)))
        names.append(element("span", _swatch(colour), f" {word} ", element("b", shown_number(number)), style=_KEY))
        left += width
    drawing = element(
        "svg",
        *parts,
        viewBox="0 0 1000 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=", ".join(f"{shown_number(number)} {status}" for status, number in counts.items() if number),
        style="display: block; width: 100%; height: 10px; margin: 6px 0",
    )
    return element("div", drawing, element("div", *names))


_KEY: Final = "margin-right: 16px; white-space: nowrap"


def _swatch(colour: str) -> Markup:
    square = element("rect", width=10, height=10, rx=2, fill=colour)
    return element("svg", square, width=10, height=10, viewBox="0 0 10 10", aria_hidden="true")
