"""
What happened of late in an executor: fed by one observer, in some rings of fixed size.

The observer runs inside each transition, so it keeps plain tuples and numbers, and the records are made when they are
read. It costs a microsecond for a start or an end, and some 15 for an end with an error.
"""

from __future__ import annotations

from collections import deque
from heapq import nlargest
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anyio.lowlevel import checkpoint

from lionpride_exec._base.error_shapes import error_line, error_shape
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.call import Call
from lionpride_exec._status import COMPLETED, FINAL, PENDING, PROCESSING, EventStatus

from .snapshot import ErrorLine, RunLine, Second
from .texts import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._events.event import Event


# How many seconds are remembered, how many runs, and how many shapes of errors.
MOST_SECONDS: Final = 3600
MOST_RUNS: Final = 5000
MOST_SHAPES: Final = 1000

# Runs that are read between two checkpoints: half a millisecond.
RUNS_AT_A_TIME: Final = 100

# The status of a run in the timeline that was followed by another one.
RETRIED: Final = "retried"


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
            kind = kind_of(event)
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
            ended = self._seconds[second] = dict.fromkeys(FINAL, 0)
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

    async def runs(self, seconds: float, count: int, running: Sequence[Event[Any]]) -> tuple[RunLine, ...]:
        """
        Return the runs of the last seconds, by their beginning. O(remembered runs), in pieces of 100.

        Args:
            seconds: How long ago a run has ended at most.
            count: How many runs at most.
            running: The events that run now.
        """
        first = wall_clock.seconds() - seconds
        known = tuple(self._runs)[-count:]
        lines: list[RunLine] = []
        for place in range(0, len(known), RUNS_AT_A_TIME):
            lines += [self._run_line(run) for run in known[place : place + RUNS_AT_A_TIME] if _ended_since(run, first)]
            await checkpoint()
        for place in range(0, len(running), RUNS_AT_A_TIME):
            for event in running[place : place + RUNS_AT_A_TIME]:
                begin = event.execution.started_at
                if begin is not None:
                    lines.append(self._run_line((event.id, kind_of(event), begin, None, PROCESSING)))
            await checkpoint()
        return tuple(sorted(lines, key=attrgetter("begin"))[-count:])

    def _run_line(self, run: _Run) -> RunLine:
        event_id, kind, begin, end, status = run
        return RunLine(
            id=str(event_id),
            kind=self._name_of(kind),
            begin=0.0 if begin is None else begin.timestamp(),
            end=None if end is None else end.timestamp(),
            status=f"{status}",
        )


def kind_of(event: Event[Any]) -> object:
    """Return the function of a call, or the class of any other event."""
    return event.function if isinstance(event, Call) else type(event)


def _ended_since(run: _Run, first: float) -> bool:
    _, _, begin, end, _ = run
    return begin is not None and end is not None and end.timestamp() >= first
