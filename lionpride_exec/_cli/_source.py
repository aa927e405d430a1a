"""
Reading INPUT line by line without blocking the event loop, and without a thread that could outlast it.

A pipe or a terminal is read in the event loop, when it is readable: a Ctrl-C finds the reader waiting there,
not in a thread stuck in ``read()``, which the interpreter would wait for at exit. A regular file is always
readable and each read of it ends soon: those go to a worker thread.
"""

from __future__ import annotations

import os
import stat
from contextlib import aclosing
from typing import TYPE_CHECKING

import attrs
from anyio import CapacityLimiter, to_thread, wait_readable

from ._errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

STDIN = 0
CHUNK = 256 * 1024
BOM = b"\xef\xbb\xbf"


@attrs.define(eq=False)
class Source:
    """
    An open INPUT.

    Args:
        name: What to call it in messages.
        fd: Its file descriptor; closed by :meth:`close` unless it is standard input.
    """

    name: str
    fd: int
    status: os.stat_result = attrs.field(init=False)
    _start: int = attrs.field(default=0, init=False)
    _consumed: int = attrs.field(default=0, init=False)  # bytes of the lines given out

    def __attrs_post_init__(self) -> None:
        self.status = os.fstat(self.fd)
        if stat.S_ISDIR(self.status.st_mode):
            raise IsADirectoryError("it is a directory")
        if self._is_regular:
            self._start = os.lseek(self.fd, 0, os.SEEK_CUR)

    @property
    def fraction(self) -> float | None:
        """How much of a regular file has been given out, 0 to 1; None if the whole is not known."""
        size = self.status.st_size - self._start
        return min(self._consumed / size, 1.0) if self._is_regular and size > 0 else None

    async def lines(self) -> AsyncGenerator[tuple[int, bytes]]:
        r"""
        Give each line with its number, from 1, without its ``\n`` or ``\r\n``.

        Raises:
            OSError: It cannot be read on.

        Cancellation: while it waits for more.
        """
        async with aclosing(self._reads()) as reads:
            async for first, lines in reads:
                for number, line in enumerate(lines, first):
                    self._consumed += len(line) + 1
                    yield number, _clean(line, number)

    async def batches(self, size: int) -> AsyncGenerator[list[tuple[int, bytes]]]:
        """
        Give what :meth:`lines` gives, up to ``size`` at once: as many as have been read; nobody waits for more.

        Raises:
            OSError: It cannot be read on.

        Cancellation: while it waits for more.
        """
        async with aclosing(self._reads()) as reads:
            async for first, lines in reads:
                for begin in range(0, len(lines), size):
                    some = lines[begin : begin + size]
                    self._consumed += sum(map(len, some)) + len(some)
                    yield [(number, _clean(line, number)) for number, line in enumerate(some, first + begin)]

    def close(self) -> None:
        """Close it, unless it is standard input."""
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
        """Give the lines that each read has brought to their end, with the number of the first."""
        limiter = CapacityLimiter(1)  # its own: the events' threads must not keep it waiting
        number = 1
        parts: list[bytes] = []  # of the line whose end has not been read yet
        while chunk := await self._read(limiter):
            *ended, rest = chunk.split(b"\n")
            if ended:
                ended[0] = b"".join((*parts, ended[0]))
                parts.clear()
                yield number, ended
                number += len(ended)
            parts.append(rest)
        if last := b"".join(parts):
            yield number, [last]

    async def _read(self, limiter: CapacityLimiter) -> bytes:
        if self._can_be_awaited:
            await wait_readable(self.fd)
            return os.read(self.fd, CHUNK)
        return await to_thread.run_sync(os.read, self.fd, CHUNK, limiter=limiter)


def open_source(text: str) -> Source:
    """
    Open a file, or standard input for ``-``.

    Raises:
        UsageError: It cannot be opened, or is a directory.
    """
    name = "standard input" if text == "-" else text
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
