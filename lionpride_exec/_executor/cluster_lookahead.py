"""
How many events a worker holds.

Other workers cannot run an event that waits in this one, even if they have free slots. So a worker takes what it can
start at once, and a reserve: the events that will start while it asks the server for the next ones. Short events need a
larger reserve than long ones. Events that wait for a limit do not count, since events of other keys behind them may be
able to start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lionpride_exec._cluster import Cluster
    from lionpride_exec._processing.processor import Processor

# Seconds between the end of an event and the arrival of the next ones, on a busy server.
SECONDS_TO_FETCH = 0.1

# Events that may wait for limits without being counted. The first events may all have to wait for one key.
MAX_WAITING_FOR_LIMITS = 200

# The weight of the last event in the usual duration.
WEIGHT = 1 / 8


class Lookahead:
    """
    Decides how many events a worker holds.

    Args:
        settings: The cluster.
    """

    def __init__(self, settings: Cluster) -> None:
        self._fixed = settings.lookahead
        self._usual: float | None = None  # how long an event runs, in seconds; None before the first end

    def note_end(self, seconds: float) -> None:
        """Note how long an event has run."""
        before = seconds if self._usual is None else self._usual
        self._usual = before + (seconds - before) * WEIGHT

    def room(self, processor: Processor, held: int) -> int:
        """
        Return how many more events the worker of a processor may take, if it holds so many. O(1).

        0 while more than half of the reserve is full, so that each call to the server brings many events.
        """
        if self._fixed is not None:
            return max(self._fixed - held, 0)
        slots = processor.running_limit
        reserve = self._reserve(slots)
        most = slots + reserve + min(processor.queue.lanes.blocked.number, MAX_WAITING_FOR_LIMITS)
        return most - held if most - held > reserve // 2 else 0

    def _reserve(self, slots: int) -> int:
        """Return how many events will start while others are fetched."""
        if self._usual is None:
            return 0
        return slots if self._usual < SECONDS_TO_FETCH else int(slots * SECONDS_TO_FETCH / self._usual)
