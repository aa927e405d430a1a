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
from .schema import ID_HEAD, ID_HEAD_BYTES, key_hash, stored_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from .rows import AuditRecord, NewRow, RowUpdate

SIZES = (1, 5, 15, 40, 100, 500)  # rows in a statement

# Values that one statement looks up.
LOOK_UPS = 500

# The condition at the end of each statement leaves out the rows of NULL.
INSERT_NEW = (
    "INSERT INTO event (seq, id, event, key, after, priority, due, status, queued, key_hash) "
    "SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL"
)
# Sets no column of a condition of an index of open events, so these indexes are not touched.
UPDATE_OPEN = (
    "UPDATE event SET status = new.column2, attempt = new.column3, due = new.column4, started = new.column5, "
    "attempts = new.column8 FROM (VALUES {rows}) AS new WHERE event.seq = new.column1"
)
UPDATE_ENDED = (
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
        # The smallest size for all rows, filled up with NULL, if they are half of it. Else the largest that they fill.
        size = next((size for size in SIZES if left <= size < 2 * left), None) or max(s for s in SIZES if s <= left)
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
        connection,
        columns,
        f"id IN ({{marks}}) AND seq IN (SELECT seq FROM event INDEXED BY event_id WHERE {ID_HEAD} IN ({{marks}}))",  # noqa: S608  no value in it
        ids,
        [one[:ID_HEAD_BYTES] for one in ids],
    )


def rows_by_key(connection: sqlite3.Connection, columns: str, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return columns of the rows with these keys."""
    return rows_by_stored_key(connection, columns, [*map(stored_key, keys)], [*map(key_hash, keys)])


def rows_by_stored_key(
    connection: sqlite3.Connection, columns: str, keys: Sequence[str | bytes | None], hashes: Sequence[int | None]
) -> list[tuple[Any, ...]]:
    """Return columns of the rows with these keys, which are in their stored form."""
    return _look_up(connection, columns, "key IN ({marks}) AND key_hash IN ({marks})", keys, hashes)


def _look_up(
    connection: sqlite3.Connection, columns: str, condition: str, values: Sequence[Any], indexed: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Return columns of the rows with these values. An index finds candidates by what it has of each value."""
    rows: list[tuple[Any, ...]] = []
    for begin in range(0, len(values), LOOK_UPS):
        some = (*values[begin : begin + LOOK_UPS], *indexed[begin : begin + LOOK_UPS])
        where = condition.format(marks=",".join("?" * (len(some) // 2)))
        rows += connection.execute(f"SELECT {columns} FROM event WHERE {where}", some)  # noqa: S608  no value in it
    return rows
