"""
Invariants over time, which a trace checks at each transition against its own counts.

They are for events that a processor starts. An event that is run by hand (``event.invoke()``) starts at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, Never
from uuid import UUID

import attrs

from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._status import TERMINAL, TRANSITIONS, EventStatus

from .history import TOLERANCE, Change, History, Start, Taking
from .invariant import broken

# Returns what is wrong with a transition, given those before it. None if nothing is.
Check = Callable[[History, Change], str | None]


@attrs.frozen
class OverTime:
    """
    What has to hold of each transition, given those before it.

    Attributes:
        name: The name of the function.
        sentence: What has to hold.
        find: Returns what is wrong.
    """

    name: str
    sentence: str
    find: Check

    def complain(self, change: Change, wrong: str) -> Never:
        """
        Say what is wrong with a transition.

        Raises:
            InvariantBroken: Always.
        """
        raise broken(self.name, self.sentence, f"an event {wrong}", [change.event])


OVER_TIME: Final[dict[str, OverTime]] = {}


def _over_time(find: Check) -> Check:
    """Register a function as an invariant over time."""
    name = find.__name__
    OVER_TIME[name] = OverTime(name, (find.__doc__ or "").strip().partition("\n")[0], find)
    return find


def _of_starts(find: Callable[[History, Start], str | None]) -> Check:
    """Register a function as an invariant of the transitions by which the processor starts an event."""

    @wraps(find)
    def check(history: History, change: Change) -> str | None:
        """Return what is wrong with a change that starts an event."""
        start = history.start_of(change)
        return None if start is None else find(history, start)

    return _over_time(check)


@_over_time
def transitions(history: History, change: Change) -> str | None:
    """Each transition is in the table and starts from the status before; nothing leaves a final status."""
    previous, status = change.previous, change.status
    last = history.last.get(change.event.id, previous)
    if previous is not last:
        return f"went from {previous} to {status}, and was {last}"
    return None if status in TRANSITIONS[previous] else f"went from {previous} to {status}"


@_over_time
def run_numbers(history: History, change: Change) -> str | None:
    """Each run has the next number, or the same after an interruption, and no more than `Retry` allows."""
    event = change.event
    if change.status is not EventStatus.PROCESSING or event.id not in history.runs:
        return None
    number, (last, seen) = event.execution.attempt, history.runs[event.id]
    if number != last + 1:
        return f"is at run {number}, and {last + 1} is next"
    start = history.start_of(change)
    if start is None:
        return None
    retry = start.view.retry_of(event)
    allowed = 1 if retry is None else retry.attempts
    return f"runs once more after {seen} runs that counted, of {allowed}" if seen >= allowed else None


@_of_starts
def concurrency(_: History, start: Start) -> str | None:
    """
    No event starts while `concurrency_limit` events run; those that wait for others in their slot do not count.

    With `run_in`, no more than have a thread or a process.
    """
    running, aside = start.view.running, start.view.excluded_from_waits
    allowed = start.processor.running_limit + sum(number for each, number in aside.items() if each in running)
    return None if len(running) <= allowed else f"is number {len(running)} of those that run, of {allowed}"


@_of_starts
def capacity_window(history: History, start: Start) -> str | None:
    """No window of `capacity_refresh_time` seconds holds more than `queue_capacity` starts, wherever it begins."""
    if not history.is_in_window(start):
        return None
    processor, now = start.processor, start.now
    history.forget_starts(start.view.starts_given_back)
    period = processor.capacity_refresh_time
    history.starts = [each for each in history.starts if now - each < period - TOLERANCE]
    history.starts.append(now)
    number, allowed = len(history.starts), processor.queue_capacity
    return None if number <= allowed else f"is start {number} within {period} s, of {allowed}"


@_of_starts
def limit_windows(history: History, start: Start) -> str | None:
    """For each key, no window of a `Rate` holds more than its amount, and a `Concurrent` never runs too many."""
    for use in start.running.uses:
        takings = history.takings.setdefault((id(use.state.limit), use.state.key), [])
        takings[:] = [taking for taking in takings if history.is_out(taking, start.now)]
        takings.append(Taking(start.running, use, use.cost, start.now))
        taken = sum(taking.use.cost for taking in takings)
        limit, amount = use.state.limit, history.limits.amount(use.state)
        if limit is not None and taken > amount * (1 + 1e-9):
            return f"brings what is taken of {limit!r}, key {use.state.key!r}, to {taken}, of {amount}"
    return None


@_of_starts
def not_early(history: History, start: Start) -> str | None:
    """No event starts before its `delay` or its backoff is over, nor before the events that it comes after."""
    asked = history.asked.get(start.event.id)
    if asked is None:
        return None
    if start.now < asked.not_before - TOLERANCE:
        return f"has started {asked.not_before - start.now:.3f} s before its time"
    for other in asked.after:
        found = history.executor.states.items.get(other, None) if isinstance(other, UUID) else other
        if found is not None and found.execution.status is not EventStatus.COMPLETED:
            return f"has started and comes after {found}, which is {found.execution.status}"
    here = [found for other in asked.any_end if (found := history.executor.states.items.get(other, None)) is not None]
    early = next((found for found in here if found.execution.status not in TERMINAL), None)
    return None if early is None else f"has started and comes after the end of {early}, which has not ended"


@_of_starts
def not_expired(history: History, start: Start) -> str | None:
    """No event begins for the first time after it expires; with a journal, the record of a start may come later."""
    asked = history.asked.get(start.event.id)
    if asked is None or start.event.execution.attempts or history.executor.journal is not None:
        return None
    late = start.now - asked.expires
    return f"has begun {late:.3f} s after it expired" if late > TOLERANCE else None


@_of_starts
def not_before_told(history: History, start: Start) -> str | None:
    """No event starts before the time from `explain()`, unless a `cancel()`, `resize()` or other call intervenes."""
    told = history.told_of(start.event)
    # The headers of an answer may tell an adaptive limit another time, which is seen by nobody.
    is_adaptive = any(isinstance(use.state.limit, Adaptive) for use in start.running.uses)
    if start.view.is_in_batch or start.now >= told - TOLERANCE or is_adaptive:
        return None
    return f"has started {told - start.now:.3f} s before the time that explain() gave"


@_of_starts
def held_back(history: History, start: Start) -> str | None:
    """No event starts between `pause()` and `resume()`, also of its key, or after `stop()`, except by `forward()`."""
    paused = history.limits.find_pause(start.processor, start.running.entry.route.key, start.now + TOLERANCE)
    if paused is not None:
        return f"has started, and is held back: the key {paused[0]!r} of {paused[1] or 'its partition'!r} is paused"
    # This very start can fill the buffer of a watcher, so only holds that are texts count.
    held = [token for token in history.view.holds if isinstance(token, str)]
    if held:
        return f"has started, and is held back: {', '.join(held)}"
    return "has started after stop()" if start.processor.is_stopped() and not start.view.is_in_batch else None


@_of_starts
def order(history: History, start: Start) -> str | None:
    """Without gates and keys, the event with the lowest priority starts first, and the oldest of equal ones."""
    executor, processor, asked = history.executor, start.processor, history.asked.get(start.event.id)
    if asked is None or not start.view.asks_nobody or start.view.has_keys:
        return None  # gates answer in an order of their own, and keys take turns
    if processor.queue.qsize() >= processor.queue.max_size:
        return None  # another event may have taken the room of this one since
    deferred_ends = history.view.deferred_ends
    for other in executor.pending_events:
        theirs = history.asked.get(other.id)
        if theirs is None or other.id in deferred_ends or processor.queue.entry_of(other.id) is None:
            continue
        if processor.queue.due(other.id) is None and theirs.goes_before(asked):
            return f"has started (priority {asked.priority}) before {other} (priority {theirs.priority})"
    return None
