"""
Writing the results without blocking the event loop.

:meth:`Output.put` only keeps a line; one task writes what has been put, in a worker thread. If nobody takes
the results, :meth:`Output.wait_for_room` holds the reading of lines back: what is kept here is bounded too.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

import anyio
import attrs
from anyio import CapacityLimiter, move_on_after, to_thread

from lionpride_exec import _start
from lionpride_exec._cli.errors import OutputError, UsageError
from lionpride_exec._cli.streams import STDERR, STDOUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_KEPT = 1 << 20  # bytes
HURRY = 1 << 16  # bytes
OVERWRITE = "--overwrite replaces what it holds"
STANDARD = {"-": STDOUT, "/dev/stdout": STDOUT, "/dev/stderr": STDERR}
PAUSE = 0.05  # seconds between two writes, unless HURRY bytes wait: many results, one write


@attrs.define(eq=False)
class Output:
    """
    An open file for the results.

    Args:
        name: What to call it in messages.
        fd: Its file descriptor; closed by :meth:`close` unless it is standard output.
        is_new: Whether the file did not exist. It is removed again if nothing comes of the run.
        replaces: Whether what the file holds is dropped before the first result is written, and not earlier.
    """

    name: str
    fd: int
    is_new: bool = False
    replaces: bool = False
    _has_begun: bool = attrs.field(default=False, init=False)  # something was written, or what it held was dropped
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

    def close(self, *, has_run: bool = True) -> None:
        """
        Write what is left and close it.

        Args:
            has_run: Whether the file stands for a run even if no result was written. If not, and none was, then the
                file stays as it was found: with what it held, or missing.

        Raises:
            OutputError: It cannot be written; it is closed too.
        """
        try:
            self._write()
            if has_run:
                self._begin()
            elif self.is_new and not self._has_begun:
                with suppress(OSError):
                    os.unlink(self.name)  # noqa: PTH108  a name, as it was given
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
            if text:
                self._begin()
            while left:
                left = left[os.write(self.fd, left) :]
        except OSError as exc:
            self._failed = True
            raise OutputError(f"cannot write {self.name}: {exc.strerror or exc}") from exc

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            if self.replaces:
                os.ftruncate(self.fd, 0)

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


def open_output(
    text: str, source: os.stat_result, *, overwrite: bool = False, goes_on: bool = False, cures: str = OVERWRITE
) -> Output:
    """
    Open a file, or standard output for ``-``. Nothing that it holds is lost before a result is written.

    Args:
        text: Its path, or "-".
        source: Of the input: the output must not be the same file.
        overwrite: Whether a file may lose what it holds.
        goes_on: Whether it is a file to be gone on with, which loses nothing.
        cures: What to do about a file that is not empty, if ``overwrite`` is not given.

    Raises:
        UsageError: It cannot be opened, is the input, is not empty, or is nothing to go on with.
    """
    fd = _standard_stream(text)
    if fd is not None and not goes_on:
        return _open_standard_stream(text, fd)
    fd, is_new = _open(text, os.O_RDWR | os.O_APPEND if goes_on else os.O_WRONLY)
    status = os.fstat(fd)
    is_file = stat.S_ISREG(status.st_mode)
    problem = None
    if goes_on and not is_file:
        problem = "is no file that can be gone on with"
    elif is_file and os.path.samestat(status, source):
        problem = "is the input"
    elif is_file and status.st_size and not (goes_on or overwrite):
        problem = f"is not empty: {cures}"
    if problem is not None:
        os.close(fd)
        raise UsageError(f"--output {text} {problem}")
    return Output(text, fd, is_new, replaces=is_file and not goes_on)


def _open(text: str, flags: int) -> tuple[int, bool]:
    """
    Open a file, made if it is missing; return its file descriptor, and whether it is new.

    Raises:
        UsageError: It cannot be opened.
    """
    flags |= os.O_CREAT | os.O_CLOEXEC
    try:
        try:
            return os.open(text, flags | os.O_EXCL, 0o666), True
        except FileExistsError:
            return os.open(text, flags, 0o666), False
    except OSError as exc:
        raise UsageError(f"cannot write {text}: {exc.strerror or exc}") from exc


def _standard_stream(text: str) -> int | None:
    """Return the file descriptor that a name means; None if it names a file."""
    if text in STANDARD:
        return STANDARD[text]
    match = re.fullmatch(r"/dev/fd/(\d{1,4})", text)
    return None if match is None else int(match[1])


def _open_standard_stream(text: str, fd: int) -> Output:
    """
    Write to a stream that is open already, and where it stands: opened by its name, a file would be overwritten.

    Raises:
        UsageError: It is closed.
    """
    name = "standard output" if fd == STDOUT else text
    if fd in _start.closed:
        raise UsageError(f"cannot write {name}: it is closed")
    try:
        return Output(name, fd if fd == STDOUT else os.dup(fd))
    except OSError as exc:
        raise UsageError(f"cannot write {name}: {exc.strerror or exc}") from exc
