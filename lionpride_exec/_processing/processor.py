"""
Starting events: who runs next, and when.

One dispatcher (:meth:`Processor.execute`) sees to it that there are workers enough (``_processing.workers``), and wakes
them when capacity or a limit comes back, a gate may be asked again, or a delay is over. :meth:`Processor.process` is
the same with workers of its own, on an account of its own. An event's way through a worker is told in
``_processing.dispatcher``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio

from lionpride_exec._base.backend import current_time, soon_caller
from lionpride_exec._base.overrides import is_overridden
from lionpride_exec._events.lifecycle import running_here
from lionpride_exec._model.limits import Limit, Route, Router
from lionpride_exec._model.retry import Retry
from lionpride_exec._scheduling.capacity import CapacityWindow
from lionpride_exec._scheduling.concurrency import Slots
from lionpride_exec._scheduling.priority_queue import PriorityQueue
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ConfigurationError, ExecutorClosedError, QueueFullError

from .config import check_bounds
from .dispatcher import Dispatch
from .pauses import Pauses
from .retries import Reruns
from .workers import Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from anyio.abc import TaskGroup

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._model.pile import Pile


DEFAULT_CONCURRENCY = 100


class Processor(Dispatch):
    """
    Starts queued events by priority, under a concurrency limit, a capacity per time, limits, and a gate.

    Subclasses set ``event_type`` and may override :meth:`request_permission`, :meth:`partition` and :meth:`enqueue`.

    Args:
        queue_capacity: Starts allowed in any window of ``capacity_refresh_time`` seconds, 1 to 10,000.
        capacity_refresh_time: Length of that window in seconds, 0.01 to 3,600.
        pile: Where the events are; shared with the executor.
        executor: Who is told of every change.
        concurrency_limit: Events that may run at the same time, at least 1.
        max_queue_size: Queued events above which :meth:`enqueue` refuses, at least 1.
        max_denial_tracking: Events whose denials are counted at the same time, at least 1; the oldest count is
            dropped for a new one.
        limits: Any number of :class:`Rate` and :class:`Concurrent`, or one. An event starts when all of them allow it.
        retry: For events that have no ``retry`` of their own; None: they run once.

    Raises:
        ValueError: A number out of its bounds, NaN, or of the wrong type; it is named.
        ConfigurationError: A limit or a retry that is none.
    """

    event_type: ClassVar[type[Event]]

    def __init__(
        self,
        queue_capacity: int,
        capacity_refresh_time: float,
        pile: Pile[Event],
        executor: Executor | None = None,
        concurrency_limit: int = DEFAULT_CONCURRENCY,
        max_queue_size: int = 1000,
        max_denial_tracking: int = 10000,
        limits: Iterable[Limit] | Limit = (),
        retry: Retry | None = None,
    ) -> None:
        check_bounds(
            queue_capacity=queue_capacity,
            capacity_refresh_time=capacity_refresh_time,
            concurrency_limit=concurrency_limit,
            max_queue_size=max_queue_size,
            max_denial_tracking=max_denial_tracking,
        )
        if retry is not None and not isinstance(retry, Retry):
            raise ConfigurationError(f"retry must be a Retry or None, got {retry!r}")
        super().__init__()
        self.queue_capacity: int = queue_capacity
        self.capacity_refresh_time = capacity_refresh_time
        self.pile = pile
        self.executor = executor
        self.concurrency_limit: int = concurrency_limit
        self.max_queue_size = max_queue_size
        self.max_denial_tracking = max_denial_tracking
        self.execution_mode: bool = False
        has_partitions = type(self).partition is not Processor.partition
        self.router: Router = Router(limits, self.partition if has_partitions else None)
        route_of = None if self.router.is_plain else self._route_of
        self.queue: PriorityQueue = PriorityQueue(max_queue_size, self.router, route_of)
        self._reruns = Reruns(retry)
        self._pauses = Pauses(self.queue.lanes)
        self._window = CapacityWindow(queue_capacity, capacity_refresh_time)
        self._slots = Slots(concurrency_limit)
        self._crews: set[Crew] = set()
        self._stopped = self._abandoned = False
        self._call_soon: Callable[[Callable[[], object]], bool] | None = None  # by the loop of the main crew

    @classmethod
    async def create(cls, **kwargs: Any) -> Self:
        """Make a processor; every keyword goes to the class. Does not wait; override it to do async work first."""
        return cls(**kwargs)

    def __repr__(self) -> str:
        running = len(self._in_flight)
        return f"{type(self).__name__}(queued={self.queue.qsize()}, running={running}, stopped={self._stopped})"

    # ---------------------------------------------------------------- queueing

    @property
    def available_capacity(self) -> int:
        """
        How many events may start now. Assigning leaves that many for the coming ``capacity_refresh_time``.

        Raises:
            ValueError: Assigned a number that is not within 0 and ``queue_capacity``.
        """
        self._follow_clock()
        return self._window.available(current_time())

    @available_capacity.setter
    def available_capacity(self, value: int) -> None:
        self._follow_clock()
        self._window.set_available(value, current_time())
        self._attention.set()

    async def enqueue(self, event_id: UUID, priority: float | None = None, *, until: float | None = None) -> None:
        """
        Queue an event of the pile. Does not wait. O(log n).

        An executor awaits an override once for each event that enters the queue: in ``append()``, ``extend()``,
        ``map()`` and ``invoke()``, at the start, and after the events that an event comes ``after``. An event that
        comes back to the queue by itself is not passed here again: one that was denied, delayed or retried. There is
        room for the event by then. ``until`` is passed only if the event has a delay. If the override raises in
        ``append()``, the event leaves the executor; at other times the event ends ABORTED. An event that has begun
        stays. Without ``super().enqueue()`` the event stays PENDING. Whether this is overridden is decided when the
        processor is assigned to ``Executor.processor``.

        Args:
            event_id: An unknown id is accepted with an explicit priority, and passed over later.
            priority: Lower runs first; finite. Default: the event's ``created_at`` as seconds.
            until: A reading of ``anyio.current_time()`` before which the event does not start.

        Raises:
            QueueFullError: ``max_queue_size`` events are queued.
            NotFoundError: There is no priority and no event with this id.
            ValueError: The priority is NaN or infinite, or the event takes more of a limit than there ever is.
        """
        if event_id not in self._admitted:
            self.check_room()
        if priority is None:
            priority = self.pile[event_id].created_at.timestamp()
        if until is not None:
            self._follow_clock()
        self._put(check_priority(priority), event_id, until)

    def check_room(self) -> None:
        """
        Check that an event can be queued.

        Raises:
            QueueFullError: ``max_queue_size`` events are queued.
        """
        if self.queue.is_full:
            size = self.queue.qsize()
            raise QueueFullError(
                f"Queue size ({size}) exceeds max ({self.max_queue_size}) with one more; wait=True waits for room",
                details={"queue_size": size, "max_size": self.max_queue_size},
            )

    async def dequeue(self) -> Event:
        """
        Take the first queued event out; waits while there is none.

        Raises:
            NotFoundError: It is no longer in the pile; its entry is gone.

        Cancellation: while it waits; nothing is taken then.
        """
        self._follow_clock()
        _, event_id = await self.queue.get()
        self._waiters.notify()
        return self.pile[event_id]

    def _look_again(self) -> None:
        """Have the dispatcher, if there is one, look whether something can start. Works in callbacks, too."""
        if self._main_crew is not None and not self._held_back:
            self._attention.set()

    def resize(self, *, concurrency_limit: int | None = None, queue_capacity: int | None = None) -> None:
        """Change the numbers, within their bounds; what runs goes on, what was started counts."""
        if concurrency_limit is not None:
            self.concurrency_limit = concurrency_limit
            self._slots.resize(concurrency_limit)
            for crew in self._crews:
                crew.limit = concurrency_limit
        if queue_capacity is not None:
            self.queue_capacity = queue_capacity
            self._window.resize(queue_capacity)
        self._look_again()

    def is_handling(self, event_id: UUID) -> bool:
        """Whether the event is queued, asked about, or running."""
        return event_id in self.queue or event_id == self._asked or event_id in self._in_flight

    def forget(self, event_id: UUID) -> None:
        """Drop an event that left the pile or ended elsewhere: its entry and its denials. O(1) amortised."""
        super().forget(event_id)
        self._waiters.notify()
        self._look_again()  # it may have held up others, by what it would have taken

    # ---------------------------------------------------------------- lifetime

    async def start(self) -> None:
        """Clear the stop signal. Idempotent, does not wait; starts no loop (``Executor.start()`` does)."""
        self._stopped = False
        self._abandoned = False
        self.queue.reopen()
        if self._on_call is not None:
            self._on_call.is_dismissed = False  # it may be about to end, and goes on instead
        self._waiters.notify()  # a stop() that waits has been overtaken

    async def stop(self) -> None:
        """Start nothing more, at once; what runs goes on. Idempotent, does not wait. Denials are forgotten."""
        self._stopped = True
        self.execution_mode = False
        self._denial_counts.clear()
        self.queue.forgive()
        for crew in self._crews:
            crew.dismiss()
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

    def _look_again_soon(self) -> None:
        """Do as :meth:`_look_again`, from any thread and within anything; events start in a moment."""
        if (call_soon := self._call_soon) is not None:
            call_soon(self._look_again)

    def cancel_running(self) -> None:
        """Cancel everything that runs here, and the loop: those events end CANCELLED."""
        for crew in self._crews:
            crew.group.cancel_scope.cancel()

    async def join(self) -> None:
        """
        Return once nothing is queued and nothing runs; when stopped, once nothing runs.

        Called by an event that runs here, it does not wait for that event, nor for others that wait like this.

        Raises:
            ExecutorClosedError: The loop was cancelled or crashed with events still queued.
        """
        with self._waiters.excluded_from_waits(event.id for event in running_here()):
            await self._waiters.wait_for(self._is_settled)
        if self._abandoned and not self._is_drained():
            raise ExecutorClosedError(f"{self!r} was left with events still queued")

    async def wait_idle(self) -> None:
        """
        Return once nothing runs (but the caller, if it is one of the events), or :meth:`start` was called.

        Cancellation: only the waiting ends.
        """
        with self._waiters.excluded_from_waits(event.id for event in running_here()):
            await self._waiters.wait_for(lambda: self._is_idle() or not self._stopped)

    async def execute(self) -> None:
        """
        Start events as they can be started, until :meth:`stop`; returns when those have ended.

        A second call beside a running one waits for that one to end, and takes over unless the stop signal was given.
        A signal that was given before the call holds.

        Cancellation: what runs ends CANCELLED, what has not begun stays PENDING and queued.
        """
        while self._main_crew is not None:
            await self._waiters.wait_for(lambda: self._main_crew is None)
        if self._stopped:
            return
        self.execution_mode = True
        self._follow_clock()
        try:
            with self.queue.intake():
                async with anyio.create_task_group() as group:
                    self._main_crew = self._make_crew(group)
                    self.queue.on_put = self._on_put
                    self._call_soon = soon_caller()
                    await self._work_off(self._main_crew)
        except BaseException:
            self._abandoned = True
            raise
        finally:
            if self._main_crew is not None:
                self._crews.discard(self._main_crew)
            self._main_crew = self.queue.on_put = self._call_soon = None
            self.execution_mode = False
            self._waiters.notify()

    async def process(self) -> None:
        """
        Start one batch now: up to ``queue_capacity`` queued events that are due, whatever the window says.

        Returns when they, and what was running already, have ended. Works without a running loop and when
        stopped. Limits hold: what they do not allow now is left. A denied event is asked again at once. A hand-set
        ``available_capacity`` bounds the batch, and is reset by it if anything ran. Calls may overlap; each has a batch
        of its own.

        Cancellation: what this call started ends CANCELLED, what has not begun stays PENDING and queued.
        """
        earlier = set(self._in_flight)
        # Who calls from inside an event lends its slot: it might be the only one.
        is_inside = any(event.id in self._in_flight for event in running_here())
        self._follow_clock()
        self.queue.forgive()
        self._look_again()  # what this batch leaves may be asked again too
        batch: Crew | None = None
        try:
            async with anyio.create_task_group() as group:
                budget = self.queue_capacity - self._window.withheld
                batch = self._make_crew(group, budget, slots=Slots(1) if is_inside else None)
                batch.staff()
                await self._wait_for_batch(batch, earlier)
                if batch.started:
                    self._window.release_withheld()
                    self._attention.set()
            if batch is not None and group.cancel_scope.cancel_called:
                await self._wait_for_batch(batch, earlier)  # by stop(): what ran before may still be cleaning up
        finally:
            if batch is not None:
                self._crews.discard(batch)  # not before its last worker has ended

    # ---------------------------------------------------------------- inside

    def _route_of(self, event_id: UUID) -> Route:
        event = self.pile.get(event_id, None)
        return self.router.plain if event is None else self.router.route(event)

    def _follow_clock(self) -> None:
        """Carry all times over to the running event loop, if they were read in another."""
        seconds = self.queue.follow_clock()
        if seconds:
            self._window.shift(seconds)
            self._reruns.shift(seconds)
            self._pauses.shift(seconds)

    async def _wait_for_batch(self, batch: Crew, earlier: set[UUID]) -> None:
        def is_over() -> bool:
            """Whether its workers have ended, and what ran before it."""
            return not batch.workers and not (earlier & self._in_flight.keys()) - self._waiters.aside.keys()

        with self._waiters.excluded_from_waits(event.id for event in running_here()):
            await self._waiters.wait_for(is_over)

    def _overrides_enqueue(self) -> bool:
        return is_overridden(self, Processor, "enqueue")

    def _is_in_use(self) -> bool:
        """Return whether a task runs this processor or waits for it."""
        return bool(self._crews) or self._main_crew is not None or self._waiters.is_waited_for

    def _is_drained(self) -> bool:
        return self.queue.empty() and self._asked is None

    def _is_idle(self) -> bool:
        """Whether nothing runs, and no gate is asked, but for those that wait themselves."""
        aside = self._waiters.aside
        return self._in_flight.keys() <= aside.keys() and (self._asked is None or self._asked in aside)

    def _is_settled(self) -> bool:
        return self._is_idle() and (self._stopped or self._abandoned or self._is_drained())

    def _make_crew(self, group: TaskGroup, budget: int | None = None, slots: Slots | None = None) -> Crew:
        if not self._crews:  # nobody holds them, and they belong to one event loop
            self._slots = Slots(self.concurrency_limit)
            self._gate_lock = anyio.Lock(fast_acquire=True)
        crew = Crew(group, self, slots or self._slots, budget=budget, name=f"{type(self).__name__} worker")
        self._crews.add(crew)
        return crew
