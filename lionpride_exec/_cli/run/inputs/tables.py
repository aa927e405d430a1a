"""
CSV and TSV: the first row names the fields, and a record is a row.

Excel reads and writes files whose first line, ``sep=;``, says the delimiter.

The rows are those of Python's ``csv``, in its strict mode: a quoted cell that does not end where it should is a bad
row, and nothing is guessed. A row may be longer than what has come of the file. Then its lines are kept, and read once
more when as much again has come.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Final

from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._cli.run.text_options import bad_byte

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cells import Cells, Row
    from .records import Line, Record

# The delimiters of a file whose name says CSV. The one that makes most columns of the header holds.
CSV: Final = ",;\t"
TSV: Final = "\t"

_SEP_LINE: Final = re.compile(r'(?:\ufeff)?"?sep=([^"\r\n])"?[\r\n]*', re.IGNORECASE)

# The longest cell, in characters. A quoted cell without its end would take the whole file.
MAX_CELL: Final = 1 << 24


class _NeedMoreError(Exception):
    """The rest of a row has not come yet."""


class _Supply:
    """The lines that have come, for the reader of ``csv``."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.next = 0
        self.is_all = False

    def __iter__(self) -> _Supply:
        return self

    def __next__(self) -> str:
        if self.next < len(self.lines):
            self.next += 1
            return self.lines[self.next - 1]
        if self.is_all:
            raise StopIteration
        raise _NeedMoreError


class TableParser:
    """
    Makes a record of each row below the header.

    A row of empty cells is passed over. So are the header and the line that says the delimiter when they come again, as
    in files that were put together.

    Args:
        name: The name of the file, for messages.
        delimiters: What may stand between two cells, if no line says it.
        cells: Says what the cells of a column are.
        number: How many lines come before this file.
        delimiter: What stands between two cells, whatever the file says. None to find out.
        encoding: The encoding that the file had, for messages. None for UTF-8.
    """

    unit = "line"

    def __init__(
        self,
        name: str,
        delimiters: str,
        cells: Cells,
        number: int = 0,
        *,
        delimiter: str | None = None,
        encoding: str | None = None,
    ) -> None:
        csv.field_size_limit(MAX_CELL)
        self.number = number
        self.position = 0
        self._name = name
        self._delimiters = delimiters if delimiter is None else delimiter
        self._is_given = delimiter is not None
        self._encoding = encoding
        self._cells = cells
        self._supply = _Supply()
        self._rest: list[bytes] = []  # of the line whose end has not come yet
        self._before = number  # lines that come before those of the supply
        self._size = 0  # of the lines of the supply, in bytes
        self._kept = 0  # likewise, of the row that was not whole
        self._is_utf8 = True  # all lines so far
        self._delimiter: str | None = None
        self._header: list[str] | None = None
        self._sep_row: list[str] | None = None  # the line that says the delimiter, as a row
        self._row: Row | None = None  # None before the header

    def feed(self, data: bytes) -> Iterator[Record]:
        """
        Yield the rows that these bytes complete.

        Raises:
            UsageError: The header names a field twice, or leaves out a name.
        """
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1  # a \r at the end may be one half of \r\n
        if not end:
            self._rest.append(data)
            return
        self._take(b"".join((*self._rest, data[:end])))
        self._rest = [data[end:]]
        if self._size >= 2 * self._kept:
            yield from self._records()

    def end(self) -> Iterator[Record]:
        """
        Yield the rows that the end of the file completes.

        Raises:
            UsageError: As for :meth:`feed`.
        """
        self._take(b"".join(self._rest))
        self._supply.is_all = True
        yield from self._records()
        self.number = self._before

    def _take(self, text: bytes) -> None:
        """Add whole lines to the supply."""
        lines = text.splitlines(keepends=True)  # of bytes: those of a text end at other characters too
        try:
            self._supply.lines += [line.decode() for line in lines]
        except UnicodeDecodeError:
            self._is_utf8 = False
            self._supply.lines += [line.decode("utf-8", "surrogateescape") for line in lines]
        self._size += len(text)

    def _records(self) -> Iterator[Record]:
        """Yield the rows of the supply, and drop their lines."""
        supply, first, done = self._supply, 0, self.position
        if self._delimiter is None:
            self._choose_delimiter()
        count = len(supply.lines) or 1
        for first, found in self._read_rows(self._delimiter or self._delimiters[0]):
            self.number = self._before + first + 1
            self.position = done + self._size * supply.next // count
            line = found if isinstance(found, BadLineError) else self._line_of(found)
            if line is not None:
                yield self.number, line
        used = supply.next
        del supply.lines[:used]
        self._before += used
        self._size -= self._size * used // count
        self._kept, supply.next = self._size, 0

    def _read_rows(self, delimiter: str) -> Iterator[tuple[int, list[str] | BadLineError]]:
        """Yield the rows of the supply, each with the place of its first line. A row that goes on stays there."""
        supply = self._supply
        reader = csv.reader(supply, delimiter=delimiter, strict=True)
        while True:
            first = supply.next
            try:
                yield first, next(reader)
            except StopIteration:
                return
            except _NeedMoreError:
                supply.next = first
                return
            except csv.Error as exc:
                yield first, BadLineError(f"not {'TSV' if delimiter == TSV else 'CSV'}: {exc}")

    def _choose_delimiter(self) -> None:
        """Take the delimiter that is given, or that a line says, or that makes most columns of the header."""
        lines = self._supply.lines
        if lines:
            lines[0] = lines[0].removeprefix("\ufeff")  # again and again, while all lines are blank
        for place, line in enumerate(lines):
            told = _SEP_LINE.fullmatch(line)
            if told is not None:
                lines[place] = "\n"  # a blank line
                self._delimiters = self._delimiters if self._is_given else told[1]
                self._sep_row = next(csv.reader([line], delimiter=self._delimiters[0]))
            elif line.strip():
                self._delimiter = max(self._delimiters, key=lambda one: len(next(csv.reader([line], delimiter=one))))
                return

    def _line_of(self, cells: list[str]) -> Line | None:
        """Return a row as a line. None for the header, and for a row of empty cells."""
        if not any(cells) or cells in (self._header, self._sep_row):
            return None
        try:
            if not self._is_utf8:
                _check_bytes(cells, self._encoding)
            if self._row is not None:
                return self._row.line(cells)
        except BadLineError as exc:
            if self._row is None:
                raise UsageError(f"cannot read the header of {self._name}: {exc}") from exc
            return exc
        self._row, self._header = self._cells.row(self._name, cells), cells
        return None


def has_sep_line(head: bytes) -> bool:
    """Return whether a file begins with a line that says its delimiter."""
    return _SEP_LINE.fullmatch(head.lstrip().partition(b"\n")[0].decode("utf-8", "replace")) is not None


def _check_bytes(cells: list[str], encoding: str | None) -> None:
    for number, cell in enumerate(cells, 1):
        try:
            cell.encode()
        except UnicodeEncodeError as exc:
            byte = ord(cell[exc.start]) & 0xFF
            raise BadLineError(bad_byte(encoding, byte, f"in column {number}")) from exc
