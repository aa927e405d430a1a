"""Reads the first entries of a heap without removing them."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .entry import Entry


def first_of_heap(heap: Sequence[Entry], number: int, is_live: Callable[[Entry], bool]) -> list[Entry]:
    """
    Return the first live entries of a heap, in order, and leave the heap as it is.

    The children of an entry come after it. So the next entry is always the first one among the children of the entries
    taken so far. The rest of the heap is not looked at. O(n log n) for n entries taken, stale ones included.

    Args:
        heap: A list that ``heapq`` keeps in order.
        number: How many entries to return at most.
        is_live: Returns whether an entry still counts. The others are stale, and left out.
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
