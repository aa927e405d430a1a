"""What a trace records of an executor: what was asked for, and what was done since."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import attrs

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.event import Event
from lionpride_exec._model.quota import Quota
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import is_number
from lionpride_exec.testing._view import ExecutorView

from .asked_limits import AskedLimits

if TYPE_CHECKING:
    from datetime import datetime

    from lionpride_exec import Executor, Processor
    from lionpride_exec.testing._processor_view import ProcessorRun, ProcessorView, Reservation

# Seconds. An observer of a start reads the clock a moment later than the worker that made it.
TOLERANCE = 1e-3


@attrs.define
class Asked:
    """
    What ``append()`` was asked for.

    Attributes:
        priority: A lower number starts first.
        not_before: The time before which the event must not start, as a reading of the clock.
        after: The events that have to be COMPLETED first.
        any_end: The events that have to have ended first.
        arrival: The place of the event in the order of arrival. None if it has no place.
        expires: The time by which the event has to have begun, as a reading of the clock. ``inf`` if it waits.
    """

    priority: float
    not_before: float = -inf
    after: tuple[Event[Any] | UUID, ...] = ()
    any_end: tuple[Event[Any] | UUID, ...] = ()
    arrival: int | None = None
    expires: float = inf

    @classmethod
    def of(
        cls,
        event: Event[Any],
        priority: float | None,
        now: float,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        after: Any = (),
        after_any_end: Any = (),
        expires: Any = None,
        **_: Any,
    ) -> Asked:
        """Make one from the arguments of ``append()``, valid or not. Wall-clock times are ignored."""
        number = event.created_at.timestamp() if priority is None or not is_number(priority) else priority
        due = -inf if at is not None or delay is None or not is_number(delay) else now + delay
        limit = now + expires if is_number(expires) else inf
        return cls(number, due, _events_in(after), _events_in(after_any_end), expires=limit)

    def meets(self, event_id: UUID, status: EventStatus) -> None:
        """Forget what is met by the end of an event that begins anew. Of the rest, its new object counts."""
        ids = [other.id if isinstance(other, Event) else other for other in self.after]
        self.any_end = tuple([other for other in self.any_end if getattr(other, "id", other) != event_id])
        if event_id in ids:
            self.after = tuple([one for one in ids if one != event_id or status is not EventStatus.COMPLETED])

    def goes_before(self, other: Asked) -> bool:
        """Whether this event starts first if both may start."""
        if self.priority != other.priority:
            return self.priority < other.priority
        return self.arrival is not None and other.arrival is not None and self.arrival < other.arrival


def _events_in(named: Any) -> tuple[Event[Any] | UUID, ...]:
    """Return the events and ids in an argument of ``append()``, valid or not."""
    others = named if isinstance(named, list | tuple | set) else [named]
    return tuple([other for other in others if isinstance(other, Event | UUID)])


@attrs.define(eq=False)
class Taking:
    """What a run has taken of a limit."""

    running: ProcessorRun
    use: Reservation
    cost: float
    started: float
    ended: float | None = None


@attrs.frozen
class Change:
    """A transition; ``now`` is its time by the clock."""

    event: Event[Any]
    previous: EventStatus
    status: EventStatus
    now: float


@attrs.frozen
class Start:
    """The start of an event by the processor."""

    event: Event[Any]
    processor: Processor
    view: ProcessorView
    running: ProcessorRun
    now: float


class History:
    """
    What was asked for and done so far.

    Args:
        executor: The executor that is followed.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor: Executor = executor
        self.view: ExecutorView = ExecutorView(executor)
        self.limits: AskedLimits = AskedLimits(executor, self.view.changed_limits)
        self.asked: dict[UUID, Asked] = {}
        self.last: dict[UUID, EventStatus] = {}
        # For each event the number of its last run that counts, and how many runs that count were seen.
        self.runs: dict[UUID, tuple[int, int]] = {}
        self.starts: list[float] = []  # the times of the starts that the window counts
        self.takings: dict[tuple[int, Any], list[Taking]] = {}
        self.keys: dict[Any, UUID] = {}
        # The times before which events must not start, as explain() has said. A call that changes this clears them.
        self.told: dict[UUID, float] = {}
        self.retries: int = 0  # the calls of retry() that have not returned
        self._next_told = 0
        self._arrivals = 0
        self._start: tuple[Change | None, Start | None] = (None, None)  # the transition last asked about, and its start
        self._window_starts: tuple[object, int] = (None, 0)  # who had made how many starts that the window counts
        self._given_back = 0  # starts that were allowed again by hand
        self._forgotten = 0  # starts that were taken out of the window by hand

    # ---------------------------------------------------------------- what is asked for

    def expect(self, event: Event[Any], asked: Asked) -> None:
        """Record what is asked for."""
        self.asked[event.id] = asked
        self.last[event.id] = event.execution.status

    def arrived(self, event: Event[Any]) -> None:
        """Record that an event was taken in. An event that comes after others gets its place later."""
        asked = self.asked.get(event.id)
        if asked is not None and not asked.after and not asked.any_end and self.executor.journal is None:
            self._arrivals += 1
            asked.arrival = self._arrivals

    def moved(self, event: Event[Any], priority: float | None) -> None:
        """Record that an event got another priority."""
        if (asked := self.asked.get(event.id)) is not None:
            asked.priority = event.created_at.timestamp() if priority is None else priority

    def look_for_retry(self, change: Change) -> None:
        """Let an event begin anew that goes on while ``retry()`` has not returned."""
        if self.retries and change.previous is EventStatus.PENDING:
            self._begin_anew(change.event)

    def retried(self, event: Event[Any]) -> None:
        """Let an event begin anew that ``retry()`` has returned, unless it has gone on already."""
        if event.execution.status is EventStatus.PENDING:
            self._begin_anew(event)

    def _begin_anew(self, event: Event[Any]) -> None:
        """Forget the runs of an event that has ended. It has another object now, and no priority of its own."""
        last = self.last.get(event.id)
        if last is None or last not in TERMINAL:
            return
        self.last[event.id] = EventStatus.PENDING
        self.runs.pop(event.id, None)
        self.told.clear()
        for other in self.asked.values():
            other.meets(event.id, last)
        if (asked := self.asked.get(event.id)) is not None:
            is_kept = self.executor.journal is not None
            priority = asked.priority if is_kept else event.created_at.timestamp()
            self.asked[event.id] = attrs.evolve(asked, priority=priority, not_before=-inf, arrival=None, expires=inf)

    def limit_changes(self, now: float) -> None:
        """Record that a limit is about to change: what it does not count any more, it never counts again."""
        self.told.clear()
        for takings in self.takings.values():
            takings[:] = [taking for taking in takings if self.is_out(taking, now)]

    def refused(self, event: Event[Any]) -> None:
        """Forget an event that was not taken in after all."""
        if event.id not in self.executor.states.items:
            self.asked.pop(event.id, None)
            self.last.pop(event.id, None)

    def forget_times(self) -> None:
        """Forget all readings of a clock that has ended."""
        self.starts.clear()
        self.takings.clear()
        self.told.clear()
        self.limits.forget_times()
        for asked in self.asked.values():
            asked.not_before, asked.expires = -inf, inf

    # ---------------------------------------------------------------- what is done

    def start_of(self, change: Change) -> Start | None:
        """Return the start that a transition is. None if it is no start, or none by the processor."""
        if change.status is not EventStatus.PROCESSING:
            return None
        if self._start[0] is not change:  # each invariant asks
            view = self.view.processor
            running = None if view is None else view.running.get(change.event.id)
            self._start = change, None
            if view is not None and running is not None:
                self._start = change, Start(change.event, view.processor, view, running, change.now)
        return self._start[1]

    def is_in_window(self, start: Start) -> bool:
        """Whether the window counts this start, which has just been made. It does not count those of ``forward()``."""
        now = start.view.window_starts
        return now != self._window_starts and now[1] > 0

    def forget_starts(self, forgotten: int) -> None:
        """Forget the last starts: those that were taken out of the window by hand, ``forgotten`` in all."""
        number, self._forgotten = forgotten - self._forgotten, forgotten
        if number:
            self.told.clear()
        del self.starts[len(self.starts) - min(number, len(self.starts)) :]

    def is_out(self, taking: Taking, now: float) -> bool:
        """Whether the limit still counts what a run has taken."""
        limit = taking.use.state.limit
        if limit is None:
            return False
        if isinstance(limit, Quota):
            since = now if limit.hold and taking.ended is None else (taking.ended if limit.hold else taking.started)
            wall = wall_clock.seconds() - current_time()
            return limit.calendar.after(wall + cast("float", since) - TOLERANCE) > wall + now + TOLERANCE
        if not limit.hold:
            return now - taking.started < self.limits.per(taking.use.state) - TOLERANCE
        if taking.ended is None:  # the end of the run of a removed event is not seen
            return self._running(taking.running.event) is taking.running
        return now - taking.ended < self.limits.per(taking.use.state) - TOLERANCE

    def note(self, change: Change) -> None:
        """Record a transition, after it was checked."""
        event, status, now = change.event, change.status, change.now
        self.last[event.id] = status
        if status is EventStatus.PROCESSING:
            view = self.view.processor
            if view is not None and view.window_starts[0] is not None:
                self._window_starts = view.window_starts
            return
        if status is EventStatus.PENDING:
            self._note_run(event)
            again_in = None if (running := self._running(event)) is None else running.again_in
            if again_in and event.id in self.asked:
                self.asked[event.id].not_before = now + again_in
        for takings in self.takings.values():
            for taking in takings:
                if taking.running.event is event and taking.ended is None:
                    taking.ended = now

    def note_told(self, change: Change) -> None:
        """Ask ``explain()`` for the earliest start of one pending event, of each in turn."""
        if change.previous is EventStatus.PENDING and change.status is not EventStatus.PROCESSING:
            self.told.clear()  # the events behind it can start earlier than was said
        pending = self.executor.pending_events
        if pending:
            self._next_told += 1
            event = pending[self._next_told % len(pending)]
            seconds = self.executor.explain(event).seconds
            if seconds is not None:
                self.told[event.id] = max(change.now + seconds, self.told.get(event.id, -inf))

    def told_of(self, event: Event[Any]) -> float:
        """Return the time before which an event must not start, as ``explain()`` has said, and forget it."""
        takings = (taking for each in self.takings.values() for taking in each)
        view = self.view.processor
        given_back = 0 if view is None else view.capacity_given_back
        if given_back != self._given_back or any(taking.use.cost < taking.cost for taking in takings):
            self.told.clear()  # capacity was raised by hand, or settle() has given a limit room back
            self._given_back = given_back
        return self.told.pop(event.id, -inf)

    def _note_run(self, event: Event[Any]) -> None:
        """Record a run after which the event runs again. An event that was set back by hand begins anew."""
        execution, seen = event.execution, self.runs.get(event.id, (0, 0))[1]
        run = execution.attempts[-1] if execution.attempts else None
        counts = 0 if run is None or run.error is None else seen + (not run.interrupted)
        self.runs[event.id] = execution.attempt, counts

    def _running(self, event: Event[Any]) -> ProcessorRun | None:
        """Return what the processor knows of an event that it has started. None if it has not."""
        view = self.view.processor
        return None if view is None else view.running.get(event.id)
