"""Counts of durations in buckets, and of repeated runs: all that is counted inside the transitions, for metrics."""

from __future__ import annotations

from bisect import bisect_left
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._status import PENDING, PROCESSING, EventStatus

from ._words import MAX_KINDS, OTHER, kind_of, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor

# Upper bounds, in seconds, and one more bucket for what is above them.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Histogram:
    """
    Durations by bucket.

    Attributes:
        counts: How many durations are in each bucket, not cumulated.
        total: The sum of the durations, in seconds.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: list[int] = [0] * (len(BUCKETS) + 1)
        self.total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration. O(log(number of buckets))."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Durations:
    """
    The durations of one executor, from now on.

    Args:
        executor: The executor.

    Attributes:
        waits: How long events were pending before their runs, by kind.
        runs: How long their runs took, by kind and outcome.
        repeated: How many runs were followed by another one, by kind and reason.
        thread: The thread of the last transition, which is that of the event loop. None before the first one.
    """

    def __init__(self, executor: Executor) -> None:
        self.waits: dict[str, Histogram] = {}
        self.runs: dict[tuple[str, str], Histogram] = {}
        self.repeated: dict[tuple[str, str], int] = {}
        self.thread: int | None = None
        self._kinds: set[str] = set()
        parts = executor._parts
        runs = parts.observers if parts.cluster is None else parts.cluster.work.observers
        # The times of entries are kept only while somebody is told of entries.
        self._ends: list[Callable[[], None]] = [
            parts.observers.add_to_entries(_ignore),
            runs.add(self._follow, is_blind=True),
        ]

    def end(self) -> None:
        """Count no more. Idempotent."""
        while self._ends:
            self._ends.pop()()

    def _follow(self, event: Event[Any], previous: EventStatus, status: EventStatus) -> None:
        """Count a transition. An observer of the runs."""
        if status is PROCESSING:
            self.thread = get_ident()
            intake, host = event._intake, event._host
            waited = None if intake is None or host is None else intake.waited(host.clock())
            if waited is not None:
                kind = self._kind_of(event)
                waits = self.waits.get(kind)
                if waits is None:
                    waits = self.waits[kind] = Histogram()
                waits.add(waited)
        elif previous is PROCESSING:
            kind, seconds = self._kind_of(event), event.execution.duration
            outcome = "retried" if status is PENDING else status.value
            if isinstance(seconds, float):
                at = (kind, outcome)
                runs = self.runs.get(at)
                if runs is None:
                    runs = self.runs[at] = Histogram()
                runs.add(seconds)
            if status is PENDING:
                reason = outcome_of(event, status).reason
                self.repeated[kind, reason] = self.repeated.get((kind, reason), 0) + 1

    def _kind_of(self, event: Event[Any]) -> str:
        kind = kind_of(event)
        if kind in self._kinds:
            return kind
        if len(self._kinds) >= MAX_KINDS:
            return OTHER
        self._kinds.add(kind)
        return kind


def _ignore(*_: object) -> None:
    """Be told of an entry."""
