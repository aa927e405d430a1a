"""
Invariants of an executor at rest: no task sleeps that should be awake.

When every task is blocked, nothing happens until a timer or an outside call wakes one of them. So if something could go
on now, and no task is awake to do it, a wake-up was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lionpride_exec._model.waiting import WaitReason
from lionpride_exec._status import EventStatus

from .invariant import Findings, Look, When, invariant

if TYPE_CHECKING:
    from lionpride_exec._executor.explanation import Explanation


@invariant(When.AT_REST)
def nobody_idle(look: Look) -> Findings:
    """No event waits although its time has come and slot, capacity, gate and limits allow it to start."""
    processor, view = look.processor, look.processor_view
    if processor is None or view is None or not processor.is_running or view.asked is not None or look.now is None:
        return  # while a gate is asked, the other events wait for the answer
    processor.queue.ready(look.now)  # sorts the entries that have become due into their lanes
    deferred_ends = look.view.deferred_ends
    told = [look.explain(event) for event in look.pending if event.id not in deferred_ends]
    idle = [each.event for each in told if each.waits_for is WaitReason.TURN]
    if idle:
        yield f"{len(idle)} events could start, but no task looks for them", idle
    queued = [each for each in told if each.event_id in processor.queue]
    if queued and not look.started and all(map(_is_for_ever, queued)):
        yield f"{len(queued)} events wait for limits that nobody holds", [each.event for each in queued]


# What only the end of a running event brings, if no time is known.
_WITHOUT_TIME: Final = frozenset({WaitReason.LIMIT, WaitReason.GATE, WaitReason.REFUSAL, WaitReason.SLOT})


def _is_for_ever(told: Explanation) -> bool:
    """Whether an event waits for something that only the end of a running event can bring."""
    return told.seconds is None and told.waits_for in _WITHOUT_TIME


@invariant(When.AT_REST)
def nobody_waits_in_vain(look: Look) -> Findings:
    """Nobody waits for something that has come: a `join()`, a `stop()`, a batch, the end of a block."""
    for condition in look.view.conditions:
        if condition():
            name = getattr(condition, "__qualname__", repr(condition))
            yield f"a task still waits for {name}, although the condition holds", []


@invariant(When.AT_REST)
def room(look: Look) -> Findings:
    """If the queue has room, no `append(wait=True)` waits for it, and no room stays promised."""
    view = look.processor_view
    if look.processor is None or view is None:
        return
    if look.view.is_locked(EventStatus.PENDING):
        return  # the task that was given the room may be waiting for a lock
    queue = look.processor.queue
    if view.room_waiters and not (queue.is_full or queue.is_closed):
        yield f"{view.room_waiters} tasks wait for room, with {queue.qsize()} queued of {queue.max_size}", []
    coming = [event for event in look.events if look.view.is_being_written(event)]
    if not 0 <= view.promised_places <= len(coming):
        yield f"{view.promised_places} places are promised, to {len(coming)} events on their way to the disk", coming


@invariant(When.AT_REST)
def landed(look: Look) -> Findings:
    """An event that has run has given back what it held, and is queued if it runs again."""
    if look.processor_view is None or not look.processor_view.is_followed:
        return
    started = [each.event for each in look.started.values()]
    back = [event for event in started if event.execution.status is EventStatus.PENDING]
    if back:
        yield f"{len(back)} events are back from their run, and still hold their slot", back
