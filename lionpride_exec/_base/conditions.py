"""
Waiting for a condition that other tasks bring about.

A plain ``anyio.Condition`` wakes all its waiters, and each checks its condition. Here the task that changed something
checks the conditions, and wakes only the waiters whose condition holds: ``join()`` beside 50,000 ending events is woken
once, not 50,000 times. A condition is checked after every change, so it has to be cheap and must not change anything.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from uuid import UUID


class PredicateCondition:
    """
    Tasks that wait, each for its own condition. :meth:`notify` costs O(number of waiters).

    Attributes:
        waiting: The waiting tasks, with the condition of each. While it is empty, :meth:`notify` need not be called.
        aside: Running events that wait here for other events to end. Other tasks do not wait for these events, because
            two events could wait for each other.
    """

    __slots__ = ("aside", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[anyio.Event, Callable[[], bool]] = {}
        self.aside: Counter[UUID] = Counter()

    @contextmanager
    def excluded_from_waits(self, event_ids: Iterable[UUID]) -> Generator[None]:
        """Exclude these events from the waits of other tasks, inside the block."""
        ids = list(event_ids)
        self.aside.update(ids)
        self.notify()
        try:
            yield
        finally:
            self.aside.subtract(ids)
            self.aside = +self.aside  # without the zeros

    async def wait_for(
        self, condition: Callable[[], bool], new_signal: Callable[[], anyio.Event] = anyio.Event
    ) -> None:
        """
        Wait until the condition holds at a :meth:`notify`. Return at once if it holds already.

        Args:
            condition: Returns whether the wait is over.
            new_signal: Makes what the task waits for. It is set once the condition holds.

        Cancellation: at any time, since this is always a checkpoint. The task no longer waits here.
        """
        if condition():
            await checkpoint()
            return
        event = new_signal()
        self.waiting[event] = condition
        try:
            await event.wait()
        finally:
            self.waiting.pop(event, None)

    def notify(self) -> None:
        """Wake the waiters whose condition holds now."""
        if not self.waiting:
            return
        for event, condition in list(self.waiting.items()):
            if condition():
                del self.waiting[event]
                event.set()
