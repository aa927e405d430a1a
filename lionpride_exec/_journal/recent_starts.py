"""
Which runs a file tells of that the limits of an executor still have to count.

A run is told by two lines of the audit trail: that it began, and what came next. Their times ascend with their numbers,
so what is recent stands at the end of the table, which is read backwards until it is too old. Without a trail an index
on the last start of each event is read, and the earlier attempts of those that are open.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from msgspec import MsgspecError

from lionpride_exec._status import EventStatus

from .bulk_sql import LOOK_UPS
from .outcome_codec import restore_attempts
from .rows import Row
from .schema import COLUMNS, IS_OPEN

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

# Lines of the trail that are read at once; the first time fewer, since mostly nothing is recent.
LINES, FIRST_LINES = 2000, 100

_TAIL = "SELECT n, seq, at, status, error FROM transition WHERE n < ? ORDER BY n DESC LIMIT ?"
_RUNNING = f"SELECT seq FROM event INDEXED BY event_open WHERE {IS_OPEN} AND status = 'processing'"  # noqa: S608  no value in it
_TRIED = (
    f"SELECT {COLUMNS} FROM event INDEXED BY event_open WHERE {IS_OPEN} "  # noqa: S608  likewise
    "AND (attempts IS NOT NULL OR status = 'processing')"
)
_STARTED = f"SELECT {COLUMNS} FROM event INDEXED BY event_started WHERE started IS NOT NULL AND started > ?"  # noqa: S608  likewise

# What settle() said, as long as a limit may have to count it: written by executors that have such limits only.
MAKE_SETTLED = (
    "CREATE TABLE IF NOT EXISTS settled "
    "(n INTEGER PRIMARY KEY, at REAL NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, costs TEXT NOT NULL)"
)

# Made for journals without a trail only: it costs something at each start of an event.
INDEX_STARTED = "CREATE INDEX IF NOT EXISTS event_started ON event (started) WHERE started IS NOT NULL"


# When a run began, when it ended (None if the process died meanwhile), and the number of the attempt.
Span = tuple[float, float | None, int]


class Run(NamedTuple):
    """
    A run of an event.

    Attributes:
        row: Of the event; its outcome and attempts are left out.
        began: Seconds since 1970.
        ended: Likewise. None if the process died meanwhile.
        settled: What it has taken of each limit, as ``settle()`` said; None where it said nothing. Empty if not called.
    """

    row: Row
    began: float
    ended: float | None
    settled: tuple[float | None, ...] = ()


def runs_in_trail(connection: sqlite3.Connection, since: float) -> list[Run]:
    """
    Return the runs that began or ended after a time, in no order, by the audit trail.

    O(lines of the trail since then, and open events). Events that were deleted are missing.
    """
    seqs = sorted(_recent(connection, since) | {seq for (seq,) in connection.execute(_RUNNING)})
    runs: list[Run] = []
    settled = _settled(connection, since)
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
    Return the runs that began after a time, in no order, by the rows of the events; earlier attempts included.

    O(events started since then, and open events), but for the first time, when the index is made.
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
    except MsgspecError:  # whatever stands in a row, it does not keep the file from being opened
        return []
    return [(one.started_at.timestamp(), one.finished_at.timestamp(), one.number) for one in attempts]


def _rows(connection: sqlite3.Connection, select: str, values: tuple[float, ...]) -> Iterator[Row]:
    return (Row(*found) for found in connection.execute(select, values))


def _settled(connection: sqlite3.Connection, since: float) -> dict[tuple[int, int], tuple[float | None, ...]]:
    """Return what settle() said since then, by event and attempt. O(what is kept of that)."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'settled'").fetchone():
        return {}
    found = connection.execute("SELECT seq, attempt, costs FROM settled WHERE at > ? ORDER BY n", (since,))
    return {(seq, attempt): tuple(json.loads(costs)) for seq, attempt, costs in found}


def write_settled(
    connection: sqlite3.Connection, settled: Mapping[tuple[int, int], str], now: float, min_retention: float
) -> None:
    """
    Write what settle() said of runs, and delete some of what no limit can have to count any more.

    Args:
        connection: In a transaction.
        settled: JSON by event and attempt.
        now: Seconds since 1970.
        min_retention: Seconds for which it is kept. What is longer ago goes twice as fast as it comes.
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
    """Return the events that began or ended a run after a time."""
    found: int | None = connection.execute("SELECT max(n) FROM transition").fetchone()[0]
    seqs: set[int] = set()
    before, size = (found or 0) + 1, FIRST_LINES
    while lines := connection.execute(_TAIL, (before, size)).fetchall():
        recent = [(seq, status, error) for _, seq, at, status, error in lines if at > since]
        # PENDING without an error: it has only arrived.
        seqs.update(seq for seq, status, error in recent if status != EventStatus.PENDING or error is not None)
        if not recent:
            break
        before, size = lines[-1][0], LINES
    return seqs


def _spans(lines: Iterable[tuple[int, float, str, int]]) -> Iterator[tuple[int, Span]]:
    """Yield event and span of each run, from the lines of events, those of an event together."""
    open_run: tuple[int, float, int] | None = None
    for seq, at, status, attempt in lines:
        if open_run is not None:
            yield open_run[0], (open_run[1], at if open_run[0] == seq else None, open_run[2])
        open_run = (seq, at, attempt) if status == EventStatus.PROCESSING else None
    if open_run is not None:
        yield open_run[0], (open_run[1], None, open_run[2])


def _lean(row: Row) -> Row:
    """Return a row without what only tells how the event ended."""
    return row._replace(outcome=None, attempts=None)
