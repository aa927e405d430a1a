"""
When the events in a file end if they have not begun.

Few events expire. So these times are in a table of their own, which is made for the first of them. A file without the
table is read as before, and by an earlier version of the package too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .schema import has_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

MAKE_EXPIRY = "CREATE TABLE IF NOT EXISTS expiry (seq INTEGER PRIMARY KEY, at REAL NOT NULL)"

# The rows whose event has ended or was deleted.
_OF_NOBODY = "NOT EXISTS (SELECT 1 FROM event WHERE event.seq = expiry.seq AND event.finished IS NULL)"


def write_expiries(connection: sqlite3.Connection, expiries: Mapping[int, float]) -> None:
    """
    Write when new events expire, and delete some rows of events that have ended.

    Args:
        connection: In a transaction.
        expiries: Seconds since 1970, by the number of the event. Each call deletes up to twice as many as it writes.
    """
    if not expiries:
        return
    connection.execute(MAKE_EXPIRY)
    connection.executemany("INSERT OR REPLACE INTO expiry (seq, at) VALUES (?, ?)", expiries.items())
    connection.execute(
        f"DELETE FROM expiry WHERE seq IN (SELECT seq FROM expiry ORDER BY seq LIMIT ?) AND {_OF_NOBODY}",  # noqa: S608  no value in it
        (2 * len(expiries),),
    )


def read_expiries(connection: sqlite3.Connection, first: int, last: int) -> dict[int, float]:
    """Return when events expire, by their numbers, from the first to the last."""
    if not has_table(connection, "expiry"):
        return {}
    return dict(connection.execute("SELECT seq, at FROM expiry WHERE seq BETWEEN ? AND ?", (first, last)))


def forget_expiries(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Have events wait for as long as it takes: somebody has put them back by hand."""
    if has_table(connection, "expiry"):
        connection.executemany("DELETE FROM expiry WHERE seq = ?", [(seq,) for seq in seqs])


def tidy_expiries(connection: sqlite3.Connection) -> None:
    """Delete the rows of events that have ended or are gone. O(rows of the table)."""
    if has_table(connection, "expiry"):
        connection.execute(f"DELETE FROM expiry WHERE {_OF_NOBODY}")  # noqa: S608  no value in it
