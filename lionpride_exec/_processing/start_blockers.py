"""Why an event does not start, as far as the processor decides that. Only ``explain()`` uses this."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from lionpride_exec._model.waiting import Waiting, WaitReason

if TYPE_CHECKING:
    from uuid import UUID

    from .processor import Processor


def why_waiting(
    processor: Processor, event_id: UUID, now: float, *, held: WaitReason | None, is_locked: bool
) -> Waiting | None:
    """
    Return what an event waits for that the processor has. None if the processor does not have it, or it is not due.

    Args:
        processor: The processor. Its queue must be up to date.
        event_id: The event.
        now: The time.
        held: Why nothing may start: ``pause()``, a watcher, or the journal. None if events may start.
        is_locked: Whether a task holds a lock that a start needs.
    """
    if event_id == processor._gate.asked:
        return why_asked(processor, is_locked=is_locked)
    if (run := processor._running.get(event_id.int)) is not None:  # the run has ended, but not its cleanup
        return Waiting(WaitReason.RETRY, now + (run.again_in or 0.0))
    queue = processor.queue
    if queue.due(event_id) is not None or queue.entry_of(event_id) is None:
        return None
    return why_nothing_starts(processor, now, held=held, is_locked=is_locked)


def why_asked(processor: Processor, *, is_locked: bool) -> Waiting:
    """Return what an event waits for that was taken out of the queue for the gate to be asked."""
    return Waiting(WaitReason.LOCK if is_locked and not processor._gate.is_asking else WaitReason.GATE)


def why_nothing_starts(processor: Processor, now: float, *, held: WaitReason | None, is_locked: bool) -> Waiting:
    """Return what an event waits for that is due and has room in its limits: the events before it, if nothing else."""
    free_at = -inf if processor.available_capacity else processor._window.next_at(now)
    # The events of a batch ask for no capacity, and the end of a batch gives back what is withheld: no time is known.
    until = free_at if free_at < inf and not processor._lifetime.is_in_batch else -inf
    if held is not None:
        return Waiting(held, until)
    if not processor.is_running or processor.is_stopped():
        return Waiting(WaitReason.START)  # forward() asks for no capacity
    if is_locked:
        return Waiting(WaitReason.LOCK, until)
    if free_at > now:
        return Waiting(WaitReason.CAPACITY, until)
    is_full = len(processor._running) >= processor.running_limit
    return Waiting(WaitReason.SLOT if is_full else WaitReason.TURN)
