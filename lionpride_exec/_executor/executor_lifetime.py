"""
Lifetimes: who owns the task group that runs an executor, what runs in it, how it begins and how it ends.

An executor lives in at most one group at a time. The owner of the group is the user's task (``async with``), a task of
the user's group (``run()``), or a root task of the event loop (``start()``), whose crash the next call raises.

In the group run the dispatcher, which runs the processor's loop with its workers; guests, which run no events, such as
the reader of a ``map()`` source; and with a journal the tasks that write and close the journal.

To begin, ``prepare()`` makes the processor and opens the journal. ``start()`` starts the processor, queues the pending
events and launches the dispatcher. After ``stop()``, the dispatcher ends when the running events have ended. The group
is then at rest: its owner cancels the guests, the journal closes, and the group ends. If the group is left early, by a
crash or a cancellation, the executor is abandoned: waiting tasks are woken, and pending events stay PENDING.
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
        processor: What starts the events. None until there is a processor. Other parts hold the same one.
        group: The task group that the executor lives in. None outside of a lifetime, and once the group is at rest.
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
        self._creation = CountedLock()  # held while the processor is made, which may wait: two starts make one
        self._is_broken = False  # the group was left early. Until the next group no dispatcher begins
        self._guests: set[Guest] = set()  # started and not ended; empty once the group has closed
        self._background: object | None = None  # token of the root task behind start(), from its spawn to its end
        self._is_dispatching = False  # from the launch of the dispatcher to its end: there is at most one
        self._has_begun = False  # the dispatcher took its first step; before it, asyncio can cancel it silently

    # ---------------------------------------------------------------- the three ways

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """Own all tasks. If the block is left normally, wait until no event is pending or processing."""
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
        """Run until ``stop()`` is called."""
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
        """Start, or continue after a stop."""
        processor = await self.prepare()
        if processor._has_own_enqueue:  # before the start: a cancelled hand-over starts nothing
            self._queueing.queue_pending(processor)
            await self._queueing.enqueue_override.hand_over_late(processor)
        await processor.start()
        self._transitions.is_abandoned = False
        if not processor._has_own_enqueue:
            self._queueing.queue_pending(processor)
        self._ensure_dispatcher()

    async def stop(self, grace: float | None) -> None:
        """Start no more events. Return when the running events have ended, or were cancelled after the grace."""
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
                await self._queueing.enqueue_override.hand_over_late(processor)
            await processor.process()

    async def join(self) -> None:
        """Wait until no event is pending or processing; if the executor is stopped, until no event is processing."""
        self._transitions.raise_crash()
        with (
            self._subscriptions.reader_away() or nullcontext(),
            self._conditions.excluded_from_waits(event.id for event in running_here()),
        ):
            await self._conditions.wait_for(self._is_settled)
        self._transitions.raise_crash()
        if self._transitions.is_abandoned and self._index.by_status[EventStatus.PENDING]:
            raise ExecutorClosedError(f"{self._executor!r} was left while events were pending")

    def _is_settled(self) -> bool:
        aside, running = self._conditions.aside, self._transitions.running
        if len(running) <= len(aside) and all(event_id in aside for event_id in running.values()):
            is_over = self._is_stopped() or self._transitions.is_abandoned
            return is_over or not self._index.by_status[EventStatus.PENDING]
        return False

    # ---------------------------------------------------------------- the processor

    async def prepare(self) -> Processor:
        """Check that a start is possible, open the journal, and return the processor, made now if there is none."""
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
        """Let a processor start the events from now on, or raise and change nothing."""
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
        """Whether the executor is in one of its lifetimes, or a lifetime is about to begin."""
        return self.group is not None or self._background is not None

    @asynccontextmanager
    async def _own_group(self) -> AsyncGenerator[None]:
        """Own a task group for the dispatcher and the tasks that it starts, until all of them have come to rest."""
        if self._link is not None:
            await self._link.open()
            if self.group is not None:  # another task has opened a group meanwhile
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
                    self._leave_group()  # no await since the check: nothing can be started in it any more
                    for guest in tuple(self._guests):
                        guest.cancel()
                finally:
                    self._conditions.notify()
        except BaseException:
            self.abandon()
            raise
        finally:
            if self.group is group:  # else it has come to rest, and the next group may be open already
                self._leave_group()
                self._is_dispatching = False  # the dispatcher cannot outlive the group

    def _leave_group(self) -> None:
        self.group = None
        self._transitions.clock = current_time

    def _check_not_running(self) -> None:
        if self.is_running:
            raise RuntimeError(f"{self._executor!r} is running already")

    def _is_stopped(self) -> bool:
        return self.processor is not None and self.processor.is_stopped()

    def _is_at_rest(self) -> bool:
        """Return whether the processor is stopped and the dispatcher has ended."""
        return self.processor is None or (self._is_stopped() and not self._is_dispatching)

    def is_deserted(self) -> bool:
        """Return whether no task in the group can change an event any more, so that the journal may close."""
        # In a group that is left early, a dispatcher that has not taken its first step never takes it.
        dispatches = self._is_dispatching and (self._has_begun or not self._is_broken)
        return (self.group is None or self._is_broken) and not dispatches and not self._guests

    async def start_guest(self, guest: Guest, run: Callable[[], Coroutine[object, object, None]], name: str) -> None:
        """
        Run a guest in the group: a task that runs no events. The guest is cancelled when the group closes.

        Raises:
            RuntimeError: There is no group, and no root task is about to open one.

        Cancellation: while the call waits for a root task to open its group. Nothing was started then.
        """
        await self._conditions.wait_for(lambda: self.group is not None or self._background is None)
        if not self.try_start_guest(guest, run, name):
            raise RuntimeError("map() needs a running executor to take items from an async iterable")

    def try_start_guest(self, guest: Guest, run: Callable[[], Coroutine[object, object, None]], name: str) -> bool:
        """Like :meth:`start_guest`, but never wait: return False if there is no group."""
        if self.group is None:
            return False
        self._guests.add(guest)
        self.group.start_soon(startable(run), name=f"{type(self._executor).__name__} {name}")
        return True

    def guest_ended(self, guest: Guest) -> None:
        """Note that a guest has ended. The journal may have stayed open only for that guest."""
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
        """Run the processor's loop until the processor is stopped, even if another task runs the loop first."""
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
            self._launch(group)  # no scope asked for this cancellation: replace the task
        except BaseException:
            self._is_dispatching = False
            raise
        else:
            self._is_dispatching = False  # no await since the loop's check
        finally:
            self._conditions.notify()

    # ---------------------------------------------------------------- the root task behind start()

    def _ensure_dispatcher(self) -> None:
        """Launch the dispatcher in the current group. If there is none, start a root task that opens a group."""
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
        """Own the group in the root task behind ``start()``. Keep a crash for the next call."""
        try:
            while True:
                async with self._own_group():
                    assert self.group is not None
                    self._launch(self.group)
                if self._is_stopped():  # else start() was called while the group was closing
                    break
        except get_cancelled_exc_class():
            raise
        except BaseException as exc:  # noqa: BLE001  no caller waits for a root task
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
        """Wake all waiting tasks, now that the lifetime is over."""
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
