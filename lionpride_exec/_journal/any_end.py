"""
Which of the events that an event comes after may end in any way: those of ``append(after_any_end=)``.

The column ``after`` has the ids of all events that an event waits for. Few events come after others that may end in any
way. So their ids are in a table of their own too, which is made for the first of them. A file without the table is read
as before. An earlier version of the package ignores the table, and takes these events for others that must complete.

A row stays as long as its event, even after the end of the event: the event can be put back to pending by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rows import unpack_ids
from .schema import has_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

_TABLE = "after_any_end"
_MAKE = "CREATE TABLE IF NOT EXISTS after_any_end (seq INTEGER PRIMARY KEY, ids BLOB NOT NULL)"


def write_any_ends(connection: sqlite3.Connection, any_ends: Mapping[int, bytes]) -> None:
    """
    Write which events new events wait for that may end in any way.

    Args:
        connection: In a transaction.
        any_ends: The ids as ``pack_ids()`` returns them, by the number of the new event.
    """
    if any_ends:
        connection.execute(_MAKE)
        connection.executemany("INSERT OR REPLACE INTO after_any_end (seq, ids) VALUES (?, ?)", any_ends.items())


def read_any_ends(connection: sqlite3.Connection, first: int, last: int) -> dict[int, frozenset[bytes]]:
    """Return the ids of the events that may end in any way, by the numbers of the events that wait for them."""
    if not has_table(connection, _TABLE):
        return {}
    found = connection.execute("SELECT seq, ids FROM after_any_end WHERE seq BETWEEN ? AND ?", (first, last))
    return {seq: frozenset(unpack_ids(ids)) for seq, ids in found}


def delete_any_ends(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Delete the rows of events that are deleted, by the numbers of the events."""
    if has_table(connection, _TABLE):
        connection.executemany("DELETE FROM after_any_end WHERE seq = ?", [(seq,) for seq in seqs])


def tidy_any_ends(connection: sqlite3.Connection) -> None:
    """Delete the rows of events that are gone: an earlier version of the package leaves them. O(rows of the table)."""
    if has_table(connection, _TABLE):
        connection.execute(
            "DELETE FROM after_any_end WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.seq = after_any_end.seq)"
        )
