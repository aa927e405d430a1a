"""
Waiting for a condition that others bring about.

A plain ``anyio.Condition`` wakes its waiters to let each look for itself. Here the one who changed something
looks, and wakes only whose condition holds: ``join()`` beside 50,000 ending events is woken once, not 50,000
times. A condition is checked after every change, so it has to be cheap and must not change anything others see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable


class Waiters:
    """Tasks waiting, each for a condition of its own. O(number of waiters) for a :meth:`notify`."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[anyio.Event, Callable[[], bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """
        Return once the condition holds at a :meth:`notify`, or at once if it holds already.

        Cancellation: always a checkpoint; nothing stays behind.
        """
        if condition():
            await checkpoint()
            return
        event = anyio.Event()
        self._waiting[event] = condition
        try:
            await event.wait()
        finally:
            self._waiting.pop(event, None)

    def notify(self) -> None:
        """Wake those whose condition holds now."""
        if not self._waiting:
            return
        for event, condition in list(self._waiting.items()):
            if condition():
                del self._waiting[event]
                event.set()
