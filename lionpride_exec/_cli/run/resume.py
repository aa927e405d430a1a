"""
Bringing the output of a run up to its journal, before anything starts.

The output has to hold one result for each event that has ended in the journal, and no other result. The output lags
behind if the process died between a commit and a write: the missing results are written from the journal. The output is
ahead if events were put back to be run again, or after a power failure under ``--journal-sync normal``: those results
are removed. Results get the numbers that their lines have in INPUT now.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import MsgspecError

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._journal.reader import JournalReader
from lionpride_exec._status import TERMINAL
from lionpride_exec.errors import JournalError

from .changed_records import ChangedRecords
from .kept_results import KeptResults
from .known_events import HAD, ROWS, Known
from .line_identity import line_key, mark_of_row
from .stored_results import line_of_row, tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from lionpride_exec._journal.rows import Row

    from .input_files import InputFiles
    from .line_identity import Identity
    from .lines import JobMaker
    from .output import Output

WRITTEN = 200  # results that are written at once


class Resume:
    """
    One comparison of a journal with INPUT and with the output.

    Args:
        journal: Path of the journal. An executor has it open, and no event ends meanwhile.
        output: Open, with what it held.
        tag: The tag of events that are made of lines.
        identity: What lines are known by.
        is_here: Whether an event that has not ended is in memory. It is asked by the bytes of its id.
        goes_on: Whether to go on with an INPUT that has none of the lines of the journal.
        with_traceback: Whether errors in results that are written have their tracebacks.
    """

    def __init__(
        self,
        journal: Path,
        output: Output,
        tag: str,
        identity: Identity,
        is_here: Callable[[bytes], bool],
        *,
        goes_on: bool,
        with_traceback: bool = False,
    ) -> None:
        self.known = Known(is_here, keeps_texts=identity.field is not None)
        self.changed = ChangedRecords(self.known, identity)
        self.message: str | None = None  # about lines that INPUT does not have any more
        self._journal = journal
        self._output = output
        self._tag = tag
        self._identity = identity
        self._goes_on = goes_on
        self._with_traceback = with_traceback
        self._results = KeptResults(output, identity, self.known, self.changed)

    def steps(self, source: InputFiles, maker: JobMaker) -> Generator[None]:
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
                yield from self._results.settle()
                if self._results.kept < self.known.ended:
                    yield from self._write_missing(reader)
                yield from self.changed.count(source, maker)
        except JournalError as exc:
            raise UsageError(str(exc)) from exc
        except MsgspecError as exc:
            raise UsageError(f"cannot read {self._journal}: {exc}") from exc
        except OSError as exc:
            raise UsageError(f"cannot go on with {self._output.name}: {exc.strerror or exc}") from exc

    def _compare(self, reader: JournalReader, source: InputFiles, maker: JobMaker) -> Generator[None]:
        yield from self._check_journal(reader)
        self.known.is_part = source.is_part
        yield from self.known.read_journal(reader)
        if self.known.lines and source.can_look_ahead:
            yield from self.known.read_input(source, maker, self._identity)
            self.message = self.known.check(reader, source.place, goes_on=self._goes_on)
        for _ in self._results.read():
            yield
        if self._results.unknown:
            raise UsageError(
                f"{self._output.name} has {self._results.unknown:,} results that are not in {self._journal}: it is of "
                "another run; give another --output (or none that exists: it is written anew from the journal)"
            )

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

    # ---------------------------------------------------------------- changing the output

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
        for line in lines:
            self.changed.compare_written(line)


def drop_replaced(journal: Path, output: Output, identity: Identity) -> None:
    """
    Remove the results of events that have run again, or are to, from an output. Blocks.

    Args:
        journal: Path of the journal.
        output: Open. All results were written.
        identity: What lines are known by.

    Raises:
        UsageError: The journal or the output cannot be read or written.
    """
    known = Known()
    results = KeptResults(output, identity, known)
    try:
        with JournalReader(journal) as reader:
            for step in (known.read_journal(reader), results.read(), results.settle()):
                for _ in step:
                    pass
    except JournalError as exc:
        raise UsageError(str(exc)) from exc
    except OSError as exc:
        raise UsageError(f"cannot go on with {output.name}: {exc.strerror or exc}") from exc
