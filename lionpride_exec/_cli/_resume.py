"""
Bringing the output of a run up to its journal, before anything starts.

The output has to hold one result for each event that has ended in the journal, and no other. It can lag behind: the
process died between a commit and a write; then the results are written from the journal. It is ahead where somebody
has put events back to be run again, or after a power failure under ``--journal-sync normal``; then those lines go.
"""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import MsgspecError

from lionpride_exec._journal._schema import connect
from lionpride_exec._journal._store import FINAL
from lionpride_exec._status import EventStatus

from ._errors import UsageError
from ._identity import is_key_of_line, mark_of_row
from ._kept import line_of_row, read_line, tag_of
from ._marks import Marks

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._output import Output

LINES = 20_000  # lines of the output in a step
ROWS = 5000  # rows of the journal in a step
WRITTEN = 200  # results that are written at once

# Notes in Marks: the status that the output tells; with KEPT, the journal too; else the line goes.
STATUSES = {status.value: number for number, status in enumerate(EventStatus, 1)}
KEPT, GONE = 16, 32

SELECT_KEYS = "SELECT seq, key FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
SELECT_ALL = "SELECT seq, id, key, status FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
SELECT_SOME = "SELECT id, event, status, outcome FROM event WHERE seq IN ({marks}) ORDER BY seq"


class Resume:
    """
    One comparison of an output with a journal.

    Args:
        journal: Path; the journal is open and nothing ends in it meanwhile.
        output: Open, with what it held.
        tag: Of the events that are made of lines.
    """

    def __init__(self, journal: Path, output: Output, tag: str) -> None:
        self.before: Counter[EventStatus] = Counter()  # events that have ended, by status
        self._journal = journal
        self._output = output
        self._tag = tag
        self._marks = Marks()  # of the results in the output
        self._end = 0  # of the last whole result, in bytes
        self._results = self._known = self._kept = 0  # in the output; of events in the journal; that stay
        self._missing = array("q")  # numbers of events that have ended and have no result

    def steps(self) -> Generator[None]:
        """
        Do it, in steps of a moment each. Blocks; by whichever thread. Nothing is changed before it is known to fit.

        Raises:
            UsageError: Output and journal do not belong together, or one cannot be read.
            OutputError: The output cannot be written.
        """
        try:
            with closing(connect(self._journal, read_only=True)) as connection:
                yield from self._compare(connection)
                if self._kept < self._results:
                    yield from self._rewrite()
                else:
                    os.ftruncate(self._output.fd, self._end)
                yield from self._write_missing(connection)
        except (sqlite3.Error, MsgspecError) as exc:
            raise UsageError(f"cannot read {self._journal}: {exc}") from exc
        except OSError as exc:
            raise UsageError(f"cannot go on with {self._output.name}: {exc.strerror or exc}") from exc

    def _compare(self, connection: sqlite3.Connection) -> Generator[None]:
        yield from self._check_journal(connection)
        yield from self._read_output()
        yield from self._read_journal(connection)
        if unknown := len(self._marks) - self._known:
            raise UsageError(
                f"{self._output.name} has {unknown:,} results that are not in {self._journal}: it is of another run; "
                "give another --output (or none that exists: it is written anew from the journal)"
            )

    # ---------------------------------------------------------------- reading the output

    def _read_output(self) -> Generator[None]:
        """Collect the marks of the results; one that was cut off at the end does not count."""
        broken = 0  # the number of a line that is no result: the last one may be
        with open(self._output.name, "rb") as file:  # noqa: PTH123  a name, as it was given
            for number, line in enumerate(file, 1):
                if broken:
                    raise UsageError(f"line {broken} of {self._output.name} is no result; give another --output")
                found = read_line(line) if line.endswith(b"\n") else None
                if found is not None and found[1] in STATUSES:
                    self._marks.put(found[0], STATUSES[found[1]])
                    self._results += 1
                    self._end += len(line)
                elif b"\0" in line:  # a hole, as a power failure leaves it: what follows is in the journal
                    break
                else:
                    broken = number
                if not number % LINES:
                    yield

    # ---------------------------------------------------------------- reading the journal

    def _check_journal(self, connection: sqlite3.Connection) -> Generator[None]:
        """See whether it is of this target, and whether there is anything in it."""
        seq = 0
        while rows := connection.execute(SELECT_KEYS, (seq, ROWS)).fetchall():
            for number, key in rows:
                if is_key_of_line(key):
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

    def _read_journal(self, connection: sqlite3.Connection) -> Generator[None]:
        """See which results stay, and which are missing."""
        seq = 0
        while rows := connection.execute(SELECT_ALL, (seq, ROWS)).fetchall():
            for seq, event_id, key, status in rows:
                mark = mark_of_row(key, event_id)
                note = self._marks.get(mark)
                if status in FINAL:
                    self.before[EventStatus(status)] += 1
                    if note != STATUSES[status]:
                        self._missing.append(seq)
                if note is not None:
                    self._known += 1
                    is_kept = note == STATUSES.get(status) and status in FINAL
                    self._kept += is_kept
                    self._marks.put(mark, note | KEPT if is_kept else GONE)
            yield

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
                    if self._stays(line):
                        new.write(line)
                    if not number % LINES:
                        yield
                new.flush()
                os.fsync(new.fileno())
            other.replace(place)
        finally:
            other.unlink(missing_ok=True)
        self._output.reopen()

    def _stays(self, line: bytes) -> bool:
        mark, status = read_line(line) or (0, "")
        note = self._marks.get(mark)
        if note is None or note != STATUSES.get(status, 0) | KEPT:
            return False
        self._marks.put(mark, GONE)  # a second line like this would be a copy
        return True

    def _write_missing(self, connection: sqlite3.Connection) -> Generator[None]:
        for begin in range(0, len(self._missing), WRITTEN):
            seqs = self._missing[begin : begin + WRITTEN].tolist()
            marks = ",".join("?" * len(seqs))
            rows = connection.execute(SELECT_SOME.format(marks=marks), seqs).fetchall()
            self._output.write_now(b"".join(line_of_row(*row) for row in rows))
            yield
