"""What a transaction of the owner writes. Each function gets a connection in a transaction."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._status import FINAL

from .any_end import delete_any_ends, write_any_ends
from .bulk_sql import (
    COUNT,
    INSERT_NEW,
    INSERT_STEPS,
    UPDATE_ENDED,
    UPDATE_OPEN,
    rows_by_key,
    rows_by_stored_key,
    write_rows,
)
from .expiries import forget_expiries, write_expiries
from .inbox import write_answers, write_decisions
from .recent_starts import write_settled
from .rows import AuditRecord, Row, has_begun
from .schema import COLUMNS, INDEX_TRAIL, LETTER_OF, key_hash, stored_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Sequence

    from .rows import Batch, NewRow, OfflineEnd, RowUpdate


SET_FACT = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"
DELETE_FACT = "DELETE FROM meta WHERE name = ?"
FREE_KEY = (
    "UPDATE event SET key = NULL, key_hash = NULL "
    "WHERE key = ? AND key_hash = ? AND (seq = ? OR status NOT IN ('pending', 'processing', 'held'))"
)


def write_batch(
    connection: sqlite3.Connection, batch: Batch, min_retention: float
) -> tuple[dict[int, Row], Counter[str]]:
    """
    Write a batch. A new row whose key is in the file already is left out.

    Returns:
        For each row that was left out, by its number, the row that has the key. And the number of events that have
        ended, by status; ended events that were deleted are subtracted.
    """
    removed = _delete_events(connection, batch.removed)  # first: a new row may have the key of a deleted one
    _free_keys(connection, batch)
    known = _rows_with_same_key(connection, batch.new)
    new, steps, changes = batch.new, batch.steps, list(batch.changes.values())
    if left_out := known.keys() | set(batch.removed):
        new = [row for row in new if row.seq not in left_out]
        steps = [step for step in steps if step.seq not in left_out]
        changes = [change for change in changes if change.seq not in left_out]
    write_rows(connection, INSERT_NEW, new)
    write_rows(connection, UPDATE_OPEN, [change for change in changes if change.finished is None])
    write_rows(connection, UPDATE_ENDED, [change for change in changes if change.finished is not None])
    write_rows(connection, INSERT_STEPS, steps)
    for seq, priority in batch.priorities.items():  # these are rare, so each has a statement
        connection.execute("UPDATE event SET priority = ? WHERE seq = ?", (priority, seq))
    for name, value in batch.facts.items():
        if value is None:
            connection.execute(DELETE_FACT, (name,))
        else:
            connection.execute(SET_FACT, (name, value))
    write_answers(connection, batch.answers)
    write_decisions(connection, [*batch.taken, *batch.dropped], batch.refused)
    if batch.is_empty():  # to see whether the file can be written again
        connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', randomblob(64))")
    write_expiries(connection, {seq: at for seq, at in batch.expiries.items() if seq not in left_out})
    write_any_ends(connection, {seq: ids for seq, ids in batch.any_ends.items() if seq not in left_out})
    write_settled(connection, batch.settled, wall_clock.seconds(), min_retention)
    ended = Counter(change.status for change in changes if change.finished is not None)
    ended.subtract(removed)
    _count(connection, ended)
    return known, ended


def write_interrupted(
    connection: sqlite3.Connection, changes: Iterable[tuple[RowUpdate, int]], steps: Sequence[AuditRecord]
) -> Counter[str]:
    """
    Write what becomes of events that ran when the process died. Return how many have ended, by status.

    Args:
        connection: In a transaction.
        changes: Each with the number of times that a run of the event was interrupted.
        steps: For the audit trail.
    """
    ended: Counter[str] = Counter()
    for change, crashes in changes:
        connection.execute(UPDATE_ENDED.format(rows="(?, ?, ?, ?, ?, ?, ?, ?)"), change)
        connection.execute("UPDATE event SET crashes = ? WHERE seq = ?", (crashes, change.seq))
        if change.status in FINAL:
            ended[change.status] += 1
    _count(connection, ended)
    write_rows(connection, INSERT_STEPS, list(steps))
    return ended


def release_held(connection: sqlite3.Connection, seq: int, steps: Sequence[AuditRecord]) -> bool:
    """
    Make an event pending that is held. Return whether it was: its end may have been written meanwhile.

    Args:
        connection: In a transaction.
        seq: The number of the event.
        steps: For the audit trail.
    """
    changed = connection.execute("UPDATE event SET status = 'pending' WHERE seq = ? AND status = 'held'", (seq,))
    if changed.rowcount:
        write_rows(connection, INSERT_STEPS, list(steps))
    return bool(changed.rowcount)


def requeue_events(
    connection: sqlite3.Connection, statuses: Collection[str], seqs: Collection[int] | None
) -> tuple[list[int], Counter[str]]:
    """
    Put events back to pending, as if they had never run. O(number of events in the file, or of ``seqs``).

    Return their numbers, and how many of them had ended, by status.

    Args:
        connection: In a transaction.
        statuses: The statuses of the events.
        seqs: The numbers of the events. None for all with these statuses.
    """
    chosen = _chosen(connection, "seq, status", statuses, seqs)
    forget_expiries(connection, [seq for seq, _ in chosen])
    for seq, _ in chosen:
        connection.execute(
            "UPDATE event SET status = 'pending', attempt = 0, crashes = 0, due = NULL, started = NULL, "
            "finished = NULL, outcome = NULL, attempts = NULL WHERE seq = ?",
            (seq,),
        )
        connection.execute(
            "INSERT INTO transition (seq, at, status, attempt, error) VALUES (?, ?, ?, 0, 'put back by hand')",
            (seq, wall_clock.seconds(), LETTER_OF["pending"]),
        )
    no_longer = Counter(status for _, status in chosen if status in FINAL)
    _count(connection, Counter({status: -number for status, number in no_longer.items()}))
    return [seq for seq, _ in chosen], no_longer


def end_events(
    connection: sqlite3.Connection, statuses: Collection[str], seqs: Collection[int] | None, end: OfflineEnd
) -> Counter[str]:
    """
    End events that have not ended, and that nobody runs. O(number of events in the file, or of ``seqs``).

    Return how many had each status.

    Args:
        connection: In a transaction.
        statuses: The statuses of the events.
        seqs: The numbers of the events. None for all with these statuses.
        end: How they end.
    """
    now = wall_clock.seconds()
    rows = _chosen(connection, "seq, status, attempt, attempts", statuses, seqs)
    chosen = [row[:3] for row in rows if not (end.unless_begun and has_begun(*row[1:]))]
    forget_expiries(connection, [seq for seq, _, _ in chosen])
    connection.executemany(
        "UPDATE event SET status = ?, due = NULL, finished = ?, outcome = ? WHERE seq = ?",
        [(end.status, now, end.outcome, seq) for seq, _, _ in chosen],
    )
    steps = [AuditRecord(seq, now, LETTER_OF[end.status], attempt, end.line) for seq, _, attempt in chosen]
    write_rows(connection, INSERT_STEPS, steps)
    _count(connection, Counter({end.status: len(chosen)}))
    return Counter(status for _, status, _ in chosen)


def _chosen(
    connection: sqlite3.Connection, columns: str, statuses: Collection[str], seqs: Collection[int] | None
) -> list[Any]:
    """Return columns of the rows with one of some statuses, and of some numbers if these are given."""
    select = f"SELECT {columns} FROM event WHERE status IN ({','.join('?' * len(statuses))})"  # noqa: S608  marks only
    values: list[object] = [*statuses]
    if seqs is not None:
        select += " AND seq IN (SELECT value FROM json_each(?))"
        values.append(json.dumps([*seqs]))
    return connection.execute(select, values).fetchall()


def _delete_events(connection: sqlite3.Connection, seqs: Sequence[int]) -> Counter[str]:
    """Delete events. Return how many of them had ended, by status."""
    removed: Counter[str] = Counter()
    if seqs:
        connection.execute(INDEX_TRAIL)
        delete_any_ends(connection, seqs)
    for seq in seqs:
        removed.update(row[0] for row in connection.execute("SELECT status FROM event WHERE seq = ?", (seq,)))
        connection.execute("DELETE FROM event WHERE seq = ?", (seq,))
        connection.execute("DELETE FROM transition WHERE seq = ?", (seq,))
    return Counter({status: number for status, number in removed.items() if status in FINAL})


def _free_keys(connection: sqlite3.Connection, batch: Batch) -> None:
    """Take keys from the rows that give them to new rows."""
    for row in batch.new if batch.freed else ():
        other = batch.freed.get(row.seq)
        if other is not None:
            connection.execute(FREE_KEY, (row.key, row.key_hash, other))


def free_key(connection: sqlite3.Connection, key: str) -> list[str]:
    """Take a key, given as JSON, from the events that have ended. Return the statuses of all events that had it."""
    statuses = [status for (status,) in rows_by_key(connection, "status", [key])]
    if statuses:
        connection.execute(FREE_KEY, (stored_key(key), key_hash(key), 0))
    return statuses


def _rows_with_same_key(connection: sqlite3.Connection, new: Sequence[NewRow]) -> dict[int, Row]:
    """Return the rows that have the key of a new row, by the number of the new row."""
    seq_of = {row.key: row for row in new if row.key is not None}
    if not seq_of:
        return {}
    hashes = [row.key_hash for row in seq_of.values()]
    found = rows_by_stored_key(connection, f"key, {COLUMNS}", list(seq_of), hashes)
    return {seq_of[stored].seq: Row(*values) for stored, *values in found}


def _count(connection: sqlite3.Connection, ended: Counter[str]) -> None:
    for counted in ended.items():
        connection.execute(COUNT, counted)
