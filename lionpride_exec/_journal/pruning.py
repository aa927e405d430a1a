"""Deleting the events that have ended and are not kept any longer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lionpride_exec._base.wall_clock import wall_clock

from .any_end import delete_any_ends
from .rows import unpack_ids
from .schema import INDEX_TRAIL, SELECT_WAITED_FOR

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from lionpride_exec._model.retain import Retain

_BEYOND = "SELECT seq, id FROM event WHERE status = ? AND finished <= ? ORDER BY finished LIMIT ?"
_OLDER = "SELECT seq, id FROM event WHERE status = ? AND finished < ? LIMIT ?"

# Events of one status that are deleted in one transaction. The next transaction deletes the others.
MAX_DELETED = 10_000

# Ends, and seconds, after which the file is pruned again.
PRUNE_AFTER = 1000
PRUNE_SECONDS = 60.0


class Pruner:
    """
    Decides when to delete, and deletes.

    Args:
        retain: What is kept, by status. A status that is missing keeps all its events.
    """

    def __init__(self, retain: Mapping[str, Retain]) -> None:
        self._retain = retain
        self._ended = 0  # events that have ended since the file was pruned last
        self._pruned_at = 0.0  # seconds since 1970; 0 if there was more to delete

    def is_due(self, ended: int) -> bool:
        """Return whether to prune now, after this many more events have ended. The answer yes is given once."""
        if not self._retain:
            return False
        self._ended += ended
        now = wall_clock.seconds()
        if self._ended < PRUNE_AFTER and now - self._pruned_at < PRUNE_SECONDS:
            return False
        self._ended, self._pruned_at = 0, now
        return True

    def prune(self, connection: sqlite3.Connection, tally: Mapping[str, int], min_retention: float) -> dict[str, int]:
        """
        Delete what is beyond the count or the age of its status, the oldest first. Return the number by status.

        Args:
            connection: In a transaction.
            tally: How many events have ended, by status.
            min_retention: Seconds for which an event that has ended is kept in any case.
        """
        # Made when they are first needed: the first index has to be updated at the end of each event.
        connection.execute("CREATE INDEX IF NOT EXISTS event_finished ON event (status, finished)")
        connection.execute(INDEX_TRAIL)
        deleted: dict[str, int] = {}
        now = wall_clock.seconds()
        for status, rule in self._retain.items():
            number = 0
            if rule.age is not None:
                number += _delete(connection, _OLDER, status, now - max(rule.age, min_retention), MAX_DELETED)
            excess = 0 if rule.count is None else tally.get(status, 0) - number - rule.count
            if excess > 0:
                number += _delete(connection, _BEYOND, status, now - min_retention, min(excess, MAX_DELETED))
            if number:
                connection.execute("UPDATE tally SET events = events - ? WHERE status = ?", (number, status))
                deleted[status] = number
            if number >= MAX_DELETED:
                self._pruned_at = 0.0
        return deleted


def _delete(connection: sqlite3.Connection, select: str, *values: str | float) -> int:
    found: list[tuple[int, bytes]] = connection.execute(select, values).fetchall()
    # The status of an event has to be known as long as an open event comes after it.
    waited_for = {one for (after,) in connection.execute(SELECT_WAITED_FOR) for one in unpack_ids(after)}
    chosen = [seq for seq, event_id in found if event_id not in waited_for]
    delete_any_ends(connection, chosen)
    seqs = json.dumps(chosen)
    connection.execute("DELETE FROM transition WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))
    return connection.execute("DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?))", (seqs,)).rowcount
