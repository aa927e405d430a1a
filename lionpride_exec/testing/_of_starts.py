"""Invariants of what starts events: the queue, the gate, slots, capacity, limits."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any

from lionpride_exec._model.limits import Concurrent
from lionpride_exec._processing.permission_gate import MAX_DENIALS
from lionpride_exec._status import EventStatus

from ._look import Findings, Look, invariant_of_processor

if TYPE_CHECKING:
    from lionpride_exec import Event, Processor
    from lionpride_exec._scheduling.limit_state import Bucket

# Costs that are no whole numbers do not add up exactly.
ROUNDING = 1e-6


@invariant_of_processor
def nothing_lost(look: Look, processor: Processor) -> Findings:
    """Each PENDING event is on its way: queued, asked about, back from a run, behind others, or being written."""
    if look.executor.journal is not None and look.executor._book is None:
        return  # they are queued when it starts
    lost = [event for event in look.pending if not _is_on_its_way(look, processor, event)]
    if lost:
        yield f"{len(lost)} events are PENDING, and nothing will start them", lost


def _is_on_its_way(look: Look, processor: Processor, event: Event[Any]) -> bool:
    executor = look.executor
    return (
        processor.is_handling(event.id)
        or executor._agenda.is_waiting(event.id)
        or event.id in executor._agenda._early
        or event.id in executor._put_off
        or executor._is_coming(event)
        or any(unsettled is event for unsettled, _, _ in executor._unsettled)
    )


@invariant_of_processor
def queue(look: Look, processor: Processor) -> Findings:
    """The queue holds nothing but PENDING events of this executor, each once, and none that is asked or runs."""
    queued = [event for event in look.events if event.id in processor.queue]
    decided = [event for event in queued if event.execution.status is not EventStatus.PENDING]
    if decided:
        yield f"{len(decided)} events are queued and not PENDING", decided
    busy = [event for event in queued if event.id in processor._in_flight or event.id == processor._asked]
    if busy:
        yield f"{len(busy)} events are queued that were taken out", busy
    if len(queued) != (number := processor.queue.qsize() + processor.queue.backlog_size()):
        yield f"the queue counts {number}, and {len(queued)} events of this executor are in it", queued


@invariant_of_processor
def flights(_: Look, processor: Processor) -> Findings:
    """What a processor has started runs, or has ended, or comes back; there is a worker for each."""
    waiting = [
        flight.event
        for flight in processor._in_flight.values()
        if flight.event.execution.status is EventStatus.PENDING and flight.again_in is None
    ]
    if waiting:
        yield f"{len(waiting)} events were started and are PENDING, and do not come back", waiting
    started = [flight.event for flight in processor._in_flight.values()]
    busy = sum(crew._busy for crew in processor._crews)
    if busy != len(started):
        yield f"{busy} workers run {len(started)} events", started


@invariant_of_processor
def slots(_: Look, processor: Processor) -> Findings:
    """Each running worker has a slot, as have those that are on their way to an event, and nobody else."""
    crews = [crew for crew in processor._crews if crew.slots is processor._slots]
    borrowed = processor._slots.limiter.borrowed_tokens
    busy, seeking = sum(crew._busy for crew in crews), sum(crew.seeking for crew in crews)
    started = [flight.event for flight in processor._in_flight.values()]
    if not busy <= borrowed <= busy + seeking:
        yield f"{borrowed} slots are taken, by {busy} workers that run an event and {seeking} on their way", started
    if borrowed > processor._slots.total and not processor._slots.resized:
        yield f"{borrowed} slots are taken, of {processor._slots.total}", started


@invariant_of_processor
def capacity(look: Look, processor: Processor) -> Findings:
    """The capacity of the window is never below 0, nor above `queue_capacity`."""
    if look.now is None:
        return
    available, total = processor.available_capacity, processor.queue_capacity
    if not 0 <= available <= total:
        yield f"{available} starts of {total} are available", []
    if processor._window.total != total:
        yield f"the window allows {processor._window.total} starts, and `queue_capacity` is {total}", []


@invariant_of_processor
def limits(_: Look, processor: Processor) -> Findings:
    """What a limit counts as used is what the events hold that it counts, and never more than a `Concurrent` allows."""
    held: Counter[int] = Counter()
    holders: dict[int, list[Event[Any]]] = {}
    for flight in processor._in_flight.values():
        for use in flight.uses:
            if use.back == inf:
                held[id(use.bucket)] += use.cost  # type: ignore[assignment]  # a float is as good
            holders.setdefault(id(use.bucket), []).append(flight.event)
    for bucket in processor.queue.lanes.buckets:
        events = holders.get(id(bucket), [])
        if (wrong := _wrong_account(bucket, held[id(bucket)])) is not None:
            yield f"{bucket!r} {wrong}", events


def _wrong_account(bucket: Bucket, held: float) -> str | None:
    """Say what is wrong with an account, of which running events hold so much until a time that nobody knows."""
    if isinstance(bucket.limit, Concurrent):
        if bucket.used != held:
            return f"counts {bucket.used}, and {held} run"
        return f"counts {bucket.used}" if bucket.used > bucket.limit.limit else None
    back_later = sum(use.cost for use in bucket._uses)
    if bucket.limit is None:
        return f"is a gate, and counts {bucket.used}" if bucket.used else None
    owed = held + back_later
    return f"counts {bucket.used}, and {owed} is to come back" if abs(bucket.used - owed) > ROUNDING else None


@invariant_of_processor
def limit_keys(_: Look, processor: Processor) -> Findings:
    """What limits keep for a key goes when nobody uses it: it never grows with the keys there were."""
    lanes = processor.queue.lanes
    lines = sum(bool(lane.path) for lane in lanes._lanes.values())  # that of events without keys stays
    if lines > processor.queue.qsize() + lanes.stale:
        yield f"there are {lines} lines for {processor.queue.qsize()} queued events", []
    kept, most = len(lanes.buckets._by_key), lanes.buckets._sweep_at + len(lanes.buckets._keyed)
    if kept > most:
        yield f"{kept} accounts are kept, and at {most} the unused ones are to go", []


@invariant_of_processor
def denials(look: Look, processor: Processor) -> Findings:
    """Each event that was denied has its strikes as long as it waits, and no other; the third ends it."""
    for event_id, number in processor._denial_counts.items():
        if event_id not in processor.queue and event_id != processor._asked:
            yield "strikes are counted of an event that does not wait", [look.named(event_id)]
        if not 0 < number < MAX_DENIALS:
            yield f"an event waits with {number} strikes", [look.named(event_id)]
    if len(processor._denial_counts) >= processor.max_denial_tracking or look.now is None:
        return  # the oldest may have been forgotten
    for event in look.pending:
        until, why = processor.queue.due(event.id) or (look.now, "")
        if why == "gate" and until > look.now and event.id not in processor._denial_counts:
            yield "an event waits because it was denied, and has no strike", [event]


@invariant_of_processor
def reruns(look: Look, processor: Processor) -> Findings:
    """The first start of a run is remembered only of events that run, or wait to be run again."""
    gone = [event_id for event_id in processor._reruns._first_starts if not processor.is_handling(event_id)]
    if gone:
        yield f"it is remembered of {len(gone)} that do neither", [look.named(event_id) for event_id in gone]
