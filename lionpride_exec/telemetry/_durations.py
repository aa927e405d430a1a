"""Durations and repeated runs: all that metrics count inside the transitions."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from lionpride_exec._events.observed import waited
from lionpride_exec._events.outcome_words import outcome_of
from lionpride_exec._status import COMPLETED, PENDING, PROCESSING, EventStatus

from ._words import ByKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.telemetry_access import TelemetryAccess

# Upper bounds, in seconds, and one more bucket for what is above them.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Recorder(Protocol):
    """What durations are added to."""

    def add(self, seconds: float) -> None:
        """Count a duration."""


R = TypeVar("R", bound=Recorder)


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


class OfKind(Generic[R]):
    """
    What is counted of the events of one kind.

    Args:
        kind: The kind.
        make: Makes what durations are added to: of waits for a kind and ``""``, of runs for a kind and an outcome.

    Attributes:
        kind: The kind.
        waits: How long events were pending before their runs.
        completed: How long the runs took that completed.
        others: How long other runs took, by outcome.
        repeated: How many runs were followed by another one, by reason.
        sent: How many events have come in. Counted on demand.
        consumed: How many runs have begun.
    """

    __slots__ = ("_make", "completed", "consumed", "kind", "others", "repeated", "sent", "waits")

    def __init__(self, kind: str, make: Callable[[str, str], R]) -> None:
        self.kind = kind
        self.waits = make(kind, "")
        self.completed = make(kind, COMPLETED.value)
        self.others: dict[str, R] = {}
        self.repeated: dict[str, int] = {}
        self.sent = 0
        self.consumed = 0
        self._make = make

    def runs_of(self, outcome: str) -> R:
        """Return what the durations of runs with an outcome other than COMPLETED are added to."""
        runs = self.others.get(outcome)
        if runs is None:
            runs = self.others[outcome] = self._make(self.kind, outcome)
        return runs


class Durations(Generic[R]):
    """
    The durations of one executor, from :meth:`begin` on.

    Args:
        make: As for :class:`OfKind`.
        commits: What the durations of the commits of the journal are added to.

    Attributes:
        commits: As passed.
    """

    def __init__(self, make: Callable[[str, str], R], commits: R) -> None:
        self.commits: R = commits
        self._kinds: ByKind[OfKind[R]] = ByKind(lambda kind: OfKind(kind, make))
        self._ends: list[Callable[[], None]] = []

    def kinds(self) -> tuple[OfKind[R], ...]:
        """Return what is counted, by kind. For any thread."""
        return self._kinds.all()

    def begin(self, access: TelemetryAccess, *, counts_entries: bool) -> None:
        """
        Count what an executor does.

        Args:
            access: The executor.
            counts_entries: Whether to count the events that come in, too.
        """
        self._ends = [
            access.observe_entries(self._enter) if counts_entries else access.keep_times(),
            access.observe_runs(self._follow),
            access.observe_commits(self.commits.add),
        ]

    def end(self) -> None:
        """Count no more. Idempotent."""
        while self._ends:
            self._ends.pop()()

    def _enter(self, event: Event[Any], *_: object) -> None:
        """Count a new event. An observer of entries."""
        self._kinds.of(event).sent += 1

    def _follow(self, event: Event[Any], previous: EventStatus, status: EventStatus) -> None:
        """Count a transition. An observer of the runs."""
        if status is PROCESSING:
            counted = self._kinds.of(event)
            counted.consumed += 1
            seconds: Any = waited(event)
            if seconds is not None:
                counted.waits.add(seconds)
        elif previous is PROCESSING:
            seconds = event.execution.duration
            if status is COMPLETED:
                if isinstance(seconds, float):
                    self._kinds.of(event).completed.add(seconds)
                return
            counted, outcome = self._kinds.of(event), outcome_of(event, status)
            if isinstance(seconds, float):
                counted.runs_of(outcome.status).add(seconds)
            if status is PENDING:
                counted.repeated[outcome.reason] = counted.repeated.get(outcome.reason, 0) + 1
