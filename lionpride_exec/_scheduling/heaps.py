"""A look into a heap."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .entry import Entry


def first_of_heap(heap: Sequence[Entry], number: int, is_live: Callable[[Entry], bool]) -> list[Entry]:
    """
    Return the first live entries of a heap, in order, and leave the heap as it is.

    An entry is never before its parent. So the next entry is always the first of the children of those found so far,
    and the rest of the heap is not looked at. O(number * log number), and the stale entries on the way.
    """
    found: list[Entry] = []
    size = len(heap)
    candidates = [(heap[0], 0)] if heap else []
    while candidates and len(found) < number:
        entry, place = heappop(candidates)
        if is_live(entry):
            found.append(entry)
        for child in (2 * place + 1, 2 * place + 2):
            if child < size:
                heappush(candidates, (heap[child], child))
    return found
