"""
Starting events: who runs next, when, and in which task.

Events are run by *workers*: tasks that take the next event, run it, and go on to the one after it without a switch
of tasks. One that finds nothing to do is parked, and the next arrival wakes it directly. So there are never more
tasks than ``concurrency_limit`` (and one), whatever is queued, and under load an event costs no task of its own.
One dispatcher (:meth:`Processor.execute`) sees to it that there are workers enough, and wakes them when capacity
comes back or a gate may be asked again. :meth:`Processor.process` is the same with workers of its own, on an
account of its own.

An event's way through a worker: wait for a slot → :meth:`Processor._pick` (token, queue, gate) → ``Event.invoke``
→ tell the executor. Nothing here moves an event between statuses; it asks the event, and the executor follows.
"""

from __future__ import annotations

import logging
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio
from anyio import current_time
from anyio.lowlevel import checkpoint
from attrs import define, field

from ._config import check_bounds, check_priority
from ._event import Event, leaves, running_events
from ._gate import Deny, Wait
from ._queue import Entry, PriorityQueue
from ._status import EventStatus
from ._waiters import Waiters
from ._window import CapacityWindow
from .errors import AccessError, ExecutorClosedError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from anyio.abc import TaskGroup

    from ._executor import Executor
    from ._pile import Pile

logger = logging.getLogger("lionpride_exec")

MAX_DENIALS = 3

# How many workers may be on their way to an event at a time. Each that finds one sees to the next, so all slots
# are filled within a few steps of the event loop; but a hundred short events do not bring a hundred tasks to life
# of which the first few do all the work.
MAX_SEEKING = 8

# How long (in real time, which is what others lose) a worker goes from event to event before it lets others run.
# With events that never wait it bounds the lag of the event loop: this, or one event, times the workers.
TIME_SLICE = 100e-6


@define(eq=False)
class _Crew:
    """The workers of one task group, and what they may start."""

    group: TaskGroup
    budget: int | None = None  # starts in all, for a batch; None: by the capacity window
    is_dismissed: bool = field(default=False, init=False)
    started: int = field(default=0, init=False)  # events
    workers: int = field(default=0, init=False)
    busy: int = field(default=0, init=False)  # those of them that run an event
    parked: deque[anyio.Event] = field(factory=deque["anyio.Event"], init=False)  # those that wait to be woken

    @property
    def seeking(self) -> int:
        """How many workers are on their way to an event."""
        return self.workers - self.busy - len(self.parked)


