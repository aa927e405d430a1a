"""
Statements that write, or look up, many rows at once.

``executemany()`` takes the interpreter's lock once for each row, and waits up to 5 ms for it beside a loop that
computes. Statements come in a few sizes, so that each is prepared once. They are filled up with rows of NULL, which
write nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from .rows import values_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from .rows import AuditRecord, NewRow, RowUpdate

SIZES = (1, 10, 100, 500)  # rows in a statement

# Values that one statement looks up.
LOOK_UPS = 500

# The condition at the end of each statement leaves out the rows of NULL.
INSERT_NEW = (
    "INSERT INTO event (seq, id, event, key, after, priority, due, status, queued) "
    "SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL"
)
UPDATE = (
    "UPDATE event SET status = new.column2, attempt = new.column3, due = new.column4, started = new.column5, "
    "finished = new.column6, outcome = new.column7, attempts = new.column8 "
    "FROM (VALUES {rows}) AS new WHERE event.seq = new.column1"
)
INSERT_STEPS = (
    "INSERT INTO transition (seq, at, status, attempt, error) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL"
)
COUNT = (
    "INSERT INTO tally (status, events) VALUES (?, ?) "
    "ON CONFLICT (status) DO UPDATE SET events = events + excluded.events"
)


def write_rows(
    connection: sqlite3.Connection, statement: str, rows: Sequence[NewRow | RowUpdate | AuditRecord]
) -> None:
    """Write rows by statements of these sizes."""
    begin = 0
    while begin < len(rows):
        left = len(rows) - begin
        # The largest size that the rows fill. Fewer than 100 rows are filled up with NULL.
        size = max(size for size in SIZES if size <= left) if left >= SIZES[2] else next(s for s in SIZES if s >= left)
        some = rows[begin : begin + size]
        connection.execute(_sql(statement, size, len(some[0])), values_of(some, size, len(some[0])))
        begin += len(some)


@cache
def _sql(statement: str, size: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return statement.format(rows=", ".join([row] * size))


def rows_by_id(connection: sqlite3.Connection, columns: str, ids: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Return columns of the rows with these ids. One pass over the index for each 500 of them."""
    return _look_up(
        connection, columns, "seq IN (SELECT seq FROM event INDEXED BY event_id WHERE id IN ({marks}))", ids
    )


def rows_by_key(connection: sqlite3.Connection, columns: str, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return columns of the rows with these keys."""
    return _look_up(connection, columns, "key IN ({marks})", keys)


def _look_up(
    connection: sqlite3.Connection, columns: str, condition: str, values: Sequence[Any]
) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for begin in range(0, len(values), LOOK_UPS):
        some = values[begin : begin + LOOK_UPS]
        where = condition.format(marks=",".join("?" * len(some)))
        rows += connection.execute(f"SELECT {columns} FROM event WHERE {where}", some)  # noqa: S608  no value in it
    return rows
