"""
The recent runs in a file, which the limits of an executor still have to count.

A run has two lines in the audit trail: its start, and what came next. Times ascend with the numbers of lines, so the
table is read backwards until the lines are too old. Without a trail, an index on the last start of each event is read,
and the earlier attempts of the open events.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from msgspec import MsgspecError

from lionpride_exec._status import EventStatus

from .bulk_sql import LOOK_UPS
from .outcome_codec import restore_attempts
from .rows import Row
from .schema import COLUMNS, INDEX_TRAIL, IS_OPEN, LETTER_OF, LETTERS, has_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

# Lines of the trail that are read at once. The first time fewer, since usually no line is recent.
LINES, FIRST_LINES = 2000, 100

# The status of a line that tells of an arrival, or of a run that is over: with an error then.
ARRIVED = frozenset({EventStatus.PENDING.value, LETTER_OF[EventStatus.PENDING.value]})

_TAIL = "SELECT n, seq, at, status, error FROM transition WHERE n < ? ORDER BY n DESC LIMIT ?"
_RUNNING = f"SELECT seq FROM event INDEXED BY event_open WHERE {IS_OPEN} AND status = 'processing'"  # noqa: S608  no value in it
_TRIED = (
    f"SELECT {COLUMNS} FROM event INDEXED BY event_open WHERE {IS_OPEN} "  # noqa: S608  likewise
    "AND (attempts IS NOT NULL OR status = 'processing')"
)
_STARTED = f"SELECT {COLUMNS} FROM event INDEXED BY event_started WHERE started IS NOT NULL AND started > ?"  # noqa: S608  likewise

# Costs that settle() corrected, as long as a limit may count them. Only executors with limits by cost write them.
MAKE_SETTLED = (
    "CREATE TABLE IF NOT EXISTS settled "
    "(n INTEGER PRIMARY KEY, at REAL NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, costs TEXT NOT NULL)"
)

# Only in journals without a trail: the index has to be updated at each start of an event.
INDEX_STARTED = "CREATE INDEX IF NOT EXISTS event_started ON event (started) WHERE started IS NOT NULL"


# The start of a run, its end (None if the process died before), both in seconds since 1970, and its attempt number.
Span = tuple[float, float | None, int]


class Run(NamedTuple):
    """
    A run of an event.

    Attributes:
        row: The row of the event, without its outcome and attempts.
        began: Seconds since 1970.
        ended: Seconds since 1970. None if the process died before.
        settled: The cost for each limit that ``settle()`` corrected; None where it did not. Empty without a call.
    """

    row: Row
    began: float
    ended: float | None
    settled: tuple[float | None, ...] = ()


def runs_in_trail(connection: sqlite3.Connection, since: float) -> list[Run]:
    """
    Return the runs that began or ended after a time, by the audit trail. In no order.

    O(lines of the trail since then, and open events). Runs of deleted events are missing. The first call that finds a
    run makes an index.
    """
    seqs = sorted(_recent(connection, since) | {seq for (seq,) in connection.execute(_RUNNING)})
    runs: list[Run] = []
    settled = _settled(connection, since)
    if seqs:
        connection.execute(INDEX_TRAIL)
    for begin in range(0, len(seqs), LOOK_UPS):
        some = seqs[begin : begin + LOOK_UPS]
        marks = ",".join("?" * len(some))
        spans: dict[int, list[Span]] = {}
        select = f"SELECT seq, at, status, attempt FROM transition WHERE seq IN ({marks}) ORDER BY seq, n"  # noqa: S608  marks only
        for seq, span in _spans(connection.execute(select, some)):
            if _reaches(span, since):
                spans.setdefault(seq, []).append(span)
        for values in connection.execute(f"SELECT {COLUMNS} FROM event WHERE seq IN ({marks})", some):  # noqa: S608  likewise
            row = _lean(Row(*values))
            runs += [_run(row, span, settled) for span in spans.get(row.seq, ())]
    return runs


def runs_in_rows(connection: sqlite3.Connection, since: float) -> list[Run]:
    """
    Return the runs that began or ended after a time, by the rows of the events. In no order.

    O(events started since then, and open events). The first call makes the index.
    """
    connection.execute(INDEX_STARTED)
    rows = {
        row.seq: row
        for select, values in ((_STARTED, (since,)), (_TRIED, ()))
        for row in _rows(connection, select, values)
    }
    runs: list[Run] = []
    settled = _settled(connection, since)
    for row in rows.values():
        spans = _attempts(row)
        if row.started is not None:
            spans.append((row.started, row.finished, row.attempt))
        lean = _lean(row)
        runs += [_run(lean, span, settled) for span in spans if _reaches(span, since)]
    return runs


def _attempts(row: Row) -> list[Span]:
    try:
        attempts = restore_attempts(row.attempts)
    except MsgspecError:  # a damaged row does not keep the file from being opened
        return []
    return [(one.started_at.timestamp(), one.finished_at.timestamp(), one.number) for one in attempts]


def _rows(connection: sqlite3.Connection, select: str, values: tuple[float, ...]) -> Iterator[Row]:
    return (Row(*found) for found in connection.execute(select, values))


def _settled(connection: sqlite3.Connection, since: float) -> dict[tuple[int, int], tuple[float | None, ...]]:
    """Return the corrected costs since a time, by event and attempt. O(corrections in the file)."""
    if not has_table(connection, "settled"):
        return {}
    found = connection.execute("SELECT seq, attempt, costs FROM settled WHERE at > ? ORDER BY n", (since,))
    return {(seq, attempt): tuple(json.loads(costs)) for seq, attempt, costs in found}


def write_settled(
    connection: sqlite3.Connection, settled: Mapping[tuple[int, int], str], now: float, min_retention: float
) -> None:
    """
    Write corrected costs, and delete some that no limit counts any longer.

    Args:
        connection: In a transaction.
        settled: The costs as JSON, by event and attempt.
        now: Seconds since 1970.
        min_retention: Seconds for which costs are kept. Each call deletes up to twice as many as it writes.
    """
    if not settled:
        return
    connection.execute(MAKE_SETTLED)
    for (seq, attempt), costs in settled.items():
        connection.execute(
            "INSERT INTO settled (at, seq, attempt, costs) VALUES (?, ?, ?, ?)", (now, seq, attempt, costs)
        )
    connection.execute(
        "DELETE FROM settled WHERE n IN (SELECT n FROM settled ORDER BY n LIMIT ?) AND at < ?",
        (2 * len(settled), now - min_retention),
    )


def _run(row: Row, span: Span, settled: Mapping[tuple[int, int], tuple[float | None, ...]]) -> Run:
    began, ended, attempt = span
    return Run(row, began, ended, settled.get((row.seq, attempt), ()))


def _reaches(span: Span, since: float) -> bool:
    return span[0] > since or span[1] is None or span[1] > since


def _recent(connection: sqlite3.Connection, since: float) -> set[int]:
    """Return the numbers of the events that began or ended a run after a time."""
    found: int | None = connection.execute("SELECT max(n) FROM transition").fetchone()[0]
    seqs: set[int] = set()
    before, size = (found or 0) + 1, FIRST_LINES
    while lines := connection.execute(_TAIL, (before, size)).fetchall():
        recent = [(seq, status, error) for _, seq, at, status, error in lines if at > since]
        # PENDING without an error: the event has arrived, and has not run.
        seqs.update(seq for seq, status, error in recent if status not in ARRIVED or error is not None)
        if not recent:
            break
        before, size = lines[-1][0], LINES
    return seqs


def _spans(lines: Iterable[tuple[int, float, str, int]]) -> Iterator[tuple[int, Span]]:
    """Yield event and span of each run. The lines of one event stand together."""
    open_run: tuple[int, float, int] | None = None
    for seq, at, status, attempt in lines:
        if open_run is not None:
            yield open_run[0], (open_run[1], at if open_run[0] == seq else None, open_run[2])
        open_run = (seq, at, attempt) if LETTERS.get(status, status) == EventStatus.PROCESSING else None
    if open_run is not None:
        yield open_run[0], (open_run[1], None, open_run[2])


def _lean(row: Row) -> Row:
    """Return a row without the columns that say how the event ended."""
    return row._replace(outcome=None, attempts=None)
