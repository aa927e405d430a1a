"""
Events by status.

Each status has a progression of event ids, and an event's id is moved inside the event's own transition: whenever
another task can look, the status of an event and the progression it stands in agree. (Where a gate was asked, the id is
ahead for the length of one step: the processor's report files it under PROCESSING just before the event begins.)
Whoever needs several steps seen as one holds a lock, ``async with executor.states.progressions`` or a single
progression; a move then waits for its turn.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from lionpride_exec._base.coordination import Coordination
from lionpride_exec._model.execution import to_status
from lionpride_exec._model.flow import Flow
from lionpride_exec._model.progression import Progression
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ConfigurationError

from .unseen_failures import UnseenFailures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from lionpride_exec._events.event import Event


class StatusBoard:
    """
    The part of an executor that knows where each event stands.

    Attributes:
        states: The flow: all events, and one progression per status. Progressions of your own may be added.
    """

    def __init__(self, event_type: type[Event], *, strict: bool, name: str) -> None:
        self.states: Flow[Event, Progression] = Flow(name=name, item_type=event_type, strict_type=strict)
        self._by_status = {status: Progression(name=status.value) for status in EventStatus}
        for progression in self._by_status.values():
            self.states.add_progression(progression)
        self._coordination: Coordination = Coordination()
        # Part of the coordination; under a name of its own, since every hop costs.
        self._put_off: dict[UUID, tuple[Event, EventStatus, BaseException]] = self._coordination.deferred_ends
        self._failures = UnseenFailures()
        for guard in (self.states.progressions.guard, *(each.guard for each in self._by_status.values())):
            guard.when_taken = self._lock_taken
            guard.when_free = self._lock_freed

    # ---------------------------------------------------------------- looking

    @property
    def strict_event_type(self) -> bool:
        """Whether subclasses of :attr:`event_type` are refused."""
        return self.states.items.strict_type

    @property
    def pending_events(self) -> list[Event]:
        """The events that are PENDING, in the order they came to it."""
        return self.get_events_by_status(EventStatus.PENDING)

    @property
    def processing_events(self) -> list[Event]:
        """The events that are PROCESSING, in the order they came to it."""
        return self.get_events_by_status(EventStatus.PROCESSING)

    @property
    def completed_events(self) -> list[Event]:
        """The events that are COMPLETED, in the order they came to it."""
        return self.get_events_by_status(EventStatus.COMPLETED)

    @property
    def failed_events(self) -> list[Event]:
        """The events that are FAILED, in the order they came to it."""
        return self.get_events_by_status(EventStatus.FAILED)

    @property
    def cancelled_events(self) -> list[Event]:
        """The events that are CANCELLED, in the order they came to it."""
        return self.get_events_by_status(EventStatus.CANCELLED)

    @property
    def skipped_events(self) -> list[Event]:
        """The events that are SKIPPED, in the order they came to it."""
        return self.get_events_by_status(EventStatus.SKIPPED)

    @property
    def aborted_events(self) -> list[Event]:
        """The events that are ABORTED, in the order they came to it."""
        return self.get_events_by_status(EventStatus.ABORTED)

    def get_events_by_status(self, status: EventStatus | str) -> list[Event]:
        """
        Give the events with a status, in the order they came to it. O(number of them).

        Events that failed count as looked at: the end of the lifetime does not warn of them.

        Raises:
            NotFoundError: No such status. (Also a KeyError.)
            ConfigurationError: Its progression was taken out of :attr:`states`.
        """
        wanted = to_status(status)
        events = self._events_in_memory(wanted)
        self._failures.look_at_all(wanted, events)
        return events

    def _events_in_memory(self, status: EventStatus) -> list[Event]:
        """Return the events with a status, without looking at their failures."""
        items = self.states.items
        return [items[event_id] for event_id in self._progression(status)]

    def _tell_failures(self) -> None:
        """Warn of failures that nobody has looked at; a lifetime has ended."""
        items = self.states.items

        def events_of(status: EventStatus) -> Iterator[Event]:
            """Iterate over those of a status; some may have been taken out by hand."""
            found = (items.get(event_id, None) for event_id in self._by_status[status])
            return (event for event in found if event is not None)

        self._failures.tell(events_of)

    def status_counts(self) -> dict[str, int]:
        """Give the number of events in each of the seven statuses, zeros included. O(1)."""
        return {status.value: len(self._progression(status)) for status in EventStatus}

    def inspect_state(self) -> str:
        """Give a readable summary: a line per status."""
        lines = [
            f"  {status}: {number} event{'' if number == 1 else 's'}" for status, number in self.status_counts().items()
        ]
        return "\n".join([f"Executor State ({self.states.name}):", *lines])

    def __contains__(self, event: Event | UUID | str) -> bool:
        return event in self.states.items

    def __repr__(self) -> str:
        counts = self.status_counts()
        shown = ", ".join(f"{status}={number}" for status, number in counts.items())
        return f"Executor(total={sum(counts.values())}, {shown})"

    # ---------------------------------------------------------------- moving

    def _move(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition, in O(1). An event that was taken out of the items stays out."""
        if self._by_status[previous].exclude(event.id):
            self._by_status[target].include(event.id)
        elif event.id in self.states.items and self._by_status[target].include(event.id):
            # It may have been filed in advance, for a start to which it does not come.
            for status, other in self._by_status.items():
                if status is not target and other._counts:
                    other.exclude(event.id)

    def _end(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """
        End an event from outside: at once, or by cancelling its run; later, if a lock holds it still. Whether it will.

        An event that has ended stays as it is. One that is being cancelled ends as it was told first.
        """
        execution = event.execution
        if execution.status.is_terminal:
            return False
        if execution._running:
            if execution._scope is not None and event._verdict is None:
                event._verdict = status, error
                execution._scope.cancel()
        elif self._turn_to_move(execution.status, status) is None:
            event._transition(status, error=error)
        else:
            self._put_off.setdefault(event.id, (event, status, error))
        return True

    def _lock_taken(self) -> None:
        self._coordination.locks_in_use += 1

    def _lock_freed(self) -> None:
        self._coordination.locks_in_use -= 1
        self._make_up()

    def _make_up(self) -> None:
        """Make the moves that were put off, now that a lock is free."""
        for event, status, error in list(self._put_off.values()):
            if self._put_off.pop(event.id, None) is not None:  # else it has ended by following another of them
                self._end(event, status, error)

    async def _update_progression(self, event: Event, force_status: EventStatus | None = None) -> None:
        """
        Have an event stand in one progression of the seven: ``force_status``'s, else its own status's.

        A processor reports here before a run whose gate it has asked; and, to a class that overrides this, before and
        after each run. The event itself is not changed; an event that has left the executor is ignored.

        Raises:
            ConfigurationError: That progression was taken out of the flow.

        Cancellation: while it waits for a lock; nothing has been moved then.
        """
        target = event.execution.status if force_status is None else force_status
        if event.id in self._progression(target) or event.id not in self.states.items:
            return
        turn = self._turn_to_move(event.execution.status, target)
        if turn is None:
            self._file(event, target)
            return
        async with turn:
            # An end that was put off comes with the release of these locks: the event is not to stand elsewhere then.
            if event.id in self.states.items and event.id not in self._put_off:
                self._file(event, target)

    def _wants_reports(self) -> bool:
        """Return whether ``_update_progression()`` is overridden, in a subclass or on the instance."""
        return (
            type(self)._update_progression is not StatusBoard._update_progression
            or "_update_progression" in self.__dict__
        )

    def _file(self, event: Event, target: EventStatus) -> None:
        progression = self._progression(target)
        for other in self._by_status.values():
            if other is not progression and other._counts:
                other.exclude(event.id)
        progression.include(event.id)

    def _progression(self, status: EventStatus) -> Progression:
        progression = self._by_status[status]
        if self.states.progressions.get(progression.id, None) is not progression:
            raise ConfigurationError(f"Progression '{status.value}' not found: it was taken out of the executor's flow")
        return progression

    def _turn_to_move(self, previous: EventStatus, target: EventStatus) -> AbstractAsyncContextManager[None] | None:
        """Give the locks a move needs if somebody holds one of them now; else it can be made at once."""
        # A move is synchronous: nobody could tell whether a free lock was taken for it or not.
        if not self._coordination.locks_in_use:
            return None
        users = (
            self.states.progressions.guard.users
            + self._by_status[previous].guard.users
            + self._by_status[target].guard.users
        )
        return self._locks(previous, target) if users else None

    @asynccontextmanager
    async def _locks(self, *statuses: EventStatus) -> AsyncGenerator[None]:
        """Hold the locks of these statuses, taken in one order by everybody: all of them first, then each."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.states.progressions.guard)
            for status in EventStatus:
                if status in statuses:
                    await stack.enter_async_context(self._progression(status).guard)
            yield
