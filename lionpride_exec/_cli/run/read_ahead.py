"""How far lines are read ahead of what can start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from lionpride_exec._executor.executor import Executor


class ReadAhead:
    """
    Has the reader wait while enough events are queued that could start.

    Those whose key is at its limit do not count, so one busy key does not hold up the others. How many there may be in
    all is the bound of the queue itself.

    Args:
        executor: It has been started when :meth:`wait` is called.
        number: How many queued events are enough.
    """

    def __init__(self, executor: Executor, number: int) -> None:
        self._executor = executor
        self._number = number
        self._woken: anyio.Event | None = None  # while the reader waits

    @property
    def _has_room(self) -> bool:
        processor = self._executor.processor
        return processor is None or processor.queue.qsize() - processor.queue.blocked < self._number

    async def wait(self) -> None:
        """
        Return when fewer events could start than are enough.

        Cancellation: while it waits; that has changed nothing.
        """
        processor = self._executor.processor
        if processor is not None:
            processor.queue.lanes.blocked.add_listener(self)
        while not self._has_room:
            self._woken = anyio.Event()
            try:
                await self._woken.wait()
            finally:
                self._woken = None

    def reconsider(self) -> None:
        """Learn that an event has begun, ended, or found its key at its limit."""
        if self._woken is not None and self._has_room:
            self._woken.set()
