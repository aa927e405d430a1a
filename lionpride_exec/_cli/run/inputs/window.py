"""``--skip`` and ``--limit``: which records of INPUT are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .records import Line, Record


class Window:
    """
    One pass over a part of INPUT. Blank lines do not count.

    Args:
        skip: How many records are passed over.
        limit: How many records are read after them. None for all.
        is_blank: Whether a line is no record.
    """

    def __init__(self, skip: int, limit: int | None, is_blank: Callable[[Line], bool]) -> None:
        self.read = 0  # how many records were read
        self._to_skip = skip
        self._limit = limit
        self._is_blank = is_blank

    @property
    def is_over(self) -> bool:
        """Whether nothing more has to be read."""
        return self._limit is not None and self.read >= self._limit

    @property
    def fraction(self) -> float | None:
        """The part of the records that has been read. None without a limit: INPUT may also have fewer."""
        return None if self._limit is None else self.read / self._limit

    def of(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield those of the records that are read."""
        for record in records:
            if self._is_blank(record[1]):
                continue
            if self._to_skip:
                self._to_skip -= 1
                continue
            self.read += 1
            yield record
            if self.is_over:
                return
