"""Deleting from a journal what has ended and is not to be kept any longer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .rows import unpack_ids
from .schema import SELECT_WAITED_FOR

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from lionpride_exec._model.retain import Retain

_BEYOND = "SELECT seq, id FROM event WHERE status = ? AND finished <= ? ORDER BY finished LIMIT ?"
_OLDER = "SELECT seq, id FROM event WHERE status = ? AND finished < ? LIMIT ?"

# Events of one status that are deleted at a time; the others follow.
MOST = 10_000


def prune(
    connection: sqlite3.Connection,
    retain: Mapping[str, Retain],
    tally: Mapping[str, int],
    now: float,
    min_retention: float = 0,
) -> dict[str, int]:
    """
    Delete what is beyond the count or the age of its status, the oldest first; give how many, by status.

    Args:
        connection: In a transaction.
        retain: By status.
        tally: How many there are, by status.
        now: Seconds since 1970.
        min_retention: Seconds for which what has ended is not deleted.
    """
    # Made by whoever needs it first: it costs something at each end of an event.
    connection.execute("CREATE INDEX IF NOT EXISTS event_finished ON event (status, finished)")
    deleted: dict[str, int] = {}
    for status, rule in retain.items():
        number = 0
        if rule.age is not None:
            number += _delete(connection, _OLDER, status, now - max(rule.age, min_retention), MOST)
        excess = 0 if rule.count is None else tally.get(status, 0) - number - rule.count
        if excess > 0:
            number += _delete(connection, _BEYOND, status, now - min_retention, min(excess, MOST))
        if number:
            connection.execute("UPDATE tally SET events = events - ? WHERE status = ?", (number, status))
            deleted[status] = number
    return deleted


def _delete(connection: sqlite3.Connection, select: str, *values: str | float) -> int:
    found: list[tuple[int, bytes]] = connection.execute(select, values).fetchall()
    # How something has ended has to be known as long as an open event comes after it.
    waited_for = {one for (after,) in connection.execute(SELECT_WAITED_FOR) for one in unpack_ids(after)}
    seqs = json.dumps([seq for seq, event_id in found if event_id not in waited_for])
    connection.execute("DELETE FROM transition WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))
    return connection.execute("DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?))", (seqs,)).rowcount
