"""
INPUT: one file, or several as if they were one.

The lines of all files are counted through, as `cat` would have them. So the number of a line, and what a line is known
by, do not depend on how the lines are spread over files.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from contextlib import aclosing
from glob import glob, has_magic
from typing import TYPE_CHECKING, NamedTuple

from lionpride_exec._cli.errors import UsageError

from .inputs.formats import TABLES
from .inputs.records import InputError
from .source import open_source

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence

    from .inputs.formats import Formats
    from .inputs.records import Record
    from .inputs.window import Window
    from .source import Reading, Source, TableReading


class Place(NamedTuple):
    """Where a record is: the name of its file, what is counted there, and its number."""

    file: str
    unit: str
    number: int


class InputFiles:
    """
    The files of a run.

    Args:
        sources: The files, in their order. At least one. :meth:`close` closes them.
        window: Makes what chooses the records of one pass. None to read all records.
    """

    def __init__(self, sources: Sequence[Source], window: Callable[[], Window] | None = None) -> None:
        self.sources = sources
        self._make_window = window
        self._window = None if window is None else window()  # of the pass that runs the records
        # Called with a message about a file that cannot be read to its end.
        self.tell: Callable[[str], object] = print
        self._firsts: list[int] = []  # for each file that was begun: how many lines come before it
        self._units: list[str] = []  # likewise: what is counted in it
        self._done = 0  # bytes of the files that were read
        self._reading: Reading | TableReading | None = None

    @property
    def name(self) -> str:
        """The name in messages."""
        return self.sources[0].name if len(self.sources) == 1 else f"{len(self.sources):,} files"

    @property
    def statuses(self) -> list[os.stat_result]:
        """The status of each file."""
        return [source.status for source in self.sources]

    @property
    def is_part(self) -> bool:
        """Whether only some of the records are read."""
        return self._window is not None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read: all are regular files of no bytes."""
        return all(source.is_regular and not source.size for source in self.sources)

    @property
    def can_look_ahead(self) -> bool:
        """Whether INPUT can be read twice: all are regular files."""
        return all(source.is_regular for source in self.sources)

    @property
    def fraction(self) -> float | None:
        """The part of regular files that has been yielded, from 0 to 1. None if their size is not known."""
        if self._window is not None and self._window.fraction:
            return self._window.fraction
        size = sum(source.size for source in self.sources)
        if not (size and self.can_look_ahead):
            return None
        return min((self._done + (0 if self._reading is None else self._reading.consumed)) / size, 1.0)

    async def check_streams(self) -> None:
        """
        Check that each pipe begins like its format.

        Raises:
            UsageError: It does not.

        Cancellation: while it waits for the first lines. What was read is kept.
        """
        for source in self.sources:
            await source.check_stream()

    # ---------------------------------------------------------------- places

    def find(self, number: int) -> Place:
        """Return where a record is, by its number in all files."""
        index = max(bisect_left(self._firsts, number) - 1, 0)
        if index >= len(self._firsts):  # nothing was read yet
            return Place(self.sources[index].name, "line", number)
        return Place(self.sources[index].name, self._units[index], number - self._firsts[index])

    def place(self, number: int) -> str:
        """Return where a record is, for messages. The file is not named if INPUT is a single file of lines."""
        file, unit, number = self.find(number)
        is_named = len(self.sources) > 1 or self.sources[0].kind != "jsonl"
        return f"{file}, {unit} {number}" if is_named else f"{unit} {number}"

    def place_beside(self, number: int, other: int) -> str:
        """Return where a record is, for a message about another one. The file is named if it is not that of both."""
        file, unit, found = self.find(number)
        return f"{unit} {found}" if file == self.find(other).file else f"{unit} {found} of {file}"

    def _begin(self, index: int, number: int) -> Reading | TableReading:
        """Begin a pass over a file. ``number`` lines come before it."""
        reading = self.sources[index].reading(number)
        del self._firsts[index:], self._units[index:]
        self._firsts.append(number)
        self._units.append(reading.parser.unit)
        return reading

    # ---------------------------------------------------------------- reading

    def look_ahead(self) -> Generator[Record]:
        """
        Yield each record of regular files as :meth:`lines` will. The place in the files stays. Blocks.

        Raises:
            OSError: A file cannot be read.
        """
        number, window = 0, None if self._make_window is None else self._make_window()
        for index, source in enumerate(self.sources):
            reading = self._begin(index, number)
            with source.opened():
                try:
                    for records in source.look_ahead(reading):
                        yield from records if window is None else window.of(records)
                        if window is not None and window.is_over:
                            return
                except InputError:
                    pass  # it is told when the records are read to be run
            number = reading.parser.number

    async def lines(self) -> AsyncGenerator[Record]:
        """
        Yield each record with its number, from 1. A file that cannot be read to its end is told, and the next one read.

        Cancellation: while it waits for more.
        """
        async with aclosing(self._pieces()) as pieces:
            async for records in pieces:
                for record in records:
                    yield record

    async def batches(self, size: int) -> AsyncGenerator[list[Record]]:
        """
        Yield what :meth:`lines` yields, in lists of up to ``size``. A list has records that one read has completed.

        Cancellation: while it waits for more.
        """
        async with aclosing(self._pieces()) as pieces:
            async for records in pieces:
                batch: list[Record] = []
                for record in records:
                    batch.append(record)
                    if len(batch) == size:
                        yield batch
                        batch = []
                if batch:
                    yield batch

    async def _pieces(self) -> AsyncGenerator[Iterator[Record]]:
        """Yield the records that each read of a file has completed. The iterators raise nothing."""
        number, window = 0, self._window
        for index, source in enumerate(self.sources):
            reading = self._reading = self._begin(index, number)
            failures: list[OSError] = []
            try:
                with source.opened():
                    async with aclosing(source.read(reading)) as pieces:
                        async for records in pieces:
                            found = _until_error(records, failures)
                            yield found if window is None else window.of(found)
                            if window is not None and window.is_over:
                                return
                            if failures:
                                break
            except OSError as exc:
                failures.append(exc)
            number, self._reading = reading.parser.number, None
            self._done += source.size
            for failure in failures:
                read = number - self._firsts[index]
                after = f" after {reading.parser.unit} {read:,}" if read else ""
                self.tell(f"cannot read on in {source.name}{after}: {failure.strerror or failure}")

    def close(self) -> None:
        """Close all files, but for standard input."""
        for source in self.sources:
            source.close()


