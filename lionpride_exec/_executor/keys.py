"""The keys under which the events of an executor are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.json_text import shown
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._events.running_event import runs_here
from lionpride_exec._status import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec._model.pile import Pile


def gives_key(event: Event) -> bool:
    """Return whether an event gives its key to one that is unique while open: it has ended, or it makes the call."""
    return event.execution.status in TERMINAL or any(run.event is event for run in runs_here.get())


class Keys:
    """
    Which event has which key. Each method is O(1).

    Args:
        items: The events of the executor.
        are_texts: Whether keys are kept as their JSON text.

    Attributes:
        key_of: The key of each event that has one, by the id of the event.
    """

    __slots__ = ("_are_texts", "_event_of", "_items", "key_of")

    def __init__(self, items: Pile[Event], *, are_texts: bool = False) -> None:
        self._items = items
        self._are_texts = are_texts
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

    def holder(self, options: SubmitOptions) -> Event | None:
        """Return the event that has the key of new options, so that no other event can get it. None if it is free."""
        event = self.find(options.key)
        return None if event is None or (options.unique_open and gives_key(event)) else event

    def of(self, event_id: UUID) -> Hashable:
        """Return the key of an event. None if it has none."""
        return self.key_of.get(event_id)

    def named(self, event: Event) -> str:
        """Return the name of an event in a message: its short form, and its key if it has one."""
        key = self.of(event.id)
        if key is None:
            return str(event)
        text = f"{key:.100}" if self._are_texts and isinstance(key, str) else shown(key)
        return f"{event} with key {mask(text, secrets_of(event)) if event._redacted else text}"

    def give(self, event_id: UUID, key: Hashable) -> UUID | None:
        """Make an event known under a key. Return the id of the event that has lost the key. None if there is none."""
        before = self._event_of.get(key)
        if before is not None:
            self.key_of.pop(before, None)
        self._event_of[key] = event_id
        self.key_of[event_id] = key
        return before

    def give_back(self, event_id: UUID | None, key: Hashable) -> None:
        """Make an event known again under the key that it had, if it is here and no other event has the key."""
        if event_id is not None and event_id in self._items and self.find(key) is None:
            self.give(event_id, key)

    def forget(self, event_id: UUID) -> None:
        """Drop the key of an event, if it has one."""
        key = self.key_of.pop(event_id, None)
        if key is not None:
            del self._event_of[key]
