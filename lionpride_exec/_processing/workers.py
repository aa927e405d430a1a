"""
Workers: the tasks that run events.

A worker takes the next event, runs it, and goes on to the one after it without a switch of tasks. A worker that finds
nothing to do is parked, and the next arrival wakes it directly. So a pool has at most as many tasks as there are slots,
whatever is queued, and under load an event costs no task of its own.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from lionpride_exec._base.backend import TIME_SLICE, asyncio_task, loop_clock, startable
from lionpride_exec._events.running_event import runs_here

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyio.abc import TaskGroup

    from lionpride_exec._scheduling.concurrency import Slots
    from lionpride_exec._scheduling.entry import Entry

    from .processor_run import ProcessorRun

# How many workers may look for an event at the same time: as many as run an event, at least one, at most this many. A
# worker that begins an event staffs the pool. The other busy workers then wait inside their events, which shows that
# one worker is not enough. So events that wait fill all slots within a few steps of the event loop, since the number of
# workers doubles at first. Events that never wait are run by two workers in turn, and the start of a task, which costs
# as much as two events, is not paid for a hundred of them.
MAX_SEEKING = 8


class Jobs(Protocol):
    """
    What gives workers their events: the dispatcher.

    Attributes:
        queued: The events that wait. While there are none, no more workers are needed.
    """

    queued: Mapping[int, Entry]

    def startable(self, pool: WorkerPool) -> int:
        """Return how many events the pool may start now, at most: more workers than that need not look."""
        ...

    async def start_next(self, pool: WorkerPool) -> ProcessorRun | None:
        """Take an event that starts now. None if there is none."""
        ...

    def idle(self, pool: WorkerPool) -> None:
        """Learn that a worker found nothing to do, or has ended."""


class Runner(Protocol):
    """What runs events for workers."""

    async def run(self, run: ProcessorRun, scope: anyio.CancelScope, *, is_followed: bool) -> bool:
        """Run an event that was picked. Return whether the same task can run the next one."""
        ...


class WorkerPool:
    """
    The workers of one task group.

    Args:
        group: The task group that the workers belong to.
        jobs: Gives the workers their events.
        runner: Runs these events.
        slots: A worker holds one while it runs an event. Other pools may share the slots.
        budget: How many events the workers may start in all. None if there is no bound.
        is_followed: Whether the executor follows the transitions of its events itself. Then the workers report nothing.
        asks_nobody: Whether ``is_followed`` is True and the processor has no gate. Then events start without an await.
        name: The name of the tasks.

    Attributes:
        is_dismissed: Whether the workers begin nothing more.
        started: How many events the workers have started.
        workers: How many workers there are.
        busy: How many of them run an event.
        parked: Wakes each worker that waits for something to do.
        limit: How many workers there may be.
        now: The clock of the event loop.
    """

    def __init__(
        self,
        group: TaskGroup,
        jobs: Jobs,
        runner: Runner,
        slots: Slots,
        *,
        budget: int | None,
        is_followed: bool,
        asks_nobody: bool,
        name: str,
    ) -> None:
        self.group: TaskGroup = group
        self.slots: Slots = slots
        self.budget: int | None = budget
        self.is_followed: bool = is_followed
        self.asks_nobody: bool = asks_nobody
        self.is_dismissed: bool = False
        self.started: int = 0
        self.workers: int = 0
        self.busy: int = 0
        self.parked: deque[anyio.Event] = deque()
        self.limit: int = slots.total
        self.now: Callable[[], float] = loop_clock()
        self._jobs = jobs
        self._runner = runner
        # A worker is started by any task that appends, an event included. All workers run in the context of this task.
        self._context = copy_context()
        self._context.run(runs_here.set, ())
        self._name = name

    @property
    def seeking(self) -> int:
        """How many workers are on their way to an event."""
        return self.workers - self.busy - len(self.parked)

    def dismiss(self) -> None:
        """Have the workers begin nothing more. Those that run an event finish it."""
        self.is_dismissed = True
        while self.parked:
            self.parked.popleft().set()

    def recall(self) -> None:
        """Let the remaining workers go on, and allow new workers."""
        self.is_dismissed = False

    def staff(self) -> bool:
        """
        Wake or start workers: at most one for each event that may start now. ``MAX_SEEKING`` has the other bounds.

        Returns:
            Whether a worker looks for an event now.
        """
        seeking = self.workers - self.busy - len(self.parked)
        wanted = min(self.limit - self.busy, MAX_SEEKING, self.busy or 1) - seeking
        if wanted <= 0 or self.is_dismissed:
            return seeking > 0
        for _ in range(min(wanted, self._jobs.startable(self) - seeking)):
            if self.parked:
                self.parked.popleft().set()
            else:
                self.workers += 1
                self._context.run(partial(self.group.start_soon, startable(self._work), name=self._name))
        return self.workers > self.busy + len(self.parked)

    async def _work(self) -> None:
        """Run events until the pool is dismissed or this task is cancelled. Keep the counts of the pool right."""
        try:
            # This scope cancels whatever the worker runs. One scope serves all events, since a worker whose scope was
            # cancelled does not go on. So the scope costs nothing for each event.
            with anyio.CancelScope() as scope:
                await self._go_from_event_to_event(scope)
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -inf:
                self.is_dismissed = True  # the group is being cancelled: nothing more begins in it
                raise
            # No scope asked for this cancellation: it concerns this task only, which ends. The other tasks go on.
        except BaseException:
            self.is_dismissed = True  # the group is about to be cancelled
            raise
        finally:
            self.workers -= 1
            self.staff()
            self._jobs.idle(self)

    async def _go_from_event_to_event(self, scope: anyio.CancelScope) -> None:
        """Run events one after another with one slot, while no other task waits for a slot. Park if none can start."""
        me = object()  # the borrower of the slot
        slots, taken_at = self.slots, -1  # -1: no slot is held
        queued = self._jobs.queued
        task, clean = asyncio_task(), copy_context()
        slice_ends = perf_counter() + TIME_SLICE
        going_on = True
        # A cancellation is noticed here, when the slice of time is over, and where a worker waits; not before each
        # event: on asyncio this check costs as much as all else that is done to pick an event.
        await checkpoint_if_cancelled()
        try:
            while going_on:
                if taken_at < 0:
                    await slots.take(me)
                    taken_at = slots.resized
                picked = await self._jobs.start_next(self)
                if picked is not None:
                    self.busy += 1
                    # Otherwise staff() would do nothing: no event waits, or as many workers look as run one.
                    if queued and self.workers - len(self.parked) < 2 * self.busy:
                        self.staff()
                    try:
                        going_on = await self._runner.run(picked, scope, is_followed=self.is_followed)
                    finally:
                        self.busy -= 1
                    if task is not None and task.cancelling():
                        going_on = await _take_cancellation()
                    going_on = going_on and _is_unchanged(clean)
                    in_time = perf_counter() <= slice_ends
                    if going_on and in_time and not slots.waiting and taken_at == slots.resized:
                        continue  # with the slot
                slots.release(me)
                taken_at = -1
                if picked is None:
                    going_on = await self._park()
                elif going_on:
                    await checkpoint()
                slice_ends = perf_counter() + TIME_SLICE
        finally:
            if taken_at >= 0:
                slots.release(me)

    async def _park(self) -> bool:
        """Wait until another task wakes this worker. Return False if the worker must end instead."""
        self._jobs.idle(self)
        if self.budget is not None or self.is_dismissed:
            return False
        woken = anyio.Event()
        self.parked.append(woken)
        try:
            await woken.wait()
        except BaseException:
            if not woken.is_set():
                self.parked.remove(woken)
            raise
        return not self.is_dismissed


async def _take_cancellation() -> bool:
    """Absorb a cancellation that an event requested for its task past all scopes. Return False: the task ends."""
    with suppress(anyio.get_cancelled_exc_class()):  # the next event must not be cancelled by it
        await checkpoint()
    return False


def _is_unchanged(clean: Context) -> bool:
    """Return whether the context is as clean as each event must find it. If not, a new worker takes over."""
    try:
        return copy_context() == clean
    except Exception:  # noqa: BLE001  some values cannot even be compared; the same ones are not
        return False
