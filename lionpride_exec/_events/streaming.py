"""
Reading the chunks of a streaming event while it runs.

Readers and response use one list: the chunks of the current run. A reader has a position in that list. A bounded memory
stream tells the reader which chunks it may take, so the event waits for a reader that is more than a buffer behind. A
reader gets every chunk, even if one of its steps is cancelled, if it starts late, or if the event ends while the buffer
of the reader is full.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from inspect import iscoroutinefunction
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import soon_caller
from lionpride_exec._base.closing_iterator import ClosingIterator
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_count
from lionpride_exec.errors import ExecutorClosedError, OperationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .chunk_buffer import ChunkBuffer, Receiver, Sender


class ChunkSource(Protocol):
    """The interface through which a reader sees its event."""

    @property
    def status(self) -> EventStatus:
        """The status of the event."""
        ...

    def result(self) -> Any:
        """Return the response, or raise an error if there is none."""

    def _check_outside(self, what: str) -> None:
        """Raise ``RuntimeError`` if the caller runs inside the event, which would then wait for itself."""

    def _may_produce(self) -> bool:
        """Return whether there may be more chunks, because the event runs or may still run."""
        ...

    def _reader_away(self) -> AbstractContextManager[None] | None:
        """Return the context of a task that waits for the event. None if there is nothing to enter."""


class ChunkReader(ClosingIterator[Any]):
    """
    Iterates over the chunks of a streaming event; made by ``Event.chunks()``, whose docstring has the rules.

    ``async with`` or :meth:`aclose` ends the reading. Leaving the loop also ends the reading, unless the reader is kept
    in a variable. A cancelled step loses no chunk. After a cancelled step the event does not wait for the reader, until
    the reader takes its next step.
    """

    _streams: tuple[Sender, Receiver] | None = None  # while the event waits for this reader

    def __init__(self, event: ChunkSource, feed: ChunkBuffer, buffer: int) -> None:
        self._event = event
        self._produced = feed
        self._buffer = buffer
        self._is_closed = False
        self._chunks: list[Any] = []
        self._position = 0
        self._known = 0  # how many of the chunks may be taken from the list
        # __del__() may be called by any thread. Only this thread may touch what tasks wait for.
        self._thread = get_ident()
        self._call_soon = soon_caller()
        self._attach()

    async def __anext__(self) -> Any:
        try:
            self._event._check_outside("chunk")
            if self._is_behind():
                await checkpoint()
            while not self._is_closed:
                if self._is_behind():
                    return self._take()
                await self._learn()
        except BaseException:
            # After a cancellation the caller may never come back, and a traceback may keep this object alive.
            self._detach()
            raise
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading, so that the event no longer waits for this reader. Idempotent. Does not wait."""
        self._close()

    def __del__(self) -> None:
        if self._streams is None:
            return
        if (
            self._call_soon is None
            or self._thread == get_ident()
            or not self._call_soon(partial(self._produced.leave, *self._streams))
        ):
            self._detach()

    # ---------------------------------------------------------------- inside

    def _follow(self) -> None:
        """Switch to the chunks of the current run."""
        feed = self._produced
        if feed.chunks and self._event.status is EventStatus.PENDING:
            feed.begin()  # the event will run again, so drop the chunks of the last run
        if self._chunks is not feed.chunks:
            self._chunks, self._position, self._known = feed.chunks, 0, 0

    def _is_behind(self) -> bool:
        if self._streams is None and not self._is_closed:
            self._attach()
        self._follow()
        return self._position < self._known

    def _take(self) -> Any:
        chunk = self._chunks[self._position]
        self._position += 1
        self._produced.was_taken = True
        return chunk

    async def _learn(self) -> None:
        """Wait for the next chunk or the end of the event. After the end and the last chunk, stop reading."""
        assert self._streams is not None
        _, receiver = streams = self._streams
        try:
            with self._event._reader_away() or nullcontext():
                chunks, index = await receiver.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            if streams is not self._streams:  # another task has closed the reader, or was cancelled in its step
                return
        else:
            self._follow()
            if chunks is self._chunks:  # otherwise a chunk of an earlier run
                self._known = max(self._known, index + 1)
            return
        self._follow()
        if self._event.status in TERMINAL:
            self._known = len(self._chunks)
        if not self._is_behind():
            self._finish()

    def _finish(self) -> None:
        """
        Stop reading. Raise an error unless the event has completed in this process.

        Raises:
            EventFailed: The event ended without a response.
            ExecutorClosedError: The event did not end, and no executor will run it.
            OperationError: The event completed in another process.
        """
        event = self._event
        self._close()
        if event.status not in TERMINAL:
            raise ExecutorClosedError(f"{event} did not end: its executor was left, or removed the event")
        event.result()
        if not self._produced.has_run:
            raise OperationError(f"{event} did not stream in this process: its chunks are not known")

    def _attach(self) -> None:
        """Make the event wait for this reader, from the next chunk on."""
        self._follow()
        self._known = len(self._chunks)
        self._streams = sender, _ = anyio.create_memory_object_stream[Any](self._buffer)
        if self._event._may_produce():
            self._produced.join(sender)
        else:
            sender.close()

    def _detach(self) -> None:
        """Let the event go on without this reader."""
        if self._streams is not None:
            streams, self._streams = self._streams, None
            self._produced.leave(*streams)

    def _close(self) -> None:
        self._is_closed = True
        self._detach()


def check_reader(event: object, work: Callable[[], object], buffer: int) -> None:
    """
    Check that an event produces chunks by ``work()``, and check the buffer of a reader.

    Raises:
        TypeError: The event does not stream.
        ValueError: The buffer is not an int, or is negative.
    """
    if iscoroutinefunction(work):
        raise TypeError(
            f"{event} does not stream: override stream() and set streaming=True, "
            "or write _invoke() as an async generator"
        )
    check_count("buffer", buffer, 0)
