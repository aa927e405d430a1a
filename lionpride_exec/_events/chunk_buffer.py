"""
The chunks that a run of a streaming event has produced, and the memory streams by which readers get them.

The buffer has no reference to the readers, so a reader is collected as soon as the user drops it.
"""

from __future__ import annotations

from contextlib import aclosing, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Self

import anyio

from lionpride_exec._base.backend import startable, timeout_deadline
from lionpride_exec.errors import LionTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    # The list of a run, and the index in it of the chunk that has been produced.
    Produced = tuple[list[Any], int]
    Sender = MemoryObjectSendStream[Produced]
    Receiver = MemoryObjectReceiveStream[Produced]


class Idle(Exception):
    """Carries the error of an idle producer to the end of the run. Private, so user code never raises it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.error = LionTimeoutError(f"The stream was idle: no chunk within {seconds}s", retryable=True)


class ChunkBuffer:
    """
    The chunks of the current run of an event, and the streams of its readers.

    Attributes:
        chunks: All chunks of the current run, or of the last run. Each run gets a new list.
        has_run: Whether a run has begun.
        was_taken: Whether a reader has taken one of the chunks.
    """

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.has_run: bool = False
        self.was_taken: bool = False
        # One sender for each reader. A dict, for its order.
        self._senders: dict[Sender, None] = {}

    def begin(self) -> list[Any]:
        """Begin a new run, without chunks."""
        self.chunks = []
        self.was_taken = False
        return self.chunks

    def end(self) -> None:
        """Close the streams of all readers. A reader can still take the chunks in its stream."""
        for sender in tuple(self._senders):
            sender.close()
        self._senders.clear()

    def join(self, sender: Sender) -> None:
        """Send all later chunks to a reader."""
        self._senders[sender] = None

    def leave(self, sender: Sender, receiver: Receiver) -> None:
        """Remove a reader. A producer that waits for the reader goes on."""
        self._senders.pop(sender, None)
        receiver.close()
        sender.close()

    async def fill(self, work: AsyncIterator[Any], idle_timeout: float | None) -> list[Any]:
        """
        Take all chunks of a producer, send each chunk to the readers, and close the producer. Return the chunks.

        Raises:
            Idle: The next chunk took longer than ``idle_timeout`` seconds. The producer is closed.

        Cancellation: in the producer, or while a reader has no room. The producer is closed.
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
        elif slow:  # at the same time, so that no reader waits for a slower one
            async with anyio.create_task_group() as group:
                for sender in slow:
                    group.start_soon(startable(_push), sender, item, name="chunk for a slow reader")


class IdleTimeoutIterator:
    """Iterates a producer, and raises :class:`Idle` when the next chunk takes longer than the timeout."""

    def __init__(self, work: AsyncIterator[Any], seconds: float) -> None:
        self._work = work
        self._seconds = seconds

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        with anyio.CancelScope(deadline=timeout_deadline(self._seconds)):
            return await anext(self._work)
        raise Idle(self._seconds)


def _offer(sender: Sender, item: Produced) -> bool:
    """Send a chunk to a reader without waiting. Return False if the reader has no room."""
    try:
        sender.send_nowait(item)
    except anyio.WouldBlock:
        return False
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    return True


async def _push(sender: Sender, item: Produced) -> None:
    """Send a chunk to a reader. Wait until the reader has room or is closed."""
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await sender.send(item)
