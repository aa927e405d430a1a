"""What other parts ask of a processor while it runs, and what they change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from .processor import Processor


def look_again(processor: Processor) -> None:
    """Have the loop of a processor, if one runs, see whether an event can start now."""
    processor._dispatcher.look_again()


def can_start(processor: Processor) -> bool:
    """Return whether the loop of a processor can start another event now. O(log n) amortised. False if no loop runs."""
    return processor._dispatcher.can_start()


def set_priority(processor: Processor, event_id: UUID, priority: float) -> bool:
    """
    Give an event that waits in a processor another priority. O(log n) amortised.

    Args:
        processor: The processor.
        event_id: The id of the event, which is PENDING.
        priority: Lower runs first; finite. The caller has checked it.

    Returns:
        Whether the processor has the event.
    """
    in_hand = processor._gate.in_hand
    if (entry := in_hand.get(event_id)) is not None:
        in_hand[event_id] = entry._replace(priority=priority)
    elif (run := processor._running.get(event_id.int)) is not None:  # about to begin, or its next run follows
        run.entry = run.entry._replace(priority=priority)
    elif not processor.queue.set_priority(event_id, priority):
        return False
    look_again(processor)
    return True
