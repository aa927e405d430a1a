"""
Read INPUT line by line without blocking the event loop, and without a thread that could outlast the loop.

A pipe or a terminal is read in the event loop, once it is readable. A Ctrl-C then finds the reader waiting there, not
in a thread stuck in ``read()``, which the interpreter would wait for at exit. A regular file is always readable and
each read of it ends soon, so it is read in a worker thread.
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import aclosing
from typing import TYPE_CHECKING

import attrs
from anyio import CapacityLimiter, to_thread, wait_readable

from lionpride_exec import _start
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.streams import STDIN

from .input_formats import HEAD, is_enough, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

CHUNK = 256 * 1024
BOM = b"\xef\xbb\xbf"


@attrs.define(eq=False)
class Source:
    """
    An open INPUT.

    Args:
        name: Its name in messages.
        fd: Its file descriptor. :meth:`close` closes it, unless it is standard input.
    """

    name: str
    fd: int
    status: os.stat_result = attrs.field(init=False)
    _start: int = attrs.field(default=0, init=False)
    _consumed: int = attrs.field(default=0, init=False)  # bytes of the lines that were yielded
    _head: bytes = attrs.field(default=b"", init=False)  # read to recognise the format, and not yielded yet

    def __attrs_post_init__(self) -> None:
        self.status = os.fstat(self.fd)
        if stat.S_ISDIR(self.status.st_mode):
            raise IsADirectoryError("it is a directory")
        if self._is_regular:
            self._start = os.lseek(self.fd, 0, os.SEEK_CUR)

    @property
    def is_empty(self) -> bool:
        """Whether INPUT is a regular file with nothing left to read."""
        return self._is_regular and self.status.st_size <= self._start

    @property
    def fraction(self) -> float | None:
        """The part of a regular file that has been yielded, from 0 to 1. None if the size is not known."""
        size = self.status.st_size - self._start
        return min(self._consumed / size, 1.0) if self._is_regular and size > 0 else None

    def check_file(self, *, is_plain: bool) -> None:
        """
        Check that a regular file begins like lines, before anything is run. Do nothing for a pipe.

        Args:
            is_plain: Whether lines of text are expected, not JSON.

        Raises:
            UsageError: The file is compressed, has another encoding, is one JSON value or a table, or is unreadable.
        """
        if self._is_regular:
            try:
                head = os.pread(self.fd, HEAD, self._start)
            except OSError as exc:
                raise UsageError(f"cannot read {self.name}: {exc.strerror or exc}") from exc
            self._refuse(problem_of(head, is_plain=is_plain, is_all=len(head) < HEAD))

    async def check_stream(self, *, is_plain: bool) -> None:
        """
        Check that a pipe begins like lines.

        The pipe is read up to the end of its first line if the line is a record, else up to the end of its second line.

        Raises:
            UsageError: As for :meth:`check_file`.

        Cancellation: while it waits for more. What was read is kept.
        """
        is_all = self._is_regular
        while not (is_all or is_enough(self._head, is_plain=is_plain)):
            try:
                chunk = await self._read(None)
            except OSError as exc:
                raise UsageError(f"cannot read {self.name}: {exc.strerror or exc}") from exc
            self._head += chunk
            is_all = not chunk
        self._refuse(problem_of(self._head[:HEAD], is_plain=is_plain, is_all=is_all and len(self._head) < HEAD))

    def _refuse(self, problem: tuple[str, str] | None) -> None:
        if problem is not None:
            what, cure = problem
            cure = cure.replace(" FILE", "" if self.fd == STDIN else f" {shlex.quote(self.name)}").replace(" < |", " |")
            raise UsageError(f"{self.name} is {what}, not JSON lines: {cure}")

    @property
    def can_look_ahead(self) -> bool:
        """Whether INPUT can be read twice: it is a regular file."""
        return self._is_regular

    def look_ahead(self) -> Generator[tuple[int, bytes]]:
        """
        Yield each line of a regular file as :meth:`lines` will. The place in the file stays. Blocks.

        Raises:
            OSError: The file cannot be read.
        """
        place, first = self._start, 1
        parts: list[bytes] = []  # of the line whose end has not been read yet
        while chunk := os.pread(self.fd, CHUNK, place):
            place += len(chunk)
            *ended, rest = chunk.split(b"\n")
            if ended:
                ended[0] = b"".join((*parts, ended[0]))
                parts.clear()
                for number, line in enumerate(ended, first):
                    yield number, _clean(line, number)
                first += len(ended)
            parts.append(rest)
        if last := b"".join(parts):
            yield first, _clean(last, first)

    async def lines(self) -> AsyncGenerator[tuple[int, bytes]]:
        r"""
        Yield each line with its number, from 1, without its ``\n`` or ``\r\n``.

        Raises:
            OSError: INPUT cannot be read any further.

        Cancellation: while it waits for more.
        """
        async with aclosing(self._reads()) as reads:
            async for first, lines in reads:
                for number, line in enumerate(lines, first):
                    self._consumed += len(line) + 1
                    yield number, _clean(line, number)

    async def batches(self, size: int) -> AsyncGenerator[list[tuple[int, bytes]]]:
        """
        Yield what :meth:`lines` yields, in lists of up to ``size``. A list has the lines that one read has completed.

        Raises:
            OSError: INPUT cannot be read any further.

        Cancellation: while it waits for more.
        """
        async with aclosing(self._reads()) as reads:
            async for first, lines in reads:
                for begin in range(0, len(lines), size):
                    some = lines[begin : begin + size]
                    self._consumed += sum(map(len, some)) + len(some)
                    yield [(number, _clean(line, number)) for number, line in enumerate(some, first + begin)]

    def close(self) -> None:
        """Close INPUT, unless it is standard input."""
        if self.fd != STDIN:
            os.close(self.fd)

    @property
    def _is_regular(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def _can_be_awaited(self) -> bool:
        mode = self.status.st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self.fd)

    async def _reads(self) -> AsyncGenerator[tuple[int, list[bytes]]]:
        """Yield the lines that each read has completed, with the number of the first of them."""
        limiter = CapacityLimiter(1)  # a limiter of its own, so that threads of events do not delay INPUT
        number = 1
        parts: list[bytes] = []  # of the line whose end has not been read yet
        while chunk := self._take_head() or await self._read(limiter):
            *ended, rest = chunk.split(b"\n")
            if ended:
                ended[0] = b"".join((*parts, ended[0]))
                parts.clear()
                yield number, ended
                number += len(ended)
            parts.append(rest)
        if last := b"".join(parts):
            yield number, [last]

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    async def _read(self, limiter: CapacityLimiter | None) -> bytes:
        if self._can_be_awaited:
            await wait_readable(self.fd)
            return os.read(self.fd, CHUNK)
        return await to_thread.run_sync(os.read, self.fd, CHUNK, limiter=limiter)


def open_source(text: str) -> Source:
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
            return Source(name, fd)
        except OSError:
            if fd != STDIN:
                os.close(fd)
            raise
    except OSError as exc:
        raise UsageError(f"cannot read {name}: {exc.strerror or exc}") from exc


def _clean(line: bytes, number: int) -> bytes:
    return line.removeprefix(BOM if number == 1 else b"").removesuffix(b"\r")
