"""
Lifetimes: how an executor begins and how it ends, in each of the three ways.

An executor lives in at most one task group at a time. The owner of the group is the user's task (``async with``), a
task of the user's group (``run()``), or a root task of the event loop (``start()``), whose crash the next call raises.
The group is in ``executor_group.py``, the root task in ``root_task.py``, and the task that runs events in
``dispatcher_task.py``. Their states are in ``executor_states.py``.

To begin, ``prepare()`` makes the processor and opens the journal. ``start()`` starts the processor, queues the pending
events and launches the dispatcher. After ``stop()``, the group comes to rest and ends.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio

from lionpride_exec._base.backend import timeout_deadline
from lionpride_exec._base.counted_lock import CountedLock
from lionpride_exec._base.main_import import check_main_import_is_over
from lionpride_exec._events.running_event import running_here
from lionpride_exec._model.pile import Pile
from lionpride_exec._status import PENDING, PROCESSING
from lionpride_exec.errors import ConfigurationError, ExecutorClosedError

from .executor_states import GroupState, TaskState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from anyio.abc import TaskStatus

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.map_options import Guest
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.status_index import StatusIndex
    from lionpride_exec._tracking.subscriptions import Subscriptions

    from .backing import Backing
    from .dispatcher_task import DispatcherTask
    from .executor_group import ExecutorGroup
    from .facade import Facade
    from .queueing import Queueing
    from .root_task import RootTask
    from .submissions import Submissions
    from .transitions import Transitions


class ExecutorLifetime:
    """
    The lifetimes of one executor, one after the other.

    Attributes:
        processor: What starts the events. None until there is a processor. Other parts hold the same one.
        pile: The events that the processor runs.
        group: The task group that the executor lives in, with its state.
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
        dispatcher: DispatcherTask,
        group: ExecutorGroup,
        root_task: RootTask,
        backing: Backing | None,
        *,
        is_awaited: Callable[[], bool],
    ) -> None:
        self.processor: Processor | None = None
        self.group: ExecutorGroup = group
        self._executor = executor
        self._coordination = coordination
        self._conditions = coordination.conditions
        self._index = index
        self._transitions = transitions
        self._submissions = submissions
        self._queueing = queueing
        self._subscriptions = subscriptions
        self._dispatcher = dispatcher
        self._group_lifecycle = group.lifecycle
        self._root_task = root_task
        self._root_lifecycle = root_task.lifecycle
        self._backing = backing
        self._is_awaited = is_awaited
        pile = None if backing is None else backing.pile
        self.pile: Pile[Event] = index.items if pile is None else pile
        self._queues_here = pile is None
        self._creation = CountedLock()  # held while the processor is made, which may wait: two starts make one

    # ---------------------------------------------------------------- the three ways

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """Own all tasks. If the block is left normally, wait until no event is pending or processing."""
        executor = self._executor
        await self.prepare()
        self._check_not_running()
        try:
            async with self.group.own(self._check_not_running):
                await executor.start()
                yield
                with self.group.leaving():
                    await executor.join()
                    await executor.stop()
        finally:
            self._index.tell_failures()
        self.group.abandon()

    async def run(self, task_status: TaskStatus[None]) -> None:
        """Run until ``stop()`` is called."""
        await self.prepare()
        self._check_not_running()
        try:
            async with self.group.own(self._check_not_running):
                await self._executor.start()
                task_status.started()
        finally:
            self._index.tell_failures()
        self._subscriptions.end()

    async def start(self) -> None:
        """Start, or continue after a stop."""
        processor = await self.prepare()
        if not self._queues_here:
            await processor.start()
            self._transitions.is_abandoned = False
            self.group.choose_signal(is_stopped=self.is_stopped)
            self._ensure_dispatcher()
            await self._wait_until_connected()
            return
        if processor._has_own_enqueue:  # before the start: a cancelled hand-over starts nothing
            self._queueing.queue_pending(processor)
            await self._queueing.enqueue_override.hand_over_late(processor)
        await processor.start()
        self._transitions.is_abandoned = False
        if not processor._has_own_enqueue:
            self._queueing.queue_pending(processor)
        self.group.choose_signal(is_stopped=self.is_stopped)
        self._ensure_dispatcher()
        if self._is_awaited():
            await self._conditions.wait_for(lambda: self.group.task_group is not None or not self.is_running)
            self._transitions.raise_crash()

    async def _wait_until_connected(self) -> None:
        """Wait until the executor is connected to its cluster, or has failed to."""
        backing = self._backing
        assert backing is not None
        await self._conditions.wait_for(lambda: backing.is_open or not self.is_running)
        self._transitions.raise_crash()

    async def stop(self, grace: float | None) -> None:
        """Start no more events. Return when the running events have ended, or were cancelled after the grace."""
        processor = self.processor
        if processor is not None:
            self.group.choose_signal(is_stopped=True)
            await processor.stop()
            with anyio.CancelScope(deadline=timeout_deadline(grace)) as scope:
                await processor.wait_idle()
            if scope.cancelled_caught and self._dispatcher.is_stopped():
                processor.cancel_running()
                await processor.wait_idle()
            if not self._transitions.runs_caller():
                # The root task ends when the group has closed, or goes on if start() has overtaken this call.
                await self._conditions.wait_for(
                    lambda: self._root_lifecycle.state is TaskState.GONE or not self._dispatcher.is_stopped()
                )
        self._transitions.raise_crash()

    async def forward(self) -> None:
        """Run one batch now."""
        processor = self.processor
        if self._backing is not None and (processor is not None or not self._queues_here):
            self._backing.check_batch()
        self._queueing.follow_clock()
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
            await self._conditions.wait_for(self._is_joined, self._transitions.new_signal)
        self._transitions.raise_crash()
        if self._transitions.is_abandoned and self._index.by_status[PENDING]:
            self._transitions.raise_lost()
            raise ExecutorClosedError(f"{self._executor!r} was left while events were pending")

    def _is_joined(self) -> bool:
        if not self._queues_here:
            return self._is_joined_elsewhere()
        aside, running = self._conditions.aside, self._transitions.running
        # Asked at the end of each event while a task joins. Mostly nothing runs then, and events are pending.
        if not running or (len(running) <= len(aside) and all(run.event.id in aside for run in running)):
            pending = self._index.by_status[PENDING]._order.places  # a dict: asked without a call
            return not pending or self._transitions.is_abandoned or self._dispatcher.is_stopped()
        return False

    def _is_joined_elsewhere(self) -> bool:
        """Return whether no event that runs in some process is left, or this process is at rest."""
        if self._transitions.is_abandoned or self._dispatcher.is_stopped():
            return self.processor is None or not self.processor._running
        aside, processing = self._conditions.aside, self._index.by_status[PROCESSING]
        if self._index.by_status[PENDING] or len(processing) > len(aside):
            return False
        return all(event_id in aside for event_id in processing)

    # ---------------------------------------------------------------- the processor

    async def prepare(self) -> Processor:
        """Check that a start is possible, open the journal, and return the processor, made now if there is none."""
        check_main_import_is_over()
        if self._backing is not None:
            self._backing.check_process()
        self._transitions.raise_crash()
        async with self._creation:
            if self.processor is None:
                await self._executor._create_processor()
            processor = self.processor
        if processor is None:
            raise ConfigurationError(f"{type(self._executor).__name__}._create_processor() must assign self.processor")
        if self._backing is not None:
            await self._backing.open()
        return processor

    def attach(self, processor: Processor | None) -> None:
        """Let a processor start the events from now on, or raise and change nothing."""
        if processor is self.processor:
            return
        if self.is_running or (self.processor is not None and self.processor._lifetime.pools):
            raise RuntimeError(f"{self._executor!r} is running: stop it before you assign another processor")
        if processor is not None:
            pile: object = processor.pile
            if isinstance(pile, Pile) and pile is not self.pile:
                raise ConfigurationError(
                    f"The pile of {processor!r} must be executor.states.items: the events are there"
                    if self._queues_here
                    else f"{self._executor!r} has a cluster, whose events {processor!r} does not have: leave it to "
                    "the executor to make its processor"
                )
            processor._attach(self._coordination, self._executor)
            if self._backing is not None:
                self._backing.attach(processor)
        self.processor = self._transitions.processor = processor
        if self._queues_here:
            self._submissions.processor = self._queueing.processor = processor

    # ---------------------------------------------------------------- the tasks

    @property
    def is_running(self) -> bool:
        """Whether the executor is in one of its lifetimes, or a lifetime is about to begin."""
        return self._group_lifecycle.state is not GroupState.IDLE or self._root_lifecycle.state is not TaskState.GONE

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop()`` was called, and ``start()`` was not called since. The block may still be there."""
        return self._dispatcher.is_stopped()

    def _check_not_running(self) -> None:
        if self.is_running:
            raise RuntimeError(f"{self._executor!r} is running already")

    def _ensure_dispatcher(self) -> None:
        """Launch the dispatcher in the current group. If there is none, start a root task that opens a group."""
        if self.group.task_group is not None:
            self._dispatcher.ensure(self.group.task_group)
        else:
            self._root_task.ensure()

    async def start_guest(self, guest: Guest, run: Callable[[], Coroutine[object, object, None]], name: str) -> None:
        """
        Run a guest in the group: a task that runs no events. The guest is cancelled when the group closes.

        Raises:
            RuntimeError: There is no group, and no root task is about to open one.

        Cancellation: while the call waits for a root task to open its group. Nothing was started then.
        """
        group, root_task = self._group_lifecycle, self._root_lifecycle
        await self._conditions.wait_for(lambda: group.state is not GroupState.IDLE or root_task.state is TaskState.GONE)
        if not self.group.try_start_guest(guest, run, name):
            raise RuntimeError("map() needs a running executor to take items from an async iterable")
