"""
Lines that have an id and a result, and for which INPUT has another record than their result.

The start of a run reads INPUT and all results anyway. ``Known`` keeps 32 bits of the text of each record of INPUT, and
a result has the text of its own record. Texts that differ may be the same record, which another program has written
anew. So the lines whose texts differ are read once more, and their contents are compared.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from lionpride_exec._base.line_keys import id_in_key
from lionpride_exec._cli.errors import BadLineError
from lionpride_exec._status import FAILURES, EventStatus

from .compact_set import Marks
from .line_identity import CONTENT, mark_of_key
from .stored_results import read_line, record_in

if TYPE_CHECKING:
    from collections.abc import Generator

    from .input_files import InputFiles
    from .known_events import Known
    from .line_identity import Identity
    from .lines import JobMaker
    from .stored_results import Told

LINES = 5000  # lines of INPUT in a step

# Notes in Marks: what has become of a line with another text.
SAME, DONE, FAILED = 0, 1, 2

# An id that a command for a journal may take for the number of another event, or for an option.
_NO_PLAIN_ID = re.compile(r"#?[0-9]+|-.*", re.DOTALL)


class ChangedRecords:
    """
    The lines whose records have changed. Takes 26 to 51 bytes for each line that has another text than its result.

    Args:
        known: The events. It has read INPUT.
        identity: What lines are known by.

    Attributes:
        done: Lines that are done: they completed, or were skipped.
        failed: Lines that did not complete.
        number: The number of the first one that is done. 0 if there is none.
        name: What a command for the journal knows this line by, quoted for a shell.
    """

    def __init__(self, known: Known, identity: Identity) -> None:
        self.done = 0
        self.failed = 0
        self.number = 0
        self.name = ""
        self._known = known
        self._identity = identity
        self._others = Marks(number_bytes=8)  # by the number of a line: 64 bits of the content of its result

    def compare(self, number: int, text: int, told: Told, line: bytes) -> None:
        """
        Compare the text of a record in INPUT with that of a result.

        Args:
            number: The number of the line in INPUT.
            text: The digest of its record there.
            told: What the result says.
            line: The result.
        """
        if not self._known.has_texts or told.text is None:
            return
        if told.text != text:
            note = FAILED if EventStatus(told.status) in FAILURES else DONE
            self._others.put(number, note, _content_of(record_in(line)))
        elif self._others.get(number):  # an earlier result of the same event
            self._others.put(number, SAME)

    def compare_written(self, line: bytes) -> None:
        """Compare a result that was made of the journal with INPUT."""
        told = read_line(line, self._identity) if self._known.has_texts else None
        if told is not None and told.mark is not None:
            number, text = self._known.place(told.mark)
            if number:
                self.compare(number, text, told, line)

    def count(self, source: InputFiles, maker: JobMaker) -> Generator[None]:
        """
        Count the lines whose records have changed, in steps. INPUT is read once more if any text differs. Blocks.

        Raises:
            OSError: INPUT cannot be read.
        """
        if not len(self._others):
            return
        for number, line in source.look_ahead():
            if note := self._others.get(number):
                try:
                    record = maker.record_of(line)
                    if _content_of(record) != self._others.number(number):
                        self._add(number, note, record)
                except BadLineError:
                    continue  # INPUT is being changed
            if not number % LINES:
                yield

    def _add(self, number: int, note: int, record: bytes) -> None:
        if note == FAILED:
            self.failed += 1
            return
        self.done += 1
        if not self.number:
            self.number, self.name = number, _name_of(self._identity.key_of(record))


def _content_of(record: bytes) -> int:
    return mark_of_key(CONTENT.key_of(record))


def _name_of(key: str) -> str:
    name = id_in_key(key)
    if name is None or _NO_PLAIN_ID.fullmatch(name):
        name = key
    return shlex.quote(name if name.isprintable() else json.dumps(key))  # a terminal gets no control characters
