"""
The executor: it takes events in, and owns the lifetime of what runs them.

Where each of them stands is the business of its other half, the status board (``_board``); which of them starts when,
that of its processor.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio
from anyio import AsyncContextManagerMixin, get_cancelled_exc_class
from anyio.lowlevel import checkpoint

from ._background import spawn
from ._board import StatusBoard, to_status
from ._config import check_priority, check_seconds, explain_refused_config
from ._event import Event, running_events
from ._execution import utc_now
from ._guard import Guard
from ._status import EventStatus
from ._waiters import Waiters
from .errors import ConfigurationError, ExecutorClosedError, ExistsError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from uuid import UUID

    from anyio.abc import TaskGroup, TaskStatus

    from ._processor import Processor

    Observer = Callable[[Event, EventStatus, EventStatus], None]

logger = logging.getLogger("lionpride_exec")

# A loop of appends that never waits lets other tasks run after so many: about a millisecond.
APPENDS_BETWEEN_CHECKPOINTS = 100

DEFAULT_CLEANUP = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Executor(StatusBoard, AsyncContextManagerMixin):
    """
    Runs events and tracks the status of each.

    Subclasses set ``processor_type``. Three ways to run one: ``async with executor:`` (the block owns
    everything and, left normally, waits until nothing is pending or processing), ``await
    tg.start(executor.run)``, or ``await executor.start()`` ... ``await executor.stop()``.

    Args:
        processor_config: Keywords of the processor; ``queue_capacity`` and ``capacity_refresh_time`` are
            required by the time it starts.
        strict_event_type: Whether only events of exactly the processor's ``event_type`` are taken.
        name: Name of the flow :attr:`states`; default "executor_states".

    Raises:
        ConfigurationError: The class has no ``processor_type``, or that has no ``event_type``.
    """

    processor_type: ClassVar[type[Processor]]

    def __init__(
        self,
        processor_config: dict[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
    ) -> None:
        self.processor_config: dict[str, Any] = {} if processor_config is None else processor_config
        self.processor: Processor | None = None
        super().__init__(self.event_type, strict=strict_event_type, name=name or "executor_states")
        self._creation = Guard()  # held across the creation of the processor, which may be async: there is one
        self._active: set[UUID] = set()  # events that a task runs now, whoever started them
        self._early: dict[UUID, float] = {}  # priorities given before there was a processor to keep them
        self._observers: list[Observer] = []
        self._waiters = Waiters()
        self._group: TaskGroup | None = None  # of the lifetime we are in
        self._background: object | None = None  # stands for the root task behind start(), while there is one
        self._is_dispatching = False  # a task of this executor keeps the processor's loop alive
        self._is_leaving = False
        self._is_abandoned = False
        self._crash: BaseException | None = None
        self._appends = 0

    @property
    def event_type(self) -> type[Event]:
        """The class of events this executor takes: its processor's ``event_type``."""
        try:
            return self.processor_type.event_type
        except AttributeError:
            raise ConfigurationError(
                f"{type(self).__name__} needs a class attribute processor_type = <Processor subclass> "
                "whose class attribute event_type is an Event subclass"
            ) from None

    def observe(self, observer: Callable[[Event, EventStatus, EventStatus], None]) -> Callable[[], None]:
        """
        Have ``observer(event, previous, status)`` called at every transition; returns a function that ends it.

        It runs inside the transition and delays it, so it should be quick. An exception of it is logged.
        """
        self._observers.append(observer)

        def end() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return end

    # ---------------------------------------------------------------- taking events in

    async def append(self, event: Event, priority: float | None = None, *, wait: bool = False) -> None:
        """
        Take an event in and queue it. O(log n); does not wait once the event is queued.

        An event that is not PENDING is filed under its status and not queued. Before the first ``start()``
        events are kept, with their priorities, until then.

        Args:
            event: Of the executor's event type, not yet in it.
            priority: Lower runs first; finite; equal priorities run in order of arrival. The default is the
                event's ``created_at`` in seconds (about 1.8e9), so any smaller number goes before it.
            wait: Wait for room in a full queue instead of raising; first come, first served.

        Raises:
            QueueFullError: The queue is full.
            ExistsError: The event is here already, or stands in another executor.
            TypeError: It is of another type.
            ValueError: The priority is NaN or infinite.
            ExecutorClosedError: The executor's block is being left, and the caller is no event running in it.
            BaseException: What the background task crashed with, once.

        After any of them executor and event are as before, but for the crash, which is told only once.

        Cancellation: while it waits for room, or before anything has happened; nothing is left behind.
        """
        self._raise_crash()
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, got {type(event).__name__}")
        if priority is not None:
            check_priority(priority)
        self._appends += 1
        if self._appends > APPENDS_BETWEEN_CHECKPOINTS:
            self._appends = 0
            await checkpoint()
        while True:
            if wait and self.processor is not None and self.processor.queue.is_full:
                self._check_new(event)
                await self.processor.queue.wait_for_room()
            try:
                await self._take_in(event, priority)
            except QueueFullError:
                if not wait:
                    raise
            else:
                return
            finally:
                if wait and self.processor is not None:
                    self.processor.queue.offer_room()  # of the room it was given it may have made no use

    async def invoke(self, event: Event, priority: float | None = None) -> Any:
        """
        Append an event, wait for its end, and give its response: ``append(wait=True)``, ``wait``, ``result``.

        Raises:
            EventFailed: It ended without a response.

        And what :meth:`append` and ``Event.wait()`` raise.

        Cancellation: the event stays in the executor and is run all the same.
        """
        await self.append(event, priority, wait=True)
        await event.wait()
        return event.result()

    async def cleanup_events(self, statuses: Iterable[EventStatus | str] | None = None) -> int:
        """
        Remove the events with these statuses, and what the processor knows of them. O(1) for each.

        CANCELLED and SKIPPED events are removed only when asked for. One that still runs goes on without the
        executor; whoever waits for a PENDING one gets ``ExecutorClosedError``.

        Args:
            statuses: Default: COMPLETED, FAILED, ABORTED.

        Returns:
            The number of events removed.

        Raises:
            NotFoundError: No such status; nothing was removed.

        Cancellation: while it waits for a lock; nothing has been removed then.
        """
        wanted = [to_status(status) for status in (DEFAULT_CLEANUP if statuses is None else statuses)]
        async with self.states.items, self._locks(*EventStatus):
            events = [event for status in dict.fromkeys(wanted) for event in self.get_events_by_status(status)]
            for event in events:
                self._let_go(event)
                if not event.execution._running:  # else its end will come, and wake them
                    event._wake()
        return len(events)

    # ---------------------------------------------------------------- lifetime

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        await self._prepare()
        self._check_not_running()
        async with self._own_group():
            try:
                await self.start()
                yield self
                self._is_leaving = True
                await self.join()
                await self.stop()
            finally:
                self._is_leaving = False
        self._abandon()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """
        Run until :meth:`stop`; for ``await tg.start(executor.run)``.

        Raises:
            RuntimeError: The executor runs already.

        And what :meth:`start` raises.

        Cancellation: what runs ends CANCELLED, what has not begun stays PENDING, whoever waits is woken.
        """
        await self._prepare()
        self._check_not_running()
        async with self._own_group():
            await self.start()
            task_status.started()

    async def start(self) -> None:
        """
        Start, or go on after a stop. Idempotent; does not yield (unless ``Processor.create()`` does).

        Pending events are queued at the priority they were given, however many. Within ``async with executor``
        or ``executor.run`` their task group goes on owning what runs. Otherwise a root task of the event loop
        does, until :meth:`stop`.

        Raises:
            ConfigurationError: A key of ``processor_config`` is missing or unknown; there is no processor then.
            ValueError: One of its numbers is out of bounds; likewise.
            BaseException: What the background task crashed with, once.
        """
        processor = await self._prepare()
        await processor.start()
        self._is_abandoned = False
        self._queue_pending(processor)
        if self._group is not None:
            self._launch(self._group)
        elif self._background is None:
            self._background = token = object()
            try:
                spawn(
                    partial(self._run_in_background, token),
                    name=f"{type(self).__name__} background",
                    on_end=partial(self._background_ended, token),
                )
            except BaseException:
                self._background = None
                raise

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
        if self.processor is not None:
            await self.processor.stop()
            with anyio.move_on_after(grace) as scope:
                await self.processor.wait_idle()
            if scope.cancelled_caught and self._is_stopped():
                self.processor.cancel_running()
                await self.processor.wait_idle()
            if not self._runs_caller():
                await self._waiters.wait_for(lambda: self._background is None or not self._is_stopped())
        self._raise_crash()

    async def join(self) -> None:
        """
        Return once nothing is pending or processing; when stopped, once nothing is processing.

        Called by an event that runs here, it does not wait for that event, nor for others that wait like this.

        Raises:
            ExecutorClosedError: What ran the executor was cancelled or crashed with events still pending.
            BaseException: What the background task crashed with, once.

        Cancellation: leaves everything as it is.
        """
        self._raise_crash()
        with self._waiters.standing_aside(event.id for event in running_events.get()):
            await self._waiters.wait_for(self._is_settled)
        self._raise_crash()
        if self._is_abandoned and self._by_status[EventStatus.PENDING]:
            raise ExecutorClosedError(f"{self!r} was left with events still pending")

    async def forward(self) -> None:
        """
        Run one batch now: up to ``queue_capacity`` queued events, without waiting for the capacity window.

        Returns when they, and what was running already, have ended; at once if there is no processor yet. Works
        when stopped. A denied event is asked again. Any number of calls may overlap.

        Cancellation: what this call started ends CANCELLED, what has not begun stays PENDING and queued.
        """
        if self.processor is not None:
            await self.processor.process()

    # ---------------------------------------------------------------- the owner of events

    def event_moved(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition; called by the event inside it."""
        self._move(event, previous, target)
        if target is EventStatus.PROCESSING and event.execution._running:
            self._active.add(event.id)
        elif previous is EventStatus.PROCESSING:
            self._active.discard(event.id)
        if self._early:
            self._early.pop(event.id, None)
        if previous is EventStatus.PENDING and self.processor is not None and event.id in self.processor.queue:
            self.processor.forget(event.id)  # run or decided by somebody else: it does not start here any more
        for observer in tuple(self._observers):
            try:
                observer(event, previous, target)
            except Exception:
                logger.exception("an observer of %r failed at %r", self, event)
        if target is not EventStatus.PROCESSING:  # nobody waits for a beginning
            self._waiters.notify()

    def refile(self, event: Event) -> None:
        """Put an event where its status says, at once; called when the processor's report was premature."""
        if event.id in self.states.items:
            self._file(event, event.status)

    @property
    def is_abandoned(self) -> bool:
        """Whether the executor was left, or crashed, and has not been started again."""
        return self._is_abandoned

    async def _prepare(self) -> Processor:
        """Raise what has to be raised before anything starts, and see to it that there is a processor."""
        self._raise_crash()
        async with self._creation:
            if self.processor is None:
                await self._create_processor()
            assert self.processor is not None
            return self.processor

    async def _create_processor(self) -> None:
        """
        Make the processor from ``processor_config``.

        Raises:
            ConfigurationError: A key is missing or unknown.
            ValueError: A number is out of bounds.
        """
        try:
            processor = await self.processor_type.create(pile=self.states.items, executor=self, **self.processor_config)
        except TypeError as exc:
            complaint = explain_refused_config(self.processor_type, self.processor_config)
            if complaint is None:
                raise
            raise ConfigurationError(complaint) from exc
        processor._waiters = self._waiters  # one list: what ends here may be awaited there
        self.processor = processor

    # ---------------------------------------------------------------- inside: events

    async def _take_in(self, event: Event, priority: float | None) -> None:
        """Store and queue an event, or raise and leave everything as it was."""
        if self.states.items.guard.users or self.turn_to_move(event.status, event.status) is not None:
            async with self.states.items, self._locks(event.status):
                await self._store(event, priority)
        else:
            await self._store(event, priority)

    async def _store(self, event: Event, priority: float | None) -> None:
        self._check_new(event)
        self.states.items.add(event)
        self._progression(event.status).append(event.id)
        _set_owner(event, self)
        if event.execution._running:
            self._active.add(event.id)
        try:
            if event.status is EventStatus.PENDING:
                await self._queue_up(event, priority)
        except BaseException:
            self._let_go(event)
            raise
        event.execution.queued_at = event.execution.queued_at or utc_now()

    async def _queue_up(self, event: Event, priority: float | None) -> None:
        if self.processor is not None:
            await self.processor.enqueue(event.id, priority)
        elif priority is not None:
            self._early[event.id] = float(priority)

    def _check_new(self, event: Event) -> None:
        if self._is_leaving and not self._runs_caller():
            raise ExecutorClosedError(f"{self!r} is being left and takes nothing more in")
        if event._owner is not None and event._owner is not self:
            raise ExistsError(f"{event!r} stands in another executor: {event._owner!r}")
        if event.id in self.states.items:
            raise ExistsError(f"Item {event.id} already exists in {self!r}; as_fresh_event() gives one to run anew")

    def _let_go(self, event: Event) -> None:
        """Forget an event altogether."""
        self.states.items.remove(event.id)
        for progression in self._by_status.values():
            progression.exclude(event.id)
        self._active.discard(event.id)
        self._early.pop(event.id, None)
        if self.processor is not None:
            self.processor.forget(event.id)
        _set_owner(event, None)

    def _queue_pending(self, processor: Processor) -> None:
        """Queue what is pending and not on its way already."""
        early, items = self._early, self.states.items
        processor.queue.put_backlog(
            (early.pop(event_id) if event_id in early else items[event_id].created_at.timestamp(), event_id)
            for event_id in self._progression(EventStatus.PENDING)
            if not processor.is_handling(event_id)
        )

    # ---------------------------------------------------------------- inside: lifetime

    @asynccontextmanager
    async def _own_group(self) -> AsyncGenerator[None]:
        """Own a task group for the dispatcher and what it starts, until both have come to rest."""
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                yield
                while not self._is_at_rest():
                    await self._waiters.wait_for(self._is_at_rest)
                self._group = None  # no await since the check: nobody can start anything in it any more
        except BaseException:
            self._abandon()
            raise
        finally:
            self._group = None

    def _check_not_running(self) -> None:
        if self._group is not None or self._background is not None:
            raise RuntimeError(f"{self!r} is running already")

    def _is_stopped(self) -> bool:
        return self.processor is not None and self.processor.is_stopped()

    def _is_at_rest(self) -> bool:
        """Whether the dispatcher is stopped and gone."""
        return self.processor is None or (self._is_stopped() and not self._is_dispatching)

    def _launch(self, group: TaskGroup) -> None:
        if not self._is_dispatching:
            self._is_dispatching = True
            group.start_soon(self._keep_dispatching, group, name=f"{type(self).__name__} dispatcher")

    async def _keep_dispatching(self, group: TaskGroup) -> None:
        """Run the processor's loop until stopped: also when somebody else's runs first, or it is started again."""
        assert self.processor is not None
        try:
            while not self.processor.is_stopped():
                await self.processor.execute()
        except get_cancelled_exc_class():
            self._is_dispatching = False
            if anyio.current_effective_deadline() == -inf:
                raise
            self._launch(group)  # no scope asked for this cancellation: it ends this task, and another one goes on
        except BaseException:
            self._is_dispatching = False
            raise
        else:
            self._is_dispatching = False  # no await since the check of the loop above
        finally:
            self._waiters.notify()

    async def _run_in_background(self, token: object) -> None:
        """Be the root task behind ``start()``: own the group, and keep a crash for whoever calls next."""
        try:
            while True:
                async with self._own_group():
                    assert self._group is not None
                    self._launch(self._group)
                if self._is_stopped():  # else it was started again while the group was closing
                    break
        except get_cancelled_exc_class():
            raise
        except BaseException as exc:  # noqa: BLE001  a root task has nobody to raise it to
            self._crash = exc
        finally:
            self._background_ended(token)

    def _background_ended(self, token: object) -> None:
        if self._background is token:
            self._background = None
            if not self._is_stopped():
                self._abandon()
            self._waiters.notify()

    def _abandon(self) -> None:
        """Tell everybody who waits that nothing will happen any more."""
        self._is_abandoned = True
        if self.processor is not None:
            self.processor.abandon()
            self.processor.queue.turn_away_waiters()
        for status in (EventStatus.PENDING, EventStatus.PROCESSING):
            for event_id in self._by_status[status]:
                if (event := self.states.items.get(event_id, None)) is not None:
                    event._wake()
        self._waiters.notify()

    def _is_settled(self) -> bool:
        if self._active <= self._waiters.aside.keys():
            return self._is_stopped() or self._is_abandoned or not self._by_status[EventStatus.PENDING]
        return False

    def _runs_caller(self) -> bool:
        """Whether the calling code belongs to an event that runs here."""
        in_flight = () if self.processor is None else self.processor._in_flight
        return any(event._owner is self or event.id in in_flight for event in running_events.get())

    def _raise_crash(self) -> None:
        crash, self._crash = self._crash, None
        if crash is not None:
            raise crash


def _set_owner(event: Event, owner: Executor | None) -> None:
    # Past the hooks that attrs runs at each assignment: this one needs none, and is made for every event.
    object.__setattr__(event, "_owner", owner)
