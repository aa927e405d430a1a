"""Many events at once, and executors made on the spot: what stands on ``append()``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from lionpride_exec._events.event import Event
from lionpride_exec._iteration.completion import Endings
from lionpride_exec._iteration.map import EventMap, maker_for
from lionpride_exec._iteration.map_state import Plan

from .durable_submissions import Coming, Durable
from .factory import GENEROUS, check_config, processor_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
    from uuid import UUID

    from lionpride_exec._events.call import Call
    from lionpride_exec._journal import Journal
    from lionpride_exec._model.retain import RetainRule

    from .executor import Executor

T = TypeVar("T")
X = TypeVar("X")
E = TypeVar("E", bound=Event[Any])


class Bulk(Durable):
    """The part of an executor for many events at once."""

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
        processor_type = processor_for(target, getattr(cls, "processor_type", None))
        config = GENEROUS | config
        check_config(processor_type, config)
        made = type(f"{processor_type.event_type.__name__}{cls.__name__}", (cls,), {"processor_type": processor_type})
        if journal is not None and not isinstance(target, type):
            journal._know_function(target)
        return cast(
            "Self",
            cast("Any", made)(config, strict_event_type=strict_event_type, name=name, journal=journal, retain=retain),
        )

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
        if key is not None and not callable(cast("object", key)):
            raise TypeError(f"key must be a function of an event, got {key!r}")
        coming: dict[UUID, Coming] = {}
        try:
            if isinstance(events, AsyncIterable):
                source = aiter(events)
                is_generator = isinstance(source, AsyncGenerator)
                async with aclosing(cast("AsyncGenerator[E]", source)) if is_generator else nullcontext():
                    taken = [await self._extend_by(event, priority, key, coming) async for event in source]
            else:
                taken = [await self._extend_by(event, priority, key, coming) for event in events]
        finally:
            await self._settle_together(coming)
        return [cast("E", one.taken) if isinstance(one, Coming) else one for one in taken]

    def _extend_by(
        self,
        event: E,
        priority: float | Callable[[E], float | None] | None,
        key: Callable[[E], Hashable] | None,
        coming: dict[UUID, Coming],
    ) -> Coroutine[Any, Any, E | Coming]:
        own_priority = priority(event) if callable(priority) else priority
        own_key = None if key is None else key(event)
        if self.journal is not None:
            return self._append_together(event, own_priority, own_key, coming)
        if own_key is None:  # an overridden append() need not know of keys
            return self.append(event, own_priority, wait=True)
        return self.append(event, own_priority, wait=True, key=own_key)

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
            Plan(
                executor=cast("Executor", self),
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
