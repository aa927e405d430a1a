"""
Converting the times of one event loop to another event loop.

Times are those of ``anyio.current_time()``, whose zero depends on the event loop. A delayed event or a rate may outlive
the event loop in which its times were read. Then the wall clock tells how much of the time is left.
"""

from __future__ import annotations

import threading
import time
from math import inf

from anyio.lowlevel import current_token

from .backend import current_time
from .wall_clock import wall_clock

# The clocks are read together at most this often, until one reading takes less than this many seconds.
READINGS = 5
SLOW_READING = 0.0002

# Clocks that differ by less than this many seconds count as equal, because reading them takes some time.
TOLERANCE = 0.001

# To find out which of two clocks the wall clock follows: the two must differ by more than APART seconds, and the wall
# clock must be within ALIKE seconds of one of them.
ALIKE, APART = 0.1, 1.0

# For how many event loops of one thread the wall clock is watched.
MAX_WATCHES = 16


class LoopClock:
    """Remembers in which event loop times were last read."""

    __slots__ = ("_ahead", "_seen_in")

    def __init__(self) -> None:
        self._seen_in: object = None
        self._ahead = 0.0  # seconds by which the clock of the event loop is ahead of the wall clock

    def shift(self) -> float:
        """Return the seconds to add to earlier times. 0 in the same event loop. Call this in an event loop."""
        loop = current_token()
        if loop == self._seen_in:
            return 0.0
        before, self._ahead = self._ahead, current_time() - wall_clock.seconds()
        is_first, self._seen_in = self._seen_in is None, loop
        return 0.0 if is_first else self._ahead - before


class _Watches(threading.local):
    """The watches of a thread, by event loop."""

    def __init__(self) -> None:
        self.of: dict[object, WallWatch] = {}


_watches = _Watches()


def wall_skew() -> float:
    """
    Return by how many seconds the wall clock was put forward since the first call in the running event loop.

    The number changes when a user sets the wall clock, and when the machine sleeps while the clock of the event loop
    stands still.
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
    Compares the wall clock with a clock that cannot be set.

    Under virtual time there are two of these clocks: the clock of the event loop, which jumps, and the clock of the
    machine. The wall clock follows the machine or, if a test has replaced the wall clock too, the event loop. The watch
    sees which one as soon as the two clocks differ.
    """

    __slots__ = ("_base", "_follows_loop", "_skew")

    def __init__(self) -> None:
        self._base = _read_clocks()
        self._follows_loop = False
        self._skew = 0.0

    def look(self) -> float:
        """Return by how many seconds the wall clock was put forward until now."""
        now = _read_clocks()
        wall, machine, loop = (later - earlier for later, earlier in zip(now, self._base, strict=True))
        if abs(loop - machine) <= APART:  # the wall clock may follow either, and it hardly matters
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
    """Return the times of the wall clock, the machine and the event loop, read almost at the same moment."""
    best = (inf, 0.0, 0.0, 0.0)
    for _ in range(READINGS):
        before, wall, after = time.monotonic(), wall_clock.seconds(), time.monotonic()
        if after - before < best[0]:
            best = (after - before, wall, (before + after) / 2, current_time())
        if best[0] < SLOW_READING:
            break
    return best[1:]
