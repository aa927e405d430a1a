"""
Writing the results without blocking the event loop.

:meth:`Output.put` only keeps a line; one task writes what has been put, in a worker thread. If nobody takes
the results, :meth:`Output.wait_for_room` holds the reading of lines back: what is kept here is bounded too.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

import anyio
import attrs
from anyio import CapacityLimiter, move_on_after, to_thread

from ._errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STDOUT = 1
MAX_KEPT = 1 << 20  # bytes
HURRY = 1 << 16  # bytes
PAUSE = 0.05  # seconds between two writes, unless HURRY bytes wait: many results, one write


@attrs.define(eq=False)
class Output:
    """
    An open file for the results.

    Args:
        name: What to call it in messages.
        fd: Its file descriptor; closed by :meth:`close` unless it is standard output.
    """

    name: str
    fd: int
    _lines: deque[bytes] = attrs.field(factory=deque[bytes], init=False)
    _kept: int = attrs.field(default=0, init=False)  # bytes put and not written; changed in the event loop only
    _failed: bool = attrs.field(default=False, init=False)
    # Held while something is written: after a crash close() may find a thread that still does.
    _writing: Lock = attrs.field(factory=Lock, init=False)
    _some: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _much: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _room: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def put(self, line: bytes) -> None:
        """Have a line written soon; after a failed write it is dropped."""
        if self._failed:
            return
        self._lines.append(line)
        self._kept += len(line)
        self._some.set()
        if self._kept > HURRY:
            self._much.set()

    def forget(self) -> None:
        """Drop what has been put and is not written."""
        self._lines.clear()

    async def wait_for_room(self) -> None:
        """Wait while more than 1 MiB has not been written; for one task."""
        while self._kept > MAX_KEPT and not self._failed:
            self._room = anyio.Event()
            await self._room.wait()

    async def run(self, before_write: Callable[[], Awaitable[object]]) -> None:
        """
        Write what is put, until cancelled; :meth:`close` writes the rest.

        Raises:
            OutputError: It cannot be written.

        Cancellation: when a write that has begun has ended.
        """
        limiter = CapacityLimiter(1)  # its own: the events' threads must not keep it waiting
        while True:
            await self._some.wait()
            self._some, self._much = anyio.Event(), anyio.Event()
            await before_write()
            written = await to_thread.run_sync(self._write, limiter=limiter)
            self._kept -= written  # what was put meanwhile counts: not to be read before the write
            self._room.set()
            with move_on_after(PAUSE):
                await self._much.wait()

    def close(self) -> None:
        """
        Write what is left and close it.

        Raises:
            OutputError: It cannot be written; it is closed all the same.
        """
        try:
            self._write()
        finally:
            if self.fd != STDOUT:
                os.close(self.fd)

    def _write(self) -> int:
        with self._writing:
            if self._failed:  # what was put while the write failed is lost like what came after
                return 0
            batch: list[bytes] = []
            while self._lines:
                batch.append(self._lines.popleft())
            text = b"".join(batch)
            self.write_now(text)
            return len(text)

    def write_now(self, text: bytes) -> None:
        """
        Write something at once. Blocks.

        Raises:
            OutputError: It cannot be written.
        """
        left = memoryview(text)
        try:
            while left:
                left = left[os.write(self.fd, left) :]
        except OSError as exc:
            self._failed = True
            raise OutputError(f"cannot write {self.name}: {exc.strerror or exc}") from exc

    def reopen(self) -> None:
        """
        Go on with the file that has the name now.

        Raises:
            OSError: It cannot be opened; the old one is open still.
        """
        fd = os.open(self.name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.dup2(fd, self.fd, inheritable=False)
        finally:
            os.close(fd)


def open_output(text: str, source: os.stat_result, *, goes_on: bool = False) -> Output:
    """
    Open a file, which loses what it holds, or standard output for ``-``.

    Args:
        text: Its path, or "-".
        source: Of the input: the output must not be the same file.
        goes_on: Whether it is a file to be gone on with, which loses nothing.

    Raises:
        UsageError: It cannot be opened, is the input, or is nothing to go on with.
    """
    if goes_on:
        return _open_again(text, source)
    if text == "-":
        return Output("standard output", STDOUT)
    try:
        fd = os.open(text, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            if os.path.samestat(status, source):
                os.close(fd)
                raise UsageError(f"--output {text} is the input")
            os.ftruncate(fd, 0)
    except OSError as exc:
        raise UsageError(f"cannot write {text}: {exc.strerror or exc}") from exc
    return Output(text, fd)


def _open_again(text: str, source: os.stat_result) -> Output:
    try:
        fd = os.open(text, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as exc:
        raise UsageError(f"cannot write {text}: {exc.strerror or exc}") from exc
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or os.path.samestat(status, source):
        os.close(fd)
        is_input = stat.S_ISREG(status.st_mode)
        raise UsageError(
            f"--output {text} is the input" if is_input else f"--output {text} is no file that can be gone on with"
        )
    return Output(text, fd)
