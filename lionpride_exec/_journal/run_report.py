"""
What a report shows of a run: the times of all events, their errors by shape, and the slowest events.

All is read in one pass, from one snapshot. No index has the times, so the pass looks at each row. Counts come from the
tally and the index of the open events. The times are kept as plain numbers: 33 bytes an event, and 16 for each run.
"""

from __future__ import annotations

from array import array
from heapq import heappush, heappushpop, nlargest
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from lionpride_exec._base.error_shapes import MAX_SHAPE, error_shape
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import JournalError

from .envelope_tags import UNREADABLE
from .facts import read_fact
from .inbox_overview import count_submitted
from .overview import MAX_GROUPS, OpenEvent, SlowEvent, StoredRun, count_events, known_event, last_runs, open_events
from .schema import FINAL, version_of

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from .reader import JournalReader


class _Attempt(msgspec.Struct):
    started: float
    finished: float


_attempts = msgspec.json.Decoder(list[_Attempt])

# The status of an event that has ended, as a small number.
CODES: Final = {status: code for code, status in enumerate(FINAL)}

# Seconds since 1970 that a date can have: up to the year 9999. What is beyond is no time, and no duration.
MAX_TIME: Final = 253_402_300_799.0

# Statuses of events whose last run has a duration, and of those that have begun to run, if they have a time for it.
_TIMED: Final = frozenset({EventStatus.COMPLETED.value, EventStatus.FAILED.value})
_BEGUN: Final = frozenset({*FINAL, EventStatus.PROCESSING.value})

_SELECT_TIMES: Final = "SELECT seq, status, queued, started, finished, outcome, attempts FROM event"


@attrs.frozen
class ShapeGroup:
    """
    Events that ended with errors of one shape.

    Attributes:
        status: How they ended.
        shape: What their errors have in common, see ``error_shape()``.
        count: How many there are.
        seq: The number of the first of them.
        example: The first line of its error, at most 200 characters.
    """

    status: str
    shape: str
    count: int
    seq: int
    example: str


@attrs.define(eq=False)
class Times:
    """
    The times of events, one place for each event. Seconds; points in time are since 1970.

    Attributes:
        ends: When each event ended that has ended.
        codes: How it ended: its place in ``FINAL``.
        begins: When each run began that has ended: the last one of each event, and those before.
        stops: When this run ended.
        repeated: How many of these runs were followed by another one, or will be.
        running: When the last run began, of each event that runs, or ran when the process was cut off.
        durations: How long the last run took, of each completed or failed event.
        waits: From the time when the event was queued to the beginning of its last run, at least 0.
        first: The first time of all. None if there is none.
        last: The last one. None if there is none.
        undated: How many events have ended at a time that the file does not have, by status.
    """

    ends: array[float] = attrs.field(factory=lambda: array("d"))
    codes: bytearray = attrs.field(factory=bytearray)
    begins: array[float] = attrs.field(factory=lambda: array("d"))
    stops: array[float] = attrs.field(factory=lambda: array("d"))
    running: array[float] = attrs.field(factory=lambda: array("d"))
    durations: array[float] = attrs.field(factory=lambda: array("d"))
    waits: array[float] = attrs.field(factory=lambda: array("d"))
    repeated: int = 0
    first: float | None = None
    last: float | None = None
    undated: dict[str, int] = attrs.field(factory=dict[str, int])

    def seen(self, at: float | None) -> float | None:
        """Return a time of the file, and remember the first and the last one. None if it is no time of a date."""
        if at is None or not isfinite(at) or abs(at) > MAX_TIME:
            return None
        if self.first is None or at < self.first:
            self.first = at
        if self.last is None or at > self.last:
            self.last = at
        return at

    def add_run(self, begin: float | None, stop: float | None) -> None:
        """Add a run that has ended. One without a time for both is left out."""
        if begin is not None and stop is not None:
            self.begins.append(begin)
            self.stops.append(max(stop, begin))

    def add_attempts(self, text: bytes) -> None:
        """Add the runs before the last one of an event. What cannot be read is left out."""
        try:
            attempts = _attempts.decode(text)
        except UNREADABLE:
            return
        self.repeated += len(attempts)
        for one in attempts:
            self.add_run(self.seen(one.started), self.seen(one.finished))


@attrs.frozen
class RunReport:
    """
    What a journal knows of a run. Times are seconds since 1970, durations are seconds.

    Attributes:
        at: When it was read.
        version: The version of the file.
        is_closed: Whether the last process has closed the file. None if the file does not say so.
        counts: Events by status, "held" included.
        times: The times of the events.
        errors: The most frequent shapes of errors, most frequent first.
        other_errors: Events with an error of another shape.
        slowest: The slowest completed or failed events, slowest first.
        running: The events that run, longest first.
        runs: What was given to the last runs of the command, newest first.
        submitted: Events that other processes have submitted, and that wait for the owner of the journal.
        refused: Submitted events that no owner could take in.
    """

    at: float
    version: int
    is_closed: bool | None
    counts: dict[str, int]
    times: Times
    errors: tuple[ShapeGroup, ...]
    other_errors: int
    slowest: tuple[SlowEvent, ...]
    running: tuple[OpenEvent, ...]
    runs: tuple[StoredRun, ...]
    submitted: int
    refused: int


