"""
What a report shows of a run, from its journal.

All is read in one pass, from one snapshot. No index has the times, so the pass looks at each row. Counts come from the
tally and the index of the open events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from lionpride_exec._base.line_keys import id_in_key
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import counted
from lionpride_exec._model.run_collector import RunCollector
from lionpride_exec._model.run_record import ALL_TIME, Given, OpenRun, RunReport, SlowRun
from lionpride_exec._status import OPEN, EventStatus
from lionpride_exec.errors import JournalError

from .envelope_tags import UNREADABLE
from .facts import read_fact
from .inbox_overview import count_submitted
from .overview import count_events, known_event, last_runs, open_events
from .reader import id_text
from .run_limits import known_limits, last_opening
from .schema import version_of
from .stored_outcomes import StoredOutcome, read_outcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from lionpride_exec._model.run_record import LimitStarts, Window

    from .reader import JournalReader


class _Attempt(msgspec.Struct):
    started: float
    finished: float


_attempts = msgspec.json.Decoder(list[_Attempt])


_COLUMNS: Final = "seq, status, queued, started, finished, outcome, attempts"


def read_report(
    reader: JournalReader,
    *,
    top: int = 20,
    window: Window = ALL_TIME,
    limits: Sequence[LimitStarts] = (),
    keeps_runs: bool = False,
    now: float | None = None,
) -> RunReport:
    """
    Read what a report shows, from one snapshot. O(number of events), 49 bytes of memory or more for each.

    It takes some seconds for a million events. Meanwhile SQLite cannot clear the log of the file.

    Args:
        reader: An open reader of the journal.
        top: How many events and errors of each kind are named; 0 or more.
        window: The time that the report is about.
        limits: Limits to compare the starts with, beside those that the journal knows.
        keeps_runs: Whether to keep how each run ended, and of which event it was. 5 bytes for each run.
        now: Seconds since 1970. None for the time of the system's clock.

    Raises:
        JournalError: The file cannot be read, or is damaged.
    """
    with reader._snapshot() as connection:
        at = wall_clock.seconds() if now is None else now
        known = [*limits, *known_limits(connection)]
        keyed = [limit for limit in known if limit.key_of is not None]
        scan = _Scan(RunCollector(top, window, keyed, keeps_runs))
        scan.look_at_all(connection, reader)
        return _report(connection, reader, scan.collector, at, tuple(known))


def _report(
    connection: sqlite3.Connection,
    reader: JournalReader,
    collector: RunCollector,
    at: float,
    limits: tuple[LimitStarts, ...],
) -> RunReport:
    top, opening = collector.top, last_opening(connection)
    counts = count_events(connection)
    if not collector.window.is_all:
        counts |= collector.counts()
    errors = tuple(
        attrs.evolve(group, line_id=_line_id(connection, group.first)) for group in collector.groups.largest(top)
    )
    runs = last_runs(connection, max(top, 1))
    return RunReport(
        name=reader.path.name,
        show_command="lionpride-exec show",
        at=at,
        state=_state(connection, counts),
        notes=_notes(connection),
        window=collector.window,
        counts=counts,
        times=collector.times,
        errors=errors,
        other_errors=collector.groups.others(errors),
        slowest=tuple(
            _slow_run(connection, seq, status, duration) for duration, status, seq in collector.slowest.longest_first()
        ),
        running=tuple(
            OpenRun(one.seq, id_text(one.id), one.tag, one.attempt, one.age)
            for one in open_events(connection, EventStatus.PROCESSING, "started", at, top)
        ),
        given=tuple(Given(run.at, run.command_line) for run in runs[:top]),
        limits=limits,
        slots=None if opening is None else opening.slots or None,
        bad_lines=runs[0].bad_lines if runs else 0,
    )


def _line_id(connection: sqlite3.Connection, seq: int | str) -> str | None:
    """Return the id of the line that an event was made of. None without one."""
    (key,) = connection.execute("SELECT key FROM event WHERE seq = ?", (seq,)).fetchone()
    try:
        return None if key is None else id_in_key(msgspec.json.decode(key))
    except UNREADABLE:
        return None


def _slow_run(connection: sqlite3.Connection, seq: int, status: str, duration: float) -> SlowRun:
    event_id, tag = known_event(connection, seq)
    return SlowRun(seq, id_text(event_id), tag, status, duration)


def _state(connection: sqlite3.Connection, counts: dict[str, int]) -> str:
    """Return how far the run is, as far as the file tells."""
    still_open = sum(counts[status] for status in OPEN)
    is_closed = read_fact(connection, "is_closed")
    if is_closed is not None and not int(is_closed):
        return "The journal is open: a process runs it, or was cut off."
    if still_open:
        return f"The journal is closed. {counted(still_open, 'event')} can go on in the next run."
    return "The journal is closed, and all events have ended." if sum(counts.values()) else "No events yet."


def _notes(connection: sqlite3.Connection) -> tuple[str, ...]:
    submitted, refused = count_submitted(connection)
    notes = [f"Journal of version {version_of(connection)}."]
    if refused:
        notes.insert(0, f"{refused:,} submitted, and not taken in.")
    if submitted:
        notes.insert(0, f"{submitted:,} submitted by other processes, not taken in yet.")
    return tuple(notes)


@attrs.define(eq=False)
class _Scan:
    """Hands the rows of a journal to a collector."""

    collector: RunCollector

    def look_at_all(self, connection: sqlite3.Connection, reader: JournalReader) -> None:
        """
        Count each event.

        Raises:
            JournalError: A time of an event cannot be read.
        """
        event = "event" if self.collector.keyed else "NULL"
        for row in connection.execute(f"SELECT {_COLUMNS}, {event} FROM event"):  # noqa: S608  our own words
            try:
                self._add(*row)
            except TypeError as exc:  # a column of SQLite takes values of any type
                raise JournalError(f"{reader.path} is damaged: event #{row[0]} has a time that cannot be read") from exc

    def _add(
        self,
        seq: int,
        status: str,
        queued: float | None,
        started: float | None,
        finished: float | None,
        outcome: Any,
        attempts: bytes | None,
        event: Any,
    ) -> None:
        earlier = () if attempts is None else _read_attempts(attempts)
        if self.collector.add(status, queued, started, finished, earlier, event, seq) and outcome is not None:
            found = StoredOutcome(duration=outcome) if isinstance(outcome, float) else read_outcome(outcome)
            line, code = (None, None) if found.error is None else (found.error.line, found.error.status_code)
            self.collector.add_outcome(seq, status, found.duration, line, seq, code)


def _read_attempts(text: bytes) -> list[tuple[float, float]]:
    """Return when the runs before the last one began and ended. Empty if that cannot be read."""
    try:
        return [(one.started, one.finished) for one in _attempts.decode(text)]
    except UNREADABLE:
        return []
