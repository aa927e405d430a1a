"""
What workers do.

An event's way: a slot → :meth:`Dispatch._pick` (capacity, limits, queue, gate) →
:meth:`Dispatch._run_event` (``Event.invoke``) → tell the executor, and queue it again if it is to run again.

Nothing here moves an event between statuses; it asks the event, and the executor follows.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import current_time, scope_deadline
from lionpride_exec._base.exception_groups import is_of, leaves
from lionpride_exec._events.event import Event
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import PauseTooLong, RateLimited

from .permission_gate import Admission, Flight, Refused

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._model.limits import Limit
    from lionpride_exec._scheduling.capacity import CapacityWindow
    from lionpride_exec._scheduling.entry import Entry

    from .pauses import Pauses
    from .workers import Crew


class Dispatch(Admission):
    """The part of a processor that starts events and sees to what they leave."""

    _window: CapacityWindow
    _pauses: Pauses

    def __init__(self) -> None:
        super().__init__()
        self._attention = anyio.Event()  # the dispatcher should look again
        self._looks_at = inf  # when it will do so by itself
        self._in_flight: dict[UUID, Flight] = {}
        self._main_crew: Crew | None = None
        self._on_call: Crew | None = None  # the same, as long as it can be called back after it was dismissed
        self.retries: int = 0  # runs that failed and were followed by another one

    # ---------------------------------------------------------------- queueing

    def _put(self, priority: float, event_id: UUID, until: float | None) -> None:
        """Queue an event for which there is room, or one whose room the executor sees to."""
        if event_id not in self._admitted:
            self.queue.put_nowait(priority, event_id, until)
            return
        entry = self.queue.make_entry(priority, event_id)
        if until is None:
            self.queue.put_backlog([entry])
        else:
            self.queue.put_delayed(entry, until, "delay", self._admitted[event_id])

    # ---------------------------------------------------------------- deciding

    async def _dispatch(self, crew: Crew) -> None:
        while not crew.is_dismissed:
            self._attention = anyio.Event()
            self._looks_at = self._next_at(crew.now())
            crew.staff()
            with anyio.CancelScope(deadline=scope_deadline(self._looks_at)):
                await self._attention.wait()

    async def _work_off(self, crew: Crew) -> None:
        """Dispatch until the crew is dismissed and gone; or on, if it is called back before that."""
        self._on_call = crew
        try:
            while not crew.is_dismissed:
                await self._dispatch(crew)
                await self._waiters.wait_for(lambda: not (crew.is_dismissed and crew.workers))
        finally:
            self._on_call = None

    def _next_at(self, now: float) -> float:
        """When something may start that cannot start now, if nobody does anything until then."""
        if self.queue.ready(now) and not self._window.available(now):
            return min(self._window.next_at(now), self.queue.next_at())
        return self.queue.next_at()

    def _on_put(self) -> None:
        """See to it that somebody looks at what was just queued."""
        crew = self._main_crew
        if crew is None or crew.seeking:  # who is on the way will look, and see to more workers
            return
        if not crew.staff() and crew.can_grow and not self._held_back:
            self._attention.set()  # it has to wait for some time: the dispatcher has to know until when

    def _allowed(self, crew: Crew, now: float) -> int:
        """How many events these workers may start at that time."""
        # A slot that was taken before a resize() may be one too many by the time the gate has answered.
        if crew.is_dismissed or self._held_back or crew.slots.is_overdrawn:
            return 0
        return self._window.available(now) if crew.budget is None else crew.budget - crew.started

    # ---------------------------------------------------------------- what workers do

    def _startable(self, crew: Crew) -> int:
        """How many events these workers may start now, at most. For workers."""
        if self.queue.empty():
            return 0
        now = crew.now()
        number = min(self._allowed(crew, now), self.queue.ready(now))
        if number > 1 and self._pauses.limit_states:
            number = 1  # the next one may have to wait for its pace; who starts this one looks for it
        if number <= 0 and self._next_at(now) < self._looks_at:
            # What was started last has used up what the next one needs: when that comes back is news.
            self._attention.set()
        return number

    async def _pick(self, crew: Crew) -> Flight | None:
        """
        Take the first event whose gate lets it start; the caller runs it at once. For workers.

        Cancellation: while somebody asks a gate; the event stays queued.
        """
        while self._allowed(crew, now := crew.now()) > 0:
            if crew.asks_nobody and self._is_free():
                first = self._start_first(crew, now)
                if isinstance(first, tuple):
                    await self._refuse_alone(*first)
            else:
                async with self._gate_lock:
                    if self._allowed(crew, now := current_time()) <= 0:  # while it waited for the lock
                        return None
                    first = await self._admit_first(crew, now)
                    if isinstance(first, tuple):
                        await self._refuse(*first)
            if not isinstance(first, tuple):
                return first
            await checkpoint()  # whatever the gate answers, it cannot keep the event loop to itself
        return None

    def _start_first(self, crew: Crew, now: float) -> Flight | Refused | None:
        """Take the first event and begin it, where nobody has to be asked, so that nothing can change meanwhile."""
        entry, event = self._take_first(now)
        if entry is None or event is None:
            return None
        if type(event).request is not Event.request:
            verdict = self._check_request(event)
            if verdict is not True:
                return entry, event, verdict
            now = current_time()  # the user's code may have taken its time
        if event.execution.status is not EventStatus.PENDING:
            return entry, event, True
        return self._begin(entry, event, crew, now)

    async def _admit_first(self, crew: Crew, now: float) -> Flight | Refused | None:
        """Take the first event, ask its gate, and begin it."""
        entry, event = self._take_first(now)
        return None if entry is None or event is None else await self._admit(entry, event, crew)

    def _take_first(self, now: float) -> tuple[Entry, Event] | tuple[None, None]:
        while (entry := self.queue.pop_nowait(now)) is not None:
            event = self.pile.get(entry.event_id, None)
            if event is not None and not (self._put_off and event.id in self._put_off):
                return entry, event
            self.forget(entry.event_id)
        return None, None

    def _may_begin(self, entry: Entry, event: Event, crew: Crew, now: float) -> bool:
        """Whether an event that was let in may still start."""
        return (
            event.status is EventStatus.PENDING
            and self._allowed(crew, now) > 0
            and event.id in self.pile
            and event.id not in self._put_off
            and self.queue.lanes.may_start(entry, now)
        )

    def _begin(self, entry: Entry, event: Event, crew: Crew, now: float) -> Flight:
        """Take the event and what its start costs."""
        has_begun = not self.resumes or self._begins_at_once(event)
        token = None if crew.budget is not None else self._window.take(now, has_begun=has_begun)
        crew.started += 1
        if self._denial_counts:
            self._denial_counts.pop(event.id, None)
        if event.retry is not None or self._reruns.default is not None:
            self._reruns.note_start(event, now)
        lanes = self.queue.lanes
        uses = lanes.take(entry, now, has_begun=has_begun) if lanes.limit_states.has_limits else ()
        flight = Flight(event, entry, uses, now, None if has_begun else token)
        self._in_flight[event.id] = flight
        if self._pauses.limit_states:
            self._pauses.start(entry.route.key, now)
        return flight

    def _begins_at_once(self, event: Event) -> bool:
        """Return whether the run of an event begins without a wait for the journal, as ``Run`` decides it."""
        host = event._host
        return host is None or not host.is_journal_open or not (host.is_strict or event._has_to_be_seen())

    def _note_begun(self, event: Event) -> None:
        """
        Learn that an event begins now which was started a while ago: that is in the journal by now.

        What it has taken comes back that much later, and not before this call: else those that a slow disk holds up
        would begin together with the next ones, more of them than limits and capacity allow.
        """
        flight = self._in_flight.get(event.id)
        if flight is None or flight.event is not event:
            return
        now = current_time()
        self.queue.lanes.begin(flight.uses, now)
        if flight.token is not None:
            self._window.begin(flight.token, now)
            flight.token = None
        self._attention.set()

    async def _run_event(self, flight: Flight, scope: anyio.CancelScope, *, is_followed: bool) -> bool:
        """
        Run an event; whatever it raises is recorded in it. False: this task had better not go on. For workers.

        Raises:
            BaseException: ``KeyboardInterrupt`` and ``SystemExit``, alone or in a group; they are recorded too.
        """
        event = flight.event
        event.execution._scope = scope
        try:
            await event.invoke()
            # A scope that was cancelled for this event is not to meet the next one.
            going_on = event._verdict is None
        except BaseException as exc:
            if any(is_of(leaf, (KeyboardInterrupt, SystemExit)) for leaf in leaves(exc)):
                raise
            # A cancellation of the scope around us will be raised again at the next worker's first step; one
            # that the event brought about itself concerns only this task, which may be marked by it.
            going_on = False
        finally:
            if event._verdict is not None:
                event._verdict = None
            try:
                if not is_followed:
                    await self._report(event)
            finally:
                self._land(event, flight)
        return going_on

    def _land(self, event: Event, flight: Flight) -> None:
        """Give back what an event that has ended its run has held, and queue it again if it is to run again."""
        del self._in_flight[event.id]
        if self._pauses.limit_states:
            self._note_end(event, flight)
        if flight.uses:
            self.queue.lanes.release(flight.uses, current_time())
        if flight.token is not None:
            self._window.begin(flight.token, current_time())
        if flight.again_in is not None and event.status is EventStatus.PENDING and event.id in self.pile:
            if flight.again_in > 0:
                self.queue.put_delayed(flight.entry, current_time() + flight.again_in, "retry")
            else:
                self.queue.put_back(flight.entry)
        elif self._reruns.default is not None or event.retry is not None:
            self._reruns.forget(event.id)
        self._waiters.notify()

    def _note_end(self, event: Event, flight: Flight) -> None:
        """Let the keys that were refused know how a run has ended."""
        if event.status is EventStatus.COMPLETED:
            self._pauses.accept(flight)

    def _worker_idle(self, crew: Crew) -> None:
        """Look after what a worker leaves undone. For workers."""
        if not self.queue.empty():
            self._attention.set()  # what is left waits for some time: the dispatcher has to know until when
        if not crew.workers:
            self._waiters.notify()

    def seconds_until_again(self, event_id: UUID) -> float | None:
        """Give the seconds after which an event that was taken back goes on; None: it was not."""
        flight = self._in_flight.get(event_id)
        return None if flight is None else flight.again_in

    # ---------------------------------------------------------------- what running events ask for

    def _take_back(self, event: Event, error: BaseException, *, began: float, interrupted: bool) -> bool:
        """
        Take back an event whose run has ended with this error, if it is to run again; whether it is, PENDING.

        Raises:
            PauseTooLong: The event is not run again, and ends with this error instead.
        """
        flight = self._in_flight.get(event.id)
        if flight is None or event.id not in self.pile:
            return False
        now = current_time()
        if interrupted and any(is_of(leaf, RateLimited) for leaf in leaves(error)):
            until = self._pauses.refuse(flight, error, now=now, max_pause=self._reruns.max_pause(event))
            flight.again_in = 0.0 if self._reruns.is_in_time(event, until, began=began) else None
        elif interrupted:
            self._reruns.is_in_time(event, now, began=began)  # its first start is that of this run
            goes_on = self._reruns.of(event) is not None or (self.resumes and event._kind.on_crash == "rerun")
            flight.again_in = 0.0 if goes_on else None
        else:
            self._pause_beside(error, flight, now)
            flight.again_in = self._reruns.seconds_until(event, error, began=began, now=now)
            self.retries += flight.again_in is not None
        return flight.again_in is not None

    def _pause_beside(self, error: BaseException, flight: Flight, now: float) -> None:
        """Close the keys of a run that met ``RateLimited`` among other errors, by which the event goes on."""
        if any(is_of(leaf, RateLimited) for leaf in leaves(error)):
            with suppress(PauseTooLong):
                self._pauses.refuse(flight, error, now=now, max_pause=self._reruns.max_pause(flight.event))

    def _costs_taken(self, event_id: UUID) -> list[float | None]:
        """Return what a running event has taken of each limit; None for a limit without a cost."""
        costs: list[float | None] = [None] * len(self.queue.lanes.limit_states.limits)
        flight = self._in_flight.get(event_id)
        for use in () if flight is None else flight.uses:
            if use.state.limit is not None and use.state.limit.cost is not None:
                costs[use.state.number - 1] = use.cost
        return costs

    def _settle_cost(self, event: Event, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of its limits."""
        flight = self._in_flight.get(event.id)
        for use in () if flight is None else flight.uses:
            theirs = use.state.limit
            if theirs is limit if limit is not None else theirs is not None and theirs.cost is not None:
                self.queue.lanes.settle(use, actual)
        self._attention.set()
