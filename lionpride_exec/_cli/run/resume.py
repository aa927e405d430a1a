"""
Bringing the output of a run up to its journal, before anything starts.

The output has to hold one result for each event that has ended in the journal, and no other result. The output lags
behind if the process died between a commit and a write: the missing results are written from the journal. The output is
ahead if events were put back to be run again, or after a power failure under ``--journal-sync normal``: those results
are removed. Results get the numbers that their lines have in INPUT now.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from msgspec import MsgspecError

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._journal.reader import JournalReader
from lionpride_exec._status import TERMINAL
from lionpride_exec.errors import JournalError

from .known_events import COPIED, HAD, LINE, ROWS, STATUS, STATUSES, Known
from .line_identity import line_key, mark_of_row
from .stored_results import is_before_hole, is_cut_off, line_of_row, read_line, tag_of, with_number

if TYPE_CHECKING:
    from collections.abc import Generator

    from lionpride_exec._journal.rows import Row

    from .line_identity import Identity
    from .lines import JobMaker
    from .output import Output
    from .source import Source
    from .stored_results import Told

LINES = 20_000  # lines of the output in a step
WRITTEN = 200  # results that are written at once


class Resume:
    """
    One comparison of a journal with INPUT and with the output.

    Args:
        journal: Path of the journal. An executor has it open, and no event ends meanwhile.
        output: Open, with what it held.
        tag: The tag of events that are made of lines.
        identity: What lines are known by.
        goes_on: Whether to go on with an INPUT that has none of the lines of the journal.
        with_traceback: Whether errors in results that are written have their tracebacks.
    """

    def __init__(
        self,
        journal: Path,
        output: Output,
        tag: str,
        identity: Identity,
        *,
        goes_on: bool,
        with_traceback: bool = False,
    ) -> None:
        self.known = Known()
        self.message: str | None = None  # about lines that INPUT does not have any more
        self._journal = journal
        self._output = output
        self._tag = tag
        self._identity = identity
        self._goes_on = goes_on
        self._with_traceback = with_traceback
        self._end = 0  # where the last whole result ends, in bytes
        self._results = 0  # that the output has
        self._kept = 0  # that stay in the output
        self._is_renumbered = False  # a result that stays has another number by now

    def steps(self, source: Source, maker: JobMaker) -> Generator[None]:
        """
        Compare and change, in short steps. Each blocks, and any thread may take the next step.

        Nothing is changed before journal, INPUT and output are known to belong together.

        Raises:
            UsageError: Journal, INPUT and output do not belong together, or one cannot be read.
            OutputError: The output cannot be written.
        """
        try:
            with JournalReader(self._journal) as reader:
                yield from self._compare(reader, source, maker)
                if self._kept < self._results or self._is_renumbered:
                    yield from self._rewrite()
                else:
                    os.ftruncate(self._output.fd, self._end)
                if self._kept < self.known.ended:
                    yield from self._write_missing(reader)
        except JournalError as exc:
            raise UsageError(str(exc)) from exc
        except MsgspecError as exc:
            raise UsageError(f"cannot read {self._journal}: {exc}") from exc
        except OSError as exc:
            raise UsageError(f"cannot go on with {self._output.name}: {exc.strerror or exc}") from exc

    def _compare(self, reader: JournalReader, source: Source, maker: JobMaker) -> Generator[None]:
        yield from self._check_journal(reader)
        yield from self.known.read_journal(reader)
        if self.known.lines and source.can_look_ahead:
            yield from self.known.read_input(source, maker, self._identity)
            self.message = self.known.check(reader, goes_on=self._goes_on)
        yield from self._read_output()

    # ---------------------------------------------------------------- reading the journal

    def _check_journal(self, reader: JournalReader) -> Generator[None]:
        """Check that the journal has lines of this target, or nothing yet."""
        seq = 0
        while entries := reader.entries(seq, ROWS):
            for seq, _, key, _ in entries:
                if line_key(key) is not None:
                    (row,) = reader.rows([seq])
                    self._check_tag(tag_of(row.event))
                    return
            yield
        if not seq and os.fstat(self._output.fd).st_size:
            raise UsageError(
                f"{self._output.name} is not empty and {self._journal} is: its results are of another run; "
                "give another --output, or remove it"
            )

    def _check_tag(self, tag: str) -> None:
        if tag != self._tag:
            raise UsageError(f"{self._journal} has the lines of another target ({tag}, not {self._tag})")

    # ---------------------------------------------------------------- reading the output

    def _read_output(self) -> Generator[None]:
        """
        Find out which results stay. A result that was cut off at the end does not count.

        Anything else that is no result is refused: the file may be another one, given by mistake.
        """
        broken = 0  # the number of a line that was cut off; only the last line may be one
        unknown = 0
        with open(self._output.name, "rb") as file:  # noqa: PTH123  a name, as it was given
            for number, line in enumerate(file, 1):
                if broken:
                    self._refuse(broken)
                told = read_line(line, self._identity) if line.endswith(b"\n") else None
                if told is not None and told.status in STATUSES:
                    unknown += not self._take(told)
                    self._results += 1
                    self._end += len(line)
                elif is_before_hole(line, is_first=not self._results):
                    break  # later results are in the journal
                elif is_cut_off(line):
                    broken = number
                else:
                    self._refuse(number)
                if not number % LINES:
                    yield
        if unknown:
            raise UsageError(
                f"{self._output.name} has {unknown:,} results that are not in {self._journal}: it is of another run; "
                "give another --output (or none that exists: it is written anew from the journal)"
            )

    def _refuse(self, number: int) -> NoReturn:
        raise UsageError(f"line {number} of {self._output.name} is not a result; give another --output")

    def _take(self, told: Told) -> bool:
        """Take note of a result. Return whether the journal knows the event."""
        marks, mark = self.known.marks, told.mark
        if mark is None:
            return True  # lines were known by something else then: the result is written again
        note = marks.get(mark)
        if note is None:
            return False
        if note & STATUS == STATUSES[told.status] and told.status in TERMINAL and not note & HAD:
            marks.put(mark, note | HAD)
            self._kept += 1
            now = marks.number(mark) if note & LINE else 0
            self._is_renumbered = self._is_renumbered or now not in {0, told.number}
        return True

    # ---------------------------------------------------------------- changing the output

    def _rewrite(self) -> Generator[None]:
        """Write the results that stay to another file, and replace the output by it."""
        place = Path(os.path.realpath(self._output.name))
        other = place.with_name(f".{place.name}.lionpride-exec.tmp")  # the journal lets in one run at a time
        left = self._end
        try:
            with place.open("rb") as old, other.open("wb") as new:
                os.fchmod(new.fileno(), os.fstat(old.fileno()).st_mode & 0o7777)
                for number, line in enumerate(old, 1):
                    left -= len(line)
                    if left < 0:
                        break
                    new.write(self._as_it_stays(line))
                    if not number % LINES:
                        yield
                new.flush()
                os.fsync(new.fileno())
            other.replace(place)
        finally:
            other.unlink(missing_ok=True)
        self._output.reopen()

    def _as_it_stays(self, line: bytes) -> bytes:
        """Return a result for the new output. Empty if the result is removed."""
        told = read_line(line, self._identity)
        if told is None or told.mark is None:
            return b""
        marks = self.known.marks
        note = marks.get(told.mark) or 0
        if not note & HAD or note & COPIED or note & STATUS != STATUSES[told.status]:
            return b""  # the event has another status by now, or this is a copy
        marks.put(told.mark, note | COPIED)
        now = marks.number(told.mark) if note & LINE else 0
        return with_number(line, now) if now not in {0, told.number} else line

    def _write_missing(self, reader: JournalReader) -> Generator[None]:
        seq = 0
        while entries := reader.entries(seq, ROWS):
            missing: list[int] = []
            for seq, event_id, key, status in entries:
                note = self.known.marks.get(mark_of_row(key, event_id)) or 0
                if status in TERMINAL and not note & HAD:
                    missing.append(seq)
            for begin in range(0, len(missing), WRITTEN):
                self._write_results(reader.rows(missing[begin : begin + WRITTEN]))
                yield
            yield

    def _write_results(self, rows: list[Row]) -> None:
        lines = [
            line_of_row(
                row.id,
                row.event,
                row.status,
                row.outcome,
                key=row.key,
                number_now=self.known.number_of(line_key(row.key)),
                with_traceback=self._with_traceback,
            )
            for row in rows
        ]
        self._output.write_now(b"".join(lines))
