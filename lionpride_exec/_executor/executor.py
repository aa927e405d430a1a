"""
The executor: the facade over its parts, and its table of contents.

Where each event stands is kept by the index (``_tracking.status_index``), what follows from a transition by the
transitions, who owns the tasks by the lifetime, how events come in and leave by the submissions, what is on disk by the
journal link. Which event starts when is decided by the processor (``_processing``).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast, overload

import anyio
from anyio import AsyncContextManagerMixin

from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._base.overrides import is_overridden
from lionpride_exec._events.event import Event
from lionpride_exec._iteration.completion import Endings
from lionpride_exec._iteration.map import EventMap, maker_for
from lionpride_exec._iteration.map_options import MapOptions
from lionpride_exec._model.execution import to_status
from lionpride_exec._model.flow import Flow
from lionpride_exec._model.retain import Retain, by_status
from lionpride_exec._processing.config import MIN_REFRESH_TIME, check_bounds
from lionpride_exec._status import EventStatus
from lionpride_exec._validation import check_seconds
from lionpride_exec.errors import EventCancelled, Skip

from .bulk import extend
from .factory import event_type_of, make_executor, make_processor
from .map_host import ExecutorOfMap
from .parts import Parts
from .queries import ExecutorQueries

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Hashable, Iterable
    from datetime import datetime
    from uuid import UUID

    from anyio.abc import TaskStatus

    from lionpride_exec._events.call import Call
    from lionpride_exec._journal import Journal
    from lionpride_exec._model.progression import Progression
    from lionpride_exec._model.retain import RetainRule
    from lionpride_exec._processing.processor import Processor


T = TypeVar("T")
X = TypeVar("X")
E = TypeVar("E", bound=Event[Any])

DEFAULT_CLEANUP = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Executor(ExecutorQueries, AsyncContextManagerMixin):
    """
    Runs events and tracks the status of each.

    Subclasses set ``processor_type``. Three ways to run one: ``async with executor:`` (the block owns
    everything and, left normally, waits until nothing is pending or processing), ``await
    tg.start(executor.run)``, or ``await executor.start()`` ... ``await executor.stop()``.

    Attributes:
        states: The flow: all events, and one progression per status. Progressions of your own may be added.
        journal: As given.
        processor_config: Keywords of the processor, as of the next time one is made.

    Args:
        processor_config: Keywords of the processor; ``queue_capacity`` and ``capacity_refresh_time`` are
            required by the time it starts.
        strict_event_type: Whether only events of exactly the processor's ``event_type`` are taken.
        name: Name of the flow :attr:`states`; default "executor_states".
        journal: Keeps the events on disk; the next start goes on where this one ends, however that is. None: what is
            pending when the process ends is gone.
        retain: What is kept in memory of events that have ended: a :class:`Retain`, or one by status. Default:
            everything; with a journal nothing that is on disk, where :meth:`get` finds it. Without one, what has left
            is gone with its key, and nothing can come ``after`` it.

    Raises:
        ConfigurationError: The class has no ``processor_type``, or that has no ``event_type``; the journal is that of
            another executor.
        TypeError: ``retain`` is no such thing.
        ValueError: It is about a status that is not final.
    """

    processor_type: ClassVar[type[Processor]]

    def __init__(
        self,
        processor_config: dict[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
        *,
        journal: Journal | None = None,
        retain: RetainRule = None,
    ) -> None:
        self.processor_config: dict[str, Any] = {} if processor_config is None else processor_config
        self.journal: Journal | None = journal
        self.states: Flow[Event, Progression] = Flow(
            name=name or "executor_states", item_type=self.event_type, strict_type=strict_event_type
        )
        rules = by_status(retain, None if journal is None else Retain(0))
        parts = Parts(self, self.states, journal, rules)
        self._coordination = parts.coordination
        self._index = parts.index
        self._observers = parts.observers
        self._subscriptions = parts.subscriptions
        self._link = parts.link
        self._transitions = parts.transitions
        self._submissions = parts.submissions
        self._durable = parts.durable
        self._lookups = parts.lookups
        self._lifetime = parts.lifetime
        self._explainer = parts.explainer
        self._progress = parts.progress
        self._parts = parts  # what the methods below do not use

    # ---------------------------------------------------------------- making one

    @classmethod
    def of(
        cls,
        target: type[Event] | Callable[..., Awaitable[Any]],
        *,
        strict_event_type: bool = False,
        name: str | None = None,
        journal: Journal | None = None,
        retain: RetainRule = None,
        **config: Any,
    ) -> Self:
        """
        Make an executor without class statements: for an event class, or, given an async function, for calls.

        ``Executor.of(fetch, concurrency_limit=20)``. A class with a ``processor_type`` of its own keeps that one's
        gate and partitions.

        Args:
            target: An Event subclass; or an async function, whose executor takes any :class:`Call`.
            strict_event_type: As for the class.
            name: As for the class.
            journal: As for the class. It keeps calls of the function by that one's full name, if ``types`` of the
                journal do not name it.
            retain: As for the class.
            config: Keywords of the processor. ``queue_capacity`` and ``capacity_refresh_time`` default to 10,000
                starts in any 0.01 s, which is hardly a limit.

        Raises:
            TypeError: The target is neither.
            ConfigurationError: The processor has no such keyword. What a value may be is checked at the start.
        """
        made = make_executor(
            cls, target, config, journal=journal, strict_event_type=strict_event_type, name=name, retain=retain
        )
        return cast("Self", made)

    @property
    def event_type(self) -> type[Event]:
        """
        The class of events this executor takes: its processor's ``event_type``.

        Raises:
            ConfigurationError: The class has no ``processor_type``, or that has no ``event_type``.
        """
        return event_type_of(self)

    @property
    def processor(self) -> Processor | None:
        """
        The processor that starts the events. None until the first start, unless it was assigned before.

        Assign a processor that you made yourself, with ``pile=executor.states.items``, while the executor does not run:
        before the first start or after :meth:`stop`. ``_create_processor()`` does the same. What is pending is queued
        at the next start.

        Raises:
            ConfigurationError: Assigned a processor of another executor, or of another pile; nothing has changed.
            RuntimeError: Assigned while the executor runs, or a processor that runs already; nothing has changed.
        """
        return self._lifetime.processor

    @processor.setter
    def processor(self, processor: Processor | None) -> None:
        self._lifetime.attach(processor)

    # ---------------------------------------------------------------- lifetimes

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        async with self._lifetime.block():
            yield self

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """
        Run until :meth:`stop`; for ``await tg.start(executor.run)``.

        Raises:
            RuntimeError: The executor runs already.

        And what :meth:`start` raises.

        Cancellation: what runs ends CANCELLED, what has not begun stays PENDING, whoever waits is woken.
        """
        await self._lifetime.run(task_status)

    async def start(self) -> None:
        """
        Start, or go on after a stop. Idempotent.

        Does not yield, unless ``Processor.create()`` does or a journal is opened. Pending events are queued at the
        priority they were given, however many. Within ``async with executor`` or ``executor.run`` their task group goes
        on owning what runs. Otherwise a root task of the event loop does, until :meth:`stop`.

        Raises:
            ConfigurationError: A key of ``processor_config`` is missing or unknown; there is no processor then.
            ValueError: One of its numbers is out of bounds; likewise.
            JournalLockedError: Another executor has the journal; nothing was started.
            JournalError: It cannot be opened; likewise.
            BaseException: What the background task crashed with, once.

        Cancellation: where it yields; nothing was started then.
        """
        await self._lifetime.start()

    async def stop(self, grace: float | None = None) -> None:
        """
        Start nothing more, at once, and return when what runs has ended. Pending events stay pending.

        Idempotent; :meth:`start` goes on, also while this waits. Called by an event or a gate that runs here, it does
        not wait for that one, nor for others that wait like this.

        Args:
            grace: Seconds, 0 or more, after which what still runs is cancelled; None: it may take its time.

        Raises:
            ValueError: The grace is negative or NaN; nothing was stopped.
            BaseException: What the background task crashed with, once.

        Cancellation: while it waits; nothing more is started all the same, and what runs goes on.
        """
        if grace is not None:
            check_seconds("grace", grace, infinite_allowed=True)
        await self._lifetime.stop(grace)

    async def join(self) -> None:
        """
        Return once nothing is pending or processing; when stopped, once nothing is processing.

        Called by an event that runs here, it does not wait for that event, nor for others that wait like this.

        Raises:
            ExecutorClosedError: What ran the executor was cancelled or crashed with events still pending.
            BaseException: What the background task crashed with, once.

        Cancellation: leaves everything as it is.
        """
        await self._lifetime.join()

    async def _create_processor(self) -> None:
        """
        Make the processor from ``processor_config`` and assign it to :attr:`processor`, as an override has to.

        Raises:
            ConfigurationError: A key is missing or unknown.
            ValueError: A number is out of bounds.
        """
        self.processor = await make_processor(self, self.states.items)

    # ---------------------------------------------------------------- taking events in

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        wait: bool = False,
        delay: float | None = None,
        at: datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
    ) -> E:
        """
        Take an event in and queue it. O(log n); does not wait once the event is queued.

        An event that is not PENDING is filed under its status and not queued. Before the first ``start()``
        events are kept, with all that is given here, until then.

        With a journal it returns once the event is on disk, and takes events only while the executor runs; see
        ``docs/durability.md``.

        Args:
            event: Of the executor's event type, not yet in it.
            priority: Lower runs first; finite; equal priorities run in order of arrival, those of different keys of
                limits in turn. The default is the event's ``created_at`` in seconds (about 1.8e9), so any smaller
                number goes before it.
            wait: Wait for room in a full queue instead of raising; first come, first served. An event that runs here
                and appends others does not wait, since it would hold a slot that they wait for: its are taken in beyond
                the bound.
            delay: Seconds, 0 or more, before which it does not start.
            at: A time before which it does not start, by the wall clock, with a time zone; one that is past is now. If
                the wall clock is set, or the machine sleeps, it is followed within 30 s.
            after: Events of this executor (or their ids). All of them COMPLETED let it be queued, whatever room there
                is; when one ends otherwise, or leaves the executor, it ends SKIPPED with a :class:`Skip` as its error,
                and so do those that come after it. With a journal also events that are on disk only, at the price of
                :meth:`get`.
            key: Anything hashable by which this work is known once: if there is an event with this key here, in
                whatever status, that one is given back and the new one is left alone. With a journal anything that
                JSON can hold; what is written alike is one key.

        Returns:
            The event; or that which is known under ``key``, which may be a copy read from the journal.

        Raises:
            QueueFullError: The queue is full.
            ExistsError: The event is here already, or stands in another executor.
            NotFoundError: One of ``after`` is not in this executor.
            TypeError: It is of another type; ``at`` is no datetime; ``key`` is not hashable.
            ValueError: A number is NaN, infinite or negative; both ``delay`` and ``at``; the event comes after itself;
                ``at`` has no time zone; or it takes more of a limit than there ever is.
            ExecutorClosedError: The executor's block is being left, and the caller is no event running in it; or it has
                a journal and does not run.
            BaseException: What the background task crashed with, once; or what a function of a limit raises.

        With a journal also:

        Raises:
            JournalError: It could not be written, for 30 s if what prevents it may pass.
            ValidationError: A field cannot be kept; it is named. (Also a ValueError.)
            TypeError: The class has no tag, or JSON cannot hold the key.
            ExistsError: The key is that of an event that is held or cannot be read.

        After any of them executor and event are as before, but for the crash, which is told only once.

        Cancellation: while it waits for room or for the disk, or before anything has happened; nothing is left behind.
        """
        return await self._submissions.append(event, priority, wait=wait, delay=delay, at=at, after=after, key=key)

    async def invoke(
        self,
        event: Event[T],
        priority: float | None = None,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
    ) -> T:
        """
        Append an event, wait for its end, and give its response: ``append(wait=True)``, ``wait``, ``result``.

        With a ``key`` that is known here, the response is that of the known event. ``priority`` (finite), ``delay``
        (seconds, 0 or more), ``at`` and ``after`` are those of :meth:`append` too.

        Raises:
            EventFailed: It ended without a response.

        And what :meth:`append` and ``Event.wait()`` raise.

        Cancellation: the event stays in the executor and is run all the same.
        """
        taken = await self.append(event, priority, wait=True, delay=delay, at=at, after=after, key=key)
        await taken.wait()
        return taken.result()

    async def extend(
        self,
        events: Iterable[E] | AsyncIterable[E],
        priority: float | Callable[[E], float | None] | None = None,
        *,
        key: Callable[[E], Hashable] | None = None,
    ) -> list[E]:
        """
        Append events one after the other, each with ``append(wait=True)``.

        With a journal, up to 100 events are written in one commit, unless a subclass overrides :meth:`append` or
        ``Processor.enqueue()``.

        Args:
            events: A plain or an async iterable. The next event is taken once the last one has found room.
            priority: The priority of every event, finite, as for :meth:`append`; or a function that returns that of an
                event.
            key: A function that returns the key of an event, as for :meth:`append`; None if the event has none. An
                event whose key is known is left alone, and its place in the list is that of the known event.

        Returns:
            The events in their order. Each is what :meth:`append` returns.

        Raises:
            TypeError: ``events`` is not iterable, or ``key`` is not callable.
            BaseException: What :meth:`append`, the iterable, ``priority`` or ``key`` raises. No more events are taken.
                Those before that one stay in the executor and run.

        With a journal, an event that cannot be written leaves the executor. The error is raised when the commit has
        failed, so up to 99 later events may have been taken from the iterable by then.

        Cancellation: while it waits for room or for the disk. The events before stay in the executor; with a journal,
        only those that are on disk.
        """
        return await extend(self, self._durable, events, priority, key)

    @staticmethod
    def as_completed(events: Iterable[E]) -> Endings[E]:
        """
        Give the events as they end: ``async for event in executor.as_completed(events)``.

        In the order they end, those that have ended already first; a duplicate once. However an event ends, it is given
        and nothing is raised. O(1) for each, and no task. Leaving the loop leaves the events as they are.

        Args:
            events: Of this executor, of others, of several.

        Raises:
            TypeError: Something is no event.
            RuntimeError: Called from inside one of them, which could never be given.
            ExecutorClosedError: While iterating, after all that did end: an event's executor was left, or removed it,
                before it ended.
            anyio.BusyResourceError: Two tasks iterate at the same time.

        Cancellation: leaves events and iterator as they are; iterating can go on.
        """
        return Endings(events)

    @overload
    def map(
        self,
        target: type[E],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = False,
        fail_fast: bool = False,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | None = None,
        key: Callable[[Any], Hashable] | None = None,
        total: int | None = None,
    ) -> EventMap[E]: ...

    @overload
    def map(
        self,
        target: Callable[[X], Awaitable[T]],
        items: Iterable[X] | AsyncIterable[X],
        *,
        ordered: bool = False,
        fail_fast: bool = False,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | None = None,
        key: Callable[[X], Hashable] | None = None,
        total: int | None = None,
    ) -> EventMap[Call[T]]: ...

    def map(
        self,
        target: type[Event] | Callable[..., Awaitable[Any]],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = False,
        fail_fast: bool = False,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | None = None,
        key: Callable[[Any], Hashable] | None = None,
        total: int | None = None,
    ) -> EventMap[Any]:
        """
        Run an event for each item, and give each when it has ended: ``async for event in executor.map(fetch, urls)``.

        A failure is data: the event is given as any other, and ``event.result()`` raises. Items are taken as they are
        needed; an event that was given leaves the executor when the next is asked for (with a journal: once its end is
        on disk). So memory stays flat.

        Leaving the loop early, by ``break``, an exception or a cancellation, cancels the events that have not ended and
        closes the items if they are a generator; with a journal it cancels nothing, and the events go on. What was not
        given stays in the executor, to be looked at. If somebody
        else keeps a reference to the iterator, use ``async with`` or :meth:`EventMap.aclose`.

        Args:
            target: An async function, called with each item (a :class:`Call`); or an Event subclass, made of a mapping
                of its fields, of the value of its only required field, or the event itself.
            items: A plain or an async iterable. An async one is read by a task of the executor's, while it runs.
            ordered: Give the events in the order of the items. Those that ended before their turn count for
                ``lookahead``, so one slow event can hold up the others. They do not while the event whose turn it is
                waits for its key.
            fail_fast: The first event that ends FAILED, CANCELLED or ABORTED ends the loop at once with what its
                ``result()`` raises. SKIPPED is no failure.
            lookahead: Events appended and not yet given, at most; at least 1. Default: twice the concurrency limit.
                Events whose key is at its limit do not count: they hold up no others.
            max_lookahead: The same with those events, which bounds the memory; at least 1. Default: 1,000, or 10 times
                the concurrency limit, or ``lookahead``, whichever is the most. ``max_queue_size`` bounds it too.
            priority: Of each event, finite; as for :meth:`append`.
            key: Function that gives the key of an item's event, as for :meth:`append`: an event that is known under it
                is given instead of a new one. With a journal, what was done in an earlier run is not done again;
                without a key it is. Without a journal a key is known until its event was given.
            total: How many items there are, for :meth:`progress`; 0 or more. Default: what ``len()`` of ``items`` or
                its ``__length_hint__()`` says. If neither does, :meth:`progress` tells no time left while items are
                taken.

        Raises:
            TypeError: The target is neither; ``items`` is not iterable; ``key`` is no function.
            ValueError: A lookahead is no integer, or less than 1; the total is none, or less than 0.

        And while iterating. All that was started is given first, also with ``ordered``; then the error is raised and
        the loop is over. Only ``EventFailed`` comes at once, and a cancellation:

        Raises:
            EventFailed: With ``fail_fast``. The loop is over as if left early.
            RuntimeError: ``items`` is async and the executor is not running.
            ExecutorClosedError: The executor was left, or stopped and an async iterable with it, before all items were
                taken and had ended. Events that did end are given first; what stayed PENDING there runs at its next
                start, as any other event.
            anyio.BusyResourceError: A second task asks for an event; only that task is concerned.
            Exception: What ``items`` raised, or ``key``, or the making or appending of an event: no more items are
                taken.

        An event that iterates over a map in its own executor keeps its slot meanwhile. If such events take all
        ``concurrency_limit`` slots, theirs never start: give them a ``timeout``, or the inner ones another executor.

        Cancellation: while it waits for an end or for room; the loop is over as if left early.
        """
        return EventMap(
            MapOptions(
                executor=self._map_host(),
                make=maker_for(target),
                items=items,
                ordered=ordered,
                fail_fast=fail_fast,
                lookahead=lookahead,
                max_lookahead=max_lookahead,
                priority=priority,
                key=key,
                total=total,
            )
        )

    # ---------------------------------------------------------------- events

    async def release(self, event: Event | UUID | str) -> Event:
        """
        Let a held event go on: it is queued as any other. To give it up, ``cancel()`` it then. O(as :meth:`get`).

        Raises:
            NotFoundError: No such event is held.
            JournalError: The journal cannot be read or written; or there is no open one.
            ValueError: What was given means no id.

        Cancellation: before it is written; then it goes on.
        """
        return await self._lookups.release(event)

    def cancel(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """
        End an event CANCELLED: at once if it waits, by cancelling its run if it runs.

        Its error is an ``EventCancelled`` with the reason; it is not run again. A run that catches the cancellation
        and returns all the same ends COMPLETED. While somebody holds a lock on the progressions, an event that waits
        ends when they let go; with a strict journal, when that is on disk. It does not start before.

        Args:
            event: In this executor; or its id. With a journal also an event that has ended and left memory: the event
                itself, or the id of one of the last 10,000.
            reason: For its record.

        Returns:
            Whether it ends, or is on its way to; False if it had ended. So a second call does nothing.

        Raises:
            NotFoundError: There is no such event. (Also a KeyError.)
        """
        return self._transitions.end(self._lookups.known(event), EventStatus.CANCELLED, EventCancelled(reason))

    def skip(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """
        End an event SKIPPED, as one that raises :class:`Skip` does; in all else, the reason too, like :meth:`cancel`.

        Raises:
            NotFoundError: There is no such event.
        """
        return self._transitions.end(self._lookups.known(event), EventStatus.SKIPPED, Skip(reason))

    async def cleanup_events(self, statuses: Iterable[EventStatus | str] | None = None) -> int:
        """
        Remove the events with these statuses, and what the processor knows of them. O(1) for each.

        CANCELLED and SKIPPED events are removed only when asked for. One that still runs goes on without the
        executor; whoever waits for a PENDING one gets ``ExecutorClosedError``. With a journal, what has ended stays
        there, with its key, and is still counted; what has not is taken out of it.

        Args:
            statuses: Default: COMPLETED, FAILED, ABORTED.

        Returns:
            The number of events removed.

        Raises:
            NotFoundError: No such status; nothing was removed.

        Cancellation: while it waits for a lock; nothing has been removed then.
        """
        return await self._submissions.clean_up(
            [to_status(status) for status in (DEFAULT_CLEANUP if statuses is None else statuses)]
        )

    # ---------------------------------------------------------------- control

    async def forward(self) -> None:
        """
        Run one batch now: up to ``queue_capacity`` queued events, without waiting for the capacity window.

        Returns when they, and what was running already, have ended; at once if there is no processor yet. Works
        when stopped, but not while a journal is closed. A denied event is asked again. Any number of calls may overlap.

        Raises:
            ExecutorClosedError: The executor has a journal, and it is not open: nothing could be kept.

        Cancellation: what this call started ends CANCELLED (with a journal: PENDING), what has not begun stays PENDING
        and queued.
        """
        await self._lifetime.forward()

    def pause(self) -> None:
        """
        Start nothing more until :meth:`resume`; what runs goes on. Idempotent.

        Unlike after ``stop()``, everybody goes on waiting: ``join()``, and the block that is being left. ``stop()`` and
        ``start()`` do not change it.
        """
        self._coordination.hold(PAUSED)

    def resume(self) -> None:
        """Go on after :meth:`pause`, at once. Idempotent."""
        self._coordination.let_go(PAUSED)

    def resize(self, *, concurrency_limit: int | None = None, queue_capacity: int | None = None) -> None:
        """
        Change how many may run at the same time, and how many may start in a window, up or down, also while it runs.

        What runs already goes on, and what was started counts.

        Args:
            concurrency_limit: At least 1; None: as it is.
            queue_capacity: 1 to 10,000; None: as it is.

        Raises:
            ValueError: A number out of its bounds. Nothing has changed.
        """
        given = {"concurrency_limit": concurrency_limit, "queue_capacity": queue_capacity}
        changes = {name: number for name, number in given.items() if number is not None}
        check_bounds(capacity_refresh_time=MIN_REFRESH_TIME, **({"queue_capacity": 1} | changes))
        self.processor_config = self.processor_config | changes
        if self.processor is not None:
            self.processor.resize(**changes)

    # ---------------------------------------------------------------- for the processor

    async def _update_progression(self, event: Event, force_status: EventStatus | None = None) -> None:
        """
        Have an event stand in one progression of the seven: ``force_status``'s, else its own status's.

        A processor reports here before a run whose gate it has asked; and, to a class that overrides this, before and
        after each run. The event itself is not changed; an event that has left the executor is ignored.

        Raises:
            ConfigurationError: That progression was taken out of the flow.

        Cancellation: while it waits for a lock; nothing has been moved then.
        """
        await self._index.update(event, event.execution.status if force_status is None else force_status)

    def _wants_reports(self) -> bool:
        """Return whether ``_update_progression()`` is overridden, in a subclass or on the instance."""
        return is_overridden(self, Executor, "_update_progression")

    def _appends_one_by_one(self) -> bool:
        """Return whether each event has to come in by :meth:`append`, since that or ``enqueue()`` is overridden."""
        if is_overridden(self, Executor, "append"):
            return True
        return self.processor is not None and self.processor._has_own_enqueue

    def _map_host(self) -> ExecutorOfMap:
        return ExecutorOfMap(self, self._lifetime, self._submissions, self._index, self._subscriptions, self._progress)
