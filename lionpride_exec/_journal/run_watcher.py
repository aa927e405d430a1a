"""
Questions about a run that may go on, each answered from a journal in a time that depends on the answer.

Some numbers need a walk through all open events. Such a walk is repeated so rarely that it takes a twentieth of the
time at most. Everything blocks and is for one thread at a time.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from weakref import finalize

import msgspec

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._status import BAD, FINAL
from lionpride_exec.errors import JournalError

from .envelope_tags import UNREADABLE
from .facts import read_fact
from .file_lock import owner_of
from .inbox import data_version
from .inbox_overview import count_submitted
from .overview import count_events
from .reader import JournalReader
from .row_search import Piece, RowSearch, rows_at
from .rows import Row
from .schema import COLUMNS, IS_BAD, IS_OPEN, LETTER_OF, OUTCOME, version_of

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from .reader import Transition

T = TypeVar("T")

# A walk is made again after this many times the time that it took.
REST: Final = 20.0

# Lines of the trail that are read in one snapshot, and lines that a new watcher looks back.
LINES: Final = 20_000
LINES_BACK: Final = 100_000

# Seconds whose ends are remembered.
MOST_SECONDS: Final = 3600

# Events that did not complete whose errors are read at once.
MOST_BAD: Final = 100_000

_ENDS: Final = tuple(word for status in FINAL for word in (LETTER_OF[status], status))
_BAD_ENDS: Final = tuple(word for status in BAD for word in (LETTER_OF[status], status))
_WORD: Final = {letter: status for status, letter in LETTER_OF.items()}

_COUNT_ENDS: Final = (
    "SELECT CAST(at AS INTEGER), status, count(*) FROM transition "  # noqa: S608  marks only
    f"WHERE n > ? AND n <= ? AND status IN ({','.join('?' * len(_ENDS))}) GROUP BY 1, 2"
)
_BAD_AFTER: Final = (
    "SELECT DISTINCT seq FROM transition "  # noqa: S608  likewise
    f"WHERE n > ? AND n <= ? AND status IN ({','.join('?' * len(_BAD_ENDS))})"
)
_BAD_ROWS: Final = f"SELECT seq, id, status, finished, {OUTCOME} FROM event"  # noqa: S608  no value in it
_RUNNING: Final = (
    f"SELECT {COLUMNS} FROM event WHERE {IS_OPEN} AND status = 'processing' "  # noqa: S608  likewise
    "ORDER BY started IS NULL, started, seq LIMIT ?"
)
_OLDEST: Final = f"SELECT queued FROM event WHERE {IS_OPEN} AND status = 'pending' ORDER BY seq LIMIT 1"  # noqa: S608  likewise


class Look(NamedTuple):
    """
    What a look at the file has found.

    Attributes:
        counts: Events by status, "held" included.
        oldest: When the first pending event was taken in. None if there is none, or it is not known.
        owner: The number of the process that has the journal. None if none has.
        submitted: Events that wait for the owner.
        refused: Events that no owner could take in.
        is_closed: Whether the last owner has closed the file. None if the file does not say so.
    """

    counts: dict[str, int]
    oldest: float | None
    owner: str | None
    submitted: int
    refused: int
    is_closed: bool | None


class BadEnd(NamedTuple):
    """An event that did not complete: its number, id and status, its error if it has one, and when it ended."""

    seq: int
    id: bytes
    status: str
    error: str | None
    at: float | None


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""


class Ending(msgspec.Struct):
    """What a line about an event shows of its outcome."""

    error: _Error | None = None
    duration: float | None = None

    @property
    def error_text(self) -> str | None:
        """The class and the message of the error. None if there is none."""
        if self.error is None:
            return None
        return ": ".join(part for part in (self.error.type, self.error.message) if part)


_endings = msgspec.json.Decoder(Ending)


def ending_of(outcome: Any) -> Ending:
    """Return what an outcome says in short. Nothing if it cannot be read."""
    try:
        return Ending() if outcome is None else _endings.decode(outcome)
    except UNREADABLE:
        return Ending()


class _Walk:
    """The last answer to a question that takes long."""

    def __init__(self) -> None:
        self._answer: Any = None
        self._of: object = None  # the version of the file, and the question
        self._again_at = 0.0

    def answer(self, of: object, ask: Callable[[], T]) -> T:
        """Return the answer, which is that of an earlier version if it was expensive."""
        began = perf_counter()
        if of != self._of and (self._of is None or began >= self._again_at):
            self._answer = ask()
            ended = perf_counter()
            self._of, self._again_at = of, ended + REST * (ended - began)
        answer: T = self._answer
        return answer


class RunWatcher:
    """
    Watches a journal, from the first question to :meth:`close`. A watcher that is dropped closes its file, too.

    Args:
        path: The file.

    Raises:
        JournalError: From any method: the file cannot be read now.

    Attributes:
        has_trail: Whether the file has an audit trail, as far as that is known.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.has_trail = True
        self._reader = JournalReader(path)
        finalize(self, self._reader.close)  # a dashboard ends with its program, without close()
        self._is_open = False
        self._version = 0  # that of the tables
        self._counts, self._running = _Walk(), _Walk()
        self._n: int | None = None  # the last line of the trail whose end is counted
        self._tally: dict[str, int] = {}
        self._ended: dict[int, dict[str, int]] = {}  # by second

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._is_open = False
        self._reader.close()

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """
        Return the answer to a question, from one snapshot.

        The file is opened again if it was opened as one that does not change, and has changed.
        """
        if not self._is_open:
            self._open()
        try:
            return self._asked(question)
        except JournalError:
            self.close()
            self._open()
            return self._asked(question)

    def _open(self) -> None:
        self._reader.open()
        self._is_open = True
        self._version = self._asked(version_of)

    def _asked(self, question: Callable[[sqlite3.Connection], T]) -> T:
        with self._reader._snapshot() as connection:
            return question(connection)

    # ---------------------------------------------------------------- the whole

    def version(self) -> str:
        """Return a text that is another one after each commit, and after each change of the owner. 50 us."""
        number = self.ask(data_version)
        return f"{number}-{owner_of(self._reader.path.resolve())}"

    def look(self) -> Look:
        """Return how the run goes. A millisecond, and more with very many open events, but then not each time."""
        owner, version = owner_of(self._reader.path.resolve()), self.version()
        counts = self._counts.answer(version, lambda: self.ask(count_events))

        def others(connection: sqlite3.Connection) -> Look:
            """Read the rest, and the numbers that are known without a walk."""
            oldest = connection.execute(_OLDEST).fetchone() if counts["pending"] else None
            is_closed = read_fact(connection, "is_closed")
            return Look(
                counts | _tally(connection),
                None if oldest is None else oldest[0],
                owner,
                *count_submitted(connection),
                None if is_closed is None else bool(is_closed),
            )

        return self.ask(others)

    # ---------------------------------------------------------------- events

    def running(self, count: int) -> list[Row]:
        """Return the events that run, the longest first. O(open events), but not each time."""

        def walk() -> list[Row]:
            """Look at all open events."""
            return self.ask(lambda connection: [Row(*one) for one in connection.execute(_RUNNING, (count,))])

        return self._running.answer((self.version(), count), walk)

    def piece(self, statuses: Iterable[str] | None, before: int, count: int) -> Piece:
        """Return some events, the newest first; see :meth:`RowSearch.piece`."""
        self.ask(version_of)  # opens the file
        search = RowSearch(statuses, is_indexed=self._version > 1)
        return self.ask(lambda connection: search.piece(connection, before, count))

    def find(self, text: str) -> tuple[Row, list[Transition]]:
        """
        Return the event that a text means, with its history; see :meth:`JournalReader.find`.

        Raises:
            NotFoundError: No event matches, or more than one.
        """
        self.ask(version_of)  # opens the file
        row = self._reader.find(text)
        return row, self._reader.history(row.seq)

    def of_ids(self, ids: Sequence[bytes]) -> list[Row]:
        """Return the events with some ids, in no order; see :meth:`JournalReader.of_ids`."""
        self.ask(version_of)  # opens the file
        return self._reader.of_ids(ids)

    def last_steps(self, count: int) -> list[Transition]:
        """Return the last transitions, oldest first. O(count)."""
        self.ask(version_of)  # opens the file
        return self._reader.last_transitions(count)

    # ---------------------------------------------------------------- ends and errors

    def ended(self, seconds: int) -> list[tuple[int, dict[str, int]]]:
        """
        Return how many events ended in each of the last seconds, at most 3600, by status.

        O(transitions since the last call). Without an audit trail, what has ended since then counts for this second.
        """
        now = int(wall_clock.seconds())
        last = self.ask(_last_n)
        if self._n is None:
            self._n = max(last - LINES_BACK, 0)
            self._tally = self.ask(_tally)
            self.has_trail = last > 0
        began = self._n
        while self._n < last:
            upto = min(self._n + LINES, last)
            for at, word, number in self.ask(_counting(self._n, upto)):
                if at > now - MOST_SECONDS:
                    self._add(at, _WORD.get(word, word), number)
            self._n = upto
        self._compare_tally(now, has_lines=last > began)
        first = now - MOST_SECONDS
        self._ended = {at: ended for at, ended in self._ended.items() if at > first}
        return sorted((at, dict(ended)) for at, ended in self._ended.items() if at > now - seconds)

    def _compare_tally(self, now: int, *, has_lines: bool) -> None:
        tally = self.ask(_tally)
        grown = {one: more for one, n in tally.items() if (more := n - self._tally.get(one, 0)) > 0}
        self._tally = tally
        if grown:
            self.has_trail = has_lines
        if not has_lines:
            for status, number in grown.items():
                self._add(now, status, number)

    def _add(self, at: int, status: str, number: int) -> None:
        ended = self._ended.setdefault(at, {})
        ended[status] = ended.get(status, 0) + number

    def bad_ends(self, after_n: int | None) -> tuple[int, list[BadEnd]]:
        """
        Return the number of the last transition, and the events that have ended since another one and did not complete.

        Args:
            after_n: The number of the other one. None for all events that did not complete, at most the 100,000 newest
                of each status.
        """
        if after_n is None:
            return self.ask(self._all_bad)
        last = self.ask(_last_n)
        seqs: list[int] = []
        for begin in range(after_n, last, LINES):
            seqs += self.ask(_bad_after(begin, min(begin + LINES, last)))
        found: list[BadEnd] = []
        for begin in range(0, len(seqs), 500):
            rows = self.ask(partial(rows_at, seqs=seqs[begin : begin + 500]))
            found += [
                BadEnd(row.seq, row.id, row.status, ending_of(row.outcome).error_text, row.finished)
                for row in rows
                if row.status in BAD
            ]
        return last, found

    def _all_bad(self, connection: sqlite3.Connection) -> tuple[int, list[BadEnd]]:
        found: list[BadEnd] = []
        for status in BAD:
            select = f"{_BAD_ROWS} WHERE status = ? AND {IS_BAD} ORDER BY seq DESC LIMIT ?"
            found += [
                BadEnd(seq, event_id, word, ending_of(outcome).error_text, at)
                for seq, event_id, word, at, outcome in connection.execute(select, (status, MOST_BAD))
            ]
        return _last_n(connection), found


def _last_n(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT max(n) FROM transition").fetchone()[0] or 0


def _tally(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT status, events FROM tally").fetchall())


def _counting(after: int, upto: int) -> Callable[[sqlite3.Connection], list[tuple[int, str, int]]]:
    return lambda connection: connection.execute(_COUNT_ENDS, (after, upto, *_ENDS)).fetchall()


def _bad_after(after: int, upto: int) -> Callable[[sqlite3.Connection], Sequence[int]]:
    return lambda connection: [one for (one,) in connection.execute(_BAD_AFTER, (after, upto, *_BAD_ENDS))]
