"""The slots of a processor: how many events may run at the same time, as an AnyIO limiter."""

from __future__ import annotations

import anyio


class Slots:
    """
    A limiter of slots. A holder may keep its slot from one event to the next while no task waits for a slot.

    Args:
        total: The number of slots.
    """

    __slots__ = ("limiter", "resized", "waiting")

    def __init__(self, total: int) -> None:
        self.limiter: anyio.CapacityLimiter = anyio.CapacityLimiter(total)
        self.waiting: int = 0  # tasks that wait for a slot
        self.resized: int = 0  # how often the number of slots was changed; holders then give kept slots back

    @property
    def total(self) -> int:
        """The number of slots."""
        return int(self.limiter.total_tokens)

    @property
    def is_overdrawn(self) -> bool:
        """Whether more slots are taken than there are, since the number was lowered."""
        return self.resized > 0 and self.limiter.borrowed_tokens > self.limiter.total_tokens

    def resize(self, total: int) -> None:
        """Change the number of slots. Slots above the new number stay in use until they are given back."""
        self.limiter.total_tokens = total
        self.resized += 1

    async def take(self, borrower: object) -> None:
        """
        Take a slot. Wait in order of arrival if none is free. Does not yield if a slot is free.

        Cancellation: during the wait. No slot is taken.
        """
        try:
            self.limiter.acquire_on_behalf_of_nowait(borrower)
        except anyio.WouldBlock:  # other tasks wait for a slot, or all slots are taken
            self.waiting += 1
            try:
                await self.limiter.acquire_on_behalf_of(borrower)
            finally:
                self.waiting -= 1

    def release(self, borrower: object) -> None:
        """Give a slot back."""
        self.limiter.release_on_behalf_of(borrower)
