"""
Events by status.

Each status has a progression of event ids. The index moves an id inside the event's own transition, so the status of an
event and its progression agree whenever another task can look. There is one exception: if a gate was asked, the
processor's report files the id under PROCESSING one step before the event begins.

A task that must see several steps as one holds a lock: ``async with executor.states.progressions``, or a single
progression. Moves then wait for the lock.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from lionpride_exec._events.running_event import runs_here
from lionpride_exec._model.progression import Progression
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ConfigurationError

from .unseen_failures import UnseenFailures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._model.flow import Flow
    from lionpride_exec._model.pile import Pile


class StatusIndex:
    """
    The progressions of an executor: one for each status, with the ids of the events that have this status.

    Args:
        states: The flow of the executor, without progressions. The seven progressions are added to it.
        coordination: Counts the locks in use, and holds the deferred ends.

    Attributes:
        items: All events of the executor.
        by_status: The progression of each status, even if a user has taken it out of the flow.
        failures: The failures that nobody has looked at.
        when_unlocked: Called each time a lock of a progression has become free.
    """

    __slots__ = (
        "_coordination",
        "_filed",
        "_numbers",
        "by_status",
        "failures",
        "from_events",
        "items",
        "states",
        "when_unlocked",
    )

    def __init__(self, states: Flow[Event, Progression], coordination: Coordination) -> None:
        self.states: Flow[Event, Progression] = states
        self.items: Pile[Event] = states.items
        self.by_status = {status: Progression(name=status.value) for status in EventStatus}
        self.failures = UnseenFailures(coordination.name)
        self.from_events: int = 0  # how many events were added by running events
        self.when_unlocked: Callable[[], None] | None = None
        self._coordination = coordination
        # A look at the flow's progressions without a call of Python, since each event comes to add().
        self._filed = states.progressions._items.get
        self._numbers = {status: progression.id.int for status, progression in self.by_status.items()}
        states._add_first(self.by_status.values())
        for guard in (states.progressions.guard, *(each.guard for each in self.by_status.values())):
            guard.when_taken = self._lock_taken
            guard.when_free = self._lock_freed

    # ---------------------------------------------------------------- looking

    def progression(self, status: EventStatus) -> Progression:
        """
        Return the progression of a status.

        Raises:
            ConfigurationError: The progression was taken out of the flow.
        """
        progression = self.by_status[status]
        if self.states.progressions.get(progression.id, None) is not progression:
            raise ConfigurationError(f"Progression '{status.value}' not found: it was taken out of the executor's flow")
        return progression

    def events(self, status: EventStatus) -> list[Event]:
        """
        Return the events with a status, in the order in which they came to it.

        Failures among them do not count as looked at.
        """
        return [self.items[event_id] for event_id in self.progression(status)]

    def newest(self, status: EventStatus, before: UUID | None, limit: int) -> list[Event]:
        """
        Return the events that came to a status last, the newest first. O(limit).

        Args:
            status: The status.
            before: Only events that came to the status before this one, which has the status too. None for all.
            limit: How many events at most.
        """
        return [self.items[event_id] for event_id in self.newest_ids(status, before, limit)]

    def newest_ids(self, status: EventStatus, before: UUID | None, limit: int) -> list[UUID]:
        """Return the ids of these events."""
        return self.progression(status)._order.newest(limit, before)

    def counts(self) -> dict[EventStatus, int]:
        """Return the number of events with each status, zeros included. O(1)."""
        return {status: len(self.progression(status)) for status in EventStatus}

    def tell_failures(self) -> None:
        """Warn of the failures that nobody has looked at, at the end of a lifetime."""

        def events_of(status: EventStatus) -> Iterator[Event]:
            """Iterate over the events with a status, except those that a user has taken out of the flow."""
            found = (self.items.get(event_id, None) for event_id in self.by_status[status])
            return (event for event in found if event is not None)

        self.failures.tell(events_of)

    # ---------------------------------------------------------------- moving

    def add(self, event: Event) -> None:
        """
        Add an event under its status.

        Raises:
            ConfigurationError: The progression was taken out of the flow. Nothing has changed.
        """
        status = event.execution.status
        progression = self.by_status[status]
        if self._filed(self._numbers[status]) is not progression:
            self.progression(status)  # raises, unless the user has another pile of progressions by now
        self.items.add(event)
        progression.append(event.id)
        if runs_here.get():
            self.from_events += 1

    def remove(self, event: Event) -> None:
        """Remove an event from the items and from all progressions."""
        event_id = event.id
        self.items.remove(event_id)
        number = event_id.int
        for progression in self.by_status.values():
            places = progression._order.places
            if places and number in places:  # as ``event_id in progression`` says it, without the call
                progression.exclude(event_id)

    def move(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition, in O(1). An event that is not among the items is not filed."""
        if self.by_status[previous].exclude(event.id):
            self.by_status[target].include(event.id)
        elif event.id in self.items and self.by_status[target].include(event.id):
            # The report may have filed the event in advance, for a start that does not happen.
            for status, other in self.by_status.items():
                if status is not target and other._order.places:
                    other.exclude(event.id)

    def file(self, event: Event, target: EventStatus) -> None:
        """
        File an event in the progression of one status, and in no other.

        Raises:
            ConfigurationError: The progression was taken out of the flow. Nothing has changed.
        """
        progression = self.progression(target)
        for other in self.by_status.values():
            if other is not progression and other._order.places:
                other.exclude(event.id)
        progression.include(event.id)

    async def update(self, event: Event, target: EventStatus) -> None:
        """
        Like :meth:`file`, but wait for locks that other tasks hold. An event that has left the executor is ignored.

        Raises:
            ConfigurationError: The progression was taken out of the flow. Nothing has changed.

        Cancellation: while the call waits for a lock. Nothing was moved then.
        """
        if event.id in self.progression(target) or event.id not in self.items:
            return
        locks = self.locks_needed(event.execution.status, target)
        if locks is None:
            self.file(event, target)
            return
        async with locks:
            # The release of these locks applies a deferred end, which must find the event under its own status.
            if event.id in self.items and event.id not in self._coordination.deferred_ends:
                self.file(event, target)

    # ---------------------------------------------------------------- locks

    def locks_needed(self, previous: EventStatus, target: EventStatus) -> AbstractAsyncContextManager[None] | None:
        """Return the locks that a move needs, if a task uses one of them now. None if the move can be made at once."""
        # A move is one synchronous step, so a free lock need not be taken for it.
        if not self._coordination.locks_in_use:
            return None
        users = (
            self.states.progressions.guard.users
            + self.by_status[previous].guard.users
            + self.by_status[target].guard.users
        )
        return self.locks(previous, target) if users else None

    def is_locked(self, status: EventStatus) -> bool:
        """Return whether a task uses a lock that is needed to add or remove an event with a status."""
        if self.items.guard.users:
            return True
        return self._coordination.locks_in_use > 0 and self.locks_needed(status, status) is not None

    @asynccontextmanager
    async def locks(self, *statuses: EventStatus) -> AsyncGenerator[None]:
        """
        Hold the locks of these statuses.

        All tasks take them in one order: the lock of all progressions, then each.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.states.progressions.guard)
            for status in EventStatus:
                if status in statuses:
                    await stack.enter_async_context(self.progression(status).guard)
            yield

    @asynccontextmanager
    async def all_locks(self, *statuses: EventStatus) -> AsyncGenerator[None]:
        """Hold the lock of the items too, as adding or removing events with these statuses requires."""
        async with self.items, self.locks(*statuses):
            yield

    def lock_in_the_way(self) -> str | None:
        """Return which lock keeps events from starting now, and which task holds it. None if no lock does."""
        if not self._coordination.locks_in_use:
            return None
        pending, processing = (self.by_status[status] for status in (EventStatus.PENDING, EventStatus.PROCESSING))
        # The last lock that tasks take comes first: the holder of another lock may be waiting for it.
        locks = {
            "'processing'": processing.guard,
            "'pending'": pending.guard,
            "all progressions": self.states.progressions.guard,
        }
        held = next(((name, guard) for name, guard in locks.items() if guard.users), None)
        return None if held is None else f"the lock of {held[0]} is held by {held[1].owner or 'a task'}"

    def _lock_taken(self) -> None:
        self._coordination.locks_in_use += 1

    def _lock_freed(self) -> None:
        self._coordination.locks_in_use -= 1
        if self.when_unlocked is not None:
            self.when_unlocked()

    def event_ids(self, *statuses: EventStatus) -> Iterator[UUID]:
        """Iterate over the ids of the events with these statuses, even if a progression was taken out of the flow."""
        return (event_id for status in statuses for event_id in self.by_status[status])
