"""
The chunks of a streaming event, and those who read them while it runs.

The list of chunks of the current run is what counts, for readers as for the response: a reader has a position in it.
How far it may go is told to it through a bounded memory stream of its own, so the producer waits for whoever is more
than a buffer behind. What a reader must not lose it therefore never loses: not with a cancelled step, not by coming
late, not by the end of the event while its buffer was full.
"""

from __future__ import annotations

from contextlib import aclosing, nullcontext, suppress
from functools import partial
from inspect import iscoroutinefunction
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream, WouldBlock
from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import soon_caller, startable, timeout_deadline
from lionpride_exec._base.closing_iterator import ClosingIterator
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_count
from lionpride_exec.errors import ExecutorClosedError, LionTimeoutError, OperationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from .event import Event

    # The list of a run, and the index in it of the chunk that has been produced.
    Produced = tuple[list[Any], int]
    Sender = MemoryObjectSendStream[Produced]
    Receiver = MemoryObjectReceiveStream[Produced]


class Idle(Exception):
    """Carries the error of an idle producer out of its run, and no further: the user's code may raise that one too."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.error = LionTimeoutError(f"The stream was idle: no chunk within {seconds}s", retryable=True)


class ChunkBuffer:
    """
    What the current run of an event has produced, and the readers it goes to.

    Attributes:
        chunks: All chunks of the current run, or of the last one; a new list for each.
        has_run: Whether there has been a run.
        was_taken: Whether a reader has taken one of them.
    """

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.has_run: bool = False
        self.was_taken: bool = False
        # One for each reader. Of the reader itself nothing here knows, so that one nobody has any more goes.
        self._senders: dict[Sender, None] = {}

    def begin(self) -> list[Any]:
        """Begin anew, with nothing produced."""
        self.chunks = []
        self.was_taken = False
        return self.chunks

    def end(self) -> None:
        """Have the readers find the end after what they have been handed; what follows does not go to them."""
        for sender in tuple(self._senders):
            sender.close()
        self._senders.clear()

    def join(self, sender: Sender) -> None:
        """Have all that is produced from now on go to a reader."""
        self._senders[sender] = None

    def leave(self, sender: Sender, receiver: Receiver) -> None:
        """Forget a reader; the producer, if it waits for it, goes on."""
        self._senders.pop(sender, None)
        receiver.close()
        sender.close()

    async def fill(self, work: AsyncIterator[Any], idle_timeout: float | None) -> list[Any]:
        """
        Take all chunks out of a producer, handing each to the readers, and close the producer.

        Raises:
            Idle: The next chunk took longer than that.

        Cancellation: in the producer, or while a reader has no room.
        """
        chunks = self.begin()
        self.has_run = True
        closing: AbstractAsyncContextManager[Any] = aclosing(work) if hasattr(work, "aclose") else nullcontext()
        async with closing:
            async for chunk in work if idle_timeout is None else IdleTimeoutIterator(work, idle_timeout):
                chunks.append(chunk)
                if self._senders:
                    await self._hand_over((chunks, len(chunks) - 1))
        return chunks

    async def _hand_over(self, item: Produced) -> None:
        slow = [sender for sender in tuple(self._senders) if not _offer(sender, item)]
        if len(slow) == 1:
            await _push(slow[0], item)
        elif slow:  # all at once: one that takes it must not have to wait for another that does not
            async with anyio.create_task_group() as group:
                for sender in slow:
                    group.start_soon(startable(_push), sender, item, name="chunk for a slow reader")


class IdleTimeoutIterator:
    """Iterates a producer, and raises :class:`Idle` when the next chunk takes longer than so many seconds."""

    def __init__(self, work: AsyncIterator[Any], seconds: float) -> None:
        self._work = work
        self._seconds = seconds

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        with CancelScope(deadline=timeout_deadline(self._seconds)):
            return await anext(self._work)
        raise Idle(self._seconds)


class ChunkReader(ClosingIterator[Any]):
    """
    Iterates the chunks of a streaming event; made by ``Event.chunks()``, which says how it goes.

    ``async with`` or :meth:`aclose` end the reading for certain; a loop that is left forgets a reader that has no
    other name just as well. A step that is cancelled loses no chunk, and until the next one nobody waits for the
    reader.
    """

    _streams: tuple[Sender, Receiver] | None = None  # while the event waits for this reader

    def __init__(self, event: Event, feed: ChunkBuffer, buffer: int) -> None:
        self._event = event
        self._feed = feed
        self._buffer = buffer
        self._is_closed = False
        self._chunks: list[Any] = []
        self._position = 0
        self._known = 0  # how many of the chunks may be taken from the list
        # __del__() may be called by any thread, and no other may touch what tasks wait for.
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
            # Cancelled: who waited may be gone for good, and the traceback may keep this object for long.
            self._detach()
            raise
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading: the event no longer waits for this reader. Idempotent; does not wait."""
        self._close()

    def __del__(self) -> None:
        if self._streams is None:
            return
        if (
            self._call_soon is None
            or self._thread == get_ident()
            or not self._call_soon(partial(self._feed.leave, *self._streams))
        ):
            self._detach()

    # ---------------------------------------------------------------- inside

    def _follow(self) -> None:
        """Go over to the run that is current now."""
        feed = self._feed
        if feed.chunks and self._event.status is EventStatus.PENDING:
            feed.begin()  # it will be run again: what the last run left does not count any more
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
        self._feed.was_taken = True
        return chunk

    async def _learn(self) -> None:
        """Wait until there is more, or the end; that ends the reading too, once all has been taken."""
        assert self._streams is not None
        _, receiver = streams = self._streams
        host = self._event._host
        try:
            with (None if host is None else host.reader_away()) or nullcontext():
                chunks, index = await receiver.receive()
        except (EndOfStream, ClosedResourceError):
            if streams is not self._streams:  # closed by another task: its step was cancelled, or it wants no more
                return
        else:
            self._follow()
            if chunks is self._chunks:  # else of an earlier run
                self._known = max(self._known, index + 1)
            return
        self._follow()
        if self._event.status in TERMINAL:
            self._known = len(self._chunks)
        if not self._is_behind():
            self._finish()

    def _finish(self) -> None:
        """
        Stop reading, and raise what the event ended with.

        Raises:
            EventFailed: It ended without a response.
            ExecutorClosedError: It did not end, and nobody will run it.
            OperationError: It completed, but was not run here.
        """
        event = self._event
        self._close()
        if event.status not in TERMINAL:
            raise ExecutorClosedError(f"{event!r} did not end: its executor was left with it, or removed it")
        event.result()
        if not self._feed.has_run:
            raise OperationError(f"{event!r} did not stream in this process: its chunks are not known")

    def _attach(self) -> None:
        """Have the event wait for this reader, beyond what there is."""
        self._follow()
        self._known = len(self._chunks)
        self._streams = sender, _ = anyio.create_memory_object_stream[Any](self._buffer)
        if _may_produce(self._event):
            self._feed.join(sender)
        else:
            sender.close()

    def _detach(self) -> None:
        """Have it wait no more."""
        if self._streams is not None:
            streams, self._streams = self._streams, None
            self._feed.leave(*streams)

    def _close(self) -> None:
        self._is_closed = True
        self._detach()


