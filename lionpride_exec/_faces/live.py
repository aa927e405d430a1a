"""What a report shows of an executor without a journal: what memory still has, or what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._base.error_shapes import error_line, status_code_of
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.sentinel import UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import counted
from lionpride_exec._executor.found import tag_for
from lionpride_exec._executor.opening_fact import has_window, limit_form
from lionpride_exec._model.run_collector import RunCollector
from lionpride_exec._model.run_record import ALL_TIME, CODES, LimitStarts, OpenRun, RunReport, SlowRun
from lionpride_exec._status import HELD, OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from datetime import datetime

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._model.limits import Router
    from lionpride_exec._model.run_record import Window


def executor_report(
    executor: Executor,
    *,
    top: int = 20,
    window: Window = ALL_TIME,
    limits: Sequence[LimitStarts] = (),
    keeps_runs: bool = False,
) -> RunReport:
    """
    Return what memory has of the events of an executor. O(number of these events). Call it where they are changed.

    Args:
        executor: The executor.
        top: How many events and errors of each kind are named.
        window: The time that the report is about.
        limits: Limits to compare the starts with, beside those of the executor.
        keeps_runs: Whether to keep how each run ended.
    """
    known = [*limits, *limits_of(executor, has_events=True)]
    collector = RunCollector(top, window, [limit for limit in known if limit.key_of is not None], keeps_runs)
    for event in executor.states.items:
        _add(collector, event)
    if collector.times.running:
        collector.times.reach(wall_clock.seconds())
    counts = counts_of(executor)
    in_memory = collector.counts()
    left = sum(counts[status] - in_memory[status] for status in CODES) if window.is_all else 0
    return _report(
        executor,
        collector,
        counts if window.is_all else counts | in_memory,
        known,
        notes=(f"{counted(left, 'event')} that left memory {'is' if left == 1 else 'are'} only counted.",)
        if left
        else (),
    )


def _add(collector: RunCollector, event: Event) -> None:
    execution = event.execution
    earlier = [(_seconds(one.started_at), _seconds(one.finished_at)) for one in execution.attempts]
    is_counted = collector.add(
        execution.status.value,
        _seconds(execution.queued_at),
        _seconds(execution.started_at),
        _seconds(execution.finished_at),
        [(begin, stop) for begin, stop in earlier if begin is not None and stop is not None],
        event,
    )
    if is_counted:
        duration = None if isinstance(execution.duration, UnsetType) else execution.duration
        error = error_line(execution.error, secrets_of(event))
        code = None if error is None else status_code_of(execution.error)
        collector.add_outcome(str(event.id), execution.status.value, duration, error, event, code)


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _report(
    executor: Executor,
    collector: RunCollector,
    counts: dict[str, int],
    limits: list[LimitStarts],
    *,
    notes: tuple[str, ...],
) -> RunReport:
    errors = collector.groups.largest(collector.top)
    at = wall_clock.seconds()
    return RunReport(
        name=executor.name,
        at=at,
        state=state_of(executor, counts),
        notes=notes,
        window=collector.window,
        counts=counts,
        times=collector.times,
        errors=errors,
        other_errors=collector.groups.others(errors),
        slowest=tuple(
            SlowRun(None, str(event.id), tag_for(event), status, duration)
            for duration, status, event in collector.slowest.longest_first()
        ),
        running=running_of(executor, collector.top, at),
        limits=tuple(limits),
        slots=slots_of(executor),
    )


def counts_of(executor: Executor) -> dict[str, int]:
    """Return the events of an executor by status. Those that have ended and left memory are included."""
    ended = {status.value: number for status, number in executor.progress().by_status.items()}
    return {**executor.status_counts(), **ended, HELD: 0}


def state_of(executor: Executor, counts: dict[str, int]) -> str:
    """Return how far an executor is, in words."""
    still_open = sum(counts[status] for status in OPEN)
    if not sum(counts.values()):
        return "No events yet."
    if not still_open:
        return "All events have ended."
    words = f"{counted(still_open, 'event')} {'has' if still_open == 1 else 'have'} not ended"
    return f"{words}, and it is paused." if executor.is_paused else f"{words}."


def running_of(executor: Executor, top: int, now: float) -> tuple[OpenRun, ...]:
    """Return the events that run, longest first."""
    found = [(_seconds(event.execution.started_at), event) for event in executor.processing_events]
    in_order = sorted(found, key=lambda one: now if one[0] is None else one[0])[:top]
    return tuple(
        OpenRun(None, str(event.id), tag_for(event), event.execution.attempt, None if began is None else now - began)
        for began, event in in_order
    )


def slots_of(executor: Executor) -> int | None:
    """Return how many events may run at the same time. None before the first start."""
    return None if executor.processor is None else executor.processor.concurrency_limit


def limits_of(executor: Executor, *, has_events: bool) -> list[LimitStarts]:
    """
    Return the rates of an executor that have no cost, as they are now.

    Args:
        executor: The executor.
        has_events: Whether the collector is given the events themselves, so that their keys can be found.
    """
    if executor.processor is None:
        return []
    router = executor.processor.router
    found: list[LimitStarts] = []
    for number, limit in enumerate(router.limits):
        if not has_window(limit):
            continue
        form = limit_form(limit)
        key_of = _key_getter(router, number) if has_events and form["key"] is not None else None
        found.append(LimitStarts(form["per"], form["amount"], form["key"], form["amounts"], key_of))
    return found


def _key_getter(router: Router, number: int) -> Callable[[Any], Hashable]:
    def key_of(event: Any) -> Hashable:
        """Return the key of an event. None if a function of the program raises."""
        try:
            return router.keys_of(event)[number]
        except Exception:  # noqa: BLE001  a key that a program cannot tell now
            return None

    return key_of
