"""The tables of ``top``: their columns, and the rows that events and errors make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from .panels import ago, clock
from .tones import STATUS_TONES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lionpride_exec._faces.snapshot import ErrorLine, EventLine

    from .tones import Tone


@attrs.frozen
class Column:
    """
    A column of a table.

    Attributes:
        title: What stands above it.
        width: Its width in cells. The columns whose width is 0 share what is left, by their ``share``.
        is_right: Whether it is aligned to the right.
        least: The least width of the table in which it is shown.
        share: Its part of what is left.
    """

    title: str
    width: int = 0
    is_right: bool = False
    least: int = 0
    share: int = 1


@attrs.frozen
class Row:
    """
    A row of a table.

    Attributes:
        key: What it shows, unique in its table.
        cells: The text of each column, as the event has it.
        tones: The tones of cells that have one, by their columns.
    """

    key: str
    cells: tuple[str, ...]
    tones: tuple[tuple[int, Tone], ...] = ()


RUNNING: Final = (
    Column("for", 8, is_right=True),
    Column("event", 9),
    Column("kind", share=3),
    Column("key", share=2),
    Column("try", 3, is_right=True),
    Column("since", 8, least=100),
)

ERRORS: Final = (
    Column("count", 9, is_right=True),
    Column("status", 9),
    Column("error"),
    Column("last", 8, is_right=True, least=70),
)

EVENTS: Final = (
    Column("event", 9),
    Column("status", 10),
    Column("kind", share=2),
    Column("key", share=2, least=100),
    Column("took", 8, is_right=True, least=70),
    Column("error", share=4),
)

# The orders of a table: their names, and by what they sort. The first one is that of the source.
RUNNING_ORDERS: Final[tuple[tuple[str, Callable[[EventLine], Any]], ...]] = (
    ("longest first", lambda line: line.started or 0.0),
    ("newest first", lambda line: -(line.started or 0.0)),
    ("by kind", lambda line: line.kind),
    ("by key", lambda line: line.what),
    ("most tries first", lambda line: -line.attempt),
)
ERROR_ORDERS: Final[tuple[tuple[str, Callable[[ErrorLine], Any]], ...]] = (
    ("most first", lambda line: -line.count),
    ("newest first", lambda line: -(line.last or 0.0)),
    ("by status", lambda line: line.status),
    ("by error", lambda line: line.shape),
)
EVENT_ORDERS: Final[tuple[tuple[str, Callable[[EventLine], Any]], ...]] = (
    ("newest first", lambda _: 0),
    ("longest first", lambda line: -(line.duration or 0.0)),
    ("by kind", lambda line: line.kind),
    ("by error", lambda line: line.error or ""),
)


def running_rows(lines: Sequence[EventLine], now: float) -> list[Row]:
    """Return a row for each event that runs."""
    return [
        Row(
            line.id,
            (
                "" if line.started is None else ago(now - line.started),
                event_name(line),
                line.kind,
                line.what,
                str(line.attempt or ""),
                "" if line.started is None else clock(line.started),
            ),
        )
        for line in lines
    ]


def error_rows(lines: Sequence[ErrorLine], now: float) -> list[Row]:
    """Return a row for each shape of errors."""
    return [
        Row(
            f"{line.status} {line.shape}",
            (
                f"{line.count:,}",
                line.status,
                line.shape,
                "" if line.last is None else ago(now - line.last),
            ),
            ((0, "plain"), (1, STATUS_TONES.get(line.status, "plain"))),
        )
        for line in lines
    ]


def event_rows(lines: Sequence[EventLine]) -> list[Row]:
    """Return a row for each event."""
    return [
        Row(
            line.id,
            (
                event_name(line),
                line.status,
                line.kind,
                line.what,
                "" if line.duration is None else ago(line.duration),
                line.error or (f"waits for {line.waits}" if line.waits is not None else ""),
            ),
            ((1, STATUS_TONES.get(line.status, "plain")),),
        )
        for line in lines
    ]


def event_name(line: EventLine) -> str:
    """Return the short name of an event: its number in the journal, or the beginning of its id."""
    return f"#{line.number}" if line.number else line.id[:8]


def plan(columns: Sequence[Column], width: int, padding: int) -> tuple[tuple[int, int], ...]:
    """Return the columns to show in a width, by their places, and how wide each is without its padding."""
    shown = [place for place, column in enumerate(columns) if column.least <= width]
    left = width - sum(columns[place].width + padding for place in shown)
    shares = sum(columns[place].share for place in shown if not columns[place].width)
    widths, given = [], 0
    for place in shown:
        column = columns[place]
        if column.width:
            widths.append((place, column.width))
            continue
        part = max(left * column.share // shares, 4)
        given += part
        widths.append((place, part))
    return _with_rest(columns, widths, left - given)


def _with_rest(columns: Sequence[Column], widths: list[tuple[int, int]], rest: int) -> tuple[tuple[int, int], ...]:
    """Return widths whose last shared column has the cells that the division has left over."""
    for index in range(len(widths) - 1, -1, -1):
        place, width = widths[index]
        if not columns[place].width:
            widths[index] = (place, max(width + rest, 4))
            break
    return tuple(widths)
