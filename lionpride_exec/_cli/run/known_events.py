"""
The events of a journal beside the lines of INPUT: which lines INPUT still has, and where.

Only a mark, a note and a number are kept of each event, so memory stays small however long the journal is.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._status import HELD, TERMINAL, EventStatus

from .compact_set import MAX_NUMBER, Marks
from .line_identity import CONTENT, Lines, line_key, mark_of_key, mark_of_row
from .stored_results import digest_of_text, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from lionpride_exec._journal.reader import JournalReader

    from .input_files import InputFiles
    from .line_identity import Identity
    from .lines import JobMaker

ROWS = 5000  # rows of the journal in a step
LINES = 5000  # lines of INPUT in a step
SHOWN = 80  # characters of a record in a message

# Why an event stays in the journal as it is: a crash has left it held, or it cannot be read here. An event that comes
# after one that stays counts as unreadable too.
UNREADABLE = "unreadable"
LEFT = (HELD, UNREADABLE)

# Notes in Marks. The lowest bits hold the status, or why the event is left. The others say that the event was made of a
# line, that INPUT has that line, and that the output has the result.
STATUSES = {status.value: number for number, status in enumerate(EventStatus, 1)}
NOTES = STATUSES | {why: number for number, why in enumerate(LEFT, len(STATUSES) + 1)}
NAMES = {number: name for name, number in NOTES.items()}
OTHER, STATUS = 15, 15
LINE, SEEN, HAD = 16, 32, 64

_NUMBER_BITS = MAX_NUMBER.bit_length()


class Known:
    """
    What a journal knows when a run begins.

    Args:
        is_here: Whether an event that has not ended is in memory. It is asked by the bytes of its id.
        keeps_texts: Whether to keep a digest of the record of each line. This takes 6 to 12 bytes a line.
    """

    def __init__(self, is_here: Callable[[bytes], bool] = lambda _: True, *, keeps_texts: bool = False) -> None:
        self._is_here = is_here
        # The number of a mark is that of its line in INPUT. With texts, the digest of the record is in the upper half.
        self.marks = Marks(number_bytes=8 if keeps_texts else 4)
        self.lines = 0  # events that were made of a line
        self.seen = 0  # of these, events whose line INPUT has
        self.ended = 0  # events that have ended
        # Events that have ended, by status. Those made of a line count once INPUT is known to have the line.
        self.before: Counter[EventStatus] = Counter()
        # Likewise, events that are left in the journal as they are, by the reason.
        self.left: Counter[str] = Counter()
        self.is_part = False  # whether only a part of INPUT is read
        self.has_texts = False  # whether the digests of records are known: they are not if something is redacted
        self._keeps_texts = keeps_texts
        self._field: str | None = None  # has the ids of lines
        self._keys = 0  # lines of INPUT that have a key
        self._no_key: tuple[int, str] | None = None  # the first line without one, and the reason
        # By the marks of lines that have an id and have not ended: the key of the content that INPUT has now.
        self._contents: dict[int, str] = {}

    # ---------------------------------------------------------------- the journal

    def read_journal(self, reader: JournalReader) -> Generator[None]:
        """
        Take note of all events, in steps. Blocks.

        Raises:
            JournalError: The journal cannot be read.
        """
        seq = 0
        while entries := reader.entries(seq, ROWS):
            for _, event_id, key, status in entries:
                self._add(key, event_id, status)
            seq = entries[-1][0]
            yield

    def add_result(self, mark: int, status: str | None) -> None:
        """
        Take note of an event that has a result in the output.

        Args:
            mark: The mark of its line.
            status: The status that it has ended with. None if the event is open, or has ended otherwise by now.
        """
        if self.marks.get(mark) is None:
            self.marks.put(mark, (OTHER if status is None else STATUSES[status]) | LINE)
            self.lines += 1
            self.ended += status is not None

    def _add(self, key: str | None, event_id: bytes, status: str) -> None:
        is_line = line_key(key) is not None
        if status not in TERMINAL and status != HELD and not self._is_here(event_id):
            status = UNREADABLE
        self.marks.put(mark_of_row(key, event_id), NOTES.get(status, OTHER) | (LINE if is_line else 0))
        self.lines += is_line
        if status in TERMINAL:
            self.ended += 1
        if not is_line:
            self._count(status)

    # ---------------------------------------------------------------- INPUT

    def read_input(self, source: InputFiles, maker: JobMaker, identity: Identity) -> Generator[None]:
        """Take note of all lines that regular files have now, in steps. Blocks."""
        lines = Lines(identity)
        can_change = identity.field is not None and not maker.redaction  # the journal has no redacted record
        self.has_texts = can_change and self._keeps_texts
        self._field = identity.field
        for number, line in source.look_ahead():
            if not maker.is_blank(line):
                try:
                    record = maker.record_of(line)
                    key = lines.key_of(record, number)
                except BadLineError as exc:  # the message comes when the line is read to be run
                    self._no_key = self._no_key or (number, str(exc))
                    continue
                self._keys += 1
                self.see(key, number, digest_of_text(record) if self.has_texts else 0)
                if can_change:
                    self._note_content(key, record)
            if not number % LINES:
                yield

    def see(self, key: str, number: int, text: int = 0) -> None:
        """Take note of a line of INPUT, and of the digest of its record."""
        mark = mark_of_key(key)
        note = self.marks.get(mark)
        if note is None or note & SEEN:
            return
        self.marks.put(mark, note | SEEN, text << _NUMBER_BITS | min(number, MAX_NUMBER))
        self.seen += 1
        self._count(NAMES.get(note & STATUS, ""))

    def _count(self, status: str) -> None:
        """Count an event that this run does not start, by its final status, or by why it is left."""
        if status in TERMINAL:
            self.before[EventStatus(status)] += 1
        elif status in LEFT:
            self.left[status] += 1

    def _note_content(self, key: str, record: bytes) -> None:
        mark = mark_of_key(key)
        note = self.marks.get(mark)
        if note is not None and NAMES.get(note & STATUS) not in TERMINAL:
            self._contents[mark] = CONTENT.key_of(record)

    def has_changed(self, key: str, record: bytes) -> bool:
        """Whether INPUT has another record than this one for a line that has an id and has not ended."""
        content = self._contents.get(mark_of_key(key))
        return content is not None and content != CONTENT.key_of(record)

    def status_of(self, key: str) -> str | None:
        """Return the status that the event of a line had when the run began, or why it is left. None if unknown."""
        return NAMES.get((self.marks.get(mark_of_key(key)) or 0) & STATUS)

    @property
    def missing(self) -> int:
        """The number of events whose line has not been found in INPUT."""
        return self.lines - self.seen

    def is_missing(self, key: str) -> bool:
        """Whether the line with this key has not been found in INPUT."""
        return not (self.marks.get(mark_of_key(key)) or 0) & SEEN

    def number_of(self, key: str | None) -> int | None:
        """Return the number that the line with this key has now. None if INPUT has no such line."""
        return None if key is None else self.place(mark_of_key(key))[0] or None

    def place(self, mark: int) -> tuple[int, int]:
        """Return the number that the line with this mark has now, and the digest of its record. 0 if unknown."""
        number = self.marks.number(mark)
        return number & MAX_NUMBER, number >> _NUMBER_BITS

    def example(self, reader: JournalReader) -> str:
        """
        Return the number and the text of the first line that INPUT does not have any more.

        O(number of events). Blocks.

        Raises:
            JournalError: The journal cannot be read.
        """
        seq = 0
        while entries := reader.entries(seq, ROWS):
            for seq, event_id, key, _ in entries:
                line = line_key(key)
                if line is not None and self.is_missing(line):
                    (row,) = reader.rows([seq])
                    return _shown(event_id, row.event)
        return "?"

    def check(self, reader: JournalReader, place: Callable[[int], str], *, goes_on: bool) -> str | None:
        """
        Return the message about lines that INPUT does not have any more. None if INPUT has all of them.

        Args:
            reader: Reads the journal.
            place: Returns where the line with a number is.
            goes_on: Whether to go on with an INPUT that has none of the lines.

        Raises:
            UsageError: INPUT has none of the lines.
            JournalError: The journal cannot be read.
        """
        if not self.missing:
            return None
        example, journal = self.example(reader), reader.path
        if not (self.seen or goes_on or self.is_part):
            self.refuse_input(f"that {journal} knows, such as {example}", "another --journal and --output", place)
        is_are = "line is" if self.missing == 1 else "lines are"
        where = "in the part of INPUT that is read" if self.is_part else "in INPUT any more"
        gone = f"{self.missing:,} {is_are} in {journal} but not {where}, such as {example}"
        return f"{gone}: not run, not counted, and what has a result stays in the output"

    def refuse_input(self, which: str, others: str, place: Callable[[int], str]) -> NoReturn:
        """
        Refuse an INPUT that has none of the lines.

        Args:
            which: Says which lines they are.
            others: What may be given instead.
            place: Returns where the line with a number is.

        Raises:
            UsageError: Always.
        """
        none = f"INPUT has none of the {self.lines:,} lines {which}"
        go_on = "or go on with --changed-input: all lines are run, and the old results stay"
        if self._field is None:
            raise UsageError(
                f"{none}: is it another INPUT, or was each record changed? Give {others}, or name what stays the same "
                f"in a record by --id FIELD, {go_on}"
            )
        if self._no_key is not None and not self._keys:
            number, why = self._no_key
            before = f"is --id {self._field} the field of the runs before?"
            raise UsageError(f"{none}: no line has an id. {place(number)}: {why}; {before}")
        raise UsageError(
            f"{none}: is it another INPUT, or is --id {self._field} another field than in the runs before? Give "
            f"{others}, {go_on}"
        )


def _shown(event_id: bytes, event: bytes) -> str:
    number, record = place_of(event_id, event)
    text = record.decode()
    return f"line {number} {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}"
