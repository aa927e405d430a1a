"""
The dispatcher: when to look for the next event, and how it starts. ``_scheduling.lanes`` says which event is next.

How an event gets from the queue to a worker:

1. ``PriorityQueue`` calls :meth:`Dispatcher.on_put` when an event arrives. If no worker of the main pool is on its way
   to an event already, ``WorkerPool.staff()`` wakes one or starts one: no more than :meth:`Dispatcher.startable` says.
2. The worker takes a slot and calls :meth:`Dispatcher.start_next`, which takes the first event that capacity, limits
   and priority let start. If nobody has to be asked, the method decides in one step, without an await. If the
   processor has a gate, or a task uses a lock, the event is in question meanwhile (``PermissionGate``).
3. ``EventRunner.begin()`` takes what the start costs. From there to the first step of the run nothing yields.
4. ``EventRunner.run()`` runs the event, and ``EventRunner.finish_run()`` gives everything back. Then the worker asks
   for the next event.

What cannot start now is looked at again when something changes (a put, an end, ``resume()``), and when a time comes.
Only the loop in :meth:`Dispatcher.dispatch` waits for a time: for the earliest one at which an event may become
startable. So there is one timer, however many events wait, and a look costs nothing while nothing can change. The
alternative, one timer for each event, costs a task or a callback for each of a hundred thousand queued events.

Invariants of what is kept here:

- ``main_pool``: the pool of the loop that runs now; None while none runs. Only that pool is staffed at an arrival.
- ``attention``: set as soon as the loop has to look again. The loop makes a new one before each look, so a change
  during the look is not lost.
- ``looks_at``: never later than the first time at which an event may become startable, unless ``attention`` is set.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import current_time, scope_deadline
from lionpride_exec._events.event import Event
from lionpride_exec._status import PENDING, PROCESSING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._scheduling.capacity import CapacityWindow
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .event_runner import EventRunner
    from .pauses import Pauses
    from .permission_gate import GateOwner, NotStarted, PermissionGate, Verdict
    from .processor_run import ProcessorRun
    from .reporter import Reporter
    from .retries import RetryPlanner
    from .workers import WorkerPool


# The property of a class that does not override it: its gate is asked without arguments. A name of a module is looked
# up in 4 ns, an attribute of a class in 30 ns (2 cores, CPython 3.11.7, 2026-11-29).
_NO_REQUEST: Final = Event.request


class Dispatcher:
    """
    Starts the next event of one processor, and decides when to look for it again. A ``Starter``.

    Args:
        owner: The processor, for its pile.
        queue: The queued events.
        window: The capacity.
        gate: Is asked before an event starts.
        runner: Begins the events that start.
        retries: Forgets the events that leave.
        pauses: The keys that were refused, of which each starts one event at a time.
        reporter: Tells the executor of starts.

    Attributes:
        main_pool: The workers of the loop that runs now. None while no loop runs.
        attention: Set as soon as the loop has to look again.
        looks_at: When the loop looks again by itself.
        queued: The queued events.
        call_soon: Calls a function in the event loop of that loop, from any thread. None while no loop runs.
        admitted: The events whose ``enqueue()`` the executor awaits, by id: what is queued of them needs no room. With
            the time by the wall clock before which the event is not due, in seconds since 1970, or None.
    """

    __slots__ = (
        "_conditions",
        "_coordination",
        "_deferred_ends",
        "_expiring",
        "_gate",
        "_holds",
        "_owner",
        "_pauses",
        "_queue",
        "_reporter",
        "_retries",
        "_runner",
        "_window",
        "admitted",
        "attention",
        "call_soon",
        "looks_at",
        "main_pool",
        "queued",
    )

    def __init__(
        self,
        owner: GateOwner,
        queue: PriorityQueue,
        window: CapacityWindow,
        gate: PermissionGate,
        runner: EventRunner,
        retries: RetryPlanner,
        pauses: Pauses,
        reporter: Reporter,
    ) -> None:
        self.main_pool: WorkerPool | None = None
        self.attention: anyio.Event = anyio.Event()
        self.looks_at: float = inf
        self.call_soon: Callable[[Callable[[], object]], bool] | None = None
        self.admitted: dict[UUID, float | None] = {}
        self.queued: Mapping[int, Entry] = queue._live
        self._owner = owner
        self._queue = queue
        self._window = window
        self._gate = gate
        self._runner = runner
        self._retries = retries
        self._pauses = pauses
        self._reporter = reporter

    def share(self, coordination: Coordination) -> None:
        """Use this state, which an executor shares. Its parts have names of their own here, since each hop costs."""
        self._coordination = coordination
        self._conditions = coordination.conditions
        self._holds: set[object] = coordination.holds
        self._expiring = coordination.expiring
        self._deferred_ends: Mapping[UUID, Any] = coordination.deferred_ends
        coordination.starter = self

    # ---------------------------------------------------------------- the queue

    def put(self, priority: float, event_id: UUID, until: float | None) -> None:
        """Queue an event. The caller has checked the room, or the event is in ``admitted`` and needs no room."""
        self._queue.put_nowait(priority, event_id, until, self.admitted.get(event_id))

    def forget(self, event_id: UUID) -> None:
        """Drop an event that left the pile or ended elsewhere. O(1) amortised."""
        self._queue.discard(event_id)
        self._gate.denial_counts.pop(event_id, None)
        self._retries.forget(event_id)
        self._conditions.notify()
        self.look_again()  # the event may have held up others, by what it would have taken

    def is_drained(self) -> bool:
        """Return whether no event is queued or in question."""
        return self._queue.empty() and self._gate.asked is None

    # ---------------------------------------------------------------- when to look

    async def dispatch(self, pool: WorkerPool) -> None:
        """Staff the pool each time that something can start, until the pool is dismissed."""
        while not pool.is_dismissed:
            self.attention = anyio.Event()
            self.looks_at = self._next_at(pool.now())
            pool.staff()
            with anyio.CancelScope(deadline=scope_deadline(self.looks_at)):
                await self.attention.wait()

    def look_again(self) -> None:
        """Have the loop, if one runs, see whether an event can start now. Works in callbacks, too."""
        if self.main_pool is not None and not self._holds:
            self.attention.set()

    def can_start(self) -> bool:
        """Return whether the loop can start another event now: there is a slot for it, and nothing holds it up."""
        pool = self.main_pool
        return pool is not None and pool.busy < pool.limit and self.startable(pool) > 0

    def look_again_soon(self) -> None:
        """Make the event loop call :meth:`look_again` soon. Safe in any thread, and in the garbage collector."""
        if (call_soon := self.call_soon) is not None:
            call_soon(self.look_again)

    def on_put(self) -> None:
        """Wake or start a worker for a new entry. If the entry has to wait for a time, wake the loop instead."""
        pool = self.main_pool
        if pool is None or pool.workers > pool.busy + len(pool.parked):
            return  # a worker that is on its way to an event looks, and sees to more workers
        queue = self._queue
        if (
            (pool.parked and pool.asks_nobody and pool.busy < pool.limit and len(self.queued) == 1)
            and not (queue.lanes.limit_states.has_limits or queue.delays.heap or self._holds)
        ):  # fmt: skip
            # Only capacity could still hold up the event, so wake a worker without asking startable(), which computes
            # what the worker computes anyway. If there is no capacity, the worker parks again by idle().
            pool.parked.popleft().set()
            return
        if not pool.staff() and (pool.parked or pool.workers < pool.limit) and not self._holds:
            self.attention.set()  # no worker can start the event now: the loop must compute when it looks again

    def _next_at(self, now: float) -> float:
        """Return when something may start that cannot start now, if nothing else happens until then."""
        if self._queue.ready(now) and not self._window.available(now):
            return min(self._window.next_at(now), self._queue.next_at())
        return self._queue.next_at()

    # ---------------------------------------------------------------- what workers ask for

    def startable(self, pool: WorkerPool) -> int:
        """Return how many events these workers may start now, at most."""
        if self._queue.empty():
            return 0
        now = pool.now()
        number = min(self._allowed(pool, now), self._queue.ready(now))
        if number > 1 and self._pauses.limit_states:
            number = 1  # the next event may have to wait for its pace; the worker that starts this one looks for it
        if number <= 0 and self._next_at(now) < self.looks_at:
            # The last start took what the next event needs. The loop must learn when that amount comes back.
            self.attention.set()
        return number

    async def start_next(self, pool: WorkerPool) -> ProcessorRun | None:
        """
        Take the first event whose gate lets it start. The caller runs the event at once.

        Cancellation: while a gate is asked; the event stays queued.
        """
        gate = self._gate
        while self._allowed(pool, now := pool.now()) > 0:
            if self._expiring:
                self._expiring[0].expire(now)
            # As PermissionGate.is_free() says it, without the call: this is asked for each event.
            if (
                pool.asks_nobody
                and gate.asked is None
                and not self._coordination.locks_in_use
                and "request_permission" not in self._owner.__dict__
            ):
                first = self._start_first(pool, now)
                if isinstance(first, tuple):
                    await gate.lock_and_return_unstarted(*first)
            else:
                async with gate.lock:
                    if self._allowed(pool, now := current_time()) <= 0:  # changed while waiting for the lock
                        return None
                    first = await self._admit_first(pool, now)
                    if isinstance(first, tuple):
                        await gate.return_unstarted(*first)
            if not isinstance(first, tuple):
                return first
            await checkpoint()  # a gate that always refuses must not block the event loop
        return None

    def next_to_start(self, ending: int) -> list[Event]:
        """
        Return the events that start next if there are no limits. Empty if a gate, a lock or a hold may keep them back.

        O(n log n) for n events. The queue stays as it is.

        Args:
            ending: How many running events are about to give their slots back.
        """
        pool = self.main_pool
        if (
            (pool is None or not pool.asks_nobody or self._gate.asked is not None)
            or (self._coordination.locks_in_use or self._deferred_ends)
            or "request_permission" in self._owner.__dict__
        ):
            return []
        now = pool.now()
        number = min(pool.slots.total - pool.busy + ending, self._allowed(pool, now))
        if not self._queue.ready(now):  # this call has sorted what has arrived into the lanes
            return []
        entries = self._queue.lanes.next_entries(number, now)
        events = [self._owner.pile.get(entry.event_id, None) for entry in entries]
        return [event for event in events if event is not None and type(event).request is _NO_REQUEST]

    def idle(self, pool: WorkerPool) -> None:
        """Wake the loop if events are still queued, and the waiting tasks if the pool has no worker left."""
        if not self._queue.empty():
            self.attention.set()  # the queued events wait for a time: the loop must compute when it looks again
        if not pool.workers:
            self._conditions.notify()

    # ---------------------------------------------------------------- what starts

    def _allowed(self, pool: WorkerPool, now: float) -> int:
        """Return how many events these workers may start now by holds, slots and capacity. Limits are not checked."""
        slots = pool.slots
        # A slot that was taken before a resize() may be one too many by the time the gate has answered.
        if pool.is_dismissed or self._holds or (slots.resized and slots.is_overdrawn):
            return 0
        return self._window.available(now) if pool.budget is None else pool.budget - pool.started

    def _start_first(self, pool: WorkerPool, now: float) -> ProcessorRun | NotStarted | None:
        """Take the first event and begin its run in one synchronous step, because there is no gate to ask."""
        # What _take_first() does, with fewer calls: each event comes here.
        entry = self._queue.pop_nowait(now)
        if entry is None:
            return None
        event = self._owner.pile._items.get(entry.event_id.int)
        if event is None or (self._deferred_ends and event.id in self._deferred_ends):
            self.forget(entry.event_id)
            entry, event = self._take_first(now)
            if entry is None or event is None:
                return None
        if type(event).request is not _NO_REQUEST:
            verdict = self._gate.check_request(event)
            if verdict is not True:
                return entry, event, verdict
            now = current_time()  # the user's code may have taken its time
        if event.execution.status is not PENDING:
            return entry, event, True
        return self._runner.begin(entry, event, pool, now)

    async def _admit_first(self, pool: WorkerPool, now: float) -> ProcessorRun | NotStarted | None:
        """Take the first event, ask its gate, and begin it. Return a refused event with the verdict on it."""
        entry, event = self._take_first(now)
        if entry is None or event is None:
            return None
        verdict: Verdict = True
        with self._gate.asking(entry, event):
            if event.status is PENDING:
                verdict = await self._gate.ask(event)
            if verdict is True and event.status is PENDING and not pool.is_dismissed:
                await self._reporter.report(event, PROCESSING)
                # Gate and lock may have taken their time: look again. From here to the run nothing yields.
                now = current_time()
                if self._expiring:
                    self._expiring[0].expire(now)
                entry = self._gate.in_hand[event.id]
                if self._may_begin(entry, event, pool, now):
                    return self._runner.begin(entry, event, pool, now)
                event._refile()
            entry = self._gate.in_hand[event.id]
        return entry, event, verdict

    def _take_first(self, now: float) -> tuple[Entry, Event] | tuple[None, None]:
        """Take the first event that may start now out of the queue. (None, None) if there is none."""
        while (entry := self._queue.pop_nowait(now)) is not None:
            event = self._owner.pile.get(entry.event_id, None)
            if event is not None and not (self._deferred_ends and event.id in self._deferred_ends):
                return entry, event
            self.forget(entry.event_id)
        return None, None

    def _may_begin(self, entry: Entry, event: Event, pool: WorkerPool, now: float) -> bool:
        """Return whether an event that its gate lets start can still start."""
        return (
            event.status is PENDING
            and self._allowed(pool, now) > 0
            and event.id in self._owner.pile
            and event.id not in self._deferred_ends
            and all(
                state.free_at(entry.route.costs[state.number], now) <= now
                for state in self._queue.lanes.stops(entry.route.key)
            )
        )
