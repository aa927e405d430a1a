"""
Write the results without blocking the event loop.

:meth:`Output.put` only keeps a line, and one task writes the kept lines in a worker thread. If the reader of the output
is slow, :meth:`Output.wait_for_room` holds back the reading of INPUT, so what is kept here is bounded.
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
    from collections.abc import Awaitable, Callable, Sequence

MAX_KEPT = 1 << 20  # bytes
HURRY = 1 << 16  # bytes
OVERWRITE = "--overwrite replaces what it holds"
STANDARD = {"-": STDOUT, "/dev/stdout": STDOUT, "/dev/stderr": STDERR}
PAUSE = 0.05  # seconds between two writes, so that one write takes many results; unless HURRY bytes wait


@attrs.define(eq=False)
class Output:
    """
    An open file for the results.

    Args:
        name: Its name in messages.
        fd: Its file descriptor. :meth:`close` closes it, unless it is standard output.
        is_new: Whether the file did not exist. It is removed again if the run does not begin.
        replaces: Whether the file is emptied before the first result is written.
    """

    name: str
    fd: int
    is_new: bool = False
    replaces: bool = False
    _has_begun: bool = attrs.field(default=False, init=False)  # something was written, or the file was emptied
    _lines: deque[bytes] = attrs.field(factory=deque[bytes], init=False)
    _kept: int = attrs.field(
        default=0, init=False
    )  # bytes that were put and not written; changed in the event loop only
    _failed: bool = attrs.field(default=False, init=False)
    # Held during a write: after a crash, close() may find a thread that is still writing.
    _writing: Lock = attrs.field(factory=Lock, init=False)
    _some: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _much: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _room: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def put(self, line: bytes) -> None:
        """Have a line written soon. After a failed write, lines are dropped."""
        if self._failed:
            return
        self._lines.append(line)
        self._kept += len(line)
        self._some.set()
        if self._kept > HURRY:
            self._much.set()

    def forget(self) -> None:
        """Drop the lines that have not been written."""
        self._lines.clear()

    async def wait_for_room(self) -> None:
        """Wait while more than 1 MiB has not been written. Only one task may wait."""
        while self._kept > MAX_KEPT and not self._failed:
            self._room = anyio.Event()
            await self._room.wait()

    async def run(self, before_write: Callable[[], Awaitable[object]]) -> None:
        """
        Write lines until cancelled. :meth:`close` writes the rest.

        Args:
            before_write: Awaited before each write.

        Raises:
            OutputError: The file cannot be written.

        Cancellation: once a write that has begun has ended.
        """
        limiter = CapacityLimiter(1)  # a limiter of its own, so that threads of events do not delay the output
        while True:
            await self._some.wait()
            self._some, self._much = anyio.Event(), anyio.Event()
            await before_write()
            written = await to_thread.run_sync(self._write, limiter=limiter)
            self._kept -= written  # read only now: lines were put during the write
            self._room.set()
            with move_on_after(PAUSE):
                await self._much.wait()

    def flush(self) -> None:
        """
        Write the rest at once. Blocks.

        Raises:
            OutputError: The file cannot be written.
        """
        self._write()

    def close(self, *, has_run: bool = True) -> None:
        """
        Write the rest and close the file.

        Args:
            has_run: Whether the run counts even if no result was written. If not, and no result was, the file is left
                as it was found: with its content, or missing.

        Raises:
            OutputError: The file cannot be written. It has been closed.
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
            if self._failed:  # lines that were put during the failed write are lost, like later ones
                return 0
            batch: list[bytes] = []
            while self._lines:
                batch.append(self._lines.popleft())
            text = b"".join(batch)
            self.write_now(text)
            return len(text)

    def write_now(self, text: bytes) -> None:
        """
        Write a text at once. Blocks.

        Raises:
            OutputError: The file cannot be written.
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
        Go on with the file that has this name now.

        Raises:
            OSError: That file cannot be opened. The old file is still open.
        """
        fd = os.open(self.name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.dup2(fd, self.fd, inheritable=False)
        finally:
            os.close(fd)


def open_output(
    text: str,
    sources: Sequence[os.stat_result],
    *,
    overwrite: bool = False,
    goes_on: bool = False,
    cures: str = OVERWRITE,
) -> Output:
    """
    Open a file, or standard output for ``-``. The file keeps its content until a result is written.

    Args:
        text: The path, or "-".
        sources: The status of each file of INPUT. The output must not be one of them.
        overwrite: Whether a file that is not empty may be replaced.
        goes_on: Whether the run goes on with the content of the file.
        cures: What the user can do about a file that is not empty, for the message.

    Raises:
        UsageError: The file cannot be opened, is INPUT, is not empty, or is not a regular file to go on with.
    """
    fd = _standard_stream(text)
    if fd is not None and not goes_on:
        return _open_standard_stream(text, fd)
    fd, is_new = _open(text, os.O_RDWR | os.O_APPEND if goes_on else os.O_WRONLY)
    status = os.fstat(fd)
    is_file = stat.S_ISREG(status.st_mode)
    problem = None
    if goes_on and not is_file:
        problem = "is not a regular file, which the next run could go on with"
    elif is_file and any(os.path.samestat(status, source) for source in sources):
        problem = "is the input"
    elif is_file and status.st_size and not (goes_on or overwrite):
        problem = f"is not empty: {cures}"
    if problem is not None:
        os.close(fd)
        raise UsageError(f"--output {text} {problem}")
    return Output(text, fd, is_new, replaces=is_file and not goes_on)


def _open(text: str, flags: int) -> tuple[int, bool]:
    """
    Open a file, and create it if it is missing. Return its file descriptor, and whether it is new.

    Raises:
        UsageError: The file cannot be opened.
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
    """Return the file descriptor that a name stands for. None if it is the name of a file."""
    if text in STANDARD:
        return STANDARD[text]
    match = re.fullmatch(r"/dev/fd/(\d{1,4})", text)
    return None if match is None else int(match[1])


def _open_standard_stream(text: str, fd: int) -> Output:
    """
    Return an output to a stream that is already open, at its present place.

    Opening it by its name would overwrite a file that the stream is redirected to.

    Raises:
        UsageError: The stream is closed.
    """
    name = "standard output" if fd == STDOUT else text
    if fd in _start.closed:
        raise UsageError(f"cannot write {name}: it is closed")
    try:
        return Output(name, fd if fd == STDOUT else os.dup(fd))
    except OSError as exc:
        raise UsageError(f"cannot write {name}: {exc.strerror or exc}") from exc
