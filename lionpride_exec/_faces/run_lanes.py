"""The lane of each run in a timeline: runs at the same time are in different lanes, like the slots of an executor."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# A run may begin up to this many seconds before another one ends and still have its slot: the two times were read one
# after the other.
TOLERANCE: Final = 1e-4


def assign_lanes(runs: Iterable[tuple[float, float]]) -> list[int]:
    """
    Return the lane of each run, from 0 on: the lowest one that is free when the run begins. O(n log n).

    Args:
        runs: When each run begins and ends, in seconds, in the order of the beginnings.
    """
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes: list[int] = []
    for begin, end in runs:
        while busy and busy[0][0] <= begin + TOLERANCE:
            heappush(free, heappop(busy)[1])
        lane = heappop(free) if free else len(busy)  # without a free lane, the busy ones are 0 to len(busy) - 1
        heappush(busy, (end, lane))
        lanes.append(lane)
    return lanes
