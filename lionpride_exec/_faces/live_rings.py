"""
What happened of late in an executor: fed by one observer, in some rings of fixed size.

The observer runs inside each transition, so it keeps plain tuples and numbers, and the records are made when they are
read. It costs a microsecond for a start or an end, and some 15 for an end with an error.
"""

from __future__ import annotations

from collections import deque
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lionpride_exec._base.error_shapes import error_line, error_shape
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.call import Call
from lionpride_exec._status import COMPLETED, PENDING, PROCESSING, TERMINAL, EventStatus

from .snapshot import ErrorLine, RunLine, Second
from .texts import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.found import FoundEvent


# How many seconds are remembered, how many runs, and how many shapes of errors.
MOST_SECONDS: Final = 3600
MOST_RUNS: Final = 5000
MOST_SHAPES: Final = 1000


# The status of a run in the timeline that was followed by another one.
RETRIED: Final = "retried"

_ENDS: Final = tuple(status.value for status in EventStatus if status in TERMINAL)

# A run that has ended: the id of its event, the class or function, when it began and ended, and its status.
_Run: TypeAlias = tuple["UUID", object, "datetime | None", "datetime | None", str]


class Shapes:
    """
    Counts errors by status and shape. Beyond 1000 shapes, the rarer half is dropped.

    Attributes:
        total: How many errors there were.
    """

    def __init__(self) -> None:
        self.total = 0
        self._groups: dict[tuple[str, str], list[Any]] = {}  # count, example, id, last

    def add(self, status: str, error: str, event_id: object, at: float | None, count: int = 1) -> None:
        """Count an error. The example is that of the last event."""
        self.total += count
        shape = error_shape(error)
        found = self._groups.get((status, shape))
        if found is None:
            self._groups[status, shape] = [count, error, event_id, at]
            if len(self._groups) > MOST_SHAPES:
                self._groups = dict(nlargest(MOST_SHAPES // 2, self._groups.items(), key=_count))
            return
        found[0] += count
        if at is None or found[3] is None or at >= found[3]:
            found[1:] = error, event_id, at

    def largest(self, count: int) -> tuple[ErrorLine, ...]:
        """Return the largest groups, the largest first."""
        return tuple(
            ErrorLine(status=status, shape=shape, count=number, example=first_line(example), id=str(one), last=at)
            for (status, shape), (number, example, one, at) in nlargest(count, self._groups.items(), key=_count)
        )


def _count(group: tuple[Any, list[Any]]) -> int:
    number: int = group[1][0]
    return number


class Rings:
    """
    Remembers the last ends and runs, and the errors.

    Args:
        name_of: Returns the kind of the events of a class, or of the calls of a function.

    Attributes:
        changes: How many transitions there were.
        shapes: The errors of the events that have ended.
    """

    def __init__(self, name_of: Callable[[Any], str]) -> None:
        self.changes = 0
        self.shapes = Shapes()
        self._name_of = name_of
        self._seconds: dict[int, dict[str, int]] = {}  # in the order of time, if the clock is not set back
        self._second = -1  # the last of them
        self._ended: dict[str, int] = {}  # the ends of the last second
        self._runs: deque[_Run] = deque(maxlen=MOST_RUNS)

    def follow(self, event: Event[Any], previous: EventStatus, status: EventStatus) -> None:
        """Remember a transition. An observer."""
        self.changes += 1
        if status is PROCESSING:
            return
        if previous is PROCESSING:
            execution = event.execution
            kind = event.function if isinstance(event, Call) else type(event)
            if status is PENDING:
                last = execution.attempts[-1]
                self._runs.append((event.id, kind, last.started_at, last.finished_at, RETRIED))
                return
            self._runs.append((event.id, kind, execution.started_at, execution.finished_at, status))
        second = int(wall_clock.seconds())
        if second != self._second:
            self._ended = self._begin(second)
        self._ended[status] += 1
        if status is not COMPLETED:
            error = error_line(event.execution.error, secrets_of(event))
            if error is not None:
                self.shapes.add(status.value, error, event.id, second)

    def _begin(self, second: int) -> dict[str, int]:
        """Return where the ends of a second are counted."""
        self._second = second
        ended = self._seconds.get(second)  # it is there if the clock was set back
        if ended is None:
            ended = self._seconds[second] = dict.fromkeys(_ENDS, 0)
            if len(self._seconds) > MOST_SECONDS:
                del self._seconds[next(iter(self._seconds))]
        return ended

    def ended(self, seconds: int) -> tuple[Second, ...]:
        """Return how many events ended in each of the last seconds. O(seconds)."""
        first = int(wall_clock.seconds()) - seconds
        found = [(at, ended) for at, ended in self._seconds.items() if at > first]
        return tuple(
            Second(at=at, ended={one: n for one, n in ended.items() if n})
            for at, ended in sorted(found, key=itemgetter(0))
        )

    def runs(self, seconds: float, count: int, running: Iterable[FoundEvent]) -> tuple[RunLine, ...]:
        """Return the runs of the last seconds, by their beginning. O(remembered runs)."""
        first = wall_clock.seconds() - seconds
        lines = [
            RunLine(
                id=str(one), kind=self._name_of(kind), begin=begin.timestamp(), end=end.timestamp(), status=f"{status}"
            )
            for one, kind, begin, end, status in tuple(self._runs)[-count:]
            if begin is not None and end is not None and end.timestamp() >= first
        ]
        lines += [
            RunLine(id=str(one.id), kind=one.tag, begin=one.started_at.timestamp(), end=None, status=PROCESSING.value)
            for one in running
            if one.started_at is not None
        ]
        return tuple(sorted(lines, key=lambda line: line.begin)[-count:])
