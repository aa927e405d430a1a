"""Hold back the reading of lines while enough events are queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from lionpride_exec._executor.executor import Executor


class ReadAhead:
    """
    Has the reader wait while enough queued events could start.

    Events whose key is at its limit do not count, so one busy key does not hold up the other keys. The queue itself
    bounds how many events there are in all.

    Args:
        executor: The executor. It must have been started when :meth:`wait` is called.
        number: How many queued events are enough.
    """

    def __init__(self, executor: Executor, number: int) -> None:
        self._executor = executor
        self._number = number
        self._woken: anyio.Event | None = None  # while the reader waits

    @property
    def has_room(self) -> bool:
        """Whether :meth:`wait` returns at once."""
        processor = self._executor.processor
        return processor is None or processor.queue.qsize() - processor.queue.blocked < self._number

    async def wait(self) -> None:
        """
        Wait until fewer events could start than are enough.

        Cancellation: while it waits. Nothing has changed then.
        """
        while not self.has_room:
            processor = self._executor.processor
            if processor is not None:
                processor.queue.lanes.blocked.add_listener(self)
            self._woken = anyio.Event()
            try:
                await self._woken.wait()
            finally:
                self._woken = None

    def reconsider(self) -> None:
        """Look again, since an event has begun, has ended, or has found its key at its limit."""
        if self._woken is not None and self.has_room:
            self._woken.set()


class OpenLines(ReadAhead):
    """Makes the reader wait while enough lines of this run are in the queue of a cluster."""

    @property
    def has_room(self) -> bool:
        """Whether :meth:`wait` returns at once."""
        counts = self._executor.status_counts()
        return counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING] < self._number
