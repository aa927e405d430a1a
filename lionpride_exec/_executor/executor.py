"""
The executor: the facade over its parts, and its table of contents.

The index (``_tracking.status_index``) keeps the status of each event. The transitions do what follows from a change of
status. The lifetime owns the tasks, the submissions take events in, and the journal link keeps events on disk. The
processor (``_processing``) decides which event starts when.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, cast, overload

import anyio

from lionpride_exec._base.backend import NOBODY_WAITS
from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._base.overrides import is_overridden
from lionpride_exec._events.event import Event
from lionpride_exec._model.execution import to_status
from lionpride_exec._model.flow import Flow
from lionpride_exec._model.retain import Retain, by_status
from lionpride_exec._processing.config import MIN_REFRESH_TIME, check_bounds
from lionpride_exec._status import EventStatus
from lionpride_exec._validation import check_seconds
from lionpride_exec.errors import EventCancelled, Skip

from .bulk import extend
from .factory import event_type_of, make_executor, make_processor
from .parts import Parts
from .queries import ExecutorQueries

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Hashable, Iterable
    from datetime import datetime
    from uuid import UUID

    from anyio.abc import TaskStatus

    from lionpride_exec._events.call import Call
    from lionpride_exec._iteration.completion import Endings
    from lionpride_exec._iteration.map import EventMap
    from lionpride_exec._journal import Journal
    from lionpride_exec._model.progression import Progression
    from lionpride_exec._model.retain import RetainRule
    from lionpride_exec._processing.processor import Processor


T = TypeVar("T")
X = TypeVar("X")
E = TypeVar("E", bound=Event[Any])

DEFAULT_CLEANUP = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Executor(ExecutorQueries, anyio.AsyncContextManagerMixin):
    """
    Runs events and tracks the status of each.

    Subclasses set ``processor_type``. There are three ways to run an executor: ``async with executor:`` (the block owns
    all tasks and, if left normally, waits until no event is pending or processing), ``await tg.start(executor.run)``,
    or ``await executor.start()`` and later ``await executor.stop()``.

    Attributes:
        states: The flow: all events, and one progression per status. You may add progressions of your own.
        journal: The journal that was passed.
        processor_config: Keywords for the next processor that the executor makes.

    Args:
        processor_config: Keywords of the processor. ``queue_capacity`` and ``capacity_refresh_time`` are required when
            the executor starts.
        strict_event_type: Whether to refuse subclasses of the processor's ``event_type``.
        name: Name of the flow :attr:`states`. Default: "executor_states".
        journal: Keeps the events on disk, so the next start continues after a stop or a crash. None if pending events
            may be lost when the process ends.
        retain: Which events stay in memory after their end: a :class:`Retain`, or a mapping of statuses to them.
            Default: all; with a journal, only events that are not on disk yet (:meth:`get` reads the others). Without a
            journal, an event that left is lost, and so is its key. No event can come ``after`` it.

    Raises:
        ConfigurationError: The class has no ``processor_type``, the processor has no ``event_type``, or another
            executor uses the journal.
        TypeError: ``retain`` is neither a rule nor a mapping of rules.
        ValueError: ``retain`` names a status that is not final.
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
        self._parts = parts  # for map(), and for the parts that are made on demand; it holds the other parts

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
        Make an executor without class statements, for an event class or for calls of an async function.

        Example: ``Executor.of(fetch, concurrency_limit=20)``. If this class has a ``processor_type``, the executor
        keeps the gate and the partitions of that processor.

        Args:
            target: An Event subclass, or an async function. The executor of a function takes any :class:`Call`.
            strict_event_type: As for the class.
            name: As for the class.
            journal: As for the class. The journal stores calls under the full name of the function, unless its
                ``types`` name the function.
            retain: As for the class.
            config: Keywords of the processor. ``queue_capacity`` and ``capacity_refresh_time`` default to 10,000 starts
                in any 0.01 s, which is hardly a limit.

        Raises:
            TypeError: The target is neither an Event subclass nor an async function.
            ConfigurationError: The processor does not have one of the keywords. The values are checked at the start.
        """
        made = make_executor(
            cls, target, config, journal=journal, strict_event_type=strict_event_type, name=name, retain=retain
        )
        return cast("Self", made)

    @property
    def event_type(self) -> type[Event]:
        """
        The class of the events that this executor takes: its processor's ``event_type``.

        Raises:
            ConfigurationError: The class has no ``processor_type``, or the processor has no ``event_type``.
        """
        return event_type_of(self)

    @property
    def processor(self) -> Processor | None:
        """
        The processor that starts the events. None until the first start, unless you assigned one.

        To use a processor of your own, make it with ``pile=executor.states.items``. Assign it before the first start or
        after :meth:`stop`, by hand or in ``_create_processor()``. The next start queues the pending events.

        Raises:
            ConfigurationError: The assigned processor belongs to another executor or another pile. Nothing has changed.
            RuntimeError: The executor runs, or the assigned processor does. Nothing has changed.
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

    async def run(self, *, task_status: TaskStatus[None] = NOBODY_WAITS) -> None:
        """
        Run until :meth:`stop` is called. Use it as ``await tg.start(executor.run)``.

        Raises:
            RuntimeError: The executor runs already.

        Also raises what :meth:`start` raises.

        Cancellation: running events end CANCELLED, events that have not begun stay PENDING, and all waiting tasks are
        woken.
        """
        await self._lifetime.run(task_status)

    async def start(self) -> None:
        """
        Start, or continue after a stop. Idempotent.

        The call yields only if ``Processor.create()`` yields or a journal is opened. All pending events are queued at
        the priority they were given. Inside ``async with executor`` or ``executor.run``, that task group continues to
        own the running events. Otherwise a root task of the event loop owns them until :meth:`stop`.

        Raises:
            ConfigurationError: A key of ``processor_config`` is missing or unknown. No processor was made.
            ValueError: A number in ``processor_config`` is out of bounds. No processor was made.
            JournalLockedError: Another executor has the journal open. Nothing was started.
            JournalError: The journal cannot be opened. Nothing was started.
            BaseException: What the background task crashed with, once.

        Cancellation: where the call yields. Nothing was started then.
        """
        await self._lifetime.start()

    async def stop(self, grace: float | None = None) -> None:
        """
        Start no more events, and return when the running events have ended. Pending events stay pending.

        Idempotent. :meth:`start` continues, even while this call waits. If an event or a gate that runs here calls this
        method, it waits neither for that event nor for other events that wait in the same way.

        Args:
            grace: Seconds, 0 or more, after which running events are cancelled. None if they may take as long as they
                need.

        Raises:
            ValueError: The grace is negative or NaN. Nothing was stopped.
            BaseException: What the background task crashed with, once.

        Cancellation: while the call waits. The executor stays stopped, and running events continue.
        """
        if grace is not None:
            check_seconds("grace", grace, infinite_allowed=True)
        await self._lifetime.stop(grace)

    async def join(self) -> None:
        """
        Wait until no event is pending or processing. If the executor is stopped, wait until no event is processing.

        If an event that runs here calls this method, it waits neither for that event nor for others that wait in the
        same way.

        Raises:
            ExecutorClosedError: The executor was cancelled or crashed while events were pending.
            BaseException: What the background task crashed with, once.

        Cancellation: leaves everything as it is.
        """
        await self._lifetime.join()

    async def _create_processor(self) -> None:
        """
        Make the processor from ``processor_config`` and assign it to :attr:`processor`. An override must do the same.

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
        Take an event in and queue it: ``await executor.append(event, delay=5)``. O(log n).

        The call returns once the event is queued. Before the first ``start()``, the executor keeps the event and its
        options until it starts. An event that is not PENDING is filed under its status and is not queued.

        With a journal, the call returns once the event is on disk, and the executor must be running. See
        ``docs/durability.md``.

        Args:
            event: An event of the executor's event type that the executor does not hold yet.
            priority: Lower runs first; finite. Equal priorities run in order of arrival; different keys of limits take
                turns. The default is the event's ``created_at`` in seconds (about 1.8e9), so any smaller number goes
                first.
            wait: Wait for room in a full queue instead of raising. Callers get room in the order in which they came. An
                event that runs here never waits, since it would keep a slot that the queued events need: what it
                appends may exceed the bound.
            delay: Seconds, 0 or more, before which the event does not start.
            at: A wall-clock time with a time zone, before which the event does not start. A time in the past means now.
                If the wall clock is set, or the machine sleeps, the start is corrected within 30 s.
            after: Events of this executor, or their ids. The event is queued once all of them are COMPLETED, even if
                the queue is full. If one of them ends otherwise or leaves the executor, the event ends SKIPPED with a
                :class:`Skip` as its error, and so do the events after it. With a journal, ``after`` may name events
                that are only on disk; finding one costs as much as :meth:`get`.
            key: A hashable value that names this work. If an event with this key is here, in any status, that event is
                returned and the new one stays as it is. With a journal, JSON must be able to hold the key, and two keys
                with the same JSON are one key.

        Returns:
            The event, or the known event with this ``key``. The known event may be a copy from the journal.

        Raises:
            QueueFullError: The queue is full.
            ExistsError: The event is here already, or belongs to another executor.
            NotFoundError: One of ``after`` is not in this executor.
            TypeError: The event is of another type, ``at`` is no datetime, or ``key`` is not hashable.
            ValueError: A number is NaN, infinite or negative; both ``delay`` and ``at`` are given; the event comes
                after itself; ``at`` has no time zone; or the event takes more of a limit than the limit ever has.
            ExecutorClosedError: The executor's block is being left, and the caller is no event running in it; or the
                executor has a journal and does not run.
            BaseException: What the background task crashed with, once; or what a function of a limit raises.

        With a journal also:

        Raises:
            JournalError: The event could not be written. A failure that may pass was retried for 30 s.
            ValidationError: The journal cannot store a field. The message names the field. (Also a ValueError.)
            TypeError: The class has no tag, or JSON cannot hold the key.
            ExistsError: The key belongs to an event that is held or cannot be read.

        After an error, the executor and the event are as before, except that a crash is raised only once.

        Cancellation: before anything has happened, or in a wait for room or the disk. The event is not left behind.
        """
        is_plain = priority is None and delay is None and at is None and key is None and after == ()
        if is_plain and self._submissions.append_nowait(event):  # most events: no second coroutine
            return event
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
        Append an event, wait for its end, and return its response: ``page = await executor.invoke(Fetch(url=url))``.

        The same as ``append(wait=True)``, ``wait()`` and ``result()``. If the ``key`` is known, the response is that of
        the known event. ``priority`` (finite), ``delay`` (seconds, 0 or more), ``at`` and ``after`` are those of
        :meth:`append`.

        Raises:
            EventFailed: The event ended without a response.

        Also raises what :meth:`append` and ``Event.wait()`` raise.

        Cancellation: once the event was taken in, it stays in the executor and runs.
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
            priority: The priority of every event, finite, as for :meth:`append`; or a function that returns the
                priority of an event.
            key: A function that returns the key of an event, as for :meth:`append`. It returns None if the event has no
                key. An event whose key is known is left alone; the list has the known event in its place.

        Returns:
            The events in their order. Each is what :meth:`append` returns.

        Raises:
            TypeError: ``events`` is not iterable, or ``key`` is not callable.
            BaseException: What :meth:`append`, the iterable, ``priority`` or ``key`` raises. No more events are taken.
                The events before the error stay in the executor and run.

        With a journal, an event that cannot be written leaves the executor. The error is raised when the commit has
        failed, so up to 99 later events may have been taken from the iterable by then.

        Cancellation: while the call waits for room or the disk. The events before stay in the executor; with a journal,
        only those that are on disk.
        """
        return await extend(self, self._durable, events, priority, key)

    @staticmethod
    def as_completed(events: Iterable[E]) -> Endings[E]:
        """
        Return the events as they end: ``async for event in executor.as_completed(events)``.

        Events that have already ended come first, the others in the order of their ends. A duplicate comes once.
        However an event ends, nothing is raised. O(1) per event, without a task. Leaving the loop does not change the
        events.

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
        Run an event for each item, and return each after its end: ``async for event in executor.map(fetch, urls)``.

        A failure is data: the iterator returns a failed event like any other, and ``event.result()`` raises. Items are
        taken as they are needed. A returned event leaves the executor when the next event is asked for (with a journal:
        once its end is on disk), so memory stays flat.

        Leaving the loop early, by ``break``, an exception or a cancellation, cancels the events that have not ended and
        closes the items if they are a generator. With a journal nothing is cancelled, and the events continue. Events
        that were not returned stay in the executor. If other code keeps a reference to the iterator, use ``async with``
        or :meth:`EventMap.aclose`.

        Args:
            target: An async function, which is called with each item (a :class:`Call`); or an Event subclass. An item
                for a class is a mapping of fields, the value of the only required field, or the event itself.
            items: A plain or an async iterable. A task of the executor reads an async iterable, while the executor
                runs.
            ordered: Return the events in the order of the items. Events that ended before their turn count for
                ``lookahead``, so one slow event can hold up the others. They do not count while the event whose turn it
                is waits for its key.
            fail_fast: The first event that ends FAILED, CANCELLED or ABORTED ends the loop at once with what its
                ``result()`` raises. SKIPPED is no failure.
            lookahead: The largest number of events that are appended and not yet returned; at least 1. Default: twice
                the concurrency limit. Events whose key is at its limit do not count, since they hold up no others.
            max_lookahead: The same, but those events count too, which bounds the memory; at least 1. Default: the
                largest of 1,000, 10 times the concurrency limit, and ``lookahead``. ``max_queue_size`` is a bound too.
            priority: The priority of each event, finite; as for :meth:`append`.
            key: A function that returns the key of an item's event, as for :meth:`append`. If the key is known, the
                iterator returns the known event. With a journal and a key, the work of an earlier run is not repeated.
                Without a journal, a key is known until its event was returned.
            total: The number of items, for :meth:`progress`; 0 or more. Default: what ``len()`` of ``items`` or its
                ``__length_hint__()`` returns. If neither exists, :meth:`progress` tells no time left while items are
                taken.

        Raises:
            TypeError: The target is neither, ``items`` is not iterable, or ``key`` is no function.
            ValueError: A lookahead is no integer or less than 1, or the total is no integer or less than 0.

        Iterating raises more errors. Except for ``EventFailed`` and a cancellation, an error is raised after all events
        that were started have been returned, also with ``ordered``. Then the loop is over.

        Raises:
            EventFailed: With ``fail_fast``. The loop is over as if it was left early.
            RuntimeError: ``items`` is async and the executor is not running.
            ExecutorClosedError: Before all items were taken and had ended, the executor was left; or it was stopped,
                with an async iterable. Events that ended are returned first. PENDING events run at the next start.
            anyio.BusyResourceError: A second task asks for an event. The first task is not affected.
            Exception: What ``items`` or ``key`` raised, or the making or appending of an event. No more items are
                taken.

        An event that iterates over a map of its own executor keeps its slot meanwhile. If such events take all
        ``concurrency_limit`` slots, the inner events never start: set a ``timeout``, or use another executor for the
        inner events.

        Cancellation: while the iterator waits for an end or for room, and at each tenth event. The loop is over as if
        it was left early.
        """
        from lionpride_exec._iteration.map import EventMap, maker_for  # noqa: PLC0415  slow to import, and few need it
        from lionpride_exec._iteration.map_options import MapOptions  # noqa: PLC0415  likewise

        from .map_host import ExecutorOfMap  # noqa: PLC0415  likewise

        return EventMap(
            MapOptions(
                executor=ExecutorOfMap(self, self._parts, _PLAIN_APPEND),
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
        Queue a held event like any other. To give it up, call ``cancel()`` after that. O(as :meth:`get`).

        Raises:
            NotFoundError: No event with this id is held.
            JournalError: The journal cannot be read or written, or no journal is open.
            ValueError: The value is not a valid id.

        Cancellation: before the release is written. Once it is written, the event continues.
        """
        return await self._lookups.release(event)

    def cancel(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """
        End an event CANCELLED: a waiting event at once, a running event by cancelling its run.

        The event's error is an ``EventCancelled`` with the reason, and the event is not run again. A run that catches
        the cancellation and returns a value ends COMPLETED. If a task holds a lock on the progressions, a waiting event
        ends when the lock is free; with a strict journal, when its end is on disk. The event does not start before
        that.

        Args:
            event: An event in this executor, or its id. With a journal also an event that has ended and left memory:
                the event itself, or the id of one of the last 10,000.
            reason: The reason that is recorded.

        Returns:
            True if the event ends now or soon. False if it had ended, so a second call does nothing.

        Raises:
            NotFoundError: The event is not in this executor. (Also a KeyError.)
        """
        return self._transitions.end(self._lookups.known(event), EventStatus.CANCELLED, EventCancelled(reason))

    def skip(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """
        Like :meth:`cancel`, but the event ends SKIPPED and its error is a :class:`Skip` with the reason.

        Raises:
            NotFoundError: The event is not in this executor.
        """
        return self._transitions.end(self._lookups.known(event), EventStatus.SKIPPED, Skip(reason))

    async def cleanup_events(self, statuses: Iterable[EventStatus | str] | None = None) -> int:
        """
        Remove the events with these statuses, and what the processor knows of them. O(1) per event.

        CANCELLED and SKIPPED events are removed only if you name these statuses. A removed event that still runs
        continues without the executor. Tasks that wait for a removed PENDING event get ``ExecutorClosedError``. With a
        journal, ended events stay in the file with their keys and are still counted. Events that have not ended are
        deleted from the file.

        Args:
            statuses: Default: COMPLETED, FAILED, ABORTED.

        Returns:
            The number of events removed.

        Raises:
            NotFoundError: A status does not exist. Nothing was removed.

        Cancellation: while the call waits for a lock. Nothing was removed then.
        """
        return await self._submissions.clean_up(
            [to_status(status) for status in (DEFAULT_CLEANUP if statuses is None else statuses)]
        )

    # ---------------------------------------------------------------- control

    async def forward(self) -> None:
        """
        Run one batch now: up to ``queue_capacity`` queued events, without waiting for the capacity window.

        Return when these events and the events that ran before have ended, or at once if there is no processor. The
        call works while the executor is stopped, but not while its journal is closed. A denied event is asked again.
        Calls may overlap.

        Raises:
            ExecutorClosedError: The executor has a journal, and the journal is not open.

        Cancellation: events that this call started end CANCELLED (with a journal: PENDING). Events that have not begun
        stay PENDING and queued.
        """
        await self._lifetime.forward()

    def pause(self) -> None:
        """
        Start no more events until :meth:`resume`. Running events continue. Idempotent.

        Unlike after ``stop()``, ``join()`` and the end of the executor's block still wait for the pending events.
        ``stop()`` and ``start()`` do not end the pause.
        """
        self._coordination.hold(PAUSED)

    def resume(self) -> None:
        """End a :meth:`pause` at once. Idempotent."""
        self._coordination.release_hold(PAUSED)

    def resize(self, *, concurrency_limit: int | None = None, queue_capacity: int | None = None) -> None:
        """
        Change how many events may run at once, and how many may start in a window. Also works while the executor runs.

        Running events continue, also above the new limit. Starts before the call still count in the window.

        Args:
            concurrency_limit: At least 1. None if it stays as it is.
            queue_capacity: 1 to 10,000. None if it stays as it is.

        Raises:
            ValueError: A number is out of its bounds. Nothing has changed.
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
        File an event under ``force_status``, or under its own status if that is None, and under no other.

        The processor calls this method before a run whose gate was asked. If a subclass overrides the method, the
        processor calls it before and after each run. The event itself is not changed. An event that has left the
        executor is ignored.

        Raises:
            ConfigurationError: The progression of that status was taken out of the flow.

        Cancellation: while the call waits for a lock. Nothing was moved then.
        """
        await self._index.update(event, event.execution.status if force_status is None else force_status)

    def _wants_reports(self) -> bool:
        """Return whether ``_update_progression()`` is overridden, in a subclass or on the instance."""
        return is_overridden(self, Executor, "_update_progression")

    def _appends_one_by_one(self) -> bool:
        """Return whether each event must come in through :meth:`append`, because it or ``enqueue()`` is overridden."""
        if is_overridden(self, Executor, "append"):
            return True
        return self.processor is not None and self.processor._has_own_enqueue


# The method itself, whatever replaces it in the class later.
_PLAIN_APPEND: Final = Executor.append
