"""
The processor: starts queued events, and is what users override.

``Processor`` is a facade over parts. The dispatcher (``dispatcher.py``) decides which event starts next. Its first
lines tell how an event gets from the queue to a worker. The permission gate (``permission_gate.py``) says whether the
event may start. The worker pool (``workers.py``) has the tasks, in which the runner (``event_runner.py``) runs the
events. The lifetime (``processor_lifetime.py``) runs the loop and the batches. Each part gets the parts that it uses in
its constructor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.coordination import Coordination
from lionpride_exec._base.overrides import is_overridden
from lionpride_exec._events.submit_options import priority_of
from lionpride_exec._model.limits import Limit, Route, Router
from lionpride_exec._offload.offload import Offload
from lionpride_exec._scheduling.capacity import CapacityWindow
from lionpride_exec._scheduling.priority_queue import PriorityQueue
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ConfigurationError

from .config import check_bounds, check_retry, check_timeout, full_queue
from .dispatcher import Dispatcher
from .event_runner import EventRunner
from .offloading import make_settings
from .pauses import Pauses
from .permission_gate import PermissionGate
from .processor_lifetime import ProcessorLifetime
from .processor_loop import ProcessorLoop
from .reporter import Reporter
from .retries import RetryPlanner

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from uuid import UUID

    from lionpride_exec._base.coordination import ReportHost
    from lionpride_exec._events.event import Event
    from lionpride_exec._model.permission import Deny, Wait
    from lionpride_exec._model.pile import Pile
    from lionpride_exec._model.retry import Retry
    from lionpride_exec._offload.settings import RunIn


DEFAULT_CONCURRENCY = 100


class Processor(ProcessorLoop):
    """
    Starts queued events by priority, under a concurrency limit, a capacity per time, limits, and a gate.

    Subclasses set ``event_type`` and may override :meth:`request_permission`, :meth:`partition` and :meth:`enqueue`.

    Args:
        queue_capacity: Starts allowed in any window of ``capacity_refresh_time`` seconds, 1 to 10,000.
        capacity_refresh_time: Length of that window in seconds, 0.01 to 3,600.
        pile: Where the events are; shared with the executor.
        executor: The executor that is told of every change. None if nobody is told.
        concurrency_limit: Events that may run at the same time, at least 1.
        max_queue_size: Queued events above which :meth:`enqueue` refuses, at least 1.
        max_denial_tracking: Events whose denials are counted at the same time, at least 1. The oldest count is dropped
            for a new one.
        limits: Any number of :class:`Rate`, :class:`Quota` and :class:`Concurrent`, or one. An event starts when all
            of them allow it.
        retry: For events that have no ``retry`` of their own. None if these run once.
        run_in: Where plain functions run whose class does not say: "thread", "process" or "interpreter". No more events
            run than have a place there, see ``docs/cpu-work.md``. None if most events are async, and others use
            threads.
        threads: Functions that work in threads at the same time, at least 1. None for 40.
        processes: The same in processes. None for the number of usable CPUs.
        interpreters: The same in interpreters. None for the number of usable CPUs.
        abandon_on_cancel: Whether a cancelled event ends at once while its thread goes on.
        timeout: How many seconds a run may take, positive, for events that have no ``timeout`` of their own. None for
            no limit.

    Raises:
        ValueError: A number is out of its bounds, NaN, or of the wrong type. The message names it.
        ConfigurationError: A limit is no limit, or ``retry`` is no :class:`Retry`, or an argument from ``run_in`` on is
            wrong.
    """

    event_type: ClassVar[type[Event]]

    def __init__(
        self,
        queue_capacity: int,
        capacity_refresh_time: float,
        pile: Pile[Event],
        executor: ReportHost | None = None,
        concurrency_limit: int = DEFAULT_CONCURRENCY,
        max_queue_size: int = 1000,
        max_denial_tracking: int = 10000,
        limits: Iterable[Limit] | Limit = (),
        retry: Retry | None = None,
        run_in: RunIn | None = None,
        threads: int | None = None,
        processes: int | None = None,
        interpreters: int | None = None,
        abandon_on_cancel: bool = False,
        timeout: float | None = None,
    ) -> None:
        check_bounds(
            queue_capacity=queue_capacity,
            capacity_refresh_time=capacity_refresh_time,
            concurrency_limit=concurrency_limit,
            max_queue_size=max_queue_size,
            max_denial_tracking=max_denial_tracking,
        )
        check_retry(retry)
        check_timeout(timeout)
        self.queue_capacity: int = queue_capacity
        self.capacity_refresh_time = capacity_refresh_time
        self.pile = pile
        self.executor: Any = executor
        self.concurrency_limit: int = concurrency_limit
        self.max_queue_size = max_queue_size
        self.max_denial_tracking = max_denial_tracking
        self.execution_mode: bool = False
        has_partitions = type(self).partition is not Processor.partition
        self.router: Router = Router(limits, self.partition if has_partitions else None)
        route_of = None if self.router.is_plain else self._route_of
        self.queue: PriorityQueue = PriorityQueue(max_queue_size, self.router, route_of)
        self._has_own_enqueue = False  # decided when the processor is attached
        kind = getattr(type(self), "event_type", None)
        self._offload = Offload(
            make_settings(kind, run_in, threads, processes, interpreters, abandon_on_cancel=abandon_on_cancel)
        )
        self._make_parts(retry)
        self._runner.timeout = timeout
        self._offload.on_places = self._places_changed

    def _make_parts(self, retry: Retry | None) -> None:
        """Make the parts, each with the parts that it uses."""
        queue = self.queue
        self._window = window = CapacityWindow(self.queue_capacity, self.capacity_refresh_time)
        self._retry_planner = retries = RetryPlanner(retry)
        self._pauses = pauses = Pauses(queue.lanes)
        self._reporter = reporter = Reporter(self)
        self._gate = gate = PermissionGate(self, Processor.request_permission, queue, retries, reporter)
        self._denial_counts = gate.denial_counts
        self._runner = runner = EventRunner(self, queue, window, gate, retries, pauses, reporter, self._offload)
        self._running = runner.running
        self._dispatcher = Dispatcher(self, queue, window, gate, runner, retries, pauses, reporter)
        self._lifetime = ProcessorLifetime(
            self, queue, window, self._dispatcher, gate, runner, retries, pauses, reporter
        )
        self._share(Coordination())

    @property
    def running_limit(self) -> int:
        """How many events may run at the same time, as far as there are threads, processes or interpreters for them."""
        return min(self.concurrency_limit, self._offload.places())

    def _places_changed(self) -> None:
        self._lifetime.resize(self.running_limit)
        self._dispatcher.look_again()

    @classmethod
    async def create(cls, **kwargs: Any) -> Self:
        """Make a processor; every keyword goes to the class. Does not wait; override it to do async work first."""
        return cls(**kwargs)

    def __repr__(self) -> str:
        stopped = self._lifetime.is_stopped
        return f"{type(self).__name__}(queued={self.queue.qsize()}, running={len(self._running)}, stopped={stopped})"

    # ---------------------------------------------------------------- for subclasses

    async def request_permission(self, *args: Any, **kwargs: Any) -> bool | Wait | Deny:
        """
        Decide whether an event may start now. The keywords are the ``request`` of the event. Override this.

        One event is asked about at a time, in order of priority. The answer decides what happens:

        - True: the event starts.
        - False: a strike. The event keeps its place and is asked again 1 s later, then 2 s later. The third strike ends
          the event ABORTED. No event of its partition is asked about for ``capacity_refresh_time`` seconds.
        - ``Wait(seconds)``: no strike. The event keeps its place, and its partition is asked again after that time.
        - ``Deny(reason)``: the event ends ABORTED at once.
        - None, or an exception: as for False, and a warning is logged. At the third strike the exception becomes the
          error of the event.

        Cancellation: the event stays queued in its place.
        """
        return True

    def partition(self, event: Any) -> Hashable:  # noqa: ARG002  for subclasses
        """
        Return the partition of an event. A closed gate holds up only the events of its partition.

        The processor calls this when the event is queued. By default all events share the partition None.
        """
        return None

    # ---------------------------------------------------------------- the executor

    def _attach(self, coordination: Coordination, report: ReportHost) -> None:
        """
        Work for an executor from now on; the setter of its ``processor`` calls this. Idempotent.

        Args:
            coordination: The state that the executor shares.
            report: The executor, which is told of starts and ends.

        Raises:
            ConfigurationError: The processor belongs to another executor. Nothing has changed.
            RuntimeError: A task runs the processor or waits for it already. Nothing has changed.
        """
        reporter = self._reporter
        if reporter.host is report:
            return
        executor: object = self.executor
        if reporter.host is not None or (executor is not None and executor is not report):
            raise ConfigurationError(f"{self!r} belongs to another executor: {executor!r}")
        if self._lifetime.is_in_use:
            raise RuntimeError(f"{self!r} is in use: attach it to its executor before anything runs it or waits for it")
        reporter.host = self.executor = report
        self._has_own_enqueue = is_overridden(self, Processor, "enqueue")
        self._share(coordination)

    def _share(self, coordination: Coordination) -> None:
        """Have all parts use the state that an executor shares."""
        self._conditions = coordination.conditions
        for part in (self._gate, self._runner, self._dispatcher, self._lifetime):
            part.share(coordination)

    # ---------------------------------------------------------------- queueing

    @property
    def available_capacity(self) -> int:
        """
        How many events may start now. Assign a number to allow exactly that many starts in the next period.

        The period is ``capacity_refresh_time`` seconds.

        Raises:
            ValueError: The assigned number is not an integer from 0 to ``queue_capacity``. Nothing has changed.
        """
        self._follow_clock()
        return self._window.available(current_time())

    @available_capacity.setter
    def available_capacity(self, value: int) -> None:
        self._follow_clock()
        self._window.set_available(value, current_time())
        self._dispatcher.attention.set()

    async def enqueue(self, event_id: UUID, priority: float | None = None, *, until: float | None = None) -> None:
        """
        Queue an event of the pile. Does not wait. O(log n).

        An executor awaits an override of this method once for each event that enters the queue: in ``append()``,
        ``extend()``, ``map()`` and ``invoke()``, at the start, and when all events that an event comes ``after`` have
        completed. The queue has room for the event by then. Denied, delayed and retried events come back to the queue
        without another call.

        If the override raises in ``append()``, the event leaves the executor. At other times the event ends ABORTED. An
        event that has begun stays in both cases. Without ``super().enqueue()`` the event stays PENDING. Whether the
        method is overridden is decided when the processor is assigned to ``Executor.processor``.

        Args:
            event_id: The id of the event. With an explicit priority, an unknown id is accepted, and ignored later.
            priority: Lower runs first; finite. Default: the ``created_at`` of the event, in seconds since 1970.
            until: A reading of ``anyio.current_time()`` before which the event does not start. Passed to an override
                only if the event has a delay.

        Raises:
            QueueFullError: ``max_queue_size`` events are queued. Nothing has changed.
            NotFoundError: There is no priority, and the pile has no event with this id. Nothing has changed.
            ValueError: The priority is NaN or infinite, or the event costs more than the whole amount of a limit.
                Nothing has changed.
        """
        if event_id not in self._dispatcher.admitted:
            self.check_room()
        if priority is None:
            priority = priority_of(self.pile[event_id], None)
        if until is not None:
            self._follow_clock()
        self._dispatcher.put(check_priority(priority), event_id, until)

    def check_room(self) -> None:
        """
        Check that an event can be queued.

        Raises:
            QueueFullError: ``max_queue_size`` events are queued, or on their way to the queue.
        """
        if self.queue.is_full:
            raise full_queue(self.queue.taken, self.max_queue_size)

    async def dequeue(self) -> Event:
        """
        Take the first queued event out. Wait while there is none.

        Raises:
            NotFoundError: The event is no longer in the pile. Its entry is gone.

        Cancellation: while it waits; nothing is taken then.
        """
        self._follow_clock()
        _, event_id = await self.queue.get()
        self._conditions.notify()
        return self.pile[event_id]

    def resize(self, *, concurrency_limit: int | None = None, queue_capacity: int | None = None) -> None:
        """
        Change the concurrency limit and the capacity. Running events continue, and earlier starts still count.

        The caller has checked the bounds, as ``Executor.resize()`` does.

        Args:
            concurrency_limit: At least 1. None if it stays as it is.
            queue_capacity: 1 to 10,000. None if it stays as it is.
        """
        if concurrency_limit is not None:
            self.concurrency_limit = concurrency_limit
            self._lifetime.resize(self.running_limit)
        if queue_capacity is not None:
            self.queue_capacity = queue_capacity
            self._window.resize(queue_capacity)
        self._dispatcher.look_again()

    def is_handling(self, event_id: UUID) -> bool:
        """Return whether the event is queued, in question, or running."""
        return event_id in self.queue or event_id == self._gate.asked or event_id.int in self._running

    def forget(self, event_id: UUID) -> None:
        """Drop an event that left the pile or ended elsewhere: its entry and its denials. O(1) amortised."""
        self._dispatcher.forget(event_id)

    def _route_of(self, event_id: UUID) -> Route:
        event = self.pile.get(event_id, None)
        return self.router.plain if event is None else self.router.route(event)

    def _follow_clock(self) -> None:
        """Carry all times over to the running event loop, if they were read in another one."""
        self._lifetime.follow_clock()

    # ---------------------------------------------------------------- retries

    @property
    def retries(self) -> int:
        """How many runs failed and were followed by another run."""
        return self._runner.retries_done

    @property
    def resumes(self) -> bool:
        """Whether an interrupted event runs again even without a :class:`Retry`, as with a journal."""
        return self._runner.resumes

    @resumes.setter
    def resumes(self, value: bool) -> None:
        self._runner.resumes = value

    def seconds_until_again(self, event_id: UUID) -> float | None:
        """Return how many seconds after the end of its run an event runs again. None if no other run is planned."""
        return self._runner.seconds_until_again(event_id)
