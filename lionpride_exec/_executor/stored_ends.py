"""What an executor with a journal still knows about events that have ended and left memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lionpride_exec._events.event import Event
from lionpride_exec._model.element import to_uuid
from lionpride_exec._model.retain import Remembered
from lionpride_exec._status import TERMINAL, EventStatus

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID


class StoredEnds:
    """
    The ends that are only on disk.

    Args:
        path: The file of the journal.

    Attributes:
        counts: The number of events that have ended and are only on disk, by status. Never below 0.
        remembered: How the most recent of these events ended.
    """

    __slots__ = ("_path", "counts", "remembered")

    def __init__(self, path: Path) -> None:
        self.counts: Counter[EventStatus] = Counter()
        self.remembered = Remembered()
        self._path = path

    def add(self, event: Event, status: EventStatus) -> None:
        """Count an event that has left memory, and remember that it has ended."""
        self.counts[status] += 1
        self.remembered.note(event.id, status)
        event._set("_kept_in", self._path)

    def take_back(self, event: Event) -> None:
        """Forget an event that has left memory, and will not be on disk."""
        status = event.execution.status
        self.counts[status] = max(self.counts[status] - 1, 0)
        self.remembered.forget(event.id)
        event._set("_kept_in", None)

    def taken_out(self, event_id: UUID, status: EventStatus) -> None:
        """Forget an event that runs again."""
        self.counts[status] = max(self.counts[status] - 1, 0)
        self.remembered.forget(event_id)

    def deleted(self, counts: dict[str, int]) -> None:
        """Subtract events that were deleted from the file, by status."""
        for name, number in counts.items():
            status = EventStatus(name)
            self.counts[status] = max(self.counts[status] - number, 0)

    def find(self, event: Event | UUID | str) -> Event | None:
        """
        Return an event that has ended and left memory.

        For an id, return a plain event with the id and the status. None if the event is not here, or if only the disk
        knows.
        """
        in_hand = event if isinstance(event, Event) and event.execution.status in TERMINAL else None
        if in_hand is not None and in_hand._kept_in == self._path:
            return in_hand
        event_id = to_uuid(event)
        status = self.remembered.status_of(event_id)
        if status is None or in_hand is not None:
            return None if status is None else in_hand
        stand_in = Event(id=event_id)
        stand_in.execution.status = status
        return stand_in
