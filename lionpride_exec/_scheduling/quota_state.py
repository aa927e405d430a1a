"""
What is left of a quota for one key.

A quota is a limit whose taken amounts all come back at the next reset, a time of the wall clock. All times of a limit
state are those of the event loop. So a reset is converted once, and corrected when the wall clock was set, as the times
of delayed entries are (``_scheduling.delays``).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.loop_time import wall_skew
from lionpride_exec._base.wall_clock import wall_clock

from .delays import LOOK_INTERVAL
from .limit_state import NOTHING_KNOWN, LimitState

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lionpride_exec._model.quota import Quota

# The wall clock is read to a microsecond. Nothing comes back before its time.
RESOLUTION: Final = 1e-6


class QuotaState(LimitState):
    """
    The state of a quota for one key.

    Args:
        limit: The quota.
        key: The key that the amount is for.
        number: The index of the cost that an entry takes here.
        amount: The amount.
    """

    __slots__ = ("_calendar", "_looks_at", "_reset", "_reset_from", "_skew")

    def __init__(self, limit: Quota, key: Hashable, number: int, amount: float) -> None:
        super().__init__(limit, key, number, amount)
        self._calendar = limit.calendar
        self._skew: float | None = None  # the seconds of wall_skew() at the last look; None before there was one
        self._looks_at: float = -inf  # when the wall clock is looked at again
        # The reset that comes next after each time from `_reset_from` on.
        self._reset_from: float = inf
        self._reset: float = -inf

    def free_at(self, cost: float, now: float) -> float:
        """Return when this cost may be taken; see the base class."""
        if now >= self._looks_at:
            self._follow_wall(now)
        return super().free_at(cost, now)

    def looks_at(self, until: float, now: float) -> float:
        """Return when an entry that waits until a time is looked at again: the wall clock may have been set."""
        return min(until, now + LOOK_INTERVAL)

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set, or the clock of another event loop."""
        super().shift(seconds)
        self._skew, self._looks_at, self._reset_from = None, -inf, inf

    def start_after(self, periods: int, now: float) -> float:
        """Return the time of the reset with this number, counted from ``now``."""
        if periods <= 0:
            return now
        ahead = now - _wall_time(now)
        at = self._next_wall(_wall_time(now))
        for _ in range(min(periods - 1, MAX_RESETS_COUNTED)):
            at = self._next_wall(at)
        return ahead + at + max(periods - 1 - MAX_RESETS_COUNTED, 0) * self.per

    def _follow_wall(self, now: float) -> None:
        """Correct the resets if the wall clock was set or the machine has slept."""
        self._looks_at = now + LOOK_INTERVAL
        skew = wall_skew()
        seconds = 0.0 if self._skew is None else skew - self._skew
        self._skew = skew
        if seconds:
            self._reset_from, self._known = inf, NOTHING_KNOWN
            for use in self._uses:
                use.back -= seconds

    def _later(self, now: float) -> float:
        if self._reset_from <= now < self._reset - RESOLUTION:
            return self._reset
        wall = _wall_time(now)
        self._reset_from, self._reset = now, now + (self._next_wall(wall) - wall)
        return self._reset

    def _next_wall(self, wall: float) -> float:
        return self._calendar.after(wall) + RESOLUTION


# Resets that a forecast looks up one by one. The rest is reckoned by the mean day.
MAX_RESETS_COUNTED: Final = 400


def _wall_time(now: float) -> float:
    """Return the time of the wall clock at a time of the event loop."""
    return wall_clock.seconds() + now - current_time()
