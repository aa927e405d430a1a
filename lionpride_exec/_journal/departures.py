"""
Events that have left memory before the file knows what has become of them.

An event may be removed from memory while its end, or the deletion of its row, waits for a commit. Until then, the file
shows the event as it was. Each look-up in the file asks here first, before it waits for anything, so that its answer is
the one that the file gives after the commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID

    from lionpride_exec._events.event import Event

    from .rows import Batch


@attrs.frozen
class Departure:
    """
    An event that has left memory.

    Attributes:
        event: The event.
        seq: The number of its row.
        key: The key of the event, as the file has it. None if it has none.
        has_ended: Whether the event has ended, so that its row stays. If not, the row is deleted.
    """

    event: Event
    seq: int
    key: str | None
    has_ended: bool


class Departures:
    """
    The events that have left memory, and whose end or deletion is not on disk yet. Each step is O(1).

    Attributes:
        by_seq: The departures by the number of the row.
    """

    __slots__ = ("_by_id", "_by_key", "by_seq")

    def __init__(self) -> None:
        self.by_seq: dict[int, Departure] = {}
        self._by_id: dict[UUID, Departure] = {}  # of several rows with one id, the last
        self._by_key: dict[str, list[Departure]] = {}  # a removed event leaves its key to other events

    def add(self, departure: Departure) -> None:
        """Note that an event has left memory."""
        self.discard(departure.seq)
        self.by_seq[departure.seq] = self._by_id[departure.event.id] = departure
        if departure.key is not None:
            self._by_key.setdefault(departure.key, []).append(departure)

    def discard(self, seq: int) -> bool:
        """Forget a departure, now that its row is as it will be. Return whether there was one."""
        departure = self.by_seq.pop(seq, None)
        if departure is None:
            return False
        if self._by_id.get(departure.event.id) is departure:
            del self._by_id[departure.event.id]
        if departure.key is not None:
            self._by_key[departure.key].remove(departure)
            if not self._by_key[departure.key]:
                del self._by_key[departure.key]
        return True

    def committed(self, batch: Batch, left_out: Collection[int]) -> None:
        """Forget the departures whose end or deletion a batch has brought to the disk. O(size of the batch)."""
        for seq, change in batch.changes.items():
            departure = None if change.finished is None or seq in left_out else self.by_seq.get(seq)
            if departure is not None and departure.has_ended:
                self.discard(seq)
        for seq in batch.removed:
            self.discard(seq)

    def with_id(self, event_id: UUID) -> Departure | None:
        """Return the departure of the event with an id. None if there is none."""
        return self._by_id.get(event_id)

    def ended_with_key(self, key: str) -> Event | None:
        """Return the event with a key that has ended. None if there is none."""
        return next((one.event for one in self._by_key.get(key, ()) if one.has_ended), None)

    def deleted_rows(self, keys: Iterable[str]) -> set[int]:
        """Return the numbers of the rows with these keys that are being deleted."""
        return {one.seq for key in keys for one in self._by_key.get(key, ()) if not one.has_ended}
