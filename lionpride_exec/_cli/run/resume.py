"""
Bringing the output of a run up to its journal, before anything starts.

The output has to hold one result for each event that has ended in the journal, and no other. It can lag behind: the
process died between a commit and a write; then the results are written from the journal. It is ahead where somebody
has put events back to be run again, or after a power failure under ``--journal-sync normal``; then those lines go.
Where lines of INPUT have other numbers by now, so have their results.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import MsgspecError

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._journal.schema import FINAL, connect

from .known_events import COPIED, HAD, LINE, ROWS, SELECT_ALL, STATUS, STATUSES, Known
from .line_identity import line_key, mark_of_row
from .stored_results import line_of_row, read_line, tag_of, with_number

if TYPE_CHECKING:
    from collections.abc import Generator

    from .line_identity import Identity
    from .lines import JobMaker
    from .output import Output
    from .source import Source
    from .stored_results import Told

LINES = 20_000  # lines of the output in a step
WRITTEN = 200  # results that are written at once

SELECT_KEYS = "SELECT seq, key FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
SELECT_SOME = "SELECT id, event, status, outcome, key FROM event WHERE seq IN ({marks}) ORDER BY seq"


class Resume:
    """
    One comparison of a journal with INPUT and with the output.

    Args:
        journal: Path; the journal is open and nothing ends in it meanwhile.
        output: Open, with what it held.
        tag: Of the events that are made of lines.
        identity: What lines are known by.
        goes_on: Whether to go on with an INPUT that has none of the lines of the journal.
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
        self.message: str | None = None  # what is to be told before anything starts
        self._journal = journal
        self._output = output
        self._tag = tag
        self._identity = identity
        self._goes_on = goes_on
        self._with_traceback = with_traceback  # whether errors in results that are written have their tracebacks
        self._end = 0  # of the last whole result, in bytes
        self._results = self._kept = 0  # in the output; that stay
        self._is_renumbered = False  # a result that stays has another number by now

    def steps(self, source: Source, maker: JobMaker) -> Generator[None]:
        """
        Do it, in steps of a moment each. Blocks; by whichever thread. Nothing is changed before it is known to fit.

        Raises:
            UsageError: Journal, INPUT and output do not belong together, or one cannot be read.
            OutputError: The output cannot be written.
        """
        try:
            with closing(connect(self._journal, read_only=True)) as connection:
                yield from self._compare(connection, source, maker)
                if self._kept < self._results or self._is_renumbered:
                    yield from self._rewrite()
                else:
                    os.ftruncate(self._output.fd, self._end)
                if self._kept < self.known.ended:
                    yield from self._write_missing(connection)
        except (sqlite3.Error, MsgspecError) as exc:
            raise UsageError(f"cannot read {self._journal}: {exc}") from exc
        except OSError as exc:
            raise UsageError(f"cannot go on with {self._output.name}: {exc.strerror or exc}") from exc

    def _compare(self, connection: sqlite3.Connection, source: Source, maker: JobMaker) -> Generator[None]:
        yield from self._check_journal(connection)
        yield from self.known.read_journal(connection)
        if self.known.lines and source.can_look_ahead:
            yield from self.known.read_input(source, maker, self._identity)
            self.message = self.known.check(connection, self._journal, goes_on=self._goes_on)
        yield from self._read_output()

    # ---------------------------------------------------------------- reading the journal

    def _check_journal(self, connection: sqlite3.Connection) -> Generator[None]:
        """See whether it is of this target, and whether there is anything in it."""
        seq = 0
        while rows := connection.execute(SELECT_KEYS, (seq, ROWS)).fetchall():
            for number, key in rows:
                if line_key(key) is not None:
                    ((event,),) = connection.execute("SELECT event FROM event WHERE seq = ?", (number,))
                    self._check_tag(tag_of(event))
                    return
            seq = rows[-1][0]
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
        """See which results stay; one that was cut off at the end does not count."""
        broken = 0  # the number of a line that is no result: the last one may be
        unknown = 0
        with open(self._output.name, "rb") as file:  # noqa: PTH123  a name, as it was given
            for number, line in enumerate(file, 1):
                if broken:
                    raise UsageError(f"line {broken} of {self._output.name} is no result; give another --output")
                told = read_line(line, self._identity) if line.endswith(b"\n") else None
                if told is not None and told.status in STATUSES:
                    unknown += not self._take(told)
                    self._results += 1
                    self._end += len(line)
                elif b"\0" in line:  # a hole, as a power failure leaves it: what follows is in the journal
                    break
                else:
                    broken = number
                if not number % LINES:
                    yield
        if unknown:
            raise UsageError(
                f"{self._output.name} has {unknown:,} results that are not in {self._journal}: it is of another run; "
                "give another --output (or none that exists: it is written anew from the journal)"
            )

    def _take(self, told: Told) -> bool:
        """Take note of a result; whether the journal knows the event."""
        marks, mark = self.known.marks, told.mark
        if mark is None:
            return True  # lines were known by something else when it was written: it goes, and is written again
        note = marks.get(mark)
        if note is None:
            return False
        if note & STATUS == STATUSES[told.status] and told.status in FINAL and not note & HAD:
            marks.put(mark, note | HAD)
            self._kept += 1
            now = marks.number(mark) if note & LINE else 0
            self._is_renumbered = self._is_renumbered or now not in {0, told.number}
        return True

    # ---------------------------------------------------------------- changing the output

    def _rewrite(self) -> Generator[None]:
        """Write the results that stay to another file, and put that in the place of the output."""
        place = Path(os.path.realpath(self._output.name))
        other = place.with_name(f".{place.name}.lionpride-exec.tmp")  # one run at a time: what lies there is left over
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
        """Return a result as it is to stand in the new output; nothing: it goes."""
        told = read_line(line, self._identity)
        if told is None or told.mark is None:
            return b""
        marks = self.known.marks
        note = marks.get(told.mark) or 0
        if not note & HAD or note & COPIED or note & STATUS != STATUSES[told.status]:
            return b""  # of another status, or a copy
        marks.put(told.mark, note | COPIED)
        now = marks.number(told.mark) if note & LINE else 0
        return with_number(line, now) if now not in {0, told.number} else line

    def _write_missing(self, connection: sqlite3.Connection) -> Generator[None]:
        seq = 0
        while rows := connection.execute(SELECT_ALL, (seq, ROWS)).fetchall():
            missing: list[int] = []
            for seq, event_id, key, status in rows:
                note = self.known.marks.get(mark_of_row(key, event_id)) or 0
                if status in FINAL and not note & HAD:
                    missing.append(seq)
            for begin in range(0, len(missing), WRITTEN):
                self._write_results(connection, missing[begin : begin + WRITTEN])
                yield
            yield

    def _write_results(self, connection: sqlite3.Connection, seqs: list[int]) -> None:
        select = SELECT_SOME.format(marks=",".join("?" * len(seqs)))
        lines = [
            line_of_row(
                event_id,
                event,
                status,
                outcome,
                key=key,
                number_now=self.known.number_of(line_key(key)),
                with_traceback=self._with_traceback,
            )
            for event_id, event, status, outcome, key in connection.execute(select, seqs).fetchall()
        ]
        self._output.write_now(b"".join(lines))
