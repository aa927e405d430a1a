"""
The chunks that a run of a streaming event has produced, and the readers that get them.

The buffer knows the memory streams of the readers, not the readers: a reader that nobody holds any more goes at once.
"""

from __future__ import annotations

from contextlib import aclosing, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio import BrokenResourceError, CancelScope, ClosedResourceError, WouldBlock

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
    """Carries the error of an idle producer to the end of its run. User code cannot raise it by chance."""

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
        # One for each reader. The reader itself is not kept here, so that it goes when nobody holds it.
        self._senders: dict[Sender, None] = {}

    def begin(self) -> list[Any]:
        """Begin a new run, without chunks."""
        self.chunks = []
        self.was_taken = False
        return self.chunks

    def end(self) -> None:
        """Tell the readers that no chunk follows those that they were handed."""
        for sender in tuple(self._senders):
            sender.close()
        self._senders.clear()

    def join(self, sender: Sender) -> None:
        """Hand all chunks from now on to a reader."""
        self._senders[sender] = None

    def leave(self, sender: Sender, receiver: Receiver) -> None:
        """Forget a reader. A producer that waits for the reader goes on."""
        self._senders.pop(sender, None)
        receiver.close()
        sender.close()

    async def fill(self, work: AsyncIterator[Any], idle_timeout: float | None) -> list[Any]:
        """
        Take all chunks out of a producer, hand each to the readers, and close the producer.

        Raises:
            Idle: The next chunk took longer than ``idle_timeout``.

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
        elif slow:  # all at once: a reader must not wait for a slower one
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
        with CancelScope(deadline=timeout_deadline(self._seconds)):
            return await anext(self._work)
        raise Idle(self._seconds)


def _offer(sender: Sender, item: Produced) -> bool:
    """Return whether the reader took the chunk, or is gone. False if it has no room."""
    try:
        sender.send_nowait(item)
    except WouldBlock:
        return False
    except (BrokenResourceError, ClosedResourceError):
        pass
    return True


async def _push(sender: Sender, item: Produced) -> None:
    """Hand a chunk to a reader. Wait until the reader has room, or is gone."""
    with suppress(BrokenResourceError, ClosedResourceError):
        await sender.send(item)
