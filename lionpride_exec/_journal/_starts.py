"""
Which runs a file tells of that the limits of an executor still have to count.

A run is told by two lines of the audit trail: that it began, and what came next. Their times ascend with their numbers,
so what is recent stands at the end of the table, which is read backwards until it is too old. Without a trail an index
on the last start of each event is read, and the earlier attempts of those that are open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import MsgspecError

from lionpride_exec._status import EventStatus

from ._outcome import restore_attempts
from ._rows import Row
from ._schema import COLUMNS, IS_OPEN
from ._statements import LOOK_UPS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

# Lines of the trail that are read at once; the first time fewer, since mostly nothing is recent.
LINES, FIRST_LINES = 2000, 100

_TAIL = "SELECT n, seq, at, status, error FROM transition WHERE n < ? ORDER BY n DESC LIMIT ?"
_RUNNING = f"SELECT seq FROM event INDEXED BY event_open WHERE {IS_OPEN} AND status = 'processing'"  # noqa: S608  no value in it
_TRIED = (
    f"SELECT {COLUMNS} FROM event INDEXED BY event_open WHERE {IS_OPEN} "  # noqa: S608  likewise
    "AND (attempts IS NOT NULL OR status = 'processing')"
)
_STARTED = f"SELECT {COLUMNS} FROM event INDEXED BY event_started WHERE started IS NOT NULL AND started > ?"  # noqa: S608  likewise

# Made for journals without a trail only: it costs something at each start of an event.
INDEX_STARTED = "CREATE INDEX IF NOT EXISTS event_started ON event (started) WHERE started IS NOT NULL"


class Run(NamedTuple):
    """
    A run of an event.

    Attributes:
        row: Of the event; its outcome and attempts are left out.
        began: Seconds since 1970.
        ended: Likewise; None: the process died meanwhile.
    """

    row: Row
    began: float
    ended: float | None


def runs_in_trail(connection: sqlite3.Connection, since: float) -> list[Run]:
    """
    Return the runs that began or ended after a time, in no order, by the audit trail.

    O(lines of the trail since then, and open events). Events that were deleted are missing.
    """
    seqs = sorted(_recent(connection, since) | {seq for (seq,) in connection.execute(_RUNNING)})
    runs: list[Run] = []
    for begin in range(0, len(seqs), LOOK_UPS):
        some = seqs[begin : begin + LOOK_UPS]
        marks = ",".join("?" * len(some))
        spans: dict[int, list[tuple[float, float | None]]] = {}
        select = f"SELECT seq, at, status FROM transition WHERE seq IN ({marks}) ORDER BY seq, n"  # noqa: S608  marks only
        for seq, began, ended in _spans(connection.execute(select, some)):
            if began > since or ended is None or ended > since:
                spans.setdefault(seq, []).append((began, ended))
        for values in connection.execute(f"SELECT {COLUMNS} FROM event WHERE seq IN ({marks})", some):  # noqa: S608  likewise
            row = _lean(Row(*values))
            runs += [Run(row, *span) for span in spans.get(row.seq, ())]
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
    for row in rows.values():
        spans = _attempts(row)
        if row.started is not None:
            spans.append((row.started, row.finished))
        lean = _lean(row)
        runs += [Run(lean, began, ended) for began, ended in spans if began > since or ended is None or ended > since]
    return runs


def _attempts(row: Row) -> list[tuple[float, float | None]]:
    try:
        attempts = restore_attempts(row.attempts)
    except MsgspecError:  # whatever stands in a row, it does not keep the file from being opened
        return []
    return [(attempt.started_at.timestamp(), attempt.finished_at.timestamp()) for attempt in attempts]


def _rows(connection: sqlite3.Connection, select: str, values: tuple[float, ...]) -> Iterator[Row]:
    return (Row(*found) for found in connection.execute(select, values))


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


def _spans(lines: Iterable[tuple[int, float, str]]) -> Iterator[tuple[int, float, float | None]]:
    """Yield event, beginning and end of each run, from the lines of events, those of an event together."""
    open_run: tuple[int, float] | None = None
    for seq, at, status in lines:
        if open_run is not None:
            yield (*open_run, at if open_run[0] == seq else None)
        open_run = (seq, at) if status == EventStatus.PROCESSING else None
    if open_run is not None:
        yield (*open_run, None)


def _lean(row: Row) -> Row:
    """Return a row without what only tells how the event ended."""
    return row._replace(outcome=None, attempts=None)
