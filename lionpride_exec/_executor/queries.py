"""What an executor tells about its events and itself: the methods of the facade that change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.coordination import PAUSED, Coordination
from lionpride_exec._status import EventStatus
from lionpride_exec._validation import check_number

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.flow import Flow
    from lionpride_exec._model.progression import Progression
    from lionpride_exec._tracking.observers import Observers
    from lionpride_exec._tracking.progress import Progress
    from lionpride_exec._tracking.subscriptions import OnFull, Subscriptions, Watcher

    from .explain import Explainer
    from .explanation import Explanation, Statistics
    from .lookups import Lookups
    from .progress_report import ProgressReport
    from .transitions import Transitions


class ExecutorQueries:
    """The queries of an executor. The facade makes the parts that answer them."""

    states: Flow[Event, Progression]
    _coordination: Coordination
    _explainer: Explainer
    _lookups: Lookups
    _observers: Observers
    _progress: ProgressReport
    _subscriptions: Subscriptions
    _transitions: Transitions

    # ---------------------------------------------------------------- events

    def __contains__(self, event: Event | UUID | str) -> bool:
        return self._lookups.has(event)

    def get_events_by_status(self, status: EventStatus | str) -> list[Event]:
        """
        Give the events with a status, in the order they came to it. O(number of them).

        Events that failed count as looked at: the end of the lifetime does not warn of them.

        Raises:
            NotFoundError: No such status. (Also a KeyError.)
            ConfigurationError: Its progression was taken out of :attr:`states`.
        """
        return self._lookups.with_status(status)

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

    async def get(self, event: Event | UUID | str) -> Event:
        """
        Give an event by its id, from memory or, if it is not there, from the journal.

        One from the journal is a copy that stands in no executor: its result is what JSON keeps of it, its error a
        :class:`RemoteError`. O(1) in memory; on disk O(number of events there), about 60 ms for a million.

        Raises:
            NotFoundError: There is no such event.
            JournalError: It cannot be read.
            ValueError: What was given means no id.

        Cancellation: while it is read from the journal; that has changed nothing.
        """
        return await self._lookups.get(event)

    async def known_keys(self, keys: Iterable[Hashable]) -> set[Hashable]:
        """
        Give those of the keys under which an event is known here, in memory or in the journal. One look-up each.

        Raises:
            TypeError: A key is not hashable, or nothing that JSON can hold.
            JournalError: The journal cannot be read.

        Cancellation: while the journal is read; that has changed nothing.
        """
        return await self._lookups.known_keys(keys)

    async def held_events(self) -> list[Event]:
        """
        Give the events that wait for a decision: they ran when the process died, and their class says ``hold``.

        O(number of open events).

        Raises:
            JournalError: They cannot be read; or there is no open journal.

        Cancellation: while they are read; that has changed nothing.
        """
        return await self._lookups.held()

    def explain(self, event: Event | UUID | str) -> Explanation:
        """
        Say what an event waits for, and for how long at least. Cheap; changes nothing.

        An event that could start but for those in front of it waits for what these wait for. Call it in the event loop.
        For the bare id of an event that has ended and left memory, as with a journal, ``Explanation.event`` is a plain
        ``Event`` with that id and status; ``await executor.get(id)`` reads the event itself.

        Raises:
            NotFoundError: There is no such event.
            RuntimeError: No event loop runs.
        """
        return self._explainer.explain(self._lookups.known(event), self._transitions.processor)

    # ---------------------------------------------------------------- the whole

    def __repr__(self) -> str:
        counts = self.status_counts()
        shown = ", ".join(f"{status}={number}" for status, number in counts.items())
        return f"Executor(total={sum(counts.values())}, {shown})"

    @property
    def strict_event_type(self) -> bool:
        """Whether subclasses of :attr:`event_type` are refused."""
        return self.states.items.strict_type

    def status_counts(self) -> dict[str, int]:
        """
        Give the number of events in each of the seven statuses, zeros included. O(1).

        With a journal those that have ended and are only on disk are included.
        """
        return self._lookups.status_counts()

    def inspect_state(self) -> str:
        """Give a readable summary: a line per status."""
        lines = [
            f"  {status}: {number} event{'' if number == 1 else 's'}" for status, number in self.status_counts().items()
        ]
        return "\n".join([f"Executor State ({self.states.name}):", *lines])

    def statistics(self) -> Statistics:
        """
        Give a snapshot: events by status, pending ones by what they wait for, what is used of the limits.

        O(what is delayed, or waits for a limit or gate). Call it in the event loop.

        Raises:
            RuntimeError: No event loop runs.
        """
        return self._explainer.statistics(self._transitions.processor, self.status_counts())

    def progress(self, *, to_come: float = 0) -> Progress:
        """
        Return the number of events done and to do, the rate, and the time left.

        The rate is that since earlier calls, at most 60 s back, so call it now and then. Events that were taken in
        with a final status count as done, but not for the rate. Works outside an event loop too, without a rate and
        without the time left. O(what is queued, runs, or is used of the limits).

        Args:
            to_come: How many events will come that the executor cannot know of, 0 or more; an estimate will do. What
                a running :meth:`map` will take from its source is known, if the source has a length.

        Raises:
            ConfigurationError: A progression was taken out of :attr:`states`.
            ValueError: ``to_come`` is negative, infinite or NaN.
        """
        return self._progress.make(self._transitions.processor, check_number("to_come", to_come))

    @property
    def is_abandoned(self) -> bool:
        """Whether the executor was left, or crashed, and has not been started again."""
        return self._transitions.is_abandoned

    @property
    def is_paused(self) -> bool:
        """Whether :meth:`pause` was called, and :meth:`resume` not since."""
        return PAUSED in self._coordination.holds

    # ---------------------------------------------------------------- transitions

    def observe(self, observer: Callable[[Event, EventStatus, EventStatus], None]) -> Callable[[], None]:
        """
        Have ``observer(event, previous, status)`` called at every transition; returns a function that ends it.

        It runs inside the transition and delays it, so it should be quick. An exception of it is logged.
        """
        return self._observers.add(observer)

    def watch(
        self,
        *,
        buffer: int = 1000,
        on_full: OnFull = "wait",
        statuses: Iterable[EventStatus | str] | str | None = None,
    ) -> Watcher:
        """
        Give an async iterator of every :class:`Transition` from now on: ``async with executor.watch() as transitions``.

        A transition cannot wait for its reader, so while ``buffer`` or more of them are unread, ``on_full`` holds:

        - "wait": none is missed; nothing new starts and no gate is asked until the reader has caught up. What runs goes
          on, so more than ``buffer`` may gather: one for each running event, one for an event in question at a
          gate, and whatever others decide or invoke by hand. A reader that itself waits for the executor (in
          :meth:`join`, at the end of its block, in ``Event.wait()``, :meth:`invoke`, or ``append(wait=True)``)
          cannot read meanwhile: it holds nothing back then, however much gathers.
        - "drop": the oldest are dropped; ``Watcher.missed`` counts them.
        - "error": after those in the buffer the reader gets :class:`WatcherTooSlow`.

        The iteration ends, after what is unread, when the executor's lifetime ends: its block was left, ``run()`` has
        returned, or, without either, ``stop()`` has. Until the executor is started it waits. It is subscribed at the
        call, so a task that is given the watcher sees everything, whenever it begins.

        Args:
            buffer: How many unread transitions are too many, at least 1.
            on_full: What to do then.
            statuses: Transitions to these statuses (or this one) only; None: all.

        Raises:
            ValueError: ``buffer`` or ``on_full`` is none of those.
            NotFoundError: No such status.

        Costs nothing while nobody watches.
        """
        return self._subscriptions.watch(buffer, on_full, statuses)
