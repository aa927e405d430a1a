"""A summary of a run, from its journal."""

from __future__ import annotations

import shlex
from heapq import heappush, heappushpop, nlargest
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import msgspec

from lionpride_exec._base.error_shapes import message_shape
from lionpride_exec._status import HELD, EventStatus
from lionpride_exec.errors import JournalError

from .envelope_tags import UNREADABLE, tag_of
from .facts import RUNS, SCHEDULES, read_facts
from .inbox_overview import count_submitted, first_refusals, last_commands
from .schema import IS_OPEN, OUTCOME
from .stored_outcomes import StoredError, read_outcome

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from .inbox_overview import RefusedSubmission, StoredCommand

# Different errors that are counted apart. Beyond, the rarer half is dropped.
MAX_GROUPS = 10_000

MINUTE, HOUR = 60.0, 3600.0

_SELECT_ALL = f"SELECT seq, status, queued, finished, {OUTCOME} FROM event"  # noqa: S608  no value in it
_OPEN = f"FROM event INDEXED BY event_open WHERE {IS_OPEN}"


@attrs.frozen
class OpenEvent:
    """
    An event that has not ended.

    Attributes:
        since: When the event was queued (pending) or started (processing), seconds since 1970. None if unknown.
        age: Seconds since then.
    """

    seq: int
    id: bytes
    tag: str | None
    attempt: int
    since: float | None
    age: float | None


@attrs.frozen
class SlowEvent:
    """An event whose last run took long."""

    seq: int
    id: bytes
    tag: str | None
    status: str
    duration: float


@attrs.frozen
class ErrorGroup:
    """
    Events that ended in the same way.

    Attributes:
        status: Their status.
        type: The class of their error.
        message: What the messages have in common, as in ``error_shape()``.
        status_code: The status code of the HTTP answer behind the error. None if there is none.
        count: How many there are.
        example_seq: The number of the first of them.
        example_id: The id of the first of them, 16 bytes.
    """

    status: str
    type: str
    message: str
    status_code: int | None
    count: int
    example_seq: int
    example_id: bytes


@attrs.frozen
class StoredSchedule:
    """
    A schedule that the journal knows.

    Attributes:
        name: Its name.
        trigger: When its runs are due, in words. "" if that cannot be read.
        at: The last due time for which an event was appended, seconds since 1970. None if there was none, or it cannot
            be read.
        next_at: The time at which it goes on, if its process runs. None if there is none, or it cannot be read.
    """

    name: str
    trigger: str
    at: float | None
    next_at: float | None


@attrs.frozen
class StoredRun:
    """
    What was given to a run of the command.

    Attributes:
        at: When the run began, seconds since 1970.
        target: Its target.
        input: The files of INPUT, or the first of them.
        more_input: How many files more there were.
        options: The options that differed from their defaults, by their names.
        bad_lines: How many bad lines it has found. 0 until it ends.
    """

    at: float
    target: str
    input: tuple[str, ...]
    more_input: int
    options: dict[str, Any]
    bad_lines: int = 0

    @property
    def command_line(self) -> str:
        """What was given, as words for a shell."""
        words = [self.target, *self.input]
        more = [f"... ({self.more_input:,} files more)"] if self.more_input else []
        options = [word for name, value in self.options.items() for word in _words_of(name, value)]
        return " ".join([*(shlex.quote(word) for word in words), *more, *options])


