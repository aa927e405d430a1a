"""Tasks that wait until the queue of a processor has room, in order of arrival."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import anyio

from lionpride_exec.errors import ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_ROOM = "There will be no room: the executor was left while the queue was full"


class Room:
    """
    The tasks that wait for room, and the room that is promised to them.

    Args:
        is_full: A function that returns whether there is no room beyond what is promised.

    Attributes:
        promised: For how many events room is reserved.
        waiting: The tasks that wait, the first one first. A task that is not in it any more has its promise.
        is_closed: Whether no task will get room.
    """

    __slots__ = ("_is_full", "is_closed", "promised", "waiting")

    def __init__(self, is_full: Callable[[], bool]) -> None:
        self.promised: int = 0
        self.waiting: OrderedDict[anyio.Event, bool] = OrderedDict()
        self.is_closed: bool = False
        self._is_full = is_full

    async def wait(self) -> None:
        """
        Wait for room. The room is reserved until the next step of the caller.

        Raises:
            ExecutorClosedError: No task will get room.

        Cancellation: during the wait. The turn goes to the next waiter.
        """
        if self.is_closed:
            raise ExecutorClosedError(_NO_ROOM)
        event = anyio.Event()
        self.waiting[event] = True
        try:
            await event.wait()
        except BaseException:
            if self.waiting.pop(event, None) is None:
                self.promised -= 1
                self.offer()
            raise
        if self.waiting.pop(event, None) is not None:
            raise ExecutorClosedError(_NO_ROOM)
        self.promised -= 1

    def offer(self) -> None:
        """Promise free room to the tasks that wait, in order of arrival."""
        while self.waiting and not self._is_full():
            event = next(iter(self.waiting))
            del self.waiting[event]  # by this the waiter knows that there is room
            self.promised += 1
            event.set()

    def close(self) -> None:
        """Make all waits raise, because there will be no room."""
        self.is_closed = True
        for event in self.waiting:
            event.set()
