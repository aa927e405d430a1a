"""
Workers: the tasks that run events.

A worker takes the next event, runs it, and goes on to the one after it without a switch of tasks. One that finds
nothing to do is parked, and the next arrival wakes it directly. So a crew has as many tasks as there are slots at most,
whatever is queued, and under load an event costs no task of its own.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio import current_effective_deadline, get_cancelled_exc_class
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from lionpride_exec._base.backend import TIME_SLICE, asyncio_task, loop_clock, startable
from lionpride_exec._events.lifecycle import running_events

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from lionpride_exec._scheduling.concurrency import Slots

    from .permission_gate import Flight

# How many workers may be on their way to an event at a time. Each that finds one sees to the next, so all slots
# are filled within a few steps of the event loop; but a hundred short events do not bring a hundred tasks to life
# of which the first few do all the work.
MAX_SEEKING = 8


class Jobs(Protocol):
    """Where workers get their events."""

    def _startable(self, crew: Crew) -> int:
        """How many events the crew may start now: a bound for how many workers it is worth to have looking."""
        ...

    async def _pick(self, crew: Crew) -> Flight | None:
        """Take an event that starts now, or None."""
        ...

    def _follows_events(self) -> bool:
        """Whether whoever wants to know of starts and ends learns of them by the events."""
        ...

    def _has_no_gate(self) -> bool:
        """Whether no gate was written that is to be asked."""
        ...

    async def _run_event(self, flight: Flight, scope: anyio.CancelScope, *, is_followed: bool) -> bool:
        """Run it, inside a scope by which it can be cancelled; False: this task had better not go on."""
        ...

    def _worker_idle(self, crew: Crew) -> None:
        """Learn that a worker found nothing to do, or has ended."""


class Crew:
    """
    The workers of one task group.

    Args:
        group: Where they live.
        jobs: What they do.
        slots: Of which each holds one while it runs an event; shared with other crews.
        budget: How many events they may start in all; None: no such bound.
        name: For the tasks.
    """

    def __init__(self, group: TaskGroup, jobs: Jobs, slots: Slots, *, budget: int | None = None, name: str) -> None:
        self.group: TaskGroup = group
        self.budget: int | None = budget
        self.is_dismissed: bool = False
        self.started: int = 0  # events
        self.workers: int = 0
        self._busy = 0  # workers that run an event
        self.now: Callable[[], float] = loop_clock()  # they look at it for every event
        self.is_followed: bool = jobs._follows_events()
        self.asks_nobody: bool = self.is_followed and jobs._has_no_gate()
        self._parked: deque[anyio.Event] = deque()  # workers that wait to be woken
        self._jobs = jobs
        self.slots: Slots = slots
        self.limit: int = slots.total  # how many workers there may be
        # Workers are started by whoever appends, events included; they all run in the context of who runs the crew.
        self._context = copy_context()
        self._context.run(running_events.set, ())
        self._name = name

    @property
    def seeking(self) -> int:
        """How many workers are on their way to an event."""
        return self.workers - self._busy - len(self._parked)

    @property
    def can_grow(self) -> bool:
        """Whether there is a worker to be woken, or room for one more."""
        return bool(self._parked) or self.workers < self.limit

    def dismiss(self) -> None:
        """Let them begin nothing more; those that run an event finish it."""
        self.is_dismissed = True
        while self._parked:
            self._parked.popleft().set()

    def staff(self) -> bool:
        """Have as many workers look for an event as there are events, permits and slots for; whether any does."""
        seeking = self.workers - self._busy - len(self._parked)
        wanted = min(self.limit - self._busy, MAX_SEEKING) - seeking
        if wanted <= 0 or self.is_dismissed:
            return seeking > 0
        for _ in range(min(wanted, self._jobs._startable(self) - seeking)):
            if self._parked:
                self._parked.popleft().set()
            else:
                self.workers += 1
                self._context.run(partial(self.group.start_soon, startable(self._work), name=self._name))
        return self.seeking > 0

    async def _work(self) -> None:
        try:
            # By this scope whatever the worker runs can be cancelled. It is one for all, since a worker whose
            # scope was cancelled does not go on: so it costs nothing for each event.
            with anyio.CancelScope() as scope:
                await self._go_from_event_to_event(scope)
        except get_cancelled_exc_class():
            if current_effective_deadline() == -inf:
                self.is_dismissed = True  # the group is going down: nothing more begins in it
                raise
            # No scope asked for this cancellation: it concerns this task only, which ends. The others go on.
        except BaseException:
            self.is_dismissed = True  # likewise going down
            raise
        finally:
            self.workers -= 1
            self.staff()
            self._jobs._worker_idle(self)

    async def _go_from_event_to_event(self, scope: anyio.CancelScope) -> None:
        me = object()  # the borrower of the slot
        slots, taken_at = self.slots, -1  # -1: no slot is held
        task = asyncio_task()
        clean = copy_context()
        slice_ends = perf_counter() + TIME_SLICE
        going_on = True
        # A cancellation is noticed here, when the slice of time is over, and where a worker waits; not before each
        # event: on asyncio to look for it costs as much as all else that is done to pick one.
        await checkpoint_if_cancelled()
        try:
            while going_on:
                if taken_at < 0:
                    await slots.take(me)
                    taken_at = slots.resized
                picked = await self._jobs._pick(self)
                if picked is not None:
                    going_on = await self._run(picked, scope, task, clean)
                    is_over = perf_counter() > slice_ends
                    if going_on and not is_over and not slots.waiting and taken_at == slots.resized:
                        continue  # with the slot
                slots.give_back(me)
                taken_at = -1
                if picked is None:
                    going_on = await self._park()
                elif going_on:
                    await checkpoint()
                slice_ends = perf_counter() + TIME_SLICE
        finally:
            if taken_at >= 0:
                slots.give_back(me)

    async def _run(
        self, flight: Flight, scope: anyio.CancelScope, task: asyncio.Task[Any] | None, clean: Context
    ) -> bool:
        """Run an event; whether this task may go on to the next."""
        self._busy += 1
        self.staff()
        try:
            going_on = await self._jobs._run_event(flight, scope, is_followed=self.is_followed)
        finally:
            self._busy -= 1
        if task is not None and task.cancelling():
            # The event had this task cancelled, past all scopes: the next one is not to suffer for it.
            with suppress(get_cancelled_exc_class()):
                await checkpoint()
            return False
        # The next one is to find a clean context; if this is not, that of a new worker.
        return going_on and not _differs_from(clean)

    async def _park(self) -> bool:
        """Wait until there may be something to do; False: that is not to be expected."""
        self._jobs._worker_idle(self)
        if self.budget is not None or self.is_dismissed:
            return False
        woken = anyio.Event()
        self._parked.append(woken)
        try:
            await woken.wait()
        finally:
            if not woken.is_set():
                self._parked.remove(woken)
        return not self.is_dismissed


def _differs_from(clean: Context) -> bool:
    """Whether a context variable has another value than there."""
    try:
        return copy_context() != clean
    except Exception:  # noqa: BLE001  some values cannot even be compared; the same ones are not
        return True
