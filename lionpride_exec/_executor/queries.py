"""The methods of the facade that answer questions and change nothing."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, overload

from lionpride_exec._base.coordination import PAUSED, Coordination
from lionpride_exec._status import EventStatus

from .shown import executor_bundle, executor_text

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.completion import Endings
    from lionpride_exec._model.flow import Flow
    from lionpride_exec._model.progression import Progression
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.observers import Observers
    from lionpride_exec._tracking.subscriptions import OnFull, Subscriptions, Watcher

    from .explainer import Explainer
    from .explanation import Explanation, RemoteExplanation, Statistics
    from .lookups import Lookups
    from .parts import Parts
    from .transitions import Transitions


E = TypeVar("E", bound="Event[Any]")

# The name of the flow of an executor without a name.
DEFAULT_NAME: Final = "executor_states"


class ExecutorQueries:
    """The queries of an executor. The facade makes the parts that answer them."""

    processor_type: ClassVar[type[Processor]]
    states: Flow[Event, Progression]
    _coordination: Coordination
    _lookups: Lookups
    _observers: Observers
    _parts: Parts
    _subscriptions: Subscriptions
    _transitions: Transitions

    # Made at its first use, because it is slow to import and few programs use it.
    @cached_property
    def _explainer(self) -> Explainer:
        from .explainer import Explainer  # noqa: PLC0415  see above

        parts = self._parts
        if parts.cluster is not None:
            from .cluster_reports import ClusterExplainer  # noqa: PLC0415  needs the extra

            return ClusterExplainer(parts, parts.cluster)
        return Explainer(*parts.explained)

    # ---------------------------------------------------------------- events

    @staticmethod
    def as_completed(events: Iterable[E]) -> Endings[E]:
        """
        Return the events as they end: ``async for event in executor.as_completed(events)``.

        Events that have already ended come first, the others in the order of their ends. A duplicate comes once.
        However an event ends, nothing is raised. O(1) per event, without a task. Leaving the loop changes no event.
        After ``stop()``, the loop waits for pending events until ``start()``: leave it by ``break``.

        Args:
            events: Events of this executor, of others, or of several.

        Raises:
            TypeError: One of the items is no event.
            RuntimeError: One of the events makes the call, so the iterator could never return it.
            ExecutorClosedError: While iterating, after all events that did end: an executor was left, or removed one of
                the events, before that event ended.
            anyio.BusyResourceError: Two tasks iterate at the same time.

        Cancellation: leaves the events and the iterator as they are. You can continue to iterate.
        """
        from lionpride_exec._iteration.completion import Endings  # noqa: PLC0415  slow to import, and few need it

        return Endings(events)

    def __contains__(self, event: Event | UUID | str) -> bool:
        return self._lookups.has(event)

    def get_events_by_status(self, status: EventStatus | str) -> list[Event]:
        """
        Return the events with a status, in the order in which they came to it.

        O(number of these events): the event loop waits while the list is made, some 100 ms for 100,000 events.
        :meth:`page` reads a few of them. Failed events in the list count as looked at: the end of the lifetime does not
        warn of them.

        Example::

            for event in executor.get_events_by_status("failed"):
                print(event.id, event.execution.error)

        Raises:
            NotFoundError: The status does not exist. (Also a KeyError.)
            ConfigurationError: The progression of the status was taken out of :attr:`states`.
        """
        return self._lookups.with_status(status)

    def page(
        self,
        status: EventStatus | str,
        before: Event | UUID | str | Iterable[Event | UUID] | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """
        Return the events that came to a status last, the newest first. O(limit), however many events there are.

        Pass the page as ``before`` to get the next page. Other tasks may run between two pages. An event that has the
        status all that time is on one page, and no other event is on two pages, unless it left the status and came
        back. Failed events on a page count as looked at.

        Example::

            page = executor.page("failed")
            while page:
                for event in page:
                    print(event.id, event.execution.error)
                page = executor.page("failed", before=page)

        Args:
            status: A status.
            before: The page before this one, or its last event, or the id of this event. Of a page, the last event that
                still has the status counts. None for the first page.
            limit: The largest number of events, at least 1.

        Raises:
            NotFoundError: The status does not exist, or none of the events in ``before`` has the status now. (Also a
                KeyError.)
            ConfigurationError: The progression of the status was taken out of :attr:`states`.
            ValueError: ``limit`` is less than 1, or ``before`` is not a valid id.
        """
        return self._lookups.page(status, before, limit)

    @property
    def pending_events(self) -> list[Event]:
        """The events that are PENDING, in the order in which they became so. O(number of these events)."""
        return self.get_events_by_status(EventStatus.PENDING)

    @property
    def processing_events(self) -> list[Event]:
        """The events that are PROCESSING, in the order in which they became so. O(number of these events)."""
        return self.get_events_by_status(EventStatus.PROCESSING)

    @property
    def completed_events(self) -> list[Event]:
        """The events that are COMPLETED, in the order in which they became so. O(number of these events)."""
        return self.get_events_by_status(EventStatus.COMPLETED)

    @property
    def failed_events(self) -> list[Event]:
        """The events that are FAILED, in the order in which they became so. O(number of these events)."""
        return self.get_events_by_status(EventStatus.FAILED)

    @property
    def cancelled_events(self) -> list[Event]:
        """The events that are CANCELLED, in the order in which they became so. O(number of these events)."""
        return self.get_events_by_status(EventStatus.CANCELLED)

    @property
    def skipped_events(self) -> list[Event]:
        """The events that are SKIPPED, in the order in which they became so. O(number of these events)."""
        return self.get_events_by_status(EventStatus.SKIPPED)

    @property
    def aborted_events(self) -> list[Event]:
        """The events that are ABORTED, in the order in which they became so. O(number of these events)."""
        return self.get_events_by_status(EventStatus.ABORTED)

    async def get(self, event: Event | UUID | str) -> Event:
        """
        Return an event by its id, from memory or else from the journal or the cluster.

        An event from the journal is a copy that belongs to no executor. The result is what JSON preserves of the
        original, and the error is a :class:`RemoteError`. If an event has left memory and its end is not in the journal
        yet, the call returns the event itself. O(1) in memory. On disk O(number of events there), about 60
        ms for a million. An event from a cluster is a copy likewise, from whichever process it came. One round trip.

        Raises:
            NotFoundError: The event is neither in memory, nor in the journal or the queue of the cluster.
            JournalError: The journal cannot be read.
            ClusterError: The server was not reached, or refuses. Or the event cannot be read in this process.
            ValueError: The value is not a valid id.

        Cancellation: while the journal or the server is asked. Nothing has changed.
        """
        return await self._lookups.get(event)

    async def known_keys(self, keys: Iterable[Hashable]) -> set[Hashable]:
        """
        Return the keys under which an event is known, in memory, in the journal or in the queue of the cluster.

        One look-up per key. With a cluster, 200 keys in a round trip.

        Raises:
            TypeError: A key is not hashable, or (with a journal or a cluster) JSON cannot hold the key.
            JournalError: The journal cannot be read.
            ClusterError: The server was not reached, or refuses.

        Cancellation: while the journal or the server is asked. Nothing has changed.
        """
        return await self._lookups.known_keys(keys)

    async def held_events(self) -> list[Event]:
        """
        Return the held events: they ran when the process died, and their class says ``on_crash="hold"``.

        A held event waits for a decision: :meth:`release` lets it run again. O(number of open events).

        Raises:
            JournalError: The journal cannot be read, or no journal is open.
            ConfigurationError: The executor has a cluster, in which no event is held.

        Cancellation: while the journal is read. Nothing has changed.
        """
        return await self._lookups.held()

    def explain(self, event: Event | UUID | str) -> Explanation:
        """
        Return what an event waits for, and for at least how long: ``print(executor.explain(event))``.

        With a cluster, what an event waits for is known while the worker of this process holds the event. Otherwise
        the answer is CLUSTER, and :meth:`explain_remote` asks the server.

        O(1), or O(what is used of the event's limits). The call changes nothing. Call it in the event loop. An event
        that is held up only by the events in front of it waits for what they wait for.

        With a journal, an event that has ended may have left memory. For the bare id of that event,
        ``Explanation.event`` is a plain ``Event`` with the id and the status. ``await executor.get(id)`` reads it.

        Raises:
            NotFoundError: The event is not in this executor.
            RuntimeError: No event loop runs.
        """
        told = self._explainer.explain(self._lookups.known(event), self._transitions.processor)
        return self._lookups.with_left_before(told)

    async def explain_remote(self, event: Event | UUID | str) -> RemoteExplanation:
        """
        Ask the server of the cluster where any event of the queue is: ``print(await executor.explain_remote(event))``.

        The answer has the worker that holds the event, since when, and what the event waits for.

        Raises:
            ConfigurationError: The executor has no cluster.
            NotFoundError: The queue does not know the event.
            ClusterError: The executor does not run, or the server is not reached or refuses.
            ValueError: The value is not a valid id.

        Cancellation: while the server is asked. Nothing has changed.
        """
        return await self._explainer.explain_remote(event)

    # ---------------------------------------------------------------- the whole

    def __repr__(self) -> str:
        return executor_text(self, self._parts)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return executor_bundle(self, self._parts)

    @property
    def strict_event_type(self) -> bool:
        """Whether the executor refuses subclasses of :attr:`event_type`."""
        return self.states.items.strict_type

    def status_counts(self) -> dict[str, int]:
        """
        Return the number of events in each of the seven statuses, zeros included. O(1).

        With a journal, the counts include the events that have ended and are only on disk, but no held events.
        """
        return self._lookups.status_counts()

    def inspect_state(self) -> str:
        """Return a readable summary, with one line for each status."""
        lines = [
            f"  {status}: {number} event{'' if number == 1 else 's'}" for status, number in self.status_counts().items()
        ]
        return "\n".join([f"Executor State ({self.states.name}):", *lines])

    def statistics(self) -> Statistics:
        """
        Return a snapshot: events by status, why pending events wait, and how much of each limit is used.

        Call it in the event loop. O(number of events that are delayed, or that wait for a limit or a gate).

        Raises:
            RuntimeError: No event loop runs.
        """
        return self._explainer.statistics(self._transitions.processor, self.status_counts())

    @property
    def is_abandoned(self) -> bool:
        """Whether the executor was left, or crashed, and has not been started again."""
        return self._transitions.is_abandoned

    @property
    def is_paused(self) -> bool:
        """Whether :meth:`pause` was called, and :meth:`resume` was not called since."""
        return PAUSED in self._coordination.holds

    @property
    def name(self) -> str:
        """
        The name of the executor in metrics and logs, which is the one that was passed.

        Without one, the name of the function or the class that the executor is for, as ``Executor.of()`` or the
        processor class tells it: ``fetch`` for ``Executor.of(fetch)``.
        """
        given = self.states.name
        if given is not None and given != DEFAULT_NAME:
            return given
        return self.processor_type.__name__.removesuffix("Processor") or self.processor_type.event_type.__name__

    # ---------------------------------------------------------------- transitions

    @overload
    def observe(
        self, observer: Callable[[Event, EventStatus, EventStatus], None], *, entries: Literal[False] = False
    ) -> Callable[[], None]: ...

    @overload
    def observe(
        self, observer: Callable[[Event, EventStatus | None, EventStatus], None], *, entries: bool
    ) -> Callable[[], None]: ...

    def observe(
        self, observer: Callable[[Event, Any, EventStatus], None], *, entries: bool = False
    ) -> Callable[[], None]:
        """
        Call ``observer(event, previous, status)`` at every transition. Return a function that removes the observer.

        The observer runs inside the transition and delays it, so keep it quick. Exceptions of an observer are logged.

        Args:
            observer: The function.
            entries: Whether to call ``observer(event, None, "pending")`` too when a new event comes in, by whichever
                call. The function then runs in the context of the caller, before a journal or a cluster writes the
                event, so what it adds to ``event.metadata`` is written too. An event that is then refused, by a full
                queue for example, was told of as well. An event that comes back from a journal is no new one.
        """
        return self._observers.add(observer, entries=entries)

    def watch(
        self,
        *,
        buffer: int = 1000,
        on_full: OnFull = "wait",
        statuses: Iterable[EventStatus | str] | str | None = None,
    ) -> Watcher:
        """
        Return an async iterator of every :class:`Transition` from now on.

        Example::

            async with executor.watch(statuses="failed") as transitions:
                async for transition in transitions:
                    print(transition)

        A transition cannot wait for its reader. ``on_full`` decides what happens while ``buffer`` or more transitions
        are unread:

        - "wait": No transition is missed. No event starts and no gate is asked until the reader has caught up. Running
          events continue, so more than ``buffer`` transitions may gather: one for each running event, one for an event
          that a gate is being asked about, and those of events that are decided or invoked by hand. A reader that waits
          for the executor (in :meth:`join`, at the end of its block, in ``Event.wait()``, :meth:`invoke`, or
          ``append(wait=True)``) cannot read meanwhile. Its watcher then holds nothing back, however many transitions
          gather.
        - "drop": The oldest transitions are dropped. ``Watcher.missed`` counts them.
        - "error": The reader gets :class:`WatcherTooSlow` after the transitions in the buffer.

        The subscription begins with this call, so a task that gets the watcher later misses nothing. Before the
        executor is started, the iterator waits. The iteration ends, after the unread transitions, with the executor's
        lifetime: when its block was left, when ``run()`` has returned, or, without either, when ``stop()`` has
        returned.

        Without a watcher, a transition costs nothing more.

        Args:
            buffer: The number of unread transitions at which ``on_full`` applies, at least 1.
            on_full: "wait", "drop" or "error".
            statuses: Only transitions to these statuses, or to this one. None if all.

        Raises:
            ValueError: ``buffer`` or ``on_full`` has another value.
            NotFoundError: A status does not exist.
        """
        return self._subscriptions.watch(buffer, on_full, statuses)