def read_report(reader: JournalReader, *, top: int = 20, now: float | None = None) -> RunReport:
    """
    Read what a report shows, from one snapshot. O(number of events), 49 bytes of memory or more for each.

    It takes some seconds for a million events. Meanwhile SQLite cannot clear the log of the file.

    Args:
        reader: An open reader of the journal.
        top: How many events and errors of each kind are named; 0 or more.
        now: Seconds since 1970. None for the time of the system's clock.

    Raises:
        JournalError: The file cannot be read, or is damaged.
    """
    with reader._snapshot() as connection:
        at = wall_clock.seconds() if now is None else now
        return _report(connection, _look_at_all(connection, reader.path, at, top))


def _look_at_all(connection: sqlite3.Connection, path: Path, now: float, top: int) -> _Seen:
    seen = _Seen(now, top)
    for row in connection.execute(_SELECT_TIMES):
        try:
            seen.add(*row)
        except TypeError as exc:  # a column of SQLite takes values of any type
            raise JournalError(f"{path} is damaged: event #{row[0]} has a time that cannot be read") from exc
    return seen


def _report(connection: sqlite3.Connection, seen: _Seen) -> RunReport:
    errors = seen.groups.largest(seen.top)
    submitted, refused = count_submitted(connection)
    is_closed = read_fact(connection, "is_closed")
    return RunReport(
        at=seen.now,
        version=version_of(connection),
        is_closed=None if is_closed is None else bool(is_closed),
        counts=count_events(connection),
        times=seen.times,
        errors=errors,
        other_errors=seen.groups.total - sum(group.count for group in errors),
        slowest=tuple(
            SlowEvent(seq, *known_event(connection, seq), status, duration)
            for duration, seq, status in sorted(seen.slowest, reverse=True)
        ),
        running=open_events(connection, EventStatus.PROCESSING, "started", seen.now, seen.top),
        runs=last_runs(connection, seen.top),
        submitted=submitted,
        refused=refused,
    )


class _Error(msgspec.Struct):
    type: str
    message: str = ""


class _Outcome(msgspec.Struct):
    error: _Error | None = None
    duration: float | None = None


_outcomes = msgspec.json.Decoder(_Outcome)


@attrs.define(eq=False)
class _Groups:
    """Counts errors by status and shape. Beyond 10,000 groups the rarer half is dropped."""

    total: int = 0
    groups: dict[tuple[str, str], list[Any]] = attrs.field(factory=dict[tuple[str, str], list[Any]])

    def add(self, seq: int, status: str, error: _Error) -> None:
        """Count an error."""
        self.total += 1
        text = f"{error.type}: {error.message.lstrip()}" if error.message else error.type
        group = (status, error_shape(text))
        found = self.groups.get(group)
        if found is None:
            self.groups[group] = [1, seq, text.partition("\n")[0][:MAX_SHAPE]]
            if len(self.groups) > MAX_GROUPS:
                self.groups = dict(nlargest(MAX_GROUPS // 2, self.groups.items(), key=lambda one: one[1][0]))
        else:
            found[0] += 1

    def largest(self, top: int) -> tuple[ShapeGroup, ...]:
        """Return the largest groups, largest first."""
        most = nlargest(top, self.groups.items(), key=lambda one: one[1][0])
        return tuple(ShapeGroup(status, shape, *found) for (status, shape), found in most)


@attrs.define(eq=False)
class _Seen:
    """What the rows so far come to."""

    now: float
    top: int
    times: Times = attrs.field(factory=Times)
    groups: _Groups = attrs.field(factory=_Groups)
    slowest: list[tuple[float, int, str]] = attrs.field(factory=list[tuple[float, int, str]])  # a heap

    def add(
        self,
        seq: int,
        status: str,
        queued: float | None,
        started: float | None,
        finished: float | None,
        outcome: Any,
        attempts: bytes | None,
    ) -> None:
        """Count an event."""
        times = self.times
        queued, started, finished = times.seen(queued), times.seen(started), times.seen(finished)
        code = CODES.get(status)
        if code is None:
            if started is not None and status == EventStatus.PROCESSING:
                times.running.append(started)
        elif finished is None:
            times.undated[status] = times.undated.get(status, 0) + 1
        else:
            times.ends.append(finished)
            times.codes.append(code)
            times.add_run(started, finished)
        if started is not None and queued is not None and status in _BEGUN:
            times.waits.append(max(started - queued, 0.0))
        if attempts is not None:
            times.add_attempts(attempts)
        if outcome is not None:
            self._add_outcome(seq, status, outcome)

    def _add_outcome(self, seq: int, status: str, outcome: Any) -> None:
        duration, error = (outcome, None) if isinstance(outcome, float) else _read_outcome(outcome)
        if duration is not None and abs(duration) < MAX_TIME and status in _TIMED:
            self.times.durations.append(duration)
            if len(self.slowest) < self.top:
                heappush(self.slowest, (duration, seq, status))
            elif self.top:
                heappushpop(self.slowest, (duration, seq, status))
        if error is not None:
            self.groups.add(seq, status, error)


def _read_outcome(outcome: Any) -> tuple[float | None, _Error | None]:
    try:
        found = _outcomes.decode(outcome)
    except UNREADABLE:
        return None, None
    return found.duration, found.error
