"""
The lifetime of a processor: its loop, its batches, the stop signal, and who waits for their end.

The loop (``Processor.execute()``) has a state, and a table says which state may follow which::

    IDLE ─▶ STARTING ─▶ ACTIVE ◀─▶ DRAINING
      ▲         │          └─▶ LEAVING ◀─┘
      │         └─────────────────▶ │
      └─────────────────────────────┘

``stop()`` takes an active loop to DRAINING, and ``start()`` takes it back. A draining loop leaves when the last event
has ended. A loop also leaves when it is cancelled or crashes.

Two signals are no states of the loop, since they outlive it. Both can be given while no loop runs, and both can be
given at once. ``is_stopped`` is the stop signal, which the next loop obeys. ``is_abandoned`` tells tasks in ``join()``
that no loop is going to come. Only ``start()`` clears them. A batch (``Processor.process()``) has no state, since it
ends by itself, and batches may overlap.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from lionpride_exec._base.backend import soon_caller
from lionpride_exec._base.state_machine import StateMachine, transition_table
from lionpride_exec._events.running_event import running_here
from lionpride_exec._scheduling.concurrency import Slots
from lionpride_exec.errors import ExecutorClosedError

from .workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from anyio.abc import TaskGroup

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._scheduling.capacity import CapacityWindow
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .dispatcher import Dispatcher
    from .event_runner import EventRunner
    from .pauses import Pauses
    from .permission_gate import PermissionGate
    from .reporter import Reporter
    from .retries import RetryPlanner


class LoopState(Enum):
    """What the loop of a processor does."""

    IDLE = "idle"
    """No loop runs."""
    STARTING = "starting"
    """The task group of the loop is being opened."""
    ACTIVE = "active"
    """Events are started."""
    DRAINING = "draining"
    """Nothing is started. The loop waits for what runs, and goes on if ``start()`` is called meanwhile."""
    LEAVING = "leaving"
    """Nothing is started any more. The task group closes."""


LOOP_TRANSITIONS: Final[Mapping[LoopState, frozenset[LoopState]]] = transition_table(
    {
        LoopState.IDLE: {LoopState.STARTING},
        LoopState.STARTING: {LoopState.ACTIVE, LoopState.LEAVING},  # LEAVING: the group could not be opened
        LoopState.ACTIVE: {LoopState.DRAINING, LoopState.LEAVING},
        LoopState.DRAINING: {LoopState.ACTIVE, LoopState.LEAVING},
        LoopState.LEAVING: {LoopState.IDLE},
    }
)


class LifetimeOwner(Protocol):
    """
    A processor, as its lifetime sees it.

    Attributes:
        execution_mode: Whether the loop runs and was not stopped.
        queue_capacity: How many events a batch starts at most.
    """

    execution_mode: bool
    queue_capacity: int

    @property
    def running_limit(self) -> int:
        """How many events may run at the same time."""
        ...


class ProcessorLifetime:
    """
    Runs the loop and the batches of one processor.

    Args:
        owner: The processor.
        queue: The queued events.
        window: The capacity.
        dispatcher: Gives the workers their events.
        gate: Is asked before an event starts.
        runner: Runs the events.
        retries: Has times to carry over to another event loop.
        pauses: Likewise.
        reporter: Says whether starts and ends have to be reported.

    Attributes:
        loop: The state of the loop.
        pools: The workers of the loop and of each batch.
        slots: The slots that all of them share, but for batches of running events.
        is_stopped: Whether ``stop()`` was called, and ``start()`` not since.
        is_abandoned: Whether nothing will be started any more, unless ``start()`` is called.
    """

    def __init__(
        self,
        owner: LifetimeOwner,
        queue: PriorityQueue,
        window: CapacityWindow,
        dispatcher: Dispatcher,
        gate: PermissionGate,
        runner: EventRunner,
        retries: RetryPlanner,
        pauses: Pauses,
        reporter: Reporter,
    ) -> None:
        self.loop: StateMachine[LoopState] = StateMachine("processor loop", LOOP_TRANSITIONS, LoopState.IDLE)
        self.pools: set[WorkerPool] = set()
        self.slots: Slots = Slots(owner.running_limit)
        self.is_stopped: bool = False
        self.is_abandoned: bool = False
        self._owner = owner
        self._queue = queue
        self._window = window
        self._dispatcher = dispatcher
        self._gate = gate
        self._runner = runner
        self._retries = retries
        self._pauses = pauses
        self._reporter = reporter

    def share(self, coordination: Coordination) -> None:
        """Use this state, which an executor shares."""
        self._conditions = coordination.conditions

    @property
    def is_in_use(self) -> bool:
        """Whether a task runs the processor or waits for it."""
        return bool(self.pools) or self.loop.state is not LoopState.IDLE or bool(self._conditions.waiting)

    @property
    def is_in_batch(self) -> bool:
        """Whether a batch runs, or has not ended yet."""
        return any(pool.budget is not None for pool in self.pools)

    # ---------------------------------------------------------------- the stop signal

    def start(self) -> None:
        """Clear the stop signal."""
        self.is_stopped = self.is_abandoned = False
        self._queue.reopen()
        pool = self._dispatcher.main_pool
        if self.loop.state is LoopState.DRAINING and pool is not None:
            pool.recall()
            self.loop.move_to(LoopState.ACTIVE)
        self._conditions.notify()  # a waiting stop() returns, because start() has overtaken it

    def stop(self) -> None:
        """Start nothing more."""
        self.is_stopped = True
        self._owner.execution_mode = False
        self._gate.denial_counts.clear()
        self._queue.forgive()
        if self.loop.state is LoopState.ACTIVE:
            self.loop.move_to(LoopState.DRAINING)
        for pool in self.pools:
            pool.dismiss()
        self._dispatcher.attention.set()
        self._conditions.notify()

    def abandon(self) -> None:
        """Make :meth:`join` return or raise, because no event will start any more until :meth:`start`."""
        self.is_abandoned = True
        self._conditions.notify()

    def cancel_running(self) -> None:
        """Cancel the loop, and interrupt all running events of this processor."""
        for pool in self.pools:
            pool.group.cancel_scope.cancel()

    # ---------------------------------------------------------------- waiting

    async def join(self) -> None:
        """
        Wait until no event is queued or running. If the processor is stopped, wait until no event is running.

        Raises:
            ExecutorClosedError: The loop was cancelled or crashed while events were queued.
        """
        with self._conditions.excluded_from_waits(event.id for event in running_here()):
            await self._conditions.wait_for(self._is_joined)
        if self.is_abandoned and not self._dispatcher.is_drained():
            raise ExecutorClosedError(f"{self._owner!r} was left with events still queued")

    async def wait_idle(self) -> None:
        """Wait until no event but the caller is running, or until the processor is not stopped."""
        with self._conditions.excluded_from_waits(event.id for event in running_here()):
            await self._conditions.wait_for(lambda: self._is_idle() or not self.is_stopped)

    def _is_idle(self) -> bool:
        """Return whether no event runs and no gate is asked, apart from events that are excluded from waits."""
        aside, asked = self._conditions.aside, self._gate.asked
        return all(run.event.id in aside for run in self._runner.running.values()) and (asked is None or asked in aside)

    def _is_joined(self) -> bool:
        """Return whether no event runs, and none will start without another call."""
        return self._is_idle() and (self.is_stopped or self.is_abandoned or self._dispatcher.is_drained())

    # ---------------------------------------------------------------- the loop

    async def execute(self) -> None:
        """Run the loop until :meth:`stop` is called. If another call runs the loop, wait for its end first."""
        while self.loop.state is not LoopState.IDLE:
            await self._conditions.wait_for(lambda: self.loop.state is LoopState.IDLE)
        if self.is_stopped:
            return
        self.loop.move_to(LoopState.STARTING)
        dispatcher, queue = self._dispatcher, self._queue
        self._runner.is_exiting = False
        try:
            self._owner.execution_mode = True
            self.follow_clock()
            with queue.intake():
                async with anyio.create_task_group() as group:
                    dispatcher.main_pool = pool = self._make_pool(group)
                    queue.on_put = dispatcher.on_put
                    dispatcher.call_soon = soon_caller()
                    try:
                        await self._work_off(pool)
                    except BaseException:
                        pool.is_dismissed = True  # the group ends, and trio starts no task in it any more
                        raise
        except BaseException:
            self.is_abandoned = True
            raise
        finally:
            if self.loop.can_move_to(LoopState.LEAVING):
                self.loop.move_to(LoopState.LEAVING)
            if dispatcher.main_pool is not None:
                self.pools.discard(dispatcher.main_pool)
            dispatcher.main_pool = queue.on_put = dispatcher.call_soon = None
            self._owner.execution_mode = False
            self.loop.move_to(LoopState.IDLE)
            self._conditions.notify()

    async def _work_off(self, pool: WorkerPool) -> None:
        """Dispatch until the pool is dismissed and its workers have ended. If the pool is recalled first, go on."""
        self.loop.move_to(LoopState.ACTIVE)
        try:
            while not pool.is_dismissed:
                await self._dispatcher.dispatch(pool)
                await self._conditions.wait_for(lambda: not (pool.is_dismissed and pool.workers))
        finally:
            self.loop.move_to(LoopState.LEAVING)

    # ---------------------------------------------------------------- batches

    async def process(self) -> None:
        """Start one batch, and wait until its events, and the events that ran before the call, have ended."""
        earlier = [run.event.id for run in self._runner.running.values()]
        # A running event that calls this lends its own slot to the batch, since no other slot may be free.
        is_inside = any(event.id.int in self._runner.running for event in running_here())
        self.follow_clock()
        self._queue.forgive()
        self._dispatcher.look_again()  # the loop, if it runs, may ask about the events that the batch leaves
        batch: WorkerPool | None = None
        try:
            async with anyio.create_task_group() as group:
                budget = self._owner.queue_capacity - self._window.withheld
                batch = self._make_pool(group, budget, slots=Slots(1) if is_inside else None)
                batch.staff()
                await self._wait_for_batch(batch, earlier)
                if batch.started:
                    self._window.release_withheld()
                    self._dispatcher.attention.set()
            if batch is not None and group.cancel_scope.cancel_called:
                await self._wait_for_batch(batch, earlier)  # a cancelled batch: earlier events may still be ending
        finally:
            if batch is not None:
                self.pools.discard(batch)  # not before its last worker has ended

    async def _wait_for_batch(self, batch: WorkerPool, earlier: list[UUID]) -> None:
        """Wait until the workers of a batch have ended, and what ran before the batch."""

        def is_over() -> bool:
            """Return whether the batch is over."""
            running, aside = self._runner.running, self._conditions.aside
            return not batch.workers and all(each.int not in running or each in aside for each in earlier)

        with self._conditions.excluded_from_waits(event.id for event in running_here()):
            await self._conditions.wait_for(is_over)

    # ---------------------------------------------------------------- what both use

    def resize(self, concurrency_limit: int) -> None:
        """Change the number of slots, and the largest number of workers of each pool."""
        self.slots.resize(concurrency_limit)
        for pool in self.pools:
            pool.limit = concurrency_limit

    def follow_clock(self) -> None:
        """Carry all times over to the running event loop, if they were read in another one."""
        seconds = self._queue.follow_clock()
        if seconds:
            self._window.shift(seconds)
            self._retries.shift(seconds)
            self._pauses.shift(seconds)

    def _make_pool(self, group: TaskGroup, budget: int | None = None, slots: Slots | None = None) -> WorkerPool:
        """Make a pool whose workers live in this group."""
        if not self.pools:  # slots and lock belong to one event loop: make new ones while no pool uses them
            self.slots = Slots(self._owner.running_limit)
            self._gate.make_lock()
        is_followed = self._reporter.is_needless()
        pool = WorkerPool(
            group,
            self._dispatcher,
            self._runner,
            slots or self.slots,
            budget=budget,
            is_followed=is_followed,
            asks_nobody=is_followed and self._gate.is_open_for_all(),
            name=f"{type(self._owner).__name__} worker",
        )
        self.pools.add(pool)
        return pool
