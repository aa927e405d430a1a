"""
Lifetimes: who owns the task group that runs an executor, how it begins and how it ends.

There are three ways (``async with``, :meth:`Lifetime.run`, :meth:`Lifetime.start`), and one thing they have in common:
the task group of :class:`GroupOwner`, which holds the processor's loop until that has come to rest.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import anyio
from anyio import AsyncContextManagerMixin

from lionpride_exec._base.backend import timeout_deadline
from lionpride_exec._base.counted_lock import Guard
from lionpride_exec._events.lifecycle import running_here
from lionpride_exec._status import EventStatus
from lionpride_exec._validation import check_seconds, explain_refused_config
from lionpride_exec.errors import ConfigurationError, ExecutorClosedError

from .task_group import GroupOwner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractContextManager
    from uuid import UUID

    from anyio.abc import TaskStatus

    from lionpride_exec._events.event import Event
    from lionpride_exec._processing.processor import Processor


class Lifetime(GroupOwner, AsyncContextManagerMixin):
    """The part of an executor that starts and stops it."""

    processor_type: ClassVar[type[Processor]]
    _observers: list[Callable[[Event, EventStatus, EventStatus], None]]

    def __init__(self, config: dict[str, Any], *, strict: bool, name: str) -> None:
        super().__init__(self.event_type, strict=strict, name=name)
        self.processor_config: dict[str, Any] = config
        self._creation = Guard()  # held across the creation of the processor, which may be async: there is one
        # Events that a task runs now, whoever started them; by identity, which costs less than by id.
        self._active: dict[int, UUID] = {}
        self._held_back: set[object] = self._coordination.holds  # why nothing starts at the moment
        self._is_leaving = False

    @property
    def event_type(self) -> type[Event]:
        """
        The class of events this executor takes: its processor's ``event_type``.

        Raises:
            ConfigurationError: The class has no ``processor_type``, or that has no ``event_type``.
        """
        try:
            return self.processor_type.event_type
        except AttributeError:
            raise ConfigurationError(
                f"{type(self).__name__} needs a class attribute processor_type = <Processor subclass> "
                "whose class attribute event_type is an Event subclass"
            ) from None

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        await self._prepare()
        self._check_not_running()
        try:
            async with self._own_group():
                try:
                    await self.start()
                    yield self
                    self._is_leaving = True
                    await self.join()
                    await self.stop()
                finally:
                    self._is_leaving = False
        finally:
            self._tell_failures()
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
        try:
            async with self._own_group():
                await self.start()
                task_status.started()
        finally:
            self._tell_failures()
        self._watchers.end()

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
        processor = await self._prepare()
        if processor._has_own_enqueue:  # nothing is started if that is cancelled
            self._queue_pending(processor)
            await self._hand_over_late(processor)
        await processor.start()
        self._is_abandoned = False
        if not processor._has_own_enqueue:
            self._queue_pending(processor)
        self._ensure_dispatcher()

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
        if self._processor is not None:
            await self._processor.stop()
            with anyio.CancelScope(deadline=timeout_deadline(grace)) as scope:
                await self._processor.wait_idle()
            if scope.cancelled_caught and self._is_stopped():
                self._processor.cancel_running()
                await self._processor.wait_idle()
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
        with (
            self._reader_away() or nullcontext(),
            self._waiters.standing_aside(event.id for event in running_here()),
        ):
            await self._waiters.wait_for(self._is_settled)
        self._raise_crash()
        if self._is_abandoned and self._by_status[EventStatus.PENDING]:
            raise ExecutorClosedError(f"{self!r} was left with events still pending")

    @property
    def is_abandoned(self) -> bool:
        """Whether the executor was left, or crashed, and has not been started again."""
        return self._is_abandoned

    def _reader_away(self) -> AbstractContextManager[None] | None:
        """Give what a task waits in that waits for this executor and so reads no transitions; None: nobody does."""
        return self._watchers.reader_away()

    # ---------------------------------------------------------------- inside

    async def _prepare(self) -> Processor:
        """Raise what has to be raised before anything starts, and see to it that there is a processor."""
        self._raise_crash()
        async with self._creation:
            if self._processor is None:
                await self._create_processor()
            processor = self._processor
            if processor is None:
                raise ConfigurationError(f"{type(self).__name__}._create_processor() must assign self.processor")
            return processor

    async def _create_processor(self) -> None:
        """
        Make the processor from ``processor_config`` and assign it to :attr:`processor`, as an override has to.

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
        self.processor = processor

    def _queue_pending(self, processor: Processor) -> None:
        """Queue what is pending and not on its way already."""
        raise NotImplementedError

    async def _hand_over_late(self, processor: Processor) -> None:
        """Await an overridden ``enqueue()`` for the events that wait for it."""
        raise NotImplementedError

    def _is_settled(self) -> bool:
        aside = self._waiters.aside
        if len(self._active) <= len(aside) and all(event_id in aside for event_id in self._active.values()):
            return self._is_stopped() or self._is_abandoned or not self._by_status[EventStatus.PENDING]
        return False

    def _runs_caller(self) -> bool:
        """Whether the calling code belongs to an event that runs here."""
        in_flight = () if self._processor is None else self._processor._in_flight
        return any(cast("object", event._owner) is self or event.id in in_flight for event in running_here())
