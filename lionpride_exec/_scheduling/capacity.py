"""
Capacity: how many starts any window of a given length may hold.

A token is taken at a start and comes back one period later, so no window of that length, wherever it begins,
holds more than ``total`` starts. (A bucket refilled at fixed times lets up to twice as many through around a
refill.) Tokens that are due are put back by whoever looks next: there is no timer per token and nothing to poll;
:meth:`next_at` says how long a wait would take.
"""

from __future__ import annotations

from collections import deque
from math import inf, nextafter
from typing import TYPE_CHECKING, cast

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable


class CapacityWindow:
    """
    At most ``total`` starts in any ``period`` seconds.

    Times are readings of ``anyio.current_time()``. Everything is O(1) amortised.
    """

    def __init__(self, total: int, period: float) -> None:
        self.total = total
        self.period = period
        self._limiter: anyio.CapacityLimiter | None = None
        # (time it comes back, token), oldest first: every token stays out equally long.
        self._out: deque[tuple[float, object]] = deque()
        # Tokens of events that are about to begin, in order: when they come back is not known yet.
        self._held: dict[object, None] = {}
        # Those of _out that were taken by hand: no start stands behind them.
        self._withheld: set[object] = set()
        self.forgotten: int = 0  # starts that were given back by hand

    def available(self, now: float) -> int:
        """How many starts are allowed at the time ``now``."""
        if self._out and self._out[0][0] <= now:
            self._refresh(now)
        free = self.total - len(self._out) - len(self._held)
        return free if free > 0 else 0  # noqa: FURB136  faster; after resize() more may be out

    def take(self, now: float, *, has_begun: bool = True) -> object:
        """
        Note a start, and return its token; for what has not begun yet, :meth:`begin` follows.

        Raises:
            anyio.WouldBlock: None is allowed at that time; nothing has changed.
        """
        if self._out and self._out[0][0] <= now:
            self._refresh(now)
        token = object()
        (self._limiter or self._tokens()).acquire_on_behalf_of_nowait(token)
        if has_begun:
            back = now + self.period
            # The sum may be rounded down, and then two starts would stand closer together than a period.
            self._out.append((back if back - now >= self.period else nextafter(back, inf), token))
        else:
            self._held[token] = None
        return token

    def begin(self, token: object, now: float) -> None:
        """Note that an event begins now that has taken a token before; nothing if the token was given back."""
        if token in self._held:
            del self._held[token]
            due = now + self.period
            self._out.append((due if due - now >= self.period else nextafter(due, inf), token))

    def next_at(self, now: float) -> float:
        """
        When a start will be allowed: ``now`` if one is, else the time the token comes back that is one too many.

        ``inf``: once something has begun.
        """
        if self.available(now):
            return now
        excess = len(self._out) + len(self._held) - self.total
        return self._out[excess][0] if excess < len(self._out) else inf

    def returns(self) -> list[tuple[float, float]]:
        """Return when each token comes back that is out, the earliest first. O(number of them)."""
        return [(back, 1.0) for back, _ in self._out]

    def bring_back(self, begun: Iterable[float], now: float) -> None:
        """Count starts of another process, at these times, none later than ``now``; more than ``total`` may be out."""
        backs = sorted(back for at in begun if (back := at + self.period) > now)
        self._out.extend((back, object()) for back in backs)
        self.shift(0.0)

    def resize(self, total: int) -> None:
        """Allow another number of starts. What was started counts."""
        self.total = total
        if self._limiter is not None:
            self._limiter.total_tokens = total

    def set_available(self, count: int, now: float) -> None:
        """
        Leave exactly ``count`` tokens for the coming period: those held back by hand return like any other.

        Raising the number gives tokens of the latest starts back, and those are forgotten: it is meant to.

        Raises:
            ValueError: Not an integer within 0 and ``total``; nothing has changed.
        """
        if isinstance(count, bool) or not isinstance(cast("object", count), int) or not 0 <= count <= self.total:
            raise ValueError(f"available_capacity must be an integer within 0 and {self.total}, got {count!r}")
        while self.available(now) > count:
            self._withheld.add(self.take(now))
        while self.available(now) < count:
            token = self._held.popitem()[0] if self._held else self._out.pop()[1]
            self.forgotten += token not in self._withheld
            self._give_back(token)

    @property
    def withheld(self) -> int:
        """How many tokens :meth:`set_available` holds back."""
        return len(self._withheld)

    def release_withheld(self) -> None:
        """Give back what :meth:`set_available` took."""
        for entry in [entry for entry in self._out if entry[1] in self._withheld]:
            self._out.remove(entry)
            self._give_back(entry[1])

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set: that of another event loop, in which the tokens need a limiter of its own."""
        self._out = deque((back + seconds, token) for back, token in self._out)
        self._limiter = None
        tokens = [*self._held, *(token for _, token in self._out)]
        if tokens:
            self._limiter = anyio.CapacityLimiter(max(self.total, len(tokens)))
            for token in tokens:
                self._limiter.acquire_on_behalf_of_nowait(token)
            self._limiter.total_tokens = self.total

    def _refresh(self, now: float) -> None:
        out = self._out
        release = (self._limiter or self._tokens()).release_on_behalf_of
        while out and out[0][0] <= now:
            token = out.popleft()[1]
            if self._withheld:
                self._withheld.discard(token)
            release(token)

    def _give_back(self, token: object) -> None:
        if self._withheld:
            self._withheld.discard(token)
        (self._limiter or self._tokens()).release_on_behalf_of(token)

    def _tokens(self) -> anyio.CapacityLimiter:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self.total)
        return self._limiter