def open_reader(event: Event, work: Callable[[], object], buffer: int) -> ChunkReader:
    """
    Give a reader of what an event produces by ``work()``.

    Raises:
        TypeError: The event does not stream.
        ValueError: The buffer is no int, or negative.
    """
    if iscoroutinefunction(work):
        raise TypeError(
            f"{event!r} does not stream: override stream() and set streaming=True, "
            "or write _invoke() as an async generator"
        )
    check_count("buffer", buffer, 0)
    if event._feed is None:
        event._feed = ChunkBuffer()
    return ChunkReader(event, event._feed, buffer)


def _may_produce(event: Event) -> bool:
    """Whether there may be more chunks: it runs, or may be run; where not, Event.wait() would not wait."""
    execution, host = event.execution, event._host
    return execution._running or (execution.status not in TERMINAL and (host is None or not host.is_abandoned))


def _offer(sender: Sender, item: Produced) -> bool:
    """Whether the reader need not be waited for: it has room, or is gone."""
    try:
        sender.send_nowait(item)
    except WouldBlock:
        return False
    except (BrokenResourceError, ClosedResourceError):
        pass
    return True


async def _push(sender: Sender, item: Produced) -> None:
    """Wait until the reader has room, or is gone."""
    with suppress(BrokenResourceError, ClosedResourceError):
        await sender.send(item)
