"""
Lifetimes: who owns the task group that runs an executor, what runs in it, how it begins and how it ends.

There are three ways to run an executor (``async with``, ``run()``, ``start()``), and one thing they have in common:
there is one group at a time. The dispatcher is a task in it that runs the processor's loop, until that is stopped. When
the dispatcher has come to rest the group closes, and its guests are cancelled: tasks that run no events, such as one
that reads what a ``map()`` is given.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import anyio
from anyio import get_cancelled_exc_class

from lionpride_exec._base.backend import current_time, loop_clock, spawn, startable, timeout_deadline
from lionpride_exec._base.counted_lock import CountedLock
from lionpride_exec._events.lifecycle import running_here
from lionpride_exec._model.pile import Pile
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ConfigurationError, ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from anyio.abc import TaskGroup, TaskStatus

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._iteration.map_options import Guest
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.status_index import StatusIndex
    from lionpride_exec._tracking.subscriptions import Subscriptions

    from .facade import Facade
    from .journal_link import JournalLink
    from .queueing import Queueing
    from .submissions import Submissions
    from .transitions import Transitions


class Lifetime:
    """
    The lifetimes of one executor, one after the other.

    Attributes:
        processor: What starts the events. None until there is one.
        group: The task group of the lifetime that the executor is in. None outside of one.
    """

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        submissions: Submissions,
        queueing: Queueing,
        subscriptions: Subscriptions,
        link: JournalLink | None,
    ) -> None:
        self.processor: Processor | None = None
        self.group: TaskGroup | None = None
        self._executor = executor
        self._coordination = coordination
        self._conditions = coordination.conditions
        self._index = index
        self._transitions = transitions
        self._submissions = submissions
        self._queueing = queueing
        self._subscriptions = subscriptions
        self._link = link
        self._creation = CountedLock()  # held across the creation of the processor, which may be async: there is one
        self._is_broken = False  # the group is being left early: nothing in it goes on
        self._guests: set[Guest] = set()  # tasks in the group that run no events; cancelled at its end
        self._background: object | None = None  # stands for the root task behind start(), while there is one
        self._is_dispatching = False  # a task of this executor keeps the processor's loop alive
        self._has_begun = False  # that task has taken its first step; before it, asyncio can end it without a trace

    # ---------------------------------------------------------------- the three ways

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """Own everything; left normally, wait until nothing is pending or processing. For ``async with executor``."""
        executor = self._executor
        await self.prepare()
        self._check_not_running()
        try:
            async with self._own_group():
                try:
                    await executor.start()
                    yield
                    self._submissions.is_leaving = True
                    await executor.join()
                    await executor.stop()
                finally:
                    self._submissions.is_leaving = False
        finally:
            self._index.tell_failures()
        self.abandon()

    async def run(self, task_status: TaskStatus[None]) -> None:
        """Run until ``stop()``."""
        await self.prepare()
        self._check_not_running()
        try:
            async with self._own_group():
                await self._executor.start()
                task_status.started()
        finally:
            self._index.tell_failures()
        self._subscriptions.end()

    async def start(self) -> None:
        """Start, or go on after a stop."""
        processor = await self.prepare()
        if processor._has_own_enqueue:  # nothing is started if that is cancelled
            self._queueing.queue_pending(processor)
            await self._queueing.enqueuer.hand_over_late(processor)
        await processor.start()
        self._transitions.is_abandoned = False
        if not processor._has_own_enqueue:
            self._queueing.queue_pending(processor)
        self._ensure_dispatcher()

    async def stop(self, grace: float | None) -> None:
        """Start nothing more; return when what runs has ended, or was cancelled after the grace."""
        processor = self.processor
        if processor is not None:
            await processor.stop()
            with anyio.CancelScope(deadline=timeout_deadline(grace)) as scope:
                await processor.wait_idle()
            if scope.cancelled_caught and self._is_stopped():
                processor.cancel_running()
                await processor.wait_idle()
            if not self._transitions.runs_caller():
                await self._conditions.wait_for(lambda: self._background is None or not self._is_stopped())
        self._transitions.raise_crash()

    async def forward(self) -> None:
        """Run one batch now."""
        processor = self.processor
        if processor is not None and self._link is not None and self._link.session is None:
            raise ExecutorClosedError(f"{self._executor!r} has a journal, which is closed: start it first")
        if self._link is not None:
            self._link.check_process()
        if processor is not None:
            if processor._has_own_enqueue:
                await self._queueing.enqueuer.hand_over_late(processor)
            await processor.process()

    async def join(self) -> None:
        """Return once nothing is pending or processing; when stopped, once nothing is processing."""
        self._transitions.raise_crash()
        with (
            self._subscriptions.reader_away() or nullcontext(),
            self._conditions.excluded_from_waits(event.id for event in running_here()),
        ):
            await self._conditions.wait_for(self._is_settled)
        self._transitions.raise_crash()
        if self._transitions.is_abandoned and self._index.by_status[EventStatus.PENDING]:
            raise ExecutorClosedError(f"{self._executor!r} was left with events still pending")

    def _is_settled(self) -> bool:
        aside, running = self._conditions.aside, self._transitions.running
        if len(running) <= len(aside) and all(event_id in aside for event_id in running.values()):
            is_over = self._is_stopped() or self._transitions.is_abandoned
            return is_over or not self._index.by_status[EventStatus.PENDING]
        return False

    # ---------------------------------------------------------------- the processor

    async def prepare(self) -> Processor:
        """Raise what has to be raised before anything starts; see to it that there is a processor, and the journal."""
        if self._link is not None:
            self._link.check_process()
        self._transitions.raise_crash()
        async with self._creation:
            if self.processor is None:
                await self._executor._create_processor()
            processor = self.processor
        if processor is None:
            raise ConfigurationError(f"{type(self._executor).__name__}._create_processor() must assign self.processor")
        if self._link is not None:
            await self._link.open()
        return processor

    def attach(self, processor: Processor | None) -> None:
        """Have a processor start the events from now on, or raise and change nothing."""
        if processor is self.processor:
            return
        if self.is_running or (self.processor is not None and self.processor._lifetime.pools):
            raise RuntimeError(f"{self._executor!r} is running: stop it before you assign another processor")
        if processor is not None:
            pile: object = processor.pile
            if isinstance(pile, Pile) and pile is not self._index.items:
                raise ConfigurationError(
                    f"The pile of {processor!r} must be executor.states.items: the events are there"
                )
            processor._attach(self._coordination, self._executor)
            if self._link is not None:
                self._link.attach(processor)
        self.processor = self._transitions.processor = processor
        self._submissions.processor = self._queueing.processor = processor

    # ---------------------------------------------------------------- the group

    @property
    def is_running(self) -> bool:
        """Whether the executor is in one of its lifetimes, or is about to be."""
        return self.group is not None or self._background is not None

    @asynccontextmanager
    async def _own_group(self) -> AsyncGenerator[None]:
        """Own a task group for the dispatcher and what it starts, until both have come to rest."""
        if self._link is not None:
            await self._link.open()
            if self.group is not None:  # somebody else has begun meanwhile
                raise RuntimeError(f"{self._executor!r} is running already")
        group = anyio.create_task_group()
        try:
            async with group:
                self.group = group
                self._transitions.clock = loop_clock()
                self._is_broken = False
                self._conditions.notify()
                try:
                    if self._link is not None:
                        await self._link.run_in(group)
                    yield
                    while not self._is_at_rest():
                        await self._conditions.wait_for(self._is_at_rest)
                except BaseException:
                    self._is_broken = True
                    raise
                else:
                    self._leave_group()  # no await since the check: nobody can start anything in it any more
                    for guest in tuple(self._guests):
                        guest.cancel()
                finally:
                    self._conditions.notify()
        except BaseException:
            self.abandon()
            raise
        finally:
            if self.group is group:  # else it has come to rest, and somebody may have the next one already
                self._leave_group()
                self._is_dispatching = False  # whatever it came to

    def _leave_group(self) -> None:
        self.group = None
        self._transitions.clock = current_time

    def _check_not_running(self) -> None:
        if self.is_running:
            raise RuntimeError(f"{self._executor!r} is running already")

    def _is_stopped(self) -> bool:
        return self.processor is not None and self.processor.is_stopped()

    def _is_at_rest(self) -> bool:
        """Return whether the dispatcher is stopped and gone."""
        return self.processor is None or (self._is_stopped() and not self._is_dispatching)

    def is_deserted(self) -> bool:
        """Return whether nothing in the group can change an event any more: the journal may close."""
        # In a group that is being left early, a dispatcher that has not begun does not begin any more.
        dispatches = self._is_dispatching and (self._has_begun or not self._is_broken)
        return (self.group is None or self._is_broken) and not dispatches and not self._guests

    async def start_guest(self, guest: Guest, run: Callable[[], Coroutine[object, object, None]], name: str) -> None:
        """
        Run a task that runs no events in the group, and cancel it when the group closes.

        Raises:
            RuntimeError: There is no group, and none is expected.

        Cancellation: while it waits for the group of a root task that has yet to begin; nothing was started then.
        """
        await self._conditions.wait_for(lambda: self.group is not None or self._background is None)
        if not self.try_start_guest(guest, run, name):
            raise RuntimeError("map() needs a running executor to take items from an async iterable")

    def try_start_guest(self, guest: Guest, run: Callable[[], Coroutine[object, object, None]], name: str) -> bool:
        """Do the same at once; return whether there is a group."""
        if self.group is None:
            return False
        self._guests.add(guest)
        self.group.start_soon(startable(run), name=f"{type(self._executor).__name__} {name}")
        return True

    def guest_ended(self, guest: Guest) -> None:
        """Learn that such a task has ended: the last one may be all that the journal is kept open for."""
        self._guests.discard(guest)
        self._conditions.notify()

    # ---------------------------------------------------------------- the dispatcher

    def _launch(self, group: TaskGroup) -> None:
        if not self._is_dispatching:
            self._is_dispatching, self._has_begun = True, False
            group.start_soon(
                startable(self._keep_dispatching), group, name=f"{type(self._executor).__name__} dispatcher"
            )

    async def _keep_dispatching(self, group: TaskGroup) -> None:
        """Run the processor's loop until stopped: also when somebody else's runs first, or it is started again."""
        assert self.processor is not None
        if self._is_broken:
            self._is_dispatching = False
            self._conditions.notify()
            return
        self._has_begun = True
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
            self._conditions.notify()

    # ---------------------------------------------------------------- the root task behind start()

    def _ensure_dispatcher(self) -> None:
        """Have the dispatcher run: in the group there is, else in that of a root task of the event loop."""
        if self.group is not None:
            self._launch(self.group)
        elif self._background is None:
            self._background = token = object()
            try:
                self._transitions.is_loop_ending = spawn(
                    partial(self._run_in_background, token),
                    name=f"{type(self._executor).__name__} background",
                    on_end=partial(self._background_ended, token),
                )
            except BaseException:
                self._background = None
                raise

    async def _run_in_background(self, token: object) -> None:
        """Be the root task behind ``start()``: own the group, and keep a crash for the next call."""
        try:
            while True:
                async with self._own_group():
                    assert self.group is not None
                    self._launch(self.group)
                if self._is_stopped():  # else it was started again while the group was closing
                    break
        except get_cancelled_exc_class():
            raise
        except BaseException as exc:  # noqa: BLE001  a root task has nobody to raise it to
            self._transitions.crash = exc
        finally:
            self._background_ended(token)

    def _background_ended(self, token: object) -> None:
        if self._background is token:
            self._background = None
            self._transitions.is_loop_ending = bool
            if not self._is_stopped():
                self.abandon()
            self._index.tell_failures()
            self._subscriptions.end()
            self._conditions.notify()

    # ---------------------------------------------------------------- the end

    def abandon(self) -> None:
        """Tell everybody who waits that nothing will happen any more."""
        self._transitions.is_abandoned = True
        if self.processor is not None:
            self.processor.abandon()
            self.processor.queue.close()
        for event_id in self._index.event_ids(EventStatus.PENDING, EventStatus.PROCESSING):
            if (event := self._index.items.get(event_id, None)) is not None:
                event._wake()
        self._subscriptions.end()
        self._conditions.notify()
        if self._link is not None:
            self._link.abandon()
