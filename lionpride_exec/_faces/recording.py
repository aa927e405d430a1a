"""``record_runs()``: the runs of an executor without a journal, kept as numbers, for a report."""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from math import isnan, nan
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.error_shapes import error_line, status_code_of
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.sentinel import UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.stored_names import public_home, publish_classes
from lionpride_exec._executor.found import tag_for
from lionpride_exec._model.run_collector import ErrorGroups, RunCollector, Slowest
from lionpride_exec._model.run_record import ALL_TIME, REPEATED, RUN_KINDS, RunReport, SlowRun
from lionpride_exec._status import FINAL, OPEN, PENDING, PROCESSING

from .live import limits_of, running_of, slots_of, state_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from datetime import datetime

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._model.run_record import LimitStarts, Window
    from lionpride_exec._status import EventStatus

# So many of the slowest runs are kept by id and kind, for a report that asks for more than usual.
KEPT: Final = 100

_TIMED: Final = frozenset({"completed", "failed"})
_KINDS: Final = {kind: code for code, kind in enumerate(RUN_KINDS)}


class RunRecord:
    """
    The runs of an executor, from the beginning of a block on; made by :func:`record_runs`.

    ``report(runs, "run.html")`` shows them. ``len(runs)`` is how many runs are kept. Each takes 25 bytes: when it began
    and ended, how long the event had waited, and how it ended. An event that ended without a run is kept too. Of errors
    the shapes are kept, and of the 100 slowest runs the id and the kind.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        # One place for each run. NaN if there is no time.
        self._begins, self._stops, self._waits = array("d"), array("d"), array("d")
        self._kinds = bytearray()
        self._errors = ErrorGroups()
        self._slowest = Slowest(KEPT)

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def nbytes(self) -> int:
        """How many bytes the runs take: 25 for each."""
        return sum(kept.itemsize * len(kept) for kept in (self._begins, self._stops, self._waits)) + len(self._kinds)

    def __repr__(self) -> str:
        return f"RunRecord({self._executor.name!r}, {len(self):,} runs)"

    def _note(self, event: Event, previous: EventStatus, status: EventStatus) -> None:
        """Keep a run that ends, or the end of an event without one."""
        execution = event.execution
        if status is PROCESSING:
            return
        if status is PENDING:
            if previous is PROCESSING and execution.attempts:
                last = execution.attempts[-1]
                self._add(REPEATED, last.started_at, last.finished_at, None)
            return
        self._add(_KINDS[status], execution.started_at, execution.finished_at, execution.queued_at)
        error = error_line(execution.error, secrets_of(event))
        if error is not None:
            self._errors.add(str(event.id), status.value, error, status_code_of(execution.error))
        duration = execution.duration
        if status in _TIMED and not isinstance(duration, UnsetType) and self._slowest.wants(duration):
            self._slowest.add(duration, status.value, (str(event.id), tag_for(event)))

    def _add(self, kind: int, begin: datetime | None, stop: datetime | None, queued: datetime | None) -> None:
        began = nan if begin is None else begin.timestamp()
        self._begins.append(began)
        self._stops.append(nan if stop is None else stop.timestamp())
        self._waits.append(nan if queued is None else began - queued.timestamp())
        self._kinds.append(kind)

    def _collected(self, collector: RunCollector) -> RunCollector:
        """Hand the runs to a collector."""
        rows = zip(self._kinds, self._begins, self._stops, self._waits, strict=True)
        for kind, begin, stop, wait in rows:
            if kind == REPEATED:
                collector.add_attempt(begin, stop)
                continue
            began = None if isnan(begin) else begin
            queued = None if began is None or isnan(wait) else began - wait
            if collector.add(FINAL[kind], queued, began, None if isnan(stop) else stop) and began is not None:
                collector.add_outcome("", FINAL[kind], stop - begin, None, None)
        return collector

    def _report(
        self,
        *,
        top: int = 20,
        window: Window = ALL_TIME,
        limits: Sequence[LimitStarts] = (),
        keeps_runs: bool = False,
    ) -> RunReport:
        """Return what a report shows of the runs."""
        executor, at = self._executor, wall_clock.seconds()
        collector = self._collected(RunCollector(0, window, (), keeps_runs))
        counts = {**dict.fromkeys(OPEN, 0), **collector.counts()}
        open_counts = executor.status_counts()
        counts |= {status: open_counts[status] for status in (PENDING.value, PROCESSING.value)}
        for event in executor.processing_events:
            began = event.execution.started_at
            collector.add(PROCESSING.value, None, None if began is None else began.timestamp(), None)
        if collector.times.running:
            collector.times.reach(at)
        errors = self._errors.largest(top) if window.is_all else ()
        return RunReport(
            name=executor.name,
            at=at,
            state=state_of(executor, counts),
            notes=("Only what was recorded.",) if window.is_all else ("Only what was recorded. Errors have no times.",),
            window=window,
            counts=counts,
            times=collector.times,
            errors=errors,
            other_errors=self._errors.others(errors) if window.is_all else 0,
            slowest=self._slowest_runs(top) if window.is_all else (),
            running=running_of(executor, top, at),
            limits=(*limits, *limits_of(executor, has_events=False)),
            slots=slots_of(executor),
        )

    def _slowest_runs(self, top: int) -> tuple[SlowRun, ...]:
        found = self._slowest.longest_first()[:top]
        return tuple(SlowRun(None, event_id, kind, status, took) for took, status, (event_id, kind) in found)


@contextmanager
def record_runs(executor: Executor) -> Generator[RunRecord]:
    """
    Record the runs of an executor without a journal, inside of a block, for :func:`report`.

    Example::

        with record_runs(executor) as runs:
            async with executor:
                ...
        report(runs, "run.html")

    Events may leave memory meanwhile. The record takes 25 bytes for each run, and some µs of CPU. It can be used
    after the block too.

    Args:
        executor: The executor. It may run already.
    """
    record = RunRecord(executor)
    remove = executor.observe(record._note)
    try:
        yield record
    finally:
        remove()


record_runs.__module__ = public_home(record_runs.__module__)
publish_classes(RunRecord)
