"""
One file of INPUT, read without blocking the event loop, and without a thread that could outlast the loop.

A pipe or a terminal is read in the event loop, once it is readable. A Ctrl-C then finds the reader waiting there, not
in a thread stuck in ``read()``, which the interpreter would wait for at exit. A regular file is always readable and
each read of it ends soon, so it is read in a worker thread.
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
from anyio import CapacityLimiter, to_thread, wait_readable

from lionpride_exec import _start
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.streams import STDIN

from .input_formats import HEAD, is_enough, problem_of
from .inputs.compression import Decoder, codec_of, may_be_compressed
from .inputs.formats import Formats, is_enough_of
from .inputs.recoder import Recoder
from .inputs.records import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from .inputs.formats import Kind
    from .inputs.parquet import ParquetRows
    from .inputs.records import Parser, Record

CHUNK = 256 * 1024

# The file descriptor of a file that is not open.
CLOSED = -1


class Reading:
    """
    One pass over the bytes of a file.

    Args:
        decoder: Decompresses the file.
        recoder: Makes UTF-8 of what it is then.
        parser: Makes its records.
    """

    def __init__(self, decoder: Decoder, recoder: Recoder, parser: Parser) -> None:
        self.parser = parser
        self._decoder = decoder
        self._recoder = recoder
        self._read = 0  # bytes of the file
        self._decoded = 0  # bytes that they decompress to

    @property
    def consumed(self) -> float:
        """How many bytes of the file the records have taken that were yielded."""
        return self.parser.position * self._read / self._decoded if self._decoded else 0

    def feed(self, chunk: bytes) -> Iterator[Iterator[Record]]:
        """Yield the records that a chunk of the file completes, piece by piece."""
        self._read += len(chunk)
        for data in map(self._recoder.feed, self._decoder.feed(chunk)):
            self._decoded += len(data)
            yield self.parser.feed(data)

    def end(self) -> Iterator[Record]:
        """Yield the records that the end of the file completes."""
        self._decoder.end()
        yield from self.parser.feed(self._recoder.feed(b"", is_all=True))
        yield from self.parser.end()


@attrs.define(eq=False)
class TableReading:
    """
    One pass over a file that is no stream of bytes.

    Attributes:
        parser: Reads the rows.
        size: The size of the file in bytes.
    """

    parser: ParquetRows
    size: int

    @property
    def consumed(self) -> float:
        """How many bytes of the file the records have taken that were yielded."""
        return self.parser.fraction * self.size


@attrs.define(eq=False)
class Source:
    """
    An open file of INPUT.

    Args:
        name: Its name in messages.
        fd: Its file descriptor. :meth:`close` closes it, unless it is standard input.
        formats: How it is read.
    """

    name: str
    fd: int
    formats: Formats = attrs.field(factory=Formats)
    status: os.stat_result = attrs.field(init=False)
    kind: Kind = attrs.field(default="jsonl", init=False)  # known once its beginning was checked
    _codec: str | None = attrs.field(default=None, init=False)
    _start: int = attrs.field(default=0, init=False)
    _head: bytes = attrs.field(default=b"", init=False)  # read to recognise the format, and not yielded yet

    def __attrs_post_init__(self) -> None:
        self.status = os.fstat(self.fd)
        if stat.S_ISDIR(self.status.st_mode):
            raise IsADirectoryError("it is a directory")
        if self.is_regular:
            self._start = os.lseek(self.fd, 0, os.SEEK_CUR)

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file, which can be read twice."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def size(self) -> int:
        """How many bytes there are to read. 0 if that is not known."""
        return max(self.status.st_size - self._start, 0) if self.is_regular else 0

    def check_file(self) -> None:
        """
        Check that a regular file begins like its format, before anything is run. Do nothing for a pipe.

        Raises:
            UsageError: The file has another encoding, is in no format that can be read, or is unreadable.
        """
        if self.is_regular:
            try:
                head = os.pread(self.fd, HEAD, self._start)
            except OSError as exc:
                raise UsageError(f"cannot read {self.name}: {exc.strerror or exc}") from exc
            self._check(head, is_all=len(head) < HEAD)

    async def check_stream(self) -> None:
        """
        Check that a pipe begins like its format.

        The pipe is read up to the end of its first line if the line is a record, else up to the end of its second line.

        Raises:
            UsageError: As for :meth:`check_file`.

        Cancellation: while it waits for more. What was read is kept.
        """
        is_all = self.is_regular
        while not (is_all or self._is_enough()):
            try:
                chunk = await self._read(None)
            except OSError as exc:
                raise UsageError(f"cannot read {self.name}: {exc.strerror or exc}") from exc
            self._head += chunk
            is_all = not chunk
        if not self.is_regular:
            self._check(self._head, is_all=is_all and len(self._head) < HEAD)

    def _is_enough(self) -> bool:
        if may_be_compressed(self._head):
            return False
        text = self._decoded(self._head)
        kind = self.formats.find(self.name, text)
        if len(self._head) >= HEAD:
            return True
        return is_enough(text, is_plain=self.formats.is_plain) if kind == "jsonl" else is_enough_of(kind, text)

    def _check(self, head: bytes, *, is_all: bool) -> None:
        """Find out the format by the first bytes, and refuse what is none."""
        text = self._decoded(head)
        is_all = is_all and len(text) < HEAD
        self._codec, self.kind = codec_of(head), self.formats.find(self.name, text)
        is_plain = self.formats.is_plain or self.kind != "jsonl"  # then only binary formats are refused here
        if self.kind == "parquet":
            self._check_parquet()
            return
        problem = problem_of(text[:HEAD], is_plain=is_plain, is_all=is_all)
        if problem is not None:
            what, cure = problem
            cure = cure.replace(" FILE", "" if self.fd == STDIN else f" {shlex.quote(self.name)}").replace(" < |", " |")
            raise UsageError(f"{self.name} is {what}, not JSON lines: {cure}")
        if self.kind != "jsonl":
            self.formats.check_head(self.kind, self.name, text)

    def _check_parquet(self) -> None:
        """Refuse a Parquet file that cannot be read."""
        if not self.is_regular:
            raise UsageError(f"{self.name} is a pipe, and Parquet is read from its end: save it to a file first")
        if self._codec is not None:
            raise UsageError(
                f"{self.name} is compressed with {self._codec}, and Parquet is read from its end: decompress it first"
            )
        self.formats.parquet_rows(self.name).check(self.fd, self._start)

    def _decoded(self, head: bytes) -> bytes:
        """Return what the first bytes decompress to, as far as they can be decompressed."""
        parts: list[bytes] = []
        recoder = Recoder(self.formats.encoding)
        try:
            for part in Decoder(self.name, codec_of(head)).feed(head):
                parts.append(recoder.feed(part))
                if len(part) >= HEAD:
                    break
        except InputError:  # the run tells when it comes to it
            pass
        return b"".join(parts)

    # ---------------------------------------------------------------- reading

    def reading(self, number: int) -> Reading | TableReading:
        """Return a new pass over the file. ``number`` lines come before it."""
        if self.kind == "parquet":
            return TableReading(self.formats.parquet_rows(self.name, number), self.size)
        parser = self.formats.parser(self.kind, self.name, number)
        return Reading(Decoder(self.name, self._codec), Recoder(self.formats.encoding), parser)

    def look_ahead(self, reading: Reading | TableReading) -> Generator[Iterator[Record]]:
        """
        Yield the records of a regular file, as :meth:`read` will. The place in the file stays. Blocks.

        Raises:
            OSError: The file cannot be read.
        """
        if isinstance(reading, TableReading):
            yield from map(iter, reading.parser.pieces(self.fd, self._start))
            return
        place = self._start
        while chunk := os.pread(self.fd, CHUNK, place):
            place += len(chunk)
            yield from reading.feed(chunk)
        yield reading.end()

    async def read(self, reading: Reading | TableReading) -> AsyncGenerator[Iterator[Record]]:
        """
        Yield the records that each read has completed.

        Raises:
            OSError: The file cannot be read any further.

        Cancellation: while it waits for more.
        """
        limiter = CapacityLimiter(1)  # a limiter of its own, so that threads of events do not delay INPUT
        if isinstance(reading, TableReading):
            pieces = reading.parser.pieces(self.fd, self._start)
            while (piece := await to_thread.run_sync(next, pieces, None, limiter=limiter)) is not None:
                yield iter(piece)
            return
        while chunk := self._take_head() or await self._read(limiter):
            for records in reading.feed(chunk):
                yield records
        yield reading.end()

    @contextmanager
    def opened(self) -> Generator[None]:
        """
        Inside the block, the file is open. A file that :meth:`suspend` has closed is closed again.

        Raises:
            OSError: The file cannot be opened any more.
        """
        is_suspended = self.fd == CLOSED
        if is_suspended:
            self.fd = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield
        finally:
            if is_suspended:
                self.suspend()

    def suspend(self) -> None:
        """Close a regular file until it is read: a process cannot have very many files open."""
        if self.is_regular:
            self.close()

    def close(self) -> None:
        """Close the file, unless it is standard input."""
        if self.fd not in {STDIN, CLOSED}:
            os.close(self.fd)
            self.fd = CLOSED

    @property
    def _can_be_awaited(self) -> bool:
        mode = self.status.st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self.fd)

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    async def _read(self, limiter: CapacityLimiter | None) -> bytes:
        if self._can_be_awaited:
            await wait_readable(self.fd)
            return os.read(self.fd, CHUNK)
        return await to_thread.run_sync(os.read, self.fd, CHUNK, limiter=limiter)


def open_source(text: str, formats: Formats) -> Source:
    """
    Open a file, or standard input for ``-``.

    Raises:
        UsageError: The file cannot be opened or is a directory, or standard input is closed.
    """
    name = "standard input" if text == "-" else text
    if text == "-" and STDIN in _start.closed:
        raise UsageError(f"cannot read {name}: it is closed")
    try:
        fd = STDIN if text == "-" else os.open(text, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return Source(name, fd, formats)
        except OSError:
            if fd != STDIN:
                os.close(fd)
            raise
    except OSError as exc:
        raise UsageError(f"cannot read {name}: {exc.strerror or exc}") from exc
