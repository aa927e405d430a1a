"""
Capacity: how many starts any window of a given length may hold.

A start takes a token, and the token comes back one period later. So any window of that length holds at most ``total``
starts. (A bucket that is refilled at fixed times lets up to twice as many starts through around a refill.) Tokens have
no timers: the next caller sees which tokens are due. :meth:`CapacityWindow.next_at` returns when a start will be
allowed.

Tokens are borrowed from an AnyIO limiter. A token that is due becomes a *spare* one, and the next start takes it. So
under load a start borrows nothing and returns nothing, which on trio took a twentieth of the time of an event. The
limiter sees spare tokens as borrowed. All tokens together never exceed ``total``, except after a lowered ``total``.
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

    Times are those of ``anyio.current_time()``. A method costs O(1) amortised unless its docstring says otherwise.
    """

    def __init__(self, total: int, period: float) -> None:
        self.total = total
        self.period = period
        self._limiter: anyio.CapacityLimiter | None = None
        # (time at which the token comes back, token), oldest first: every token stays out for one period.
        self._out: deque[tuple[float, object]] = deque()
        # Tokens of events that are about to begin, in order. It is not known yet when they come back.
        self._held: dict[object, None] = {}
        # Tokens that are due, for the next starts.
        self._spare: list[object] = []
        # The tokens in _out that set_available() took without a start.
        self._withheld: set[object] = set()
        self.forgotten: int = 0  # starts whose tokens set_available() gave back
        self.given_back: int = 0  # all tokens that set_available() gave back

    def available(self, now: float) -> int:
        """Return how many starts are allowed at the time ``now``."""
        if self._out and self._out[0][0] <= now:
            self._refresh(now)
        free = self.total - len(self._out) - len(self._held)
        return free if free > 0 else 0  # noqa: FURB136  faster; after resize() more may be out

    def take(self, now: float, *, has_begun: bool = True) -> object:
        """
        Record a start, and return its token. If the event has not begun yet, call :meth:`begin` later.

        Raises:
            anyio.WouldBlock: No start is allowed at that time. Nothing has changed.
        """
        if self._out and self._out[0][0] <= now:
            self._refresh(now)
        if self._spare and len(self._out) + len(self._held) < self.total:
            token = self._spare.pop()
        else:
            token = object()
            (self._limiter or self._tokens()).acquire_on_behalf_of_nowait(token)
        if has_begun:
            back = now + self.period
            # If the sum were rounded down, two starts could be closer together than a period.
            self._out.append((back if back - now >= self.period else nextafter(back, inf), token))
        else:
            self._held[token] = None
        return token

    def begin(self, token: object, now: float) -> None:
        """Record that the event with a token begins now. Do nothing if the token was given back."""
        if token in self._held:
            del self._held[token]
            due = now + self.period
            self._out.append((due if due - now >= self.period else nextafter(due, inf), token))

    def undo(self, token: object) -> None:
        """Give back the token of an event that does not begin after all. :meth:`begin` was not called for it."""
        if token in self._held:
            del self._held[token]
            self._give_back(token)

    def next_at(self, now: float) -> float:
        """
        Return when a start will be allowed: ``now``, or the time at which enough tokens are back.

        Return ``inf`` if the time depends on an event that has not begun yet.
        """
        if self.available(now):
            return now
        excess = len(self._out) + len(self._held) - self.total
        return self._out[excess][0] if excess < len(self._out) else inf

    def returns(self) -> list[tuple[float, float]]:
        """Return the time at which each token comes back, with the cost 1. Earliest first. O(tokens that are out)."""
        return [(back, 1.0) for back, _ in self._out]

    def bring_back(self, begun: Iterable[float], now: float) -> None:
        """Count starts of another process, none later than ``now``. More than ``total`` tokens may then be out."""
        backs = sorted(back for at in begun if (back := at + self.period) > now)
        self._out.extend((back, object()) for back in backs)
        self.shift(0.0)

    def resize(self, total: int) -> None:
        """Change the number of starts that a period allows. Earlier starts still count."""
        self.total = total
        if self._limiter is not None:
            self._limiter.total_tokens = total
            while self._spare:
                self._limiter.release_on_behalf_of(self._spare.pop())

    def set_available(self, count: int, now: float) -> None:
        """
        Allow exactly ``count`` starts in the coming period. Withheld tokens come back like the token of a start.

        A count above the available number gives back the tokens of the latest starts, which then no longer count.

        Raises:
            ValueError: The count is not an int between 0 and ``total``. Nothing has changed.
        """
        if isinstance(count, bool) or not isinstance(cast("object", count), int) or not 0 <= count <= self.total:
            raise ValueError(f"available_capacity must be an integer within 0 and {self.total}, got {count!r}")
        while self.available(now) > count:
            self._withheld.add(self.take(now))
        while self.available(now) < count:
            token = self._held.popitem()[0] if self._held else self._out.pop()[1]
            self.forgotten += token not in self._withheld
            self.given_back += 1
            self._give_back(token)

    @property
    def withheld(self) -> int:
        """How many tokens :meth:`set_available` withholds."""
        return len(self._withheld)

    def release_withheld(self) -> None:
        """Give back the tokens that :meth:`set_available` withholds."""
        for entry in [entry for entry in self._out if entry[1] in self._withheld]:
            self._out.remove(entry)
            self._give_back(entry[1])

    def shift(self, seconds: float) -> None:
        """Convert the times to another event loop, in which the tokens need a new limiter."""
        self._out = deque((back + seconds, token) for back, token in self._out)
        self._limiter = None
        self._spare.clear()
        tokens = [*self._held, *(token for _, token in self._out)]
        if tokens:
            self._limiter = anyio.CapacityLimiter(max(self.total, len(tokens)))
            for token in tokens:
                self._limiter.acquire_on_behalf_of_nowait(token)
            self._limiter.total_tokens = self.total

    def _refresh(self, now: float) -> None:
        out = self._out
        while out and out[0][0] <= now:
            token = out.popleft()[1]
            if self._withheld:
                self._withheld.discard(token)
            self._spare.append(token)

    def _give_back(self, token: object) -> None:
        if self._withheld:
            self._withheld.discard(token)
        (self._limiter or self._tokens()).release_on_behalf_of(token)

    def _tokens(self) -> anyio.CapacityLimiter:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self.total)
        return self._limiter
