"""
Gathers what a report shows of a run.

A journal, an executor and a recording each hand their events to a :class:`RunCollector`, one by one. The times are kept
as plain numbers: 33 bytes an event, and 16 for each run.
"""

from __future__ import annotations

from array import array
from heapq import heappush, heappushpop, nlargest
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from lionpride_exec._base.error_shapes import MAX_SHAPE, error_shape, group_words
from lionpride_exec._status import FINAL, EventStatus

from .run_record import ALL_TIME, CODES, MAX_TIME, REPEATED, ShapeGroup, Times, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .run_record import LimitStarts

# Different shapes of errors that are counted apart. Beyond, the rarer half is dropped.
MAX_GROUPS: Final = 10_000

# Statuses of events whose last run has a duration.
_TIMED: Final = frozenset({EventStatus.COMPLETED.value, EventStatus.FAILED.value})

_PROCESSING: Final = EventStatus.PROCESSING.value


# How the events ended, the shape of their errors, and the status code behind them.
_Group: TypeAlias = tuple[str, str, int | None]


@attrs.define(eq=False)
class ErrorGroups:
    """Counts errors by status, shape and status code. Beyond 10,000 groups the rarer half is dropped."""

    total: int = 0
    groups: dict[_Group, list[Any]] = attrs.field(factory=dict["_Group", list[Any]])

    def add(self, place: int | str, status: str, error: str, status_code: int | None) -> None:
        """Count an error, which is a line with its class and its message; and the code of the HTTP answer behind it."""
        self.total += 1
        group = (status, error_shape(error), status_code)
        found = self.groups.get(group)
        if found is None:
            self.groups[group] = [1, place, error.partition("\n")[0][:MAX_SHAPE]]
            if len(self.groups) > MAX_GROUPS:
                self.groups = dict(nlargest(MAX_GROUPS // 2, self.groups.items(), key=lambda one: one[1][0]))
        else:
            found[0] += 1

    def largest(self, top: int) -> tuple[ShapeGroup, ...]:
        """Return the largest groups, largest first."""
        most = nlargest(top, self.groups.items(), key=lambda one: one[1][0])
        return tuple(ShapeGroup(status, _words(shape, code), *found) for (status, shape, code), found in most)

    def others(self, named: Iterable[ShapeGroup]) -> int:
        """Return how many errors are in none of these groups."""
        return self.total - sum(group.count for group in named)


def _words(shape: str, status_code: int | None) -> str:
    """Return the words for a group. The shape begins with the class of the errors."""
    name, _, message = shape.partition(": ")
    return group_words(name, message, status_code)


@attrs.define(eq=False)
class Slowest:
    """The longest runs so far, at most so many."""

    top: int
    _count: int = 0
    _heap: list[tuple[float, int, str, Any]] = attrs.field(init=False, factory=list[tuple[float, int, str, Any]])

    def wants(self, duration: float) -> bool:
        """Return whether a run of this length is one of the longest. Of equal ones, the later one is."""
        return len(self._heap) < self.top or (self.top > 0 and duration >= self._heap[0][0])

    def add(self, duration: float, status: str, item: Any) -> None:
        """Keep a run that is one of the longest, with what it is known by."""
        self._count += 1
        entry = (duration, self._count, status, item)
        if len(self._heap) < self.top:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)

    def longest_first(self) -> list[tuple[float, str, Any]]:
        """Return the duration, the status and the item of each, the longest first."""
        return [(duration, status, item) for duration, _, status, item in sorted(self._heap, reverse=True)]


@attrs.define(eq=False)
class RunCollector:
    """
    What the events so far come to.

    Args:
        top: How many slow events are kept.
        window: What is outside of it does not count.
        keyed: The limits whose starts are counted by key.
        keeps_runs: Whether to keep how each run ended, and of which event it was.
    """

    top: int
    window: Window = ALL_TIME
    keyed: Sequence[LimitStarts] = ()
    keeps_runs: bool = False
    times: Times = attrs.field(factory=Times)
    groups: ErrorGroups = attrs.field(factory=ErrorGroups)
    slowest: Slowest = attrs.field(init=False, default=attrs.Factory(lambda self: Slowest(self.top), takes_self=True))
    _is_all: bool = attrs.field(init=False, default=attrs.Factory(lambda self: self.window.is_all, takes_self=True))

    def add(
        self,
        status: str,
        queued: float | None,
        started: float | None,
        finished: float | None,
        attempts: Sequence[tuple[float, float]] = (),
        item: Any = None,
        number: int = 0,
    ) -> bool:
        """
        Count the times of an event. Return whether its end counts: it has ended, and within the window.

        Args:
            status: Its status.
            queued: When it was queued. None if it is not known, as the following ones.
            started: When its last run began.
            finished: When it ended.
            attempts: When the runs before its last one began and ended.
            item: What the limits with keys ask for the key.
            number: Its number, 0 without one.
        """
        times = self.times
        earlier = len(times.begins)
        queued, started, finished = self._seen(queued), self._seen(started), self._seen(finished)
        code = CODES.get(status)
        is_running = status == _PROCESSING
        if code is not None:
            is_counted = self._add_end(code, started, finished, number)
        else:
            is_counted = False
            if is_running and started is not None and started < self.window.until:
                times.running.append(started)
                if self.keeps_runs:
                    times.running_numbers.append(_small(number))
        if started is not None and queued is not None and (is_counted or is_running):
            times.waits.append(max(started - queued, 0.0))
        for begin, stop in attempts:
            self.add_attempt(begin, stop, number)
        if self.keyed:
            self._count_starts(item, earlier, started if is_running else None)
        return is_counted

    def _add_end(self, code: int, started: float | None, finished: float | None, number: int) -> bool:
        """Count the end of an event, and its last run. Return whether the end is in the window."""
        times = self.times
        if finished is None:
            if self._is_all:
                times.undated[FINAL[code]] = times.undated.get(FINAL[code], 0) + 1
            return self._is_all
        is_counted = self._is_all or self.window.has(finished)
        if is_counted:
            times.ends.append(finished)
            times.codes.append(code)
        if started is not None:
            self._add_run(started, finished, code, number)
        return is_counted

    def add_attempt(self, begin: float | None, stop: float | None, number: int = 0) -> None:
        """Count a run that was followed by another one, or will be. One without a time for both is only counted."""
        begin, stop = self._seen(begin), self._seen(stop)
        if begin is None or stop is None:
            self.times.repeated += self._is_all
        else:
            self.times.repeated += self._add_run(begin, stop, REPEATED, number)

    def add_outcome(
        self,
        place: int | str,
        status: str,
        duration: float | None,
        error: str | None,
        item: Any,
        status_code: int | None = None,
    ) -> None:
        """
        Count how long the last run of an event took, and its error.

        Args:
            place: The number of the event, or its id.
            status: Its status.
            duration: Seconds. None if there was no run.
            error: A line with the class and the message of its error. None if it has none.
            item: Is kept beside the event if it is one of the slowest.
            status_code: The code of the HTTP answer behind the error. None if there is none.
        """
        if duration is not None and abs(duration) < MAX_TIME and status in _TIMED:
            self.times.durations.append(duration)
            if self.slowest.wants(duration):
                self.slowest.add(duration, status, item)
        if error is not None:
            self.groups.add(place, status, error, status_code)

    def counts(self) -> dict[str, int]:
        """Return the events that have ended and count, by status."""
        times = self.times
        return {status: times.codes.count(code) + times.undated.get(status, 0) for status, code in CODES.items()}

    def _seen(self, at: float | None) -> float | None:
        """Return a time, and remember the first and the last one in the window. None if it is no time of a date."""
        if at is None or not isfinite(at) or abs(at) > MAX_TIME:
            return None
        if self._is_all or self.window.has(at):
            times = self.times
            if times.first is None or at < times.first:
                times.first = at
            if times.last is None or at > times.last:
                times.last = at
        return at

    def _add_run(self, begin: float, stop: float, kind: int, number: int) -> bool:
        """Add a run, unless it is outside of the window. Return whether it was added."""
        window = self.window
        stop = max(stop, begin)
        if not self._is_all:
            if stop < window.since or begin >= window.until:
                return False
            if begin < window.since:
                self.times.reach(window.since)
            if stop >= window.until:
                self.times.reach(window.until)
        self.times.begins.append(begin)
        self.times.stops.append(stop)
        if self.keeps_runs:
            self.times.kinds.append(kind)
            self.times.numbers.append(_small(number))
        return True

    def _count_starts(self, item: Any, earlier: int, running: float | None) -> None:
        begins = self.times.begins[earlier:]
        if running is not None:
            begins.append(running)
        if not self._is_all:
            begins = array("d", filter(self.window.has, begins))
        if begins:
            for limit in self.keyed:
                limit.add(item, begins)


def _small(number: int) -> int:
    """Return the number of an event, or 0 if four bytes cannot hold it."""
    return number if 0 <= number < 2**32 else 0
