"""``--dry-run``: read INPUT and make the events, but run none."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._base.wording import counted
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._cli.exit_status import COMPLETED, INCOMPLETE
from lionpride_exec._cli.streams import say

from .keyed_run import identity_of
from .line_identity import Lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event

    from .input_files import InputFiles
    from .lines import JobMaker
    from .options import RunOptions

SHOWN = 200  # characters of a record in the message

ALIKE = 5  # lines that are told if all records are bad for the same reason


class DryRun:
    """
    Reads all records. Nothing is run, and no file is written.

    Args:
        maker: Makes events of lines.
        source: INPUT.
        options: ``backend``, ``line_id`` and ``quiet`` are used.
        look: Called with each event. What it raises as BadLineError is told of its line.
        name: What the message at the end calls this.
    """

    def __init__(
        self,
        maker: JobMaker,
        source: InputFiles,
        options: RunOptions,
        look: Callable[[Event], None] = lambda _event: None,
        name: str = "dry run",
    ) -> None:
        self._maker = maker
        self._look = look
        self._name = name
        self._source = source
        self._options = options
        self._keys = None if options.line_id is None else Lines(identity_of(options), source.place_beside)
        self._good = self._bad = 0
        self._reason: str | None = None  # why all records so far are bad; None if one is good, or there are two reasons
        self._more = 0  # bad lines with this reason that were not told
        self._has_read_all = True
        self._first: bytes | None = None
        source.tell = self._tell_of_unread

    def run(self) -> int:
        """
        Read all records, and tell of those that are bad. Return the exit status: 1 if one is bad, or not all was read.

        Raises:
            UsageError: A pipe is in no format that can be read.
        """
        try:
            anyio.run(self._read, backend=self._options.backend.partition("+")[0])
        except* UsageError as group:
            raise group.exceptions[0] from group
        self._end_alike()
        if not self._options.quiet:
            bad = f", {counted(self._bad, 'bad line')}" if self._bad else ""
            first = "" if self._first is None else f"; the first record: {self._shown(self._first)}"
            say(f"{self._name}: {counted(self._good, 'line')} can be run{bad}{first}")
        return INCOMPLETE if self._bad or not self._has_read_all else COMPLETED

    async def _read(self) -> None:
        await self._source.check_streams()
        async with aclosing(self._source.lines()) as lines:
            async for number, line in lines:
                if self._maker.is_blank(line):
                    continue
                try:
                    job = self._maker.make(line, number)
                    if self._keys is not None:
                        self._keys.key_of(self._maker.record_of(line), number)
                    self._look(job.event)
                except BadLineError as exc:
                    self._refuse(number, str(exc))
                else:
                    self._good += 1
                    self._first = self._first or job.record
                await checkpoint()  # Ctrl-C

    def _refuse(self, number: int, reason: str) -> None:
        """Tell of a bad line, unless all lines so far are bad for the same reason."""
        if not (self._good or self._bad):
            self._reason = reason
        self._bad += 1
        if self._good or reason != self._reason:
            self._end_alike()
        elif self._bad > ALIKE:
            self._more += 1
            return
        say(f"{self._source.place(number)}: {reason}")

    def _end_alike(self) -> None:
        """Tell how many lines were not told, and tell all from now on."""
        if self._more:
            say(f"and {counted(self._more, 'more line')} for the same reason")
        self._more, self._reason = 0, None

    def _tell_of_unread(self, message: str) -> None:
        self._has_read_all = False
        say(message)

    @staticmethod
    def _shown(record: bytes) -> str:
        text = record.decode()
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
