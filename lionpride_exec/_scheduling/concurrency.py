"""The slots of a processor: how many events may run at the same time, as an AnyIO limiter."""

from __future__ import annotations

import anyio


class Slots:
    """
    A limiter whose holders may keep their slot from one event to the next, as long as nobody needs it.

    Args:
        total: How many there are.
    """

    __slots__ = ("limiter", "resized", "waiting")

    def __init__(self, total: int) -> None:
        self.limiter: anyio.CapacityLimiter = anyio.CapacityLimiter(total)
        self.waiting: int = 0  # tasks that wait for one
        self.resized: int = 0  # how often their number was changed; who has kept one from before gives it back

    @property
    def total(self) -> int:
        """How many there are."""
        return int(self.limiter.total_tokens)

    @property
    def is_overdrawn(self) -> bool:
        """Whether more are taken than there are, since there were more before."""
        return self.resized > 0 and self.limiter.borrowed_tokens > self.limiter.total_tokens

    def resize(self, total: int) -> None:
        """Have another number of them. Those above it go as they are given back."""
        self.limiter.total_tokens = total
        self.resized += 1

    async def take(self, borrower: object) -> None:
        """
        Take one; first come, first served. Does not yield if there is one.

        Cancellation: while it waits; none is taken then.
        """
        try:
            self.limiter.acquire_on_behalf_of_nowait(borrower)
        except anyio.WouldBlock:  # others wait for one, or all are taken: queue up behind them
            self.waiting += 1
            try:
                await self.limiter.acquire_on_behalf_of(borrower)
            finally:
                self.waiting -= 1

    def give_back(self, borrower: object) -> None:
        """Give one back."""
        self.limiter.release_on_behalf_of(borrower)
