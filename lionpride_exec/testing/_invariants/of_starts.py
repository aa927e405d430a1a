"""Invariants of the parts that start events: the queue, the gate, slots, capacity, limits."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from lionpride_exec._model.limits import Concurrent
from lionpride_exec._processing.permission_gate import MAX_DENIALS
from lionpride_exec._status import EventStatus

from .invariant import Findings, Look, invariant_of_processor

if TYPE_CHECKING:
    from lionpride_exec import Event, Processor
    from lionpride_exec.testing._processor_view import LimitState, ProcessorView
    from lionpride_exec.testing._view import ExecutorView

# Fractional costs do not add up exactly.
ROUNDING = 1e-6


@invariant_of_processor
def nothing_lost(look: Look, processor: Processor, _: ProcessorView) -> Findings:
    """Each PENDING event is queued, at its gate, back from a run, behind other events, or being written."""
    if look.view.is_journal_closed:
        return  # they are queued when it starts
    lost = [event for event in look.pending if not _is_on_its_way(look.view, processor, event)]
    if lost:
        yield f"{len(lost)} events are PENDING, and nothing will start them", lost


def _is_on_its_way(view: ExecutorView, processor: Processor, event: Event[Any]) -> bool:
    return (
        processor.is_handling(event.id)
        or event.id in view.waiting_after
        or event.id in view.early
        or event.id in view.deferred_ends
        or view.is_being_written(event)
        or view.is_being_enqueued(event)
        or any(unresolved is event for unresolved in view.unresolved)
    )


@invariant_of_processor
def queue(look: Look, processor: Processor, view: ProcessorView) -> Findings:
    """The queue holds only PENDING events of this executor, each once, and none that is at its gate or runs."""
    queued = [event for event in look.events if event.id in processor.queue]
    decided = [event for event in queued if event.execution.status is not EventStatus.PENDING]
    if decided:
        yield f"{len(decided)} events are queued and not PENDING", decided
    running, asked = look.started, view.asked
    busy = [event for event in queued if event.id in running or event.id == asked]
    if busy:
        yield f"{len(busy)} events are queued that were taken out", busy
    if len(queued) != (number := processor.queue.qsize()):
        yield f"the queue counts {number}, and {len(queued)} events of this executor are in it", queued


@invariant_of_processor
def flights(look: Look, __: Processor, view: ProcessorView) -> Findings:
    """Each event that a processor has started has a worker, and runs, has ended, or is to run again."""
    started = [each.event for each in look.started.values()]
    waiting = [
        each.event
        for each in look.started.values()
        if each.event.execution.status is EventStatus.PENDING and each.again_in is None
    ]
    if waiting:
        yield f"{len(waiting)} started events are PENDING, and no other run is planned", waiting
    if view.busy_workers != len(started):
        yield f"{view.busy_workers} workers run {len(started)} events", started


@invariant_of_processor
def slots(look: Look, __: Processor, view: ProcessorView) -> Findings:
    """Each worker that runs an event, or is about to, has a slot; nobody else has one."""
    taken, (busy, seeking) = view.slots_taken, view.slot_workers
    started = [each.event for each in look.started.values()]
    if not busy <= taken <= busy + seeking:
        yield f"{taken} slots are taken, by {busy} workers that run an event and {seeking} on their way", started
    if taken > view.slots and not view.are_slots_resized:
        yield f"{taken} slots are taken, of {view.slots}", started


@invariant_of_processor
def capacity(look: Look, processor: Processor, view: ProcessorView) -> Findings:
    """The capacity of the window is never below 0, nor above `queue_capacity`."""
    if look.now is None:
        return
    available, total = processor.available_capacity, processor.queue_capacity
    if not 0 <= available <= total:
        yield f"{available} starts of {total} are available", []
    if view.window_size != total:
        yield f"the window allows {view.window_size} starts, and `queue_capacity` is {total}", []


@invariant_of_processor
def limits(look: Look, __: Processor, view: ProcessorView) -> Findings:
    """A limit counts as used exactly what its events hold, and never more than a `Concurrent` allows."""
    held: dict[int, float] = {}
    holders: dict[int, list[Event[Any]]] = {}
    for running in look.started.values():
        for use in running.uses:
            if use.back == inf:
                held[id(use.state)] = held.get(id(use.state), 0) + use.cost
            holders.setdefault(id(use.state), []).append(running.event)
    for state in view.limit_states:
        events = holders.get(id(state), [])
        if (wrong := _find_wrong_use(state, held.get(id(state), 0))) is not None:
            yield f"{state!r} {wrong}", events


def _find_wrong_use(state: LimitState, held: float) -> str | None:
    """Return what is wrong with a limit state. Running events hold ``held`` of it until they end."""
    if isinstance(state.limit, Concurrent):
        if state.used != held:
            return f"counts {state.used} as used, but {held} events run"
        return f"counts {state.used} as used" if state.used > state.highest else None
    if state.limit is None:
        return f"is a gate, and counts {state.used} as used" if state.used else None
    owed = held + sum(cost for _, cost in state.returns())
    return f"counts {state.used} as used, but {owed} will come back" if abs(state.used - owed) > ROUNDING else None


@invariant_of_processor
def limit_keys(_: Look, processor: Processor, view: ProcessorView) -> Findings:
    """A limit drops its state for a key that no event uses, so its memory does not grow with past keys."""
    lanes = view.keyed_lanes
    if lanes > processor.queue.qsize() + view.stale_entries:
        yield f"there are {lanes} lanes with keys for {processor.queue.qsize()} queued events", []
    kept, most = view.keyed_limit_states, view.max_keyed_limit_states
    if kept > most:
        yield f"{kept} limit states are kept for keys; unused ones must go at {most}", []


@invariant_of_processor
def denials(look: Look, processor: Processor, view: ProcessorView) -> Findings:
    """Only events that were denied and still wait have strikes, and the third strike ends an event."""
    strikes, asked = view.strikes, view.asked
    for event_id, number in strikes.items():
        if event_id not in processor.queue and event_id != asked:
            yield "strikes are counted of an event that does not wait", [look.named(event_id)]
        if not 0 < number < MAX_DENIALS:
            yield f"an event waits with {number} strikes", [look.named(event_id)]
    if len(strikes) >= processor.max_denial_tracking or look.now is None:
        return  # the oldest may have been forgotten
    for event in look.pending:
        until, why = processor.queue.due(event.id) or (look.now, "")
        if why == "gate" and until > look.now and event.id not in strikes:
            yield "an event waits because it was denied, and has no strike", [event]


@invariant_of_processor
def reruns(look: Look, processor: Processor, view: ProcessorView) -> Findings:
    """The first start is remembered only for events that run, or wait to be run again."""
    gone = [event_id for event_id in view.first_starts if not processor.is_handling(event_id)]
    if gone:
        yield (
            f"{len(gone)} events have a remembered first start, but neither run nor wait to run again",
            [look.named(event_id) for event_id in gone],
        )
