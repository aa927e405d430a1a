"""
Times of one event loop, carried over to the next.

A time is a reading of ``anyio.current_time()``, whose zero belongs to the event loop. What has to wait for a time, a
delayed event or a rate, may outlive the loop in which it was read; then the wall clock tells how much of it is left.
"""

from __future__ import annotations

import threading
import time
from math import inf

from anyio.lowlevel import current_token

from .backend import current_time

# How often the clocks are read, at most, until nothing has come between the readings; and how long they may take.
READINGS = 5
SLOW_READING = 0.0002

# Seconds by which clocks may differ that go alike: reading them takes some time.
TOLERANCE = 0.001

# The same where it is to be found out which of two clocks the wall clock follows, and by how much these differ then.
ALIKE, APART = 0.1, 1.0

# Event loops of one thread whose wall clock is watched.
MAX_WATCHES = 16


class LoopClock:
    """Knows in which event loop times were last read."""

    __slots__ = ("_ahead", "_seen_in")

    def __init__(self) -> None:
        self._seen_in: object = None
        self._ahead = 0.0  # of the loop's clock before the wall clock

    def shift(self) -> float:
        """Return the seconds that have to be added to times read before; 0 in the same event loop. Call it in one."""
        loop = current_token()
        if loop == self._seen_in:
            return 0.0
        before, self._ahead = self._ahead, current_time() - time.time()
        is_first, self._seen_in = self._seen_in is None, loop
        return 0.0 if is_first else self._ahead - before


class _Watches(threading.local):
    """The watches of a thread, by event loop."""

    def __init__(self) -> None:
        self.of: dict[object, WallWatch] = {}


_watches = _Watches()


def wall_skew() -> float:
    """
    Return by how many seconds the wall clock was put forward since this was first asked in the running event loop.

    That is when somebody sets the wall clock, and when the machine sleeps while the loop's clock stands still.
    """
    token = current_token()
    watch = _watches.of.get(token)
    if watch is None:
        if len(_watches.of) >= MAX_WATCHES:
            del _watches.of[next(iter(_watches.of))]
        watch = _watches.of[token] = WallWatch()
    return watch.look()


class WallWatch:
    """
    Watches the wall clock beside a clock that nobody can set.

    Under virtual time there are two of these: the event loop's, which jumps, and that of the machine. The wall clock
    follows the one or, where a test has replaced it too, the other; which one is seen as soon as they are apart.
    """

    __slots__ = ("_base", "_follows_loop", "_skew")

    def __init__(self) -> None:
        self._base = _read_clocks()
        self._follows_loop = False
        self._skew = 0.0

    def look(self) -> float:
        """Return by how much the wall clock was put forward until now."""
        now = _read_clocks()
        wall, machine, loop = (later - earlier for later, earlier in zip(now, self._base, strict=True))
        if abs(loop - machine) <= APART:  # either may be the one, and it hardly matters
            step = min(wall - loop, wall - machine, key=abs)
        else:
            if min(abs(wall - loop), abs(wall - machine)) < ALIKE:
                self._follows_loop = abs(wall - loop) < abs(wall - machine)
            step = wall - (loop if self._follows_loop else machine)
        if abs(step) > TOLERANCE:
            self._base = now
            self._skew += step
        return self._skew


def _read_clocks() -> tuple[float, float, float]:
    """Return the wall clock, the machine's and the event loop's, read as good as at once."""
    best = (inf, 0.0, 0.0, 0.0)
    for _ in range(READINGS):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < best[0]:
            best = (after - before, wall, (before + after) / 2, current_time())
        if best[0] < SLOW_READING:
            break
    return best[1:]
