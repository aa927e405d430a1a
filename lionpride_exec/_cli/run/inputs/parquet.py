"""
Parquet: a record is a row.

The table of contents of a file is at its end, so a pipe cannot be read. Of each column, a part is read at a time. So
memory goes neither by the size of the file, nor by that of its row groups. This module needs pyarrow, and is imported
for Parquet only.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from io import BufferedReader, RawIOBase, UnsupportedOperation
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from lionpride_exec._base.json_text import write_json
from lionpride_exec._cli.errors import BadLineError, UsageError

from .arrow_values import values_of
from .records import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .cells import Cells, Column
    from .records import Line, Record

# About how many bytes of a row group are made records at once, and how many rows at most.
_PART: Final = 4 << 20
_ROWS: Final = 1000
_BUFFER: Final = 256 * 1024  # bytes of a column that are read at once


class _File(RawIOBase):
    """A regular file that is open already. Its own place in the file stays."""

    def __init__(self, fd: int, start: int) -> None:
        self._fd = fd
        self._start = start
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place, in bytes from the start."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to another place, and return it."""
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence == os.SEEK_END:
            offset += os.fstat(self._fd).st_size - self._start
        elif whence != os.SEEK_SET:
            raise UnsupportedOperation(f"whence {whence}")
        self._at = offset
        return offset

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer from the place on. Return how many bytes were read: 0 at the end."""
        data = os.pread(self._fd, len(buffer), self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class ParquetRows:
    """
    One pass over the rows of a file.

    Args:
        name: The name of the file, for messages.
        cells: Says what a decimal is.
        number: How many records come before this file.
    """

    unit = "row"

    def __init__(self, name: str, cells: Cells, number: int = 0) -> None:
        self.number = number  # that was counted last
        self.fraction = 0.0  # of the rows that were yielded
        self._name = name
        self._cells = cells

    def check(self, fd: int, start: int) -> None:
        """
        Check that a file can be read. Blocks.

        Args:
            fd: The file descriptor.
            start: Where the file begins, in bytes.

        Raises:
            UsageError: It is no Parquet, or names a field twice.
        """
        try:
            with _opened(fd, start) as table:
                names = table.schema_arrow.names
        except InputError as exc:
            raise UsageError(f"cannot read {self._name}: {exc}") from exc
        for place, name in enumerate(names):
            if name in names[:place]:
                both = f"columns {names.index(name) + 1} and {place + 1}"
                raise UsageError(f"{self._name} has {name!r} twice: {both}")

    def pieces(self, fd: int, start: int) -> Iterator[list[Record]]:
        """
        Yield the records, some at a time. Blocks.

        Args:
            fd: The file descriptor. It stays open, and its place in the file stays.
            start: Where the file begins, in bytes.

        Raises:
            InputError: The rest cannot be read.
        """
        first = self.number
        with _opened(fd, start) as table:
            total = table.metadata.num_rows or 1
            for group in range(table.num_row_groups):
                size = _part_of(table.metadata.row_group(group))
                for batch in table.iter_batches(size, row_groups=[group], use_threads=False):
                    records = [(self.number + place, line) for place, line in enumerate(self._lines(batch), 1)]
                    self.number += len(records)
                    yield records
                    self.fraction = (self.number - first) / total

    def _lines(self, batch: Any) -> Iterator[Line]:
        names = batch.schema.names
        columns = [self._column(name, column) for name, column in zip(names, batch.columns, strict=True)]
        for row in zip(*columns, strict=True) if columns else ((),) * batch.num_rows:
            record = dict(zip(names, row, strict=True))
            try:
                yield write_json(record)
            except TypeError:
                yield next(BadLineError(f"column {name!r} {bad}") for name in names for bad in _bad_in(record[name]))

    def _column(self, name: str, array: Any) -> list[Any]:
        """Return the values of a column. A decimal is a number if the annotation of its field says so."""
        values = values_of(array)
        column = self._cells.column(name)
        if column.read is None or not pa.types.is_decimal(array.type):
            return values
        return [_number(column, value) if isinstance(value, str) else value for value in values]


def _number(column: Column, text: str) -> Any:
    try:
        return text if column.read is None else column.read(text)
    except ValueError:
        return BadLineError(column.refusal(text))


def _bad_in(value: Any) -> Iterator[BadLineError]:
    """Yield what of a value cannot be read."""
    if isinstance(value, BadLineError):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _bad_in(inner)


def _part_of(group: Any) -> int:
    """Return how many rows of a row group are read at once."""
    size = group.total_byte_size // (group.num_rows or 1) or 1  # bytes of a row, decompressed
    return max(1, min(_ROWS, _PART // size))


@contextmanager
def _opened(fd: int, start: int) -> Generator[Any]:
    """Open a file. All errors inside the block that tell of its data are an :class:`InputError`."""
    try:
        file = BufferedReader(_File(fd, start), _BUFFER)
        # With pre_buffer=True whole row groups are read at once.
        yield ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, InputError):
            raise
        raise InputError(f"its Parquet data are damaged ({_first_line(exc)})") from exc


def _first_line(exc: BaseException) -> str:
    return str(exc).partition("\n")[0].rstrip(".")
