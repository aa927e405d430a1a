"""
The executor: the facade over its parts, and its table of contents.

The index (``_tracking.status_index``) keeps the status of each event. The transitions do what follows from a change of
status. The lifetime owns the tasks, the submissions take events in, and the journal link keeps events on disk. The
processor (``_processing``) decides which event starts when.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar, cast, overload

import anyio

from lionpride_exec._base.backend import NOBODY_WAITS
from lionpride_exec._base.overrides import is_overridden
from lionpride_exec._events.event import Event
from lionpride_exec._events.running_event import running_here
from lionpride_exec._model.flow import Flow
from lionpride_exec._model.retain import Retain, by_status
from lionpride_exec._validation import check_count, check_seconds
from lionpride_exec.errors import ClusterError

from .bulk import extend
from .call_defaults import call_defaults
from .controls import ExecutorControls
from .factory import check_backing, check_given_config, event_type_of, make_executor, make_processor
from .maps import ExecutorMaps
from .parts import Parts
from .queries import DEFAULT_NAME, ExecutorQueries
from .surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Hashable, Iterable
    from contextlib import AbstractAsyncContextManager
    from contextvars import ContextVar
    from datetime import datetime, timedelta
    from typing import Unpack
    from uuid import UUID

    from anyio.abc import TaskStatus

    from lionpride_exec._cluster import Cluster
    from lionpride_exec._events.submit_options import Unique
    from lionpride_exec._journal import Journal
    from lionpride_exec._model.progression import Progression
    from lionpride_exec._model.retain import RetainRule
    from lionpride_exec._processing.keywords import ProcessorKeywords
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._status import EventStatus

    from .finding import Finding
    from .found import FoundEvent
    from .keywords import ExecutorKeywords
    from .surroundings import Middleware


T = TypeVar("T")
X = TypeVar("X")
E = TypeVar("E", bound=Event[Any])
P = ParamSpec("P")


class Executor(ExecutorControls, ExecutorMaps, ExecutorQueries, anyio.AsyncContextManagerMixin):
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
            the executor starts. All other checks are made here, unless the processor overrides ``create()``.
        strict_event_type: Whether to refuse subclasses of the processor's ``event_type``.
        name: The :attr:`name` of the executor and of its flow :attr:`states`, which is "executor_states" without one.
        journal: Keeps the events on disk, so the next start continues after a stop or a crash. None if pending events
            may be lost when the process ends.
        cluster: Queues the events on a server, for the workers of all processes. See ``docs/cluster.md``.
        retain: Which events stay in memory after their end: a :class:`Retain`, or a mapping of statuses to them.
            Default: all; with a journal, only events that are not on disk yet (:meth:`get` reads the others). Without a
            journal, an event that left is lost, and so is its key. No event can come ``after`` it.
        lifespan: Returns an async context manager for what all events share, such as a client. It is entered at the
            start, before an event begins, and left once the last one has ended. See :func:`lifespan_value`.
        middleware: Async functions around each run: ``async def log(event, call_next): return await call_next(event)``.
            The first one is the outermost. What it returns is the response, and what it raises is the error. It runs
            within the timeout of the event, and again at each retry.
        carry: Context variables. A run sees the values that they had for the caller of ``append()``, but not in a
            process or an interpreter. A journal does not keep them: after a restart, a run sees those of the executor.

    Raises:
        ConfigurationError: The class has no ``processor_type``, the processor has no ``event_type``, another executor
            uses the journal, or a keyword in ``processor_config`` is unknown or has a value of the wrong type.
        TypeError: ``retain`` is neither a rule nor a mapping of rules.
        ValueError: ``retain`` names a status that is not final, or a number in ``processor_config`` is out of bounds.
    """

    processor_type: ClassVar[type[Processor]]

    def __init__(
        self,
        processor_config: dict[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
        *,
        journal: Journal | None = None,
        cluster: Cluster | None = None,
        retain: RetainRule = None,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        middleware: Iterable[Middleware] = (),
        carry: Iterable[ContextVar[Any]] = (),
    ) -> None:
        self.processor_config: dict[str, Any] = {} if processor_config is None else processor_config
        self.journal: Journal | None = journal
        self.cluster: Cluster | None = cluster
        self.states: Flow[Event, Progression] = Flow(
            name=name or DEFAULT_NAME, item_type=self.event_type, strict_type=strict_event_type
        )
        check_given_config(self, Executor, self.processor_config)
        rules = by_status(retain, None if journal is None else Retain(0))
        runs_here = cluster is None or cluster.work
        surroundings = Surroundings(lifespan, middleware, carry, runs_here=runs_here)
        remote = check_backing(self, Executor, journal, cluster, carries=bool(surroundings.carry))
        parts = Parts(self, self.states, journal, remote, rules, surroundings)
        self._coordination = parts.coordination
        self._index = parts.index
        self._observers = parts.observers
        self._subscriptions = parts.subscriptions
        self._link = parts.link
        self._transitions = parts.transitions
        self._submissions = parts.submissions
        self._lookups = parts.lookups
        self._lifetime = parts.lifetime
        self._parts = parts  # for map(), and for the parts that are made on demand; it holds the other parts

    # ---------------------------------------------------------------- making one

    @overload
    @classmethod
    def of(
        cls,
        target: type[E],
        *,
        key: Callable[[E], Hashable] | None = None,
        priority: float | Callable[[E], float | None] | None = None,
        **options: Unpack[ExecutorKeywords],
    ) -> Self: ...

    @overload
    @classmethod
    def of(
        cls,
        target: Callable[P, Any],
        *,
        key: Callable[P, Hashable] | None = None,
        priority: float | Callable[P, float | None] | None = None,
        **options: Unpack[ExecutorKeywords],
    ) -> Self: ...

    @classmethod
    def of(
        cls,
        target: type[Event] | Callable[..., Any],
        *,
        key: Callable[..., Hashable] | None = None,
        priority: float | Callable[..., float | None] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
        journal: Journal | None = None,
        cluster: Cluster | None = None,
        retain: RetainRule = None,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        middleware: Iterable[Middleware] = (),
        carry: Iterable[ContextVar[Any]] = (),
        **config: Unpack[ProcessorKeywords],
    ) -> Self:
        """
        Make an executor without class statements, for an event class or for calls of a function.

        Example: ``Executor.of(fetch, concurrency_limit=20)``. If this class has a ``processor_type``, the executor
        keeps the gate and the partitions of that processor.

        Args:
            target: An Event subclass, or a function. The executor of a function takes any :class:`Call`. A plain
                function (``def``) runs in threads, or where ``run_in`` says: see ``docs/cpu-work.md``.
            key: The key of an event that is appended without one: a function of the arguments of a call of the target,
                or of an event of the class. It returns None if there is no key.
            priority: The priority of an event that is appended without one: finite, or likewise a function.
            strict_event_type: As for the class.
            name: As for the class.
            journal: As for the class. It stores calls under the full name of the function, unless its ``types`` name
                the function. So does a cluster.
            cluster: As for the class.
            retain: As for the class.
            lifespan: As for the class.
            middleware: As for the class.
            carry: As for the class.
            config: Keywords of the processor. ``queue_capacity`` and ``capacity_refresh_time`` default to 10,000 starts
                in any 0.01 s, which is hardly a limit. ``timeout`` and ``retry`` hold for all events without their own.
                Type checkers know the keywords of :class:`Processor`. Pass those of a subclass as ``**dict``.

        Raises:
            TypeError: The target is neither an Event subclass nor a function, or ``key`` is no function.
            ConfigurationError: A keyword is unknown to the processor, or of the wrong type. Or ``run_in`` is wrong, is
                for async work or a function that cannot be pickled, or keeps ``carry`` from all that could see it.
            ValueError: A number is out of bounds.
        """
        made = make_executor(
            cls, target, config, call_defaults(target, key, priority), strict_event_type=strict_event_type, name=name,
            journal=journal, cluster=cluster, retain=retain, lifespan=lifespan, middleware=middleware, carry=carry,
        )  # fmt: skip
        return cast("Self", made)

    @property
    def event_type(self) -> type[Event]:
        """
        The class of the events that this executor takes, which is the ``event_type`` of its processor.

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

        Cancellation: running events are interrupted as by :meth:`stop`, events that have not begun stay PENDING, and
        all waiting tasks are woken.
        """
        await self._lifetime.run(task_status)

    async def start(self) -> None:
        """
        Start, or continue after a stop. Idempotent.

        The call yields only if ``Processor.create()`` yields or a journal is opened. All pending events are queued at
        the priority they were given. Inside ``async with executor`` or ``executor.run``, that task group continues to
        own the running events. Otherwise a root task of the event loop owns them until :meth:`stop`.

        Raises:
            ConfigurationError: A key of ``processor_config`` is missing or unknown, and no processor was made. Or the
                server of the cluster may lose events.
            ValueError: A number in ``processor_config`` is out of bounds. No processor was made.
            JournalLockedError: Another executor has the journal open. Nothing was started.
            JournalError: The journal cannot be opened. Nothing was started.
            ClusterError: The server of the cluster is not reached, or refuses. Nothing was started.
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
            grace: Seconds, 0 or more, after which running events are interrupted. They end CANCELLED, or with a
                ``Retry`` or a journal run again at the next start: ``docs/retry.md``. None for no limit.

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
            ClusterError: The server of the cluster has lost its data, so no event ends any more.
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
        self.processor = await make_processor(self, self._lifetime.pile)

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
        after_any_end: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
        expires: float | timedelta | datetime | None = None,
        unique: Unique = "ever",
    ) -> E:
        """
        Take an event in and queue it: ``await executor.append(event, delay=5)``. O(log n).

        The call returns once the event is queued. Before the first ``start()``, the executor keeps the event and its
        options until it starts. An event that is not PENDING is filed under its status and is not queued.

        With a journal, the call returns once the event is on disk, and the executor must be running. See
        ``docs/durability.md``. With a cluster, the same holds for its server: see ``docs/cluster.md``.

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
            after_any_end: Likewise, but the event is queued once all of them have ended, in any final status: for steps
                that clean up. One of them that leaves the executor counts as ended. An event in both arguments has to
                complete. :meth:`Event.after_results` leaves these events out.
            expires: Positive seconds or ``timedelta`` from now, or a wall-clock time with a time zone. An event that
                has not begun by then ends SKIPPED, and its error is a :class:`Skip` that says so. Only the first start
                counts: a run that has begun, its retries, and a run after a restart go on. While the executor does not
                run, nothing expires; the next start ends what is overdue before it starts anything. An event whose key
                is known keeps what it was given first.
            key: A hashable value that names this work. If an event with this key is here, in any status, that event is
                returned and the new one stays as it is. With a journal, JSON must be able to hold the key, and two keys
                with the same JSON are one key.
            unique: For how long the key is taken. "ever": until the event leaves, or :meth:`forget` is called. "open":
                until the event has ended, so that there is one open event with this key. An event that runs may append
                its own successor, which takes the key from it.

        Returns:
            The event, or the known event with this ``key``. The known event may be a copy from the journal.

        Raises:
            QueueFullError: The queue is full.
            ExistsError: The event is here already, or belongs to another executor.
            NotFoundError: One of ``after`` or ``after_any_end`` is not in this executor (with a cluster: in its queue).
            TypeError: The event is of another type, ``at`` is no datetime, or ``key`` is not hashable.
            ValueError: A number is NaN, infinite or negative; both ``delay`` and ``at`` are given; the event comes
                after itself, or expires before it is due; a time has no time zone; the event takes more of a limit than
                the limit ever has; or ``unique`` is another word, or is "open" without a key.
            ExecutorClosedError: The executor's block is being left, and the caller is no event running in it; or the
                executor has a journal or a cluster, and does not run.
            BaseException: What the background task crashed with, once; or what a function of a limit raises.

        With a journal or a cluster also:

        Raises:
            JournalError: The event could not be written. A failure that may pass was retried for 30 s.
            ClusterError: The server was not reached, or it refused. It may have the event: append the same object.
            ConfigurationError: The class says ``on_crash="hold"``, or ``expires``, ``after_any_end`` or
                ``unique="open"`` is given: a cluster does none of these.
            ValidationError: A field cannot be stored. The message names the field. (Also a ValueError.)
            TypeError: The class has no tag, or JSON cannot hold the key.
            ExistsError: The key belongs to an event that is held or cannot be read.

        After an error, the executor and the event are as before, except that a crash is raised only once.

        Cancellation: before anything has happened, or in a wait for room or the disk. The event is not left behind.
        With a cluster, an event that was sent stays in the executor and runs.
        """
        if self._parts.call_defaults is not None:
            priority, key = self._parts.call_defaults.fill(event, priority, key)
        if (  # most events: no second coroutine
            priority is None and delay is None and at is None and key is None and expires is None
            and after == () and after_any_end == () and unique == "ever" and self._submissions.append_nowait(event)
        ):  # fmt: skip
            return event
        return await self._submissions.append(
            event, priority, wait=wait, delay=delay, at=at, after=after, after_any_end=after_any_end, key=key,
            expires=expires, unique=unique,
        )  # fmt: skip

    # The method itself, whatever replaces it in the class later.
    _plain_append = append

    async def invoke(
        self,
        event: Event[T],
        priority: float | None = None,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        after_any_end: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
        expires: float | timedelta | datetime | None = None,
        unique: Unique = "ever",
        cancel_on_abandon: bool = False,
    ) -> T:
        """
        Append an event, wait for its end, and return its response: ``page = await executor.invoke(Fetch(url=url))``.

        The same as ``append(wait=True)``, ``wait()`` and ``result()``. If the ``key`` is known, the response is that of
        the known event. All arguments but ``cancel_on_abandon`` are those of :meth:`append`.

        Args:
            event: As for :meth:`append`.
            priority: As for :meth:`append`; finite.
            delay: As for :meth:`append`; seconds, 0 or more.
            at: As for :meth:`append`.
            after: As for :meth:`append`.
            after_any_end: As for :meth:`append`.
            key: As for :meth:`append`.
            expires: As for :meth:`append`; positive seconds or ``timedelta``, or a time.
            unique: As for :meth:`append`.
            cancel_on_abandon: Whether the event is cancelled, as by :meth:`cancel`, if the caller is cancelled before
                the event has ended. A known event with the same ``key`` goes on: another call has brought it.

        Raises:
            EventFailed: The event ended without a response.

        Also raises what :meth:`append` and ``Event.wait()`` raise.

        Cancellation: once the event was taken in, it stays in the executor and runs, unless ``cancel_on_abandon`` is
        set. An event that :meth:`stop` interrupts here leaves it too: both run again.
        """
        given = {"expires": expires, "after_any_end": after_any_end, "unique": unique}.items()
        # An overridden append() may not have the parameters that are not given.
        later: dict[str, Any] = {name: value for name, value in given if value not in (None, (), "ever")}
        try:
            self._observers.mark_awaited(event)
            taken = await self.append(event, priority, wait=True, delay=delay, at=at, after=after, key=key, **later)
            await taken.wait()
        except BaseException as exc:
            is_interrupted = running_here() and self.processor is not None and self.processor.is_stopped()
            if cancel_on_abandon and not isinstance(exc, Exception) and not is_interrupted and event in self:
                with suppress(ClusterError):  # not connected any more
                    self.cancel(event, "the caller of invoke() has stopped waiting")
            raise
        return taken.result()

    async def extend(
        self,
        events: Iterable[E] | AsyncIterable[E],
        priority: float | Callable[[E], float | None] | None = None,
        *,
        key: Callable[[E], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        after_any_end: Event | UUID | Iterable[Event | UUID] = (),
    ) -> list[E]:
        """
        Append events one after the other, each with ``append(wait=True)``.

        With a journal, up to 100 events are written in one commit, with a cluster up to 200 are sent in one round trip,
        unless a subclass overrides :meth:`append` or ``Processor.enqueue()``, or the events come after others.

        Args:
            events: A plain or an async iterable. The next event is taken once the last one has found room.
            priority: The priority of every event, finite, as for :meth:`append`; or a function that returns the
                priority of an event.
            key: A function that returns the key of an event, as for :meth:`append`. It returns None if the event has no
                key. An event whose key is known is left alone; the list has the known event in its place.
            expires: As for :meth:`append`; positive seconds or a ``timedelta`` count from when an event is taken in.
            after: As for :meth:`append`, for every event.
            after_any_end: As for :meth:`append`, for every event.

        Returns:
            The events in their order. Each is what :meth:`append` returns.

        Raises:
            TypeError: ``events`` is not iterable, or ``key`` is not callable.
            ValueError: ``expires`` is not valid. No event was taken.
            BaseException: What :meth:`append`, the iterable, ``priority`` or ``key`` raises. No more events are taken.
                The events before the error stay in the executor and run.

        With a journal, an event that cannot be written leaves the executor. The error is raised when the commit has
        failed, so up to 99 later events may have been taken from the iterable by then. With a cluster, up to 200.

        Cancellation: while the call waits for room, the disk or the server. The events before stay in the executor;
        with a journal, only those that are on disk.
        """
        return await extend(self, self._parts, events, priority, key, expires, after, after_any_end)

    # ---------------------------------------------------------------- questions

    @cached_property
    def _finding(self) -> Finding:
        """What answers the questions. Made at the first use: few programs need it."""
        from .questions import make_finding  # noqa: PLC0415  see above

        return make_finding(self._parts)

    async def find(
        self,
        *,
        status: EventStatus | str | Iterable[EventStatus | str] | None = None,
        tag: str | Iterable[str] | None = None,
        key: Hashable = None,
        error: str | type[BaseException] | None = None,
        since: float | datetime | None = None,
        limit: int = 100,
        before: FoundEvent | Event | UUID | str | Iterable[FoundEvent | Event | UUID] | None = None,
    ) -> list[FoundEvent]:
        """
        Return the events that fit all of these, the newest first: ``await executor.find(status="failed")``.

        The newest event is the one that was taken in last. In memory, with one status, it is the one that came to the
        status last, as in :meth:`page`. Pass the page as ``before`` to get the next page. Failed events on a page count
        as looked at.

        With a journal, everything that has happened before the call is on disk before it is read. Held events are
        PENDING. With a cluster, only a ``key`` can be asked for, with the other arguments beside it.

        A page costs O(limit) in memory if nothing but one status is given, otherwise O(number of events in memory). In
        a journal these questions have an index, so that a page costs O(limit): no argument but ``before``; a ``key``;
        and a ``status`` that is pending, failed, cancelled, skipped or aborted. ``error`` looks at the events that did
        not complete, and ``status="processing"`` at those that are open. All else goes back through the file until the
        page is full: some seconds for a million events. Other tasks run meanwhile, and so do commits.

        Args:
            status: A status, or several.
            tag: A tag, or several: see :attr:`FoundEvent.tag`.
            key: The key of ``append(key=)``.
            error: A part of the error's class and message, or of its shape ("HTTP <n> for <url>"), in upper or lower
                case. Or an exception class: errors whose class has this name.
            since: A time with a time zone, or seconds before now, 0 or more. Only events that ended since then; if they
                have not ended, that began since then, or else came.
            limit: The largest number of events, at least 1.
            before: The page before this one, or its last event, or the id of this event. With a journal, an id costs
                O(number of events in the file) if the event is not in memory.

        Raises:
            NotFoundError: A status does not exist. Or ``before`` is not here any more, or has another status. (Also a
                KeyError.)
            TypeError: An argument is of another type, or (with a journal or a cluster) JSON cannot hold the key.
            ValueError: ``limit`` is less than 1, ``since`` is negative, not finite or has no time zone, ``error`` is
                empty, or ``before`` is not a valid id.
            ConfigurationError: The executor has a cluster, and no key is given. Or the progression of the status was
                taken out of :attr:`states`.
            JournalError: The journal cannot be read, or no journal is open.
            ClusterError: The server was not reached, or refuses.

        Cancellation: nothing has changed.
        """
        from .found import wanted  # noqa: PLC0415  few programs need it

        check_count("limit", limit, 1)
        return await self._finding.find(wanted(status, tag, key, error, since), before, limit)

    async def count(
        self,
        *,
        status: EventStatus | str | Iterable[EventStatus | str] | None = None,
        tag: str | Iterable[str] | None = None,
        key: Hashable = None,
        error: str | type[BaseException] | None = None,
        since: float | datetime | None = None,
    ) -> int:
        """
        Return the number of events that fit all of these.

        By status alone O(1) in memory and in a cluster, and O(number of open events) in a journal. By key one look-up.
        Otherwise as many events are looked at as :meth:`find` would, to the end. A cluster counts by status or by key.

        Args:
            status: As for :meth:`find`.
            tag: As for :meth:`find`.
            key: As for :meth:`find`.
            error: As for :meth:`find`.
            since: As for :meth:`find`; seconds, 0 or more, or a time.

        Raises:
            ConfigurationError: The executor has a cluster, which cannot count such events.

        Also raises what :meth:`find` raises.

        Cancellation: nothing has changed.
        """
        from .found import wanted  # noqa: PLC0415  few programs need it

        return await self._finding.count(wanted(status, tag, key, error, since))

    def journal_events(
        self,
        *,
        status: EventStatus | str | Iterable[EventStatus | str] | None = None,
        tag: str | Iterable[str] | None = None,
        key: Hashable = None,
        error: str | type[BaseException] | None = None,
        since: float | datetime | None = None,
    ) -> AsyncIterator[FoundEvent]:
        """
        Return an iterator of all events that fit: ``async for found in executor.journal_events(status="failed")``.

        They come in the order of :meth:`find`. The file of a journal is read in pieces, so memory stays flat. Without a
        journal, the list of the events in memory is made at the first step. An event that comes while you iterate is
        left out. One that leaves or gets another status before its turn is left out, too.

        With a cluster they come in no order, each once. The server looks at all of its keys, a thousand at a time. An
        event that gets a status meanwhile may be missing.

        Args:
            status: As for :meth:`find`.
            tag: As for :meth:`find`.
            key: As for :meth:`find`.
            error: As for :meth:`find`.
            since: As for :meth:`find`; seconds, 0 or more, or a time.

        Raises:
            anyio.BusyResourceError: While iterating: two tasks iterate at the same time.

        Also raises what :meth:`find` raises, for wrong arguments at once, otherwise while iterating.

        Cancellation: a cancelled step changes nothing. You can continue to iterate.
        """
        from .finding import FoundEvents  # noqa: PLC0415  few programs need it
        from .found import wanted  # noqa: PLC0415  likewise

        return FoundEvents(self._finding, wanted(status, tag, key, error, since))

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
