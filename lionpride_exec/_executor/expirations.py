"""
Events that end if they have not begun by a time.

The times are kept as those of delayed entries are (``_scheduling.delays``), which follow a wall clock that is set. One
task of the executor's group, a guest, waits for the earliest of them. It exists only while an event may expire. The
dispatcher asks too, before each start, so a task that is late lets nothing begin late.

An event that has begun, has ended or has left is not taken out at once: that would cost every event a question. It is
found out when its time comes, or when the number of entries has doubled. So the memory is in proportion to the events
that may still expire.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

import anyio

from lionpride_exec._base.backend import current_time, scope_deadline
from lionpride_exec._base.loop_time import LoopClock
from lionpride_exec._model.limits import Route
from lionpride_exec._scheduling.delays import Delays
from lionpride_exec._scheduling.entry import Entry
from lionpride_exec._status import PENDING, EventStatus
from lionpride_exec.errors import Skip

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._base.conditions import PredicateCondition
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import Expiry
    from lionpride_exec._model.pile import Pile

    from .enqueue_override import GuestRunner
    from .transitions import Transitions

# The number of entries from which on those that cannot expire any more are looked for.
MIN_ENTRIES_TO_SWEEP: Final = 64

_NOWHERE: Final = Route()


def has_begun(event: Event) -> bool:
    """
    Return whether a run of an event has begun, this one or an earlier one, also one that was interrupted.

    For rows of a journal, ``has_begun()`` in ``_journal/rows.py`` decides by the same rule. Change both.
    """
    execution = event.execution
    return execution.status is not PENDING or event._current_run.is_active or bool(execution.attempts)


class Expirations:
    """
    The events of one executor that may expire. An ``Expiring`` and a ``Guest``.

    Args:
        items: The events of the executor.
        transitions: Ends an event.
        group: Runs the task.
        conditions: The task waits here while the executor is stopped.
    """

    def __init__(
        self, items: Pile[Event], transitions: Transitions, group: GuestRunner, conditions: PredicateCondition
    ) -> None:
        self._items = items
        self._transitions = transitions
        self._group = group
        self._conditions = conditions
        self._live: dict[int, Entry] = {}  # by the number of the id
        self._limits: dict[int, str] = {}  # the words of each entry
        self._delays = Delays(self._live)
        self._clock = LoopClock()
        self._arrivals = 0
        self._sweep_at = MIN_ENTRIES_TO_SWEEP
        self._news: anyio.Event | None = None  # wakes the task. None while the task does not wait
        self._scope: anyio.CancelScope | None = None  # of the task. None while there is none

    def __len__(self) -> int:
        """Return the number of entries, those that cannot expire any more included."""
        return len(self._live)

    # ---------------------------------------------------------------- what may expire

    def add(self, event: Event, expiry: Expiry) -> None:
        """Have an event end if it has not begun by a time. O(log n) amortised."""
        if has_begun(event):
            return
        self.follow_clock()
        if len(self._live) >= self._sweep_at:
            self._sweep()
        self._arrivals += 1
        number = event.id.int
        entry = self._live[number] = Entry(0.0, self._arrivals, event.id, _NOWHERE)
        self._limits[number] = expiry.limit
        is_first = expiry.until < self._delays.next_at()
        self._delays.add(entry, expiry.until, "delay", expiry.at)
        if self._scope is None:
            self.launch()
        elif is_first and self._news is not None:
            self._news.set()

    def seconds_left(self, event: Event) -> float | None:
        """Return the seconds until an event expires, 0 or more. None if it does not."""
        if event.id.int not in self._live or has_begun(event):
            return None
        self.follow_clock()
        due = self._delays.due(event.id)
        return None if due is None else max(due[0] - current_time(), 0.0)

    def expire(self, now: float) -> None:
        """End what has not begun by ``now``."""
        if self._delays.next_at() > now:  # asked before each start
            return
        for entry in list(self._delays.take_due(now)):
            number = entry.event_id.int
            del self._live[number]
            self._end(entry.event_id, self._limits.pop(number))

    def _end(self, event_id: UUID, limit: str) -> None:
        event = self._items.get(event_id, None)
        if event is not None and not has_begun(event):
            self._transitions.end(event, EventStatus.SKIPPED, Skip(f"It expired: it had not begun {limit}"))

    def follow_clock(self) -> None:
        """Carry the times over to the running event loop, and correct them if the wall clock was set."""
        seconds = self._clock.shift()
        if seconds:
            self._delays.shift(seconds)
        self._delays.follow_wall()

    def _sweep(self) -> None:
        """Forget the events that cannot expire any more. O(1) amortised for each event that was added."""
        for number, entry in list(self._live.items()):
            event = self._items.get(entry.event_id, None)
            if event is None or has_begun(event):
                del self._live[number], self._limits[number]
                self._delays.drop(entry.event_id)
        self._delays.rebuild()
        self._sweep_at = max(MIN_ENTRIES_TO_SWEEP, 2 * len(self._live))

    # ---------------------------------------------------------------- the task

    def launch(self) -> None:
        """Start the task, if the executor has a group and an event may expire."""
        self.follow_clock()
        if self._scope is None and self._live and self._group.try_start_guest(self, self._run, "expirations"):
            self._scope = anyio.CancelScope()

    def cancel(self) -> None:
        """End the task, since the group closes. The next start launches it again."""
        if self._scope is not None:
            self._scope.cancel()

    async def _run(self) -> None:
        scope = self._scope
        assert scope is not None
        try:
            with scope:
                await self._wait_and_expire()
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -inf:
                raise
            # No scope asked for this cancellation: only this task ends. The dispatcher still lets nothing begin late.
        finally:
            self._scope = None
            self._group.guest_ended(self)

    async def _wait_and_expire(self) -> None:
        while self._live:
            if self._is_stopped():  # a block may still have a group then
                await self._conditions.wait_for(lambda: not self._is_stopped())
            self.expire(current_time())
            self._news = anyio.Event()
            try:
                with anyio.CancelScope(deadline=scope_deadline(self._delays.next_at())):
                    await self._news.wait()
            finally:
                self._news = None

    def _is_stopped(self) -> bool:
        processor = self._transitions.processor
        return processor is not None and processor.is_stopped()