class Processor:
    """
    Starts queued events by priority, under a concurrency limit, a capacity per time, and a gate.

    Subclasses set ``event_type`` and may override :meth:`request_permission` and :meth:`partition`.

    Args:
        queue_capacity: Starts allowed in any window of ``capacity_refresh_time`` seconds, 1 to 10,000.
        capacity_refresh_time: Length of that window in seconds, 0.01 to 3,600.
        pile: Where the events are; shared with the executor.
        executor: Who is told of every change.
        concurrency_limit: Events that may run at the same time, at least 1.
        max_queue_size: Queued events above which :meth:`enqueue` refuses, at least 1.
        max_denial_tracking: Events whose denials are counted at the same time, at least 1; the oldest count is
            dropped for a new one.

    Raises:
        ValueError: A number out of its bounds, NaN, or of the wrong type; it is named.
    """

    event_type: ClassVar[type[Event]]

    def __init__(
        self,
        queue_capacity: int,
        capacity_refresh_time: float,
        pile: Pile[Event],
        executor: Executor | None = None,
        concurrency_limit: int = 100,
        max_queue_size: int = 1000,
        max_denial_tracking: int = 10000,
    ) -> None:
        check_bounds(
            queue_capacity=queue_capacity,
            capacity_refresh_time=capacity_refresh_time,
            concurrency_limit=concurrency_limit,
            max_queue_size=max_queue_size,
            max_denial_tracking=max_denial_tracking,
        )
        self.queue_capacity = queue_capacity
        self.capacity_refresh_time = capacity_refresh_time
        self.pile = pile
        self.executor = executor
        self.concurrency_limit = concurrency_limit
        self.max_queue_size = max_queue_size
        self.max_denial_tracking = max_denial_tracking
        self.execution_mode: bool = False
        has_partitions = type(self).partition is not Processor.partition
        self.queue: PriorityQueue = (
            PriorityQueue(max_queue_size, self._key_of) if has_partitions else PriorityQueue(max_queue_size)
        )
        self._window = CapacityWindow(queue_capacity, capacity_refresh_time)
        self._slots = anyio.CapacityLimiter(concurrency_limit)
        # Held across the question to a gate: the entry that was taken and the strikes hold still meanwhile.
        self._gate_lock = anyio.Lock(fast_acquire=True)
        self._asked: UUID | None = None  # the event in question: it is in no queue and does not run yet
        self._denial_counts: dict[UUID, int] = {}
        self._in_flight: set[UUID] = set()
        self._stopped = False
        self._abandoned = False
        self._crews: set[_Crew] = set()
        self._main_crew: _Crew | None = None
        self._waiters = Waiters()
        self._attention = anyio.Event()  # the dispatcher should look again

    @classmethod
    async def create(cls, **kwargs: Any) -> Self:
        """Make a processor; every keyword goes to the class. Override it to do async work first."""
        return cls(**kwargs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(queued={self.queue.qsize()}, running={len(self._in_flight)}, "
            f"stopped={self._stopped})"
        )

    # ---------------------------------------------------------------- for subclasses

    async def request_permission(self, **kwargs: Any) -> bool | Wait | Deny:
        """
        Decide whether an event may start now; asked with its ``request``. Override this.

        One event is asked at a time, in order of priority. ``True`` lets it start. ``False`` is a strike: it
        keeps its place and is asked again 1 s, then 2 s later; the third strike ends it ABORTED. After a
        ``False`` nobody of that partition is asked for ``capacity_refresh_time``. ``Wait(seconds)`` is no
        strike: its partition is asked again after that time. ``Deny(reason)`` ends it ABORTED at once. An
        exception is a strike, and the event's error if it is the third.

        Cancellation: the event stays queued where it stood.
        """
        return True

    def partition(self, event: Event) -> Hashable:  # noqa: ARG002  for subclasses
        """Give the partition that a closed gate closes; the default is one for all. Called when queued."""
        return None

    # ---------------------------------------------------------------- queueing

    @property
    def available_capacity(self) -> int:
        """
        How many events may start now. Assigning leaves that many for the coming ``capacity_refresh_time``.

        Raises:
            ValueError: Assigned a number that is not within 0 and ``queue_capacity``.
        """
        return self._window.available(current_time())

    @available_capacity.setter
    def available_capacity(self, value: int) -> None:
        self._window.set_available(value, current_time())
        self._attention.set()

    async def enqueue(self, event_id: UUID, priority: float | None = None) -> None:
        """
        Queue an event of the pile. Does not wait. O(log n).

        Args:
            event_id: An unknown id is accepted with an explicit priority, and passed over later.
            priority: Lower runs first; finite. Default: the event's ``created_at`` as seconds.

        Raises:
            QueueFullError: ``max_queue_size`` events are queued.
            NotFoundError: No priority, and no such event.
            ValueError: The priority is NaN or infinite.
        """
        if self.queue.is_full:
            size = self.queue.qsize()
            raise QueueFullError(
                f"Queue size ({size}) exceeds max ({self.max_queue_size}) with one more; wait=True waits for room",
                details={"queue_size": size, "max_size": self.max_queue_size},
            )
        if priority is None:
            priority = self.pile[event_id].created_at.timestamp()
        self.queue.put_nowait(check_priority(priority), event_id)

    async def dequeue(self) -> Event:
        """
        Take the first queued event out; waits while there is none.

        Raises:
            NotFoundError: It is no longer in the pile; its entry is gone.

        Cancellation: while it waits; nothing is taken then.
        """
        _, event_id = await self.queue.get()
        self._waiters.notify()
        return self.pile[event_id]

    def is_handling(self, event_id: UUID) -> bool:
        """Whether the event is queued, asked about, or running."""
        return event_id in self.queue or event_id == self._asked or event_id in self._in_flight

    def forget(self, event_id: UUID) -> None:
        """Drop an event that left the pile or ended elsewhere: its entry and its denials. O(1) amortised."""
        self.queue.discard(event_id)
        self._denial_counts.pop(event_id, None)
        self._waiters.notify()

    # ---------------------------------------------------------------- lifetime

    async def start(self) -> None:
        """Clear the stop signal. Idempotent; starts no loop (``Executor.start()`` does)."""
        self._stopped = False
        self._abandoned = False

    async def stop(self) -> None:
        """Start nothing more, at once; what runs goes on. Idempotent. Denials are forgotten."""
        self._stopped = True
        self.execution_mode = False
        self._denial_counts.clear()
        self.queue.open_all()
        for crew in self._crews:
            crew.is_dismissed = True
            while crew.parked:
                crew.parked.popleft().set()
        self._attention.set()
        self._waiters.notify()

    def is_stopped(self) -> bool:
        """Whether :meth:`stop` was called, and :meth:`start` not since."""
        return self._stopped

    @property
    def is_running(self) -> bool:
        """Whether :meth:`execute` runs."""
        return self._main_crew is not None

    def abandon(self) -> None:
        """Tell those who wait in :meth:`join` that nothing will be started any more."""
        self._abandoned = True
        self._waiters.notify()

    def cancel_running(self) -> None:
        """Cancel everything that runs here, and the loop: those events end CANCELLED."""
        for crew in self._crews:
            crew.group.cancel_scope.cancel()

    async def join(self) -> None:
        """
        Return once nothing is queued and nothing runs; when stopped, once nothing runs.

        Called by an event that runs here, it does not wait for that event.

        Raises:
            ExecutorClosedError: The loop was cancelled or crashed with events still queued.
        """
        here = {event.id for event in running_events.get()}
        await self._waiters.wait_for(lambda: self._is_settled(here))
        if self._abandoned and not self._is_drained():
            raise ExecutorClosedError(f"{self!r} was left with events still queued")

    async def wait_idle(self) -> None:
        """Return once nothing runs (but the caller, if it is one of the events)."""
        here = {event.id for event in running_events.get()}
        await self._waiters.wait_for(lambda: self._in_flight <= here)

    async def execute(self) -> None:
        """
        Start events as they can be started, until :meth:`stop`; returns when those have ended.

        A second call beside a running one starts nothing; it returns when that one does. A stop signal that
        was given before the call holds.

        Cancellation: what runs ends CANCELLED, what has not begun stays PENDING and queued.
        """
        if self._main_crew is not None:
            await self._waiters.wait_for(lambda: self._main_crew is None)
            return
        if self._stopped:
            return
        self._bind()
        self.execution_mode = True
        try:
            with self.queue.intake():
                async with anyio.create_task_group() as group:
                    self._main_crew = _Crew(group)
                    self._crews.add(self._main_crew)
                    self.queue.on_put = self._on_put
                    await self._dispatch(self._main_crew)
        except BaseException:
            self._abandoned = True
            raise
        finally:
            if self._main_crew is not None:
                self._crews.discard(self._main_crew)
            self._main_crew = self.queue.on_put = None
            self.execution_mode = False
            self._waiters.notify()

    async def process(self) -> None:
        """
        Start one batch now: up to ``queue_capacity`` queued events, whatever the window says.

        Returns when they, and what was running already, have ended. Works without a running loop and when
        stopped. A denied event is asked again at once. A hand-set ``available_capacity`` bounds the batch, and
        is reset by it if anything ran. Calls may overlap; each has a batch of its own.

        Cancellation: what this call started ends CANCELLED, what has not begun stays PENDING and queued.
        """
        earlier = self._in_flight - {event.id for event in running_events.get()}
        self.queue.open_all()
        self._bind()
        async with anyio.create_task_group() as group:
            batch = _Crew(group, budget=self.queue_capacity - self._window.withheld)
            self._crews.add(batch)
            try:
                self._staff(batch)
                await self._waiters.wait_for(lambda: not batch.workers and not earlier & self._in_flight)
            finally:
                self._crews.discard(batch)
            if batch.started:
                self._window.release_withheld()
                self._attention.set()

    # ---------------------------------------------------------------- inside: deciding

    async def _dispatch(self, crew: _Crew) -> None:
        while not crew.is_dismissed:
            self._attention = anyio.Event()
            self._staff(crew)
            with anyio.CancelScope(deadline=self._next_at()):
                await self._attention.wait()

    def _next_at(self) -> float:
        """When something may start that cannot start now, if nobody does anything until then."""
        now = current_time()
        if self.queue.ready(now) and not self._window.available(now):
            return min(self._window.next_at(now), self.queue.next_at())
        return self.queue.next_at()

    def _on_put(self) -> None:
        """See to it that somebody looks at what was just queued."""
        crew = self._main_crew
        if crew is None or crew.seeking:  # who is on the way will look, and see to more workers
            return
        if crew.parked:
            crew.parked.popleft().set()
        elif crew.workers < self.concurrency_limit:
            self._attention.set()

    def _allowed(self, crew: _Crew, now: float) -> int:
        """How many events these workers may start at that time."""
        if crew.is_dismissed:
            return 0
        return self._window.available(now) if crew.budget is None else crew.budget - crew.started

    def _staff(self, crew: _Crew) -> None:
        """Have as many workers look for an event as there are events, permits and slots for."""
        seeking = crew.seeking
        wanted = min(self.concurrency_limit - crew.busy, MAX_SEEKING) - seeking
        if wanted <= 0:
            return
        now = current_time()
        for _ in range(min(wanted, self._allowed(crew, now) - seeking, self.queue.ready(now) - seeking)):
            if crew.parked:
                crew.parked.popleft().set()
            else:
                crew.workers += 1
                crew.group.start_soon(self._work, crew, name=f"{type(self).__name__} worker")

    def _is_drained(self) -> bool:
        return self.queue.empty() and self._asked is None

    def _is_settled(self, here: set[UUID]) -> bool:
        return self._in_flight <= here and (self._stopped or self._abandoned or self._is_drained())

    def _key_of(self, event_id: UUID) -> Hashable:
        event = self.pile.get(event_id, None)
        return None if event is None else self.partition(event)

    def _bind(self) -> None:
        """Make the limiter and the lock anew while nobody holds them: they belong to one event loop."""
        if not self._crews:
            self._slots = anyio.CapacityLimiter(self.concurrency_limit)
            self._gate_lock = anyio.Lock(fast_acquire=True)

    # ---------------------------------------------------------------- inside: working

    async def _work(self, crew: _Crew) -> None:
        me = object()  # the borrower of the slot
        slice_ends = perf_counter() + TIME_SLICE
        going_on = True
        try:
            while going_on:
                await self._take_slot(me)
                try:
                    picked = await self._pick(crew)
                    if picked is not None:
                        going_on = await self._run(crew, *picked)
                finally:
                    self._slots.release_on_behalf_of(me)
                if picked is None:
                    going_on = await self._park(crew)
                elif perf_counter() > slice_ends:
                    await checkpoint()
                else:
                    continue
                slice_ends = perf_counter() + TIME_SLICE
        except BaseException:
            crew.is_dismissed = True  # the group is going down: nothing more begins in it
            raise
        finally:
            crew.workers -= 1
            self._staff(crew)
            self._waiters.notify()

    async def _park(self, crew: _Crew) -> bool:
        """Wait until there may be something to do; False: that is not to be expected."""
        if not self.queue.empty():
            self._attention.set()  # what is left waits for some time: the dispatcher has to know until when
        if crew is not self._main_crew or crew.is_dismissed:
            return False
        woken = anyio.Event()
        crew.parked.append(woken)
        try:
            await woken.wait()
        finally:
            if not woken.is_set():
                crew.parked.remove(woken)
        return not crew.is_dismissed

    async def _take_slot(self, borrower: object) -> None:
        try:
            self._slots.acquire_on_behalf_of_nowait(borrower)
        except anyio.WouldBlock:  # others wait for one, or all are taken: queue up behind them
            await self._slots.acquire_on_behalf_of(borrower)

    async def _pick(self, crew: _Crew) -> tuple[Entry, Event] | None:
        """Take the first event whose gate lets it start; the caller runs it at once."""
        async with self._gate_lock:  # does not yield unless somebody asks a gate; notices a cancellation
            while self._allowed(crew, now := current_time()) > 0:
                entry = self.queue.pop_nowait(now)
                if entry is None:
                    break
                event = self.pile.get(entry.event_id, None)
                if event is None:
                    self.forget(entry.event_id)
                elif await self._admit(entry, event, crew):
                    return entry, event
        return None

    async def _admit(self, entry: Entry, event: Event, crew: _Crew) -> bool:
        """Ask an entry's gate. False: the entry has gone where the answer sends it."""
        self._asked = event.id
        verdict: bool | Wait | Deny | Exception = True
        try:
            if event.status is EventStatus.PENDING:
                verdict = await self._ask(event)
            if verdict is True and event.status is EventStatus.PENDING and not crew.is_dismissed:
                await self._report(event, EventStatus.PROCESSING)
                # Gate and lock may have taken their time: look again. From here to the run nothing yields.
                if self._begin(event, crew):
                    return True
            await self._turn_away(entry, event, verdict)
        except BaseException:
            if event.status is EventStatus.PENDING:
                self.queue.put_back(entry)
            raise
        finally:
            self._asked = None
        return False

    async def _ask(self, event: Event) -> bool | Wait | Deny | Exception:
        try:
            answer = await self.request_permission(**event.request)
        except Exception as exc:
            logger.warning("The gate of %r failed for %r, which gets a strike", self, event, exc_info=exc)
            return exc
        if answer is None:  # most likely a forgotten return: better said than taken for a plain False
            return TypeError("request_permission() must answer True, False, Wait or Deny, got None")
        return answer if answer is True or isinstance(answer, Wait | Deny) else bool(answer)

    def _begin(self, event: Event, crew: _Crew) -> bool:
        """Take the event and what its start costs; whether it may start at all."""
        now = current_time()
        if event.status is not EventStatus.PENDING or not self._allowed(crew, now) or event.id not in self.pile:
            return False
        if crew.budget is None:
            self._window.take(now)
        crew.started += 1
        if self._denial_counts:
            self._denial_counts.pop(event.id, None)
        self._in_flight.add(event.id)
        return True

    async def _turn_away(self, entry: Entry, event: Event, verdict: bool | Wait | Deny | Exception) -> None:
        """Send an entry that does not start where it belongs."""
        now = current_time()
        if event.id not in self.pile:
            self.forget(event.id)
        elif event.status is not EventStatus.PENDING:  # it was run or decided elsewhere
            self.forget(event.id)
            await self._report(event)
        elif verdict is True:  # the crew was dismissed, or its capacity taken by hand, meanwhile
            self.queue.put_back(entry)
            await self._report(event)
        elif isinstance(verdict, Wait):
            self.queue.put_back(entry)
            self.queue.close_lane(entry.key, now + verdict.seconds)
        elif isinstance(verdict, Deny):
            await self._abort(event, AccessError(verdict.reason))
        else:
            self.queue.close_lane(entry.key, now + self.capacity_refresh_time)
            await self._strike(entry, event, verdict or None)

    async def _strike(self, entry: Entry, event: Event, error: Exception | None) -> None:
        denials = self._denial_counts.get(event.id, 0) + 1
        if denials >= MAX_DENIALS:
            await self._abort(event, error or AccessError(f"Permission was denied {denials} times"))
            return
        if event.id not in self._denial_counts and len(self._denial_counts) >= self.max_denial_tracking:
            del self._denial_counts[next(iter(self._denial_counts))]
        self._denial_counts[event.id] = denials
        self.queue.put_delayed(entry, current_time() + denials)

    async def _abort(self, event: Event, error: Exception) -> None:
        self._denial_counts.pop(event.id, None)
        await event._refuse(error)
        await self._report(event, EventStatus.ABORTED)

    async def _run(self, crew: _Crew, entry: Entry, event: Event) -> bool:
        """Run an event; whatever it raises is recorded in it. False: this task had better not go on."""
        crew.busy += 1
        if not self.queue.empty():
            self._staff(crew)
        try:
            await event.invoke()
        except BaseException as exc:
            if any(isinstance(leaf, KeyboardInterrupt | SystemExit) for leaf in leaves(exc)):
                raise
            # A cancellation of the scope around us will be raised again at the next worker's first step; one
            # that the event brought about itself concerns only this task, which may be marked by it.
            return False
        finally:
            crew.busy -= 1
            try:
                await self._report(event)
            finally:
                self._in_flight.discard(event.id)
                if event.status is EventStatus.PENDING and event.id in self.pile:
                    self.queue.put_back(entry)  # interrupted before it was settled: where it stood
                self._waiters.notify()
        return True

    async def _report(self, event: Event, status: EventStatus | None = None) -> None:
        if self.executor is None:
            return
        if status is None:
            await self.executor._update_progression(event)
        else:
            await self.executor._update_progression(event, status)
