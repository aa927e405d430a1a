"""
Entries of a queue that are not due yet: a heap by time.

All times are those of the clock of the event loop, also for an entry that waits for a time of the *wall* clock
(``append(at=...)``). But the two clocks drift apart when a user sets the wall clock, or when the machine sleeps: the
clock of the event loop then stands still on most systems. So while an entry waits for a wall-clock time, the wall clock
is read every :data:`LOOK_INTERVAL` seconds and before the entry becomes due. Each time the entry is corrected.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Literal

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.loop_time import wall_skew
from lionpride_exec._base.wall_clock import wall_clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from .entry import Entry

Delay = Literal["gate", "delay", "retry"]
"""Why an entry is not due: a gate denied it, the caller passed a delay, or the last run failed."""

# The wall clock is read again after this many seconds, while an entry waits for a wall-clock time.
LOOK_INTERVAL = 30.0


class Delays:
    """
    The queued entries that are not due.

    Args:
        live: The queued entries, by the number of the event id. An entry in the heap that is not live is stale.
    """

    __slots__ = ("_at", "_live", "_numbers", "_skew", "heap", "looks_at", "not_due", "stale")

    def __init__(self, live: Mapping[int, Entry]) -> None:
        self._live = live
        # The queue keeps references to this list and this dict, so they are never replaced.
        self.heap: list[tuple[float, Entry]] = []
        self.not_due: dict[UUID, tuple[float, Delay]] = {}  # the live entries of the heap
        self._numbers: dict[Delay, int] = {"gate": 0, "delay": 0, "retry": 0}  # how many of them there are, by reason
        self._at: dict[UUID, float] = {}  # wall-clock times of these entries, in seconds since 1970
        self._skew = 0.0  # the seconds of wall_skew() at the last look
        self.stale: int = 0  # how many entries of the heap are not live
        self.looks_at: float = inf  # when the wall clock is read again

    def __len__(self) -> int:
        return len(self.not_due)

    def add(self, entry: Entry, until: float, why: Delay, at: float | None) -> None:
        """Add a live entry. O(log n)."""
        if at is not None:
            self.follow_wall()  # correct the earlier times before the skew is read anew
            if not self._at:
                self._skew, self.looks_at = wall_skew(), current_time() + LOOK_INTERVAL
            self._at[entry.event_id] = at
        heappush(self.heap, (until, entry))
        if (earlier := self.not_due.get(entry.event_id)) is not None:
            self._numbers[earlier[1]] -= 1
        self.not_due[entry.event_id] = until, why
        self._numbers[why] += 1

    def replace(self, entry: Entry) -> None:
        """Put a new live entry of an event in the place of the earlier one, for the same time. O(log n)."""
        heappush(self.heap, (self.not_due[entry.event_id][0], entry))
        self.stale += 1

    def drop(self, event_id: UUID) -> bool:
        """Record that an entry is no longer live. Return whether the entry was waiting here."""
        if event_id not in self.not_due:
            return False
        self._remove(event_id)
        self.stale += 1
        return True

    def take_due(self, now: float) -> Iterator[Entry]:
        """Remove the due entries, and yield each one. O(log n) for each entry."""
        if self._at and now > -inf:
            self.follow_wall()
        while self.heap and self.heap[0][0] <= now:
            entry = heappop(self.heap)[1]
            if self._live.get(entry.event_id.int) is entry:
                self._remove(entry.event_id)
                yield entry
            else:
                self.stale -= 1

    def due(self, event_id: UUID) -> tuple[float, Delay] | None:
        """Return until when an event is delayed, and why. None if the event is due."""
        return self.not_due.get(event_id)

    def counts(self) -> Mapping[Delay, int]:
        """Return the number of entries for each reason. O(1)."""
        return self._numbers

    def times(self) -> tuple[tuple[float, Delay], ...]:
        """Return when each entry is due, and why it is not due yet. O(n), with some 5 ns for each."""
        return tuple(self.not_due.values())

    def next_at(self) -> float:
        """Return when the next entry becomes due, or when the wall clock is read again if that is earlier."""
        return min(self.heap[0][0], self.looks_at) if self.heap else inf

    def end_denials(self) -> None:
        """Make the entries that a gate denied due now. O(n)."""
        denied = {event_id for event_id, (_, why) in self.not_due.items() if why == "gate"}
        if denied:
            self.not_due.update(dict.fromkeys(denied, (-inf, "gate")))
            self._reckon()

    def shift(self, seconds: float) -> None:
        """Convert all times to another event loop, whose clock is ahead by ``seconds``. O(n)."""
        self.not_due.update({one: (until + seconds, why) for one, (until, why) in self.not_due.items()})
        now = current_time()
        for event_id, at in self._at.items():
            self.not_due[event_id] = now + at - wall_clock.seconds(), self.not_due[event_id][1]
        if self._at:
            self._skew, self.looks_at = wall_skew(), now + LOOK_INTERVAL
        self._reckon()

    def follow_wall(self) -> bool:
        """
        Correct the wall-clock times if the clock was set or the machine has slept. O(n) then, otherwise O(1).

        Returns:
            Whether times were corrected.
        """
        if not self._at:
            return False
        self.looks_at = current_time() + LOOK_INTERVAL
        skew = wall_skew()
        seconds = skew - self._skew
        if not seconds:
            return False
        self._skew = skew
        for event_id in self._at:
            until, why = self.not_due[event_id]
            self.not_due[event_id] = until - seconds, why
        self._reckon()
        return True

    def rebuild(self) -> None:
        """Drop the stale entries. O(n)."""
        self.heap[:] = [item for item in self.heap if self._live.get(item[1].event_id.int) is item[1]]
        heapify(self.heap)
        self.stale = 0

    def _reckon(self) -> None:
        """Sort the live entries by their new times, and drop the stale entries."""
        self.rebuild()
        self.heap[:] = [(self.not_due[entry.event_id][0], entry) for _, entry in self.heap]
        heapify(self.heap)

    def _remove(self, event_id: UUID) -> None:
        self._numbers[self.not_due.pop(event_id)[1]] -= 1
        if self._at and self._at.pop(event_id, None) is not None and not self._at:
            self.looks_at = inf
