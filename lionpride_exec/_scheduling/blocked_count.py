"""How many queued entries wait for their key, and which maps are called when that number grows."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet


class Listener(Protocol):
    """A map that appends more events while queued entries wait for their keys."""

    def reconsider(self) -> None:
        """Check whether there is room now. Must neither wait nor change the queue."""


class BlockedCount:
    """
    How many queued entries cannot start because their key is at its limit or closed.

    A map does not count these entries for its look-ahead, so that they do not take the place of entries that can start.
    """

    __slots__ = ("_listeners", "number")

    def __init__(self) -> None:
        self.number: int = 0
        self._listeners: WeakSet[Listener] | None = None  # None until somebody asks

    def grow(self, number: int) -> None:
        """Add to the number, and call the listeners."""
        self.number += number
        if self._listeners is not None:
            for listener in self._listeners:
                listener.reconsider()

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener.reconsider()`` whenever the number has grown. Only a weak reference is kept. Idempotent."""
        if self._listeners is None:
            self._listeners = WeakSet()
        self._listeners.add(listener)
