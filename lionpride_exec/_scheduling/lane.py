"""One lane of queued entries, and the count of those that wait for their key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from lionpride_exec._model.limits import Route

    from .limit_state import LimitState

# Where a lane stands among others: the priority of its first entry, its turn, and itself.
Place = tuple[float, int, "Lane"]


class Entry(NamedTuple):
    """One queued event. Entries sort by priority, lower first, then by arrival, which no two share."""

    priority: float
    arrival: int
    event_id: UUID
    route: Route


class Lane:
    """The queued entries of one route."""

    __slots__ = ("claims", "heap", "key", "live", "parked_at", "passed", "path", "turn")

    def __init__(self, key: tuple[Hashable, ...], path: tuple[LimitState, ...], turn: int) -> None:
        self.key: tuple[Hashable, ...] = key
        self.path: tuple[LimitState, ...] = path
        self.turn: int = turn
        self.heap: list[Entry] = []
        self.live: int = 0  # entries that are not stale
        self.parked_at: LimitState | None = None
        # How often it found something of its path taken since it was last served; and, once that is too often, what it
        # has claimed of it: there nobody who comes later goes before it.
        self.passed: int = 0
        self.claims: tuple[LimitState, ...] = ()

    def __lt__(self, other: Lane) -> bool:
        return False  # two places of one lane in a heap are equal

    @property
    def place(self) -> Place:
        """Where it stands; it must not be empty."""
        return self.heap[0].priority, self.turn, self


class Listener(Protocol):
    """Takes in more while what is queued waits for keys."""

    def reconsider(self) -> None:
        """Look whether there is room now. It must not wait, nor change what is queued."""


class Blocked:
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
