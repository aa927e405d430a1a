"""The events that were skipped because of others, and stay so when the others run again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .any_end import read_any_ends
from .rows import unpack_ids

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection


def count_skipped_after(connection: sqlite3.Connection, seqs: Collection[int]) -> int:
    """
    Return how many events are SKIPPED and come after some events, or after others that count. O(skipped events).

    Args:
        connection: A connection to the file.
        seqs: The numbers of the events.
    """
    rows = connection.execute(
        "SELECT seq, id, after FROM event WHERE status = 'skipped' AND after NOT NULL ORDER BY seq"
    )
    skipped = rows.fetchall()
    if not skipped:
        return 0
    any_ends = read_any_ends(connection, skipped[0][0], skipped[-1][0])
    marked = "SELECT id FROM event WHERE seq IN (SELECT value FROM json_each(?))"
    before = {event_id for (event_id,) in connection.execute(marked, (json.dumps([*seqs]),))}
    number = len(before)
    for seq, event_id, after in skipped:  # an event has a higher number than those that it comes after
        if any(one in before and one not in any_ends.get(seq, ()) for one in unpack_ids(after)):
            before.add(event_id)
    return len(before) - number
