"""
Times of one event loop, carried over to the next.

A time is a reading of ``anyio.current_time()``, whose zero belongs to the event loop. What has to wait for a time, a
delayed event or a rate, may outlive the loop in which it was read; then the wall clock tells how much of it is left.
"""

from __future__ import annotations

import time

from anyio.lowlevel import current_token

from ._background import current_time

# How often two clocks are read, at most, until nothing has come between the two readings; and how long they may take.
READINGS = 5
SLOW_READING = 0.0002


class LoopClock:
    """Knows in which event loop times were last read."""

    __slots__ = ("_ahead", "_seen_in")

    def __init__(self) -> None:
        self._seen_in: object = None
        self._ahead = 0.0  # of the loop's clock before the wall clock

    def shift(self) -> float:
        """Give the seconds that have to be added to times read before; 0 in the same event loop. Call it in one."""
        loop = current_token()
        if loop == self._seen_in:
            return 0.0
        before, self._ahead = self._ahead, current_time() - time.time()
        is_first, self._seen_in = self._seen_in is None, loop
        return 0.0 if is_first else self._ahead - before


def wall_skew() -> float:
    """
    Return how many seconds the wall clock is ahead of a clock that only runs while the machine does.

    It changes when somebody sets the wall clock, and when the machine has slept. It is the same under virtual time.
    """
    best = None
    for _ in range(READINGS):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        if best is None or after - before < best[0]:
            best = after - before, wall - (before + after) / 2
        if best[0] < SLOW_READING:
            break
    assert best is not None
    return best[1]
