"""
Lifetimes: who owns the task group that runs an executor, how it begins and how it ends.

There are three ways (``async with``, :meth:`Lifetime.run`, :meth:`Lifetime.start`), and one thing they have in common:
:meth:`Lifetime._own_group`, a task group that holds the processor's loop until that has come to rest.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

import anyio
from anyio import AsyncContextManagerMixin, get_cancelled_exc_class

from ._background import spawn
from ._board import StatusBoard
from ._config import check_seconds, explain_refused_config
from ._guard import Guard
from ._life import running_here
from ._status import EventStatus
from ._waiters import Waiters
from ._watch import Watchers
from .errors import ConfigurationError, ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractContextManager
    from uuid import UUID

    from anyio.abc import TaskGroup, TaskStatus

    from ._event import Event
    from ._processor import Processor


class Guest(Protocol):
    """A task in the group of an executor that runs no events."""

    def cancel(self) -> None:
        """Have it end."""


class Lifetime(StatusBoard, AsyncContextManagerMixin):
    """The half of an executor that starts and stops it."""

    processor_type: ClassVar[type[Processor]]
    _observers: list[Callable[[Event, EventStatus, EventStatus], None]]

    def __init__(self, config: dict[str, Any], *, strict: bool, name: str) -> None:
        super().__init__(self.event_type, strict=strict, name=name)
        self.processor_config: dict[str, Any] = config
        self.processor: Processor | None = None
        self._creation = Guard()  # held across the creation of the processor, which may be async: there is one
        # Events that a task runs now, whoever started them; by identity, which costs less than by id.
        self._active: dict[int, UUID] = {}
        self._waiters = Waiters()
        self._held_back: set[object] = set()  # why nothing starts at the moment; shared with the processor
        self._watchers = Watchers(self)
        self._group: TaskGroup | None = None  # of the lifetime we are in
        self._is_broken = False  # that group is being left early: nothing in it is to go on
        self._guests: set[Guest] = set()  # tasks in that group that run no events; cancelled at its end
        self._background: object | None = None  # stands for the root task behind start(), while there is one
        self._is_ending: Callable[[], bool] = bool  # whether the event loop ends, and that root task with it
        self._is_dispatching = False  # a task of this executor keeps the processor's loop alive
        self._is_leaving = False
        self._is_abandoned = False
        self._crash: BaseException | None = None

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
                self._is_ending = spawn(
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
        with (
            self._reader_away() or nullcontext(),
            self._waiters.standing_aside(event.id for event in running_here()),
        ):
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

    @property
    def _is_interrupted(self) -> bool:
        """Whether the event loop that the executor lives in by ``start()`` is being ended."""
        return self._background is not None and self._is_ending()

    @property
    def is_abandoned(self) -> bool:
        """Whether the executor was left, or crashed, and has not been started again."""
        return self._is_abandoned

    def _reader_away(self) -> AbstractContextManager[None] | None:
        """Give what a task waits in that waits for this executor and so reads no transitions; None: nobody does."""
        return self._watchers.reader_away()

    # ---------------------------------------------------------------- inside

    def _hold_back(self, token: object) -> None:
        """Start nothing new, until this token and all others are given back; also before there is a processor."""
        self._held_back.add(token)

    def _let_start(self, token: object) -> None:
        """Give a token back; with the last one, events start at once."""
        self._held_back.discard(token)
        if self.processor is not None:
            self.processor._let_start(token)

    def _let_start_soon(self, token: object) -> None:
        """Do as :meth:`_let_start`, from any thread and within anything."""
        self._held_back.discard(token)
        if self.processor is not None:
            self.processor._let_start_soon(token)

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
        processor._held_back = self._held_back
        processor._put_off = self._put_off
        self.processor = processor

    def _reconfigure(self, changes: dict[str, int]) -> None:
        """Change numbers of the processor, also of one that is still to be made."""
        self.processor_config = self.processor_config | changes
        if self.processor is not None:
            self.processor.resize(**changes)

    def _queue_pending(self, processor: Processor) -> None:
        """Queue what is pending and not on its way already."""
        raise NotImplementedError

    @asynccontextmanager
    async def _own_group(self) -> AsyncGenerator[None]:
        """Own a task group for the dispatcher and what it starts, until both have come to rest."""
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                self._is_broken = False
                self._waiters.notify()
                try:
                    yield
                    while not self._is_at_rest():
                        await self._waiters.wait_for(self._is_at_rest)
                except BaseException:
                    self._is_broken = True
                    raise
                else:
                    self._group = None  # no await since the check: nobody can start anything in it any more
                    for guest in tuple(self._guests):
                        guest.cancel()
                finally:
                    self._waiters.notify()
        except BaseException:
            self._abandon()
            raise
        finally:
            self._group = None

    async def _wait_for_group(self) -> None:
        """Return when there is a task group, or none is to be expected: the background task may have yet to begin."""
        await self._waiters.wait_for(lambda: self._group is not None or self._background is None)

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
            self._watchers.end()
            self._waiters.notify()

    def _abandon(self) -> None:
        """Tell everybody who waits that nothing will happen any more."""
        self._is_abandoned = True
        if self.processor is not None:
            self.processor.abandon()
            self.processor.queue.close()
        for status in (EventStatus.PENDING, EventStatus.PROCESSING):
            for event_id in self._by_status[status]:
                if (event := self.states.items.get(event_id, None)) is not None:
                    event._wake()
        self._watchers.end()
        self._waiters.notify()

    def _is_settled(self) -> bool:
        aside = self._waiters.aside
        if len(self._active) <= len(aside) and all(event_id in aside for event_id in self._active.values()):
            return self._is_stopped() or self._is_abandoned or not self._by_status[EventStatus.PENDING]
        return False

    def _runs_caller(self) -> bool:
        """Whether the calling code belongs to an event that runs here."""
        in_flight = () if self.processor is None else self.processor._in_flight
        return any(cast("object", event._owner) is self or event.id in in_flight for event in running_here())

    def _raise_crash(self) -> None:
        crash, self._crash = self._crash, None
        if crash is not None:
            raise crash
