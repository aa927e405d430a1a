"""Entries that wait for room in the queue: a heap by priority and arrival."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from .entry import Entry


class Backlog:
    """
    The entries that wait for room.

    Attributes:
        heap: The entries, stale ones included. The queue keeps references to this list and to ``entries``, so they are
            never replaced.
        entries: The entries that count, by the id of the event.
    """

    __slots__ = ("entries", "heap")

    def __init__(self) -> None:
        self.heap: list[Entry] = []
        self.entries: dict[UUID, Entry] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries. O(log n) for each."""
        for entry in entries:
            heappush(self.heap, entry)
            self.entries[entry.event_id] = entry

    def take_first(self) -> Entry | None:
        """Take the first entry. None if there is none. O(log n) amortised."""
        while self.heap:
            entry = heappop(self.heap)
            if self.entries.get(entry.event_id) is entry:
                del self.entries[entry.event_id]
                return entry
        return None

    def set_priority(self, event_id: UUID, priority: float) -> None:
        """Give an entry another priority. O(log n) amortised."""
        self.add([self.entries[event_id]._replace(priority=priority)])
        if len(self.heap) > 32 + 2 * len(self.entries):
            self.heap[:] = self.entries.values()
            heapify(self.heap)