def _until_error(records: Iterator[Record], failures: list[OSError]) -> Iterator[Record]:
    """Yield records. Add the error that ends them to a list."""
    try:
        yield from records
    except OSError as exc:
        failures.append(exc)


def expand(texts: Sequence[str]) -> list[str]:
    """
    Return the paths that the arguments name: a pattern such as ``data/*.csv`` stands for all files that it matches.

    Raises:
        UsageError: There is none, a pattern matches nothing, a file comes twice, or standard input is one of several.
    """
    if not texts:
        raise UsageError("INPUT is missing: name a file, or give - for standard input")
    paths: list[str] = []
    for text in texts:
        if not has_magic(text) or os.path.lexists(text):
            paths.append(text)
            continue
        found = [path for path in sorted(glob(text, recursive=True)) if not os.path.isdir(path)]  # noqa: PTH112, PTH207  names, as they are given
        if not found:
            raise UsageError(f"no file matches {text}")
        paths += found
    if len(paths) > 1 and "-" in paths:
        raise UsageError("standard input (-) cannot be one of several files")
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise UsageError(f"{path} is given twice")
    return paths


def open_files(paths: Sequence[str], formats: Formats, window: Callable[[], Window] | None = None) -> InputFiles:
    """
    Open INPUT, and check that each regular file begins like its format.

    Args:
        paths: The files.
        formats: How they are read.
        window: As for :class:`InputFiles`.

    Raises:
        UsageError: A file cannot be opened or read, or is in no format that can be read.
    """
    sources: list[Source] = []
    try:
        for path in paths:
            sources.append(source := open_source(path, formats))
            source.check_file()
            if len(paths) > 1:
                source.suspend()
        _check_use_of_delimiter(sources, formats)
    except BaseException:
        for source in sources:
            source.close()
        raise
    return InputFiles(sources, window)


def _check_use_of_delimiter(sources: Sequence[Source], formats: Formats) -> None:
    if formats.delimiter is None or formats.asked is not None or any(source.kind in TABLES for source in sources):
        return
    raise UsageError("--delimiter does nothing: no file of INPUT is a table; --input-format csv makes it one")
