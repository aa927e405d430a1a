"""Text for people on standard output: tables are drawn on a terminal, and plain elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lionpride_exec._base.wording import counted, visible

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class Table:
    """Rows under a title. Characters that would control the terminal are escaped."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def shown(self) -> list[list[str]]:
        """The cells, safe to be printed."""
        return [[visible(cell) for cell in row] for row in self.rows]

    def is_number(self, column: int) -> bool:
        """Whether all cells of a column begin like a number. Numbers are aligned to the right."""
        return all(row[column][:1].isdigit() for row in self.rows)


def write_json(line: bytes) -> None:
    """Write a JSON value as a line. The encoding is UTF-8 in every locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")


def write_line(text: str) -> None:
    """Write a line. Characters that the encoding of standard output does not have are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(visible(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")


def write_lines(text: str, indent: str = "") -> None:
    """Write a text of several lines."""
    for line in text.splitlines():
        write_line(indent + line.expandtabs(4))


def write_table(table: Table) -> None:
    """Write a table and an empty line. Write nothing if the table has no rows."""
    if table.rows:
        if sys.stdout.isatty():
            _draw(table)
        else:
            _list(table)


def _draw(table: Table) -> None:
    drawn = RichTable(title=Text(table.title) if table.title else None, title_justify="left")
    for place, name in enumerate(table.columns):
        drawn.add_column(Text(name), justify="right" if table.is_number(place) else "left", overflow="fold")
    for row in table.shown:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout).print(drawn)


def _list(table: Table) -> None:
    rows = [list(table.columns), *table.shown]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    if table.title:
        write_line(table.title)
    for row in rows:
        cells = (
            cell.rjust(width) if table.is_number(place) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        write_line(("  " + "  ".join(cells)).rstrip())
    write_line("")


def write_ended(ended: int, running: int, status: str, by: str = "") -> None:
    """
    Write how many events a command has ended, and how many it has only told to end.

    Args:
        ended: How many have ended.
        running: How many ran, and end soon.
        status: How they end, such as "cancelled".
        by: Who ends those that run. "" for the process that was asked.
    """
    if ended or not running:
        write_line(f"{counted(ended, 'event')} {status}")
    if running:
        write_line(f"{counted(running, 'running event')} being {status}{by and f' by {by}'}")