def _words_of(name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [name if one is True else f"{name} {shlex.quote(str(one))}" for one in values]


@attrs.frozen
class Overview:
    """
    A summary of a run. Times are seconds since 1970, durations are seconds.

    Attributes:
        at: The time of the summary.
        counts: Events by status, "held" included.
        last_minute: Events that finished in the last 60 seconds.
        last_hour: Events that finished in the last 3600 seconds.
        rate: Events finished per second, from the first queued to the last finished. None if none has finished.
        slowest: The slowest completed or failed events, slowest first.
        errors: The most frequent errors, most frequent first. Beyond 10,000 different errors the rarest are dropped.
        other_errors: Events with an error that is in no group of ``errors``.
        oldest_pending: The pending event that was queued first. None if there is none.
        running: The processing events, longest first; at most as many as were asked for.
        schedules: The schedules, by name.
        commands: What other processes have asked for, the newest first; at most as many as were asked for.
        runs: What was given to the last runs of the command, newest first; at most as many as were asked for.
        submitted: Events that other processes have submitted, and that wait for the owner of the journal.
        refused: Submitted events that no owner could take in. The next start tries again.
        refusals: The first of these; at most as many as were asked for.
        file_bytes: Size of the file in bytes.
        wal_bytes: Size of the write-ahead log in bytes.
    """

    at: float
    counts: dict[str, int]
    last_minute: int
    last_hour: int
    rate: float | None
    slowest: tuple[SlowEvent, ...]
    errors: tuple[ErrorGroup, ...]
    other_errors: int
    oldest_pending: OpenEvent | None
    running: tuple[OpenEvent, ...]
    schedules: tuple[StoredSchedule, ...]
    commands: tuple[StoredCommand, ...]
    runs: tuple[StoredRun, ...]
    submitted: int
    refused: int
    refusals: tuple[RefusedSubmission, ...]
    file_bytes: int
    wal_bytes: int


class _Fact(msgspec.Struct):
    trigger: str
    next: float | None = None
    last: float | None = None


class _Run(msgspec.Struct):
    at: float
    target: str
    input: tuple[str, ...]
    options: dict[str, Any]
    more_input: int = 0
    bad_lines: int = 0


_runs = msgspec.json.Decoder(_Run)
_facts = msgspec.json.Decoder(_Fact)


def count_events(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of events by status. O(number of open events)."""
    counts = dict.fromkeys([*EventStatus.allowed(), HELD], 0)
    counts.update(connection.execute("SELECT status, events FROM tally").fetchall())
    counts.update(connection.execute(f"SELECT status, count(*) {_OPEN} GROUP BY status").fetchall())
    return counts


def survey(connection: sqlite3.Connection, path: Path, now: float, top: int) -> Overview:
    """Read all rows and summarize them. Memory does not grow with the file."""
    seen = _Seen(now, top)
    for row in connection.execute(_SELECT_ALL):
        try:
            seen.add(*row)
        except TypeError as exc:  # a column of SQLite takes values of any type
            raise JournalError(
                f"{path} is damaged: event #{row[0]} has a time or an error that cannot be read"
            ) from exc
    errors = tuple(
        ErrorGroup(*group, count, seq, known_event(connection, seq)[0]) for group, (count, seq) in seen.most_frequent()
    )
    pending = open_events(connection, EventStatus.PENDING, "queued", now, 1)
    submitted, refused = count_submitted(connection)
    return Overview(
        at=now,
        counts=count_events(connection),
        last_minute=seen.last_minute,
        last_hour=seen.last_hour,
        rate=seen.rate,
        slowest=tuple(
            SlowEvent(seq, *known_event(connection, seq), status, duration)
            for duration, seq, status in seen.longest_first()
        ),
        errors=errors,
        other_errors=seen.with_error - sum(group.count for group in errors),
        oldest_pending=pending[0] if pending else None,
        running=open_events(connection, EventStatus.PROCESSING, "started", now, top),
        schedules=_schedules(connection),
        commands=last_commands(connection, top),
        runs=last_runs(connection, top),
        submitted=submitted,
        refused=refused,
        refusals=first_refusals(connection, top) if refused else (),
        file_bytes=_size(path),
        wal_bytes=_size(path.with_name(f"{path.name}-wal")),
    )


def _schedules(connection: sqlite3.Connection) -> tuple[StoredSchedule, ...]:
    found: list[StoredSchedule] = []
    for name, text in read_facts(connection, SCHEDULES).items():
        try:
            fact = _facts.decode(text)
        except UNREADABLE:
            fact = _Fact("")
        found.append(StoredSchedule(name, fact.trigger, fact.last, fact.next))
    return tuple(found)


def last_runs(connection: sqlite3.Connection, top: int) -> tuple[StoredRun, ...]:
    """Return what was given to the last runs of the command, newest first. What cannot be read is left out."""
    found: list[StoredRun] = []
    for _, text in sorted(read_facts(connection, RUNS).items(), reverse=True)[:top]:
        try:
            run = _runs.decode(text)
        except UNREADABLE:
            continue
        found.append(StoredRun(run.at, run.target, run.input, run.more_input, run.options, run.bad_lines))
    return tuple(found)


# The status of events, the class of their error, the shape of its message, and the status code behind it.
_Kind: TypeAlias = tuple[str, str, str, int | None]


@attrs.define(eq=False)
class _Seen:
    """What the rows so far come to."""

    now: float
    top: int
    finished: int = 0
    last_minute: int = 0
    last_hour: int = 0
    with_error: int = 0
    first: float | None = None
    last: float | None = None
    slowest: list[tuple[float, int, str]] = attrs.field(factory=list[tuple[float, int, str]])  # a heap
    groups: dict[_Kind, tuple[int, int]] = attrs.field(factory=dict[_Kind, tuple[int, int]])  # count, first number

    def add(self, seq: int, status: str, queued: float | None, finished: float | None, outcome: Any) -> None:
        """Count an event."""
        if queued is not None and (self.first is None or queued < self.first):
            self.first = queued
        if finished is not None:
            self.finished += 1
            self.last_minute += finished > self.now - MINUTE
            self.last_hour += finished > self.now - HOUR
            if self.last is None or finished > self.last:
                self.last = finished
        if outcome is not None:
            self._add_outcome(seq, status, outcome)

    def _add_outcome(self, seq: int, status: str, outcome: Any) -> None:
        data = read_outcome(outcome)
        if data.duration is not None and self.top and status in {EventStatus.COMPLETED, EventStatus.FAILED}:
            entry = (data.duration, seq, status)
            if len(self.slowest) < self.top:
                heappush(self.slowest, entry)
            else:
                heappushpop(self.slowest, entry)
        if data.error is not None:
            self._add_error(seq, status, data.error)

    def _add_error(self, seq: int, status: str, error: StoredError) -> None:
        self.with_error += 1
        group = (status, error.type, message_shape(error.type, error.message), error.status_code)
        count, example = self.groups.get(group, (0, seq))
        self.groups[group] = (count + 1, example)
        if len(self.groups) > MAX_GROUPS:
            self.groups = dict(nlargest(MAX_GROUPS // 2, self.groups.items(), key=_count))

    @property
    def rate(self) -> float | None:
        """Events finished per second, from the first queued to the last finished. None if unknown."""
        if self.first is None or self.last is None or self.last <= self.first:
            return None
        return self.finished / (self.last - self.first)

    def longest_first(self) -> list[tuple[float, int, str]]:
        """Return seconds, number and status of the slowest events, slowest first."""
        return sorted(self.slowest, reverse=True)

    def most_frequent(self) -> list[tuple[_Kind, tuple[int, int]]]:
        """Return the largest groups of errors, with their count and the number of the first event."""
        return nlargest(self.top, self.groups.items(), key=_count)


def _count(group: tuple[_Kind, tuple[int, int]]) -> int:
    return group[1][0]


def known_event(connection: sqlite3.Connection, seq: int) -> tuple[bytes, str | None]:
    """Return id and tag of an event."""
    event_id, event = connection.execute("SELECT id, event FROM event WHERE seq = ?", (seq,)).fetchone()
    return event_id, tag_of(event)


def open_events(
    connection: sqlite3.Connection, status: EventStatus, since: str, now: float, limit: int
) -> tuple[OpenEvent, ...]:
    """Return the events of a status whose time is oldest."""
    query = f"SELECT seq, attempt, {since} {_OPEN} AND status = ? ORDER BY {since} IS NULL, {since}, seq LIMIT ?"
    rows = connection.execute(query, (status.value, limit)).fetchall()
    return tuple(
        OpenEvent(seq, *known_event(connection, seq), attempt, at, None if at is None else now - at)
        for seq, attempt, at in rows
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
