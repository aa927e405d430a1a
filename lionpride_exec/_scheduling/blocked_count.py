"""How many queued entries wait for their key, and who is told when that number grows."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet


class Listener(Protocol):
    """Takes in more while what is queued waits for keys."""

    def reconsider(self) -> None:
        """Look whether there is room now. It must not wait, nor change what is queued."""


class BlockedCount:
    """
    How many queued entries cannot start because their key is at its limit or closed.

    Those who take events in look further ahead by so many: entries that wait must not take the place of others.
    """

    __slots__ = ("_listeners", "number")

    def __init__(self) -> None:
        self.number: int = 0
        self._listeners: WeakSet[Listener] | None = None  # None until somebody asks

    def grow(self, number: int) -> None:
        """Count some more, and tell those who look ahead."""
        self.number += number
        if self._listeners is not None:
            for listener in self._listeners:
                listener.reconsider()

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener.reconsider()`` whenever the number has grown. Only a weak reference is kept. Idempotent."""
        if self._listeners is None:
            self._listeners = WeakSet()
        self._listeners.add(listener)
