"""Which results of an output stay when a run goes on, and the output with these results only."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._status import TERMINAL

from .known_events import HAD, LINE, STATUS, STATUSES
from .stored_results import is_before_hole, is_cut_off, read_line, with_number

if TYPE_CHECKING:
    from collections.abc import Generator

    from .changed_records import ChangedRecords
    from .known_events import Known
    from .line_identity import Identity
    from .output import Output
    from .stored_results import Told

LINES = 20_000  # lines of the output in a step


class KeptResults:
    """
    The results in an output, compared with what is known of their events.

    A result stays if its event has ended with the same status. Each event has one result: the last one, if the event
    has run again.

    Args:
        output: Open, with what it held.
        identity: What lines are known by.
        known: The events. Results that stay are noted there.
        changed: Compares the records of results with those of INPUT. None to compare none.

    Attributes:
        number: How many results the output has.
        kept: How many of them stay.
        unknown: How many of them are of no known event.
    """

    def __init__(self, output: Output, identity: Identity, known: Known, changed: ChangedRecords | None = None) -> None:
        self.number = 0
        self.kept = 0
        self.unknown = 0
        self._output = output
        self._identity = identity
        self._known = known
        self._changed = changed
        self._end = 0  # where the last whole result ends, in bytes
        self._is_renumbered = False  # a result that stays has another number by now
        self._earlier: Counter[int] = Counter()  # results with the status of the event before the last, by its mark

    def read(self, *, decides: bool = True) -> Generator[list[Told]]:
        """
        Find out which results stay, in steps. Blocks. Yield the results of each step.

        A result that was cut off at the end does not count. Anything else that is no result is refused: the file may
        be another one, given by mistake.

        Args:
            decides: If not, the results are read only, since nothing is known of their events yet. Decide once.

        Raises:
            UsageError: A line of the output is not a result.
            OSError: The output cannot be read.
        """
        self.number = self.kept = self.unknown = self._end = 0
        self._is_renumbered = False
        broken = 0  # the number of a line that was cut off; only the last line may be one
        step: list[Told] = []
        with open(self._output.name, "rb") as file:  # noqa: PTH123  a name, as it was given
            for number, line in enumerate(file, 1):
                if broken:
                    self._refuse(broken)
                told = read_line(line, self._identity) if line.endswith(b"\n") else None
                if told is not None and told.status in STATUSES:
                    self.unknown += decides and not self._take(told, line)
                    self.number += 1
                    self._end += len(line)
                    step.append(told)
                elif is_before_hole(line, is_first=not self.number):
                    break  # later results are known with their events
                elif is_cut_off(line):
                    broken = number
                else:
                    self._refuse(number)
                if not number % LINES:
                    yield step
                    step = []
        yield step

    def settle(self) -> Generator[None]:
        """
        Remove the results that do not stay, and number the others anew, in steps. Blocks.

        Raises:
            OSError: The output cannot be written.
        """
        if self.kept < self.number or self._is_renumbered:
            yield from self._rewrite()
        else:
            os.ftruncate(self._output.fd, self._end)

    def _refuse(self, number: int) -> NoReturn:
        raise UsageError(f"line {number} of {self._output.name} is not a result; give another --output")

    def _take(self, told: Told, line: bytes) -> bool:
        """Take note of a result. Return whether its event is known."""
        marks, mark = self._known.marks, told.mark
        if mark is None:
            return True  # lines were known by something else then: the result is written again
        note = marks.get(mark)
        if note is None:
            return False
        if note & STATUS == STATUSES[told.status] and told.status in TERMINAL:
            if note & HAD:
                self._earlier[mark] += 1
            else:
                marks.put(mark, note | HAD)
                self.kept += 1
            now, text = self._known.place(mark) if note & LINE else (0, 0)
            self._is_renumbered = self._is_renumbered or now not in {0, told.number}
            if self._changed is not None and now:
                self._changed.compare(now, text, told, line)
        return True

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
        marks = self._known.marks
        note = marks.get(told.mark) or 0
        if not note & HAD or note & STATUS != STATUSES[told.status]:
            return b""  # the event has another status by now
        if self._earlier[told.mark]:
            self._earlier[told.mark] -= 1
            return b""
        now = self._known.place(told.mark)[0] if note & LINE else 0
        return with_number(line, now) if now not in {0, told.number} else line
