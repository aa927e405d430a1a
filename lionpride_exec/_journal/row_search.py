"""
Rows by status, the newest first, in pieces.

The rows that did not complete, and those that are open, have indexes (``schema``). All others are found by going back
through the file. A piece looks at a few thousand rows at most, since nobody can commit meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from lionpride_exec._status import BAD, HELD, OPEN, EventStatus

from .rows import Row
from .schema import COLUMNS, IS_BAD

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

# Above the number of each row.
END: Final = 2**62

# Rows that one piece returns, and rows that it looks at.
MAX_ROWS: Final = 500
STRIDE: Final = 5000

_BAD: Final = frozenset(BAD)
_OPEN: Final = frozenset(OPEN)

_BAD_ROWS: Final = (
    f"SELECT seq FROM event INDEXED BY event_bad WHERE status = ? AND {IS_BAD} AND seq < ? ORDER BY seq DESC LIMIT ?"  # noqa: S608  no value in it
)
_OPEN_ROWS: Final = "event INDEXED BY event_open WHERE finished IS NULL AND"
_ALL_ROWS: Final = "event WHERE"


class Piece(NamedTuple):
    """
    Some rows, the newest first.

    Attributes:
        rows: The rows.
        before: The number below which the next piece begins. 0 if there is none.
    """

    rows: list[Row]
    before: int


class RowSearch:
    """
    Finds the rows with one of some statuses.

    Args:
        statuses: The statuses. A held event counts as pending. None for all.
        is_indexed: Whether the file has the indexes of the newest version.
    """

    def __init__(self, statuses: Iterable[str] | None, *, is_indexed: bool = True) -> None:
        chosen = None if statuses is None else frozenset(statuses)
        if chosen is not None and EventStatus.PENDING.value in chosen:
            chosen |= {HELD}
        self._statuses = chosen
        self._is_indexed = is_indexed

    def piece(self, connection: sqlite3.Connection, before: int, count: int) -> Piece:
        """
        Return the newest rows below a number.

        Args:
            connection: A connection to the file.
            before: The number.
            count: How many rows at most, 1 to 500. There may be fewer, also if another piece follows.
        """
        statuses = self._statuses
        if statuses is None:
            seqs = _column(connection, "SELECT seq FROM event WHERE seq < ? ORDER BY seq DESC LIMIT ?", before, count)
            rest = 0
        elif statuses <= _BAD and self._is_indexed:
            found = [seq for status in statuses for seq in _column(connection, _BAD_ROWS, status, before, count)]
            seqs, rest = sorted(found, reverse=True)[:count], 0
        else:
            source = _OPEN_ROWS if statuses <= _OPEN and self._is_indexed else _ALL_ROWS
            seqs, rest = _look_back(connection, source, sorted(statuses), before, count)
        return Piece(rows_at(connection, seqs), seqs[-1] if len(seqs) == count else rest)


def _look_back(
    connection: sqlite3.Connection, source: str, statuses: Sequence[str], before: int, count: int
) -> tuple[list[int], int]:
    """Look at some rows below a number. Return the numbers of those with a status, and where the look has ended."""
    lowest = f"SELECT min(seq) FROM (SELECT seq FROM {source} seq < ? ORDER BY seq DESC LIMIT ?)"  # noqa: S608  no value in it
    lower: int | None = connection.execute(lowest, (before, STRIDE)).fetchone()[0]
    if lower is None:
        return [], 0
    marks = ",".join("?" * len(statuses))
    select = f"SELECT seq FROM {source} seq >= ? AND seq < ? AND status IN ({marks}) ORDER BY seq DESC LIMIT ?"  # noqa: S608  no value in it
    return _column(connection, select, lower, before, *statuses, count), lower


def rows_at(connection: sqlite3.Connection, seqs: Sequence[int]) -> list[Row]:
    """Return the rows with these numbers, the newest first."""
    select = f"SELECT {COLUMNS} FROM event WHERE seq IN ({','.join('?' * len(seqs))}) ORDER BY seq DESC"  # noqa: S608  no value in it
    return [Row(*values) for values in connection.execute(select, tuple(seqs))]


def _column(connection: sqlite3.Connection, query: str, *values: object) -> list[int]:
    return [seq for (seq,) in connection.execute(query, values)]
