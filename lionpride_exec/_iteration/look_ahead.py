"""
The look-ahead of a map: how many of its events may be in the executor and not yet returned to the consumer.

The bound follows the concurrency limit, which ``resize()`` changes at any time, and the processor, which may be made
after the map. A map asks for the bound once for each event. So the bound is computed only when one of the two has
changed, and events that wait for their key are counted only while there are any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._scheduling.blocked_count import BlockedCount

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._scheduling.blocked_count import Listener
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .map_options import MapOptions

# The default of max_lookahead: at least this many events, and at least this many for each slot.
MAX_LOOKAHEAD = 1000
SLOTS_AHEAD = 10


class LookAhead:
    """
    The bounds of one map.

    Args:
        options: What the caller of map() asked for.
        listener: Is told when more events wait for their key. Only a weak reference is kept.

    Attributes:
        blocked: How many events of the executor wait for their key, events of other maps included.
    """

    def __init__(self, options: MapOptions, listener: Listener) -> None:
        self.blocked: BlockedCount = BlockedCount()  # of no queue, until there is one
        self._options = options
        self._listener = listener
        self._queue: PriorityQueue | None = None
        self._concurrency: int = 0  # not known yet
        self._limit: int = 0
        self._most: int = 0

    def limit(self) -> int:
        """Return how many events the map may hold now, even if none of them waits for its key. O(1)."""
        concurrency, queue = self._options.executor.concurrency()
        if queue is not self._queue and queue is not None:
            self._queue = queue
            self.blocked = queue.lanes.blocked
            self.blocked.add_listener(self._listener)
        if concurrency != self._concurrency:
            self._follow(concurrency)
        return self._limit

    def has_room_past_keys(self, held: int, unended: int, turn: UUID | None) -> bool:
        """
        Return whether the map may hold one more event beyond its look-ahead, because held events wait for their keys.

        Args:
            held: How many events the map holds.
            unended: How many of them have not ended.
            turn: The event whose turn it is, if the events come in the order of the items. None if they do not.
        """
        if held >= self._most or self._queue is None:
            return False
        others = unended - min(self.blocked.number, unended)
        if turn is not None and self._queue.is_blocked(turn):
            return others < self._limit  # the ended events cannot be returned before ``turn``, so do not count them
        return held - unended + others < self._limit

    def _follow(self, concurrency: int) -> None:
        """Compute the bounds for another concurrency limit."""
        options = self._options
        self._concurrency = concurrency
        limit = 2 * concurrency if options.lookahead is None else options.lookahead
        most = max(MAX_LOOKAHEAD, SLOTS_AHEAD * concurrency, limit)
        self._most = most if options.max_lookahead is None else options.max_lookahead
        self._limit = min(limit, self._most)
