"""The keys under which the events of an executor are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.pile import Pile


class Keys:
    """
    Which event has which key. Each method is O(1).

    Args:
        items: The events of the executor.

    Attributes:
        key_of: The key of each event that has one, by the id of the event.
    """

    __slots__ = ("_event_of", "_items", "key_of")

    def __init__(self, items: Pile[Event]) -> None:
        self._items = items
        self._event_of: dict[Hashable, UUID] = {}
        self.key_of: dict[UUID, Hashable] = {}

    def find(self, key: Hashable) -> Event | None:
        """Return the event with a key. None if there is none."""
        event_id = self._event_of.get(key)
        if event_id is None:
            return None
        event = self._items.get(event_id, None)
        if event is None:  # a user took the event out of the flow
            self.forget(event_id)
        return event

    def of(self, event_id: UUID) -> Hashable:
        """Return the key of an event. None if it has none."""
        return self.key_of.get(event_id)

    def give(self, event_id: UUID, key: Hashable) -> None:
        """Make an event known under a key."""
        self._event_of[key] = event_id
        self.key_of[event_id] = key

    def forget(self, event_id: UUID) -> None:
        """Drop the key of an event, if it has one."""
        key = self.key_of.pop(event_id, None)
        if key is not None:
            del self._event_of[key]
