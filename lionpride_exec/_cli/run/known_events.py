"""
The events of a journal beside the lines of INPUT: which of them INPUT still has, and where.

All that is kept of an event is its mark, a note and a number, so memory stays small however long the journal is.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._journal.schema import FINAL
from lionpride_exec._status import EventStatus

from .compact_set import Marks
from .line_identity import Lines, line_key, mark_of_key, mark_of_row
from .stored_results import place_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

    from .line_identity import Identity
    from .lines import JobMaker
    from .source import Source

ROWS = 5000  # rows of the journal in a step
LINES = 5000  # lines of INPUT in a step
SHOWN = 80  # characters of a record in a message

# Notes in Marks: the status in the lowest bits; that it was made of a line; that INPUT has that line; that the output
# has its result; that the result has been written to the new output.
STATUSES = {status.value: number for number, status in enumerate(EventStatus, 1)}
NAMES = {number: status for status, number in STATUSES.items()}
OTHER, STATUS = 15, 15
LINE, SEEN, HAD, COPIED = 16, 32, 64, 128

SELECT_ALL = "SELECT seq, id, key, status FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
SELECT_EVENT = "SELECT id, event FROM event WHERE seq = ?"


class Known:
    """What a journal knows when a run begins."""

    def __init__(self) -> None:
        self.marks = Marks(with_numbers=True)
        self.lines = 0  # events that were made of a line
        self.seen = 0  # those of them whose line INPUT has
        self.open_lines = 0  # those that have not ended
        self.open_seen = 0
        self.ended = 0  # events that have ended
        self.before: Counter[EventStatus] = Counter()  # likewise, but for those whose line INPUT has not, or not yet

    # ---------------------------------------------------------------- the journal

    def read_journal(self, connection: sqlite3.Connection) -> Generator[None]:
        """Take note of all events, in steps. Blocks."""
        seq = 0
        while rows := connection.execute(SELECT_ALL, (seq, ROWS)).fetchall():
            for _, event_id, key, status in rows:
                self._add(key, event_id, status)
            seq = rows[-1][0]
            yield

    def _add(self, key: str | None, event_id: bytes, status: str) -> None:
        is_line = line_key(key) is not None
        self.marks.put(mark_of_row(key, event_id), STATUSES.get(status, OTHER) | (LINE if is_line else 0))
        self.lines += is_line
        self.open_lines += is_line and status not in FINAL
        if status in FINAL:
            self.ended += 1
            if not is_line:
                self.before[EventStatus(status)] += 1

    # ---------------------------------------------------------------- INPUT

    def read_input(self, source: Source, maker: JobMaker, identity: Identity) -> Generator[None]:
        """Take note of all lines that a regular file has now, in steps. Blocks."""
        lines = Lines(identity)
        for number, line in source.look_ahead():
            if not maker.is_blank(line):
                try:
                    self.see(lines.key_of(maker.record_of(line)), number)
                except BadLineError:
                    continue  # it is told when it is read to be run
            if not number % LINES:
                yield

    def see(self, key: str, number: int) -> None:
        """Take note of a line of INPUT."""
        mark = mark_of_key(key)
        note = self.marks.get(mark)
        if note is None or note & SEEN:
            return
        self.marks.put(mark, note | SEEN, number)
        self.seen += 1
        status = NAMES.get(note & STATUS, "")
        if status in FINAL:
            self.before[EventStatus(status)] += 1
        else:
            self.open_seen += 1

    @property
    def missing(self) -> int:
        """How many events were made of lines that INPUT has not, as far as it was read."""
        return self.lines - self.seen

    def is_missing(self, key: str) -> bool:
        """Whether INPUT has not the line with this key, as far as it was read."""
        return not (self.marks.get(mark_of_key(key)) or 0) & SEEN

    def number_of(self, key: str | None) -> int | None:
        """Return the number that the line with this key has now. None if INPUT has no such line."""
        return None if key is None else self.marks.number(mark_of_key(key)) or None

    def example(self, connection: sqlite3.Connection) -> str:
        """Return what the first line was that INPUT has no more. O(number of events). Blocks."""
        seq = 0
        while rows := connection.execute(SELECT_ALL, (seq, ROWS)).fetchall():
            for seq, _, key, _ in rows:
                line = line_key(key)
                if line is not None and self.is_missing(line):
                    ((event_id, event),) = connection.execute(SELECT_EVENT, (seq,))
                    return _shown(event_id, event)
        return "?"

    def check(self, connection: sqlite3.Connection, journal: object, *, goes_on: bool) -> str | None:
        """
        Return the message about lines that INPUT has no more. None if it has all.

        Args:
            connection: To the journal.
            journal: Its name.
            goes_on: Whether to go on with an INPUT that has none of the lines.

        Raises:
            UsageError: INPUT has none of the lines.
        """
        if not self.missing:
            return None
        example = self.example(connection)
        if not self.seen and not goes_on:
            raise UsageError(
                f"INPUT has none of the {self.lines:,} lines that {journal} knows, such as {example}: is it another "
                "INPUT, or was each record changed? Give another --journal and --output, or name what stays the same "
                "in a record by --id FIELD, or go on with --changed-input: all lines are run, and the old results stay"
            )
        is_are = "line is" if self.missing == 1 else "lines are"
        return (
            f"{self.missing:,} {is_are} in {journal} but not in INPUT any more, such as {example}: not run, not counted"
        )


def _shown(event_id: bytes, event: bytes) -> str:
    number, record = place_of(event_id, event)
    text = record.decode()
    return f"line {number} {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}"
