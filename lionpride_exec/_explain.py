"""Why an event does not run, and what all of them wait for."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from ._background import current_time
from ._status import EventStatus

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from uuid import UUID

    from ._bucket import Bucket
    from ._control import Control
    from ._event import Event
    from ._lanes import Entry
    from ._limits import Limit
    from ._pauses import Pause
    from ._processor import Processor


class WaitReason(StrEnum):
    """What an event waits for."""

    START = "start"
    """For the executor to be started (again)."""
    PAUSED = "paused"
    """For ``resume()``, or for a watcher that has to catch up."""
    DEPENDENCY = "dependency"
    """For the events that it comes after."""
    DELAY = "delay"
    """For its time."""
    RETRY = "retry"
    """For its next attempt."""
    ROOM = "room"
    """For room in the queue."""
    GATE = "gate"
    """For its gate to be asked (again), or for the end of a ``RateLimited``."""
    LIMIT = "limit"
    """For a ``Rate`` or ``Concurrent``."""
    CAPACITY = "capacity"
    """For the capacity of the window."""
    SLOT = "slot"
    """For one of those that run to end: the concurrency limit is reached."""
    TURN = "turn"
    """For nothing else than its turn."""
    RUNNING = "running"
    """For nothing: it runs."""
    FINAL = "final"
    """For nothing: it has ended."""


@attrs.frozen
class Explanation:
    """
    What an event waits for at the moment.

    Attributes:
        event: Which event.
        status: Its status.
        waits_for: What it waits for; of several things the one that is decided first.
        seconds: For how many seconds at least, if nothing is done until then; 0 for nothing, None: that cannot be told.
        limit: Which limit, if it is one.
        key: Of which key, if the limit or the gate has keys.
        after: The events that have not completed yet, if it waits for others.
    """

    event: Event
    status: EventStatus
    waits_for: WaitReason
    seconds: float | None = None
    limit: Limit | None = None
    key: Hashable = None
    after: tuple[UUID, ...] = ()

    @property
    def event_id(self) -> UUID:
        """The id of the event."""
        return self.event.id

    def __str__(self) -> str:
        parts = [f"{self.event!r} is {self.status}"]
        if self.waits_for not in _NOTHING:
            parts.append(f"waits for {_WORDS.get(self.waits_for, self.waits_for)}")
            if self.limit is not None:
                parts.append(f"{self.limit!r}")
            if self.key is not None:
                parts.append(f"of key {self.key!r}")
            if self.after:
                parts.append(f"of {len(self.after)} event{'' if len(self.after) == 1 else 's'}")
            if self.seconds is not None:
                parts.append(f"at least {self.seconds:.3g} s")
        return ", ".join(parts)


_WORDS: Final = {
    WaitReason.START: "the executor to be started",
    WaitReason.PAUSED: "resume()",
    WaitReason.DEPENDENCY: "the end",
    WaitReason.DELAY: "its time",
    WaitReason.RETRY: "its next attempt",
    WaitReason.ROOM: "room in the queue",
    WaitReason.SLOT: "a slot",
    WaitReason.TURN: "its turn",
}
_NOTHING: Final = frozenset({WaitReason.RUNNING, WaitReason.FINAL})


@attrs.frozen
class LimitUse:
    """
    How much of a limit is used at the moment.

    Attributes:
        limit: Which one.
        key: Of which key; None: it has none.
        used: Of its amount.
    """

    limit: Limit
    key: Hashable
    used: float


@attrs.frozen
class Statistics:
    """
    An executor at one moment.

    Attributes:
        status_counts: Events by status, all seven.
        waits: Pending events by what they wait for; only what there is.
        running: Events that run, of ``concurrency_limit``.
        concurrency_limit: Of the executor; 0: it was not started yet.
        queued: Events in the queue, of ``max_queue_size``.
        max_queue_size: Of the executor; 0: it was not started yet.
        available_capacity: Starts that the window allows now, of ``queue_capacity``.
        queue_capacity: Of the executor; 0: it was not started yet.
        limits: What is used of each limit and key; only what is.
        is_running: Whether events are started.
        is_paused: Whether ``pause()`` holds.
        pauses: The keys that are closed by ``RateLimited``, the one that opens last first.
        rate_limited: Runs that ended with ``RateLimited`` so far.
        retries: Runs that failed so far and were followed by another run. Those that ended with ``RateLimited`` and
            those that were interrupted are not among them.
    """

    status_counts: Mapping[str, int]
    waits: Mapping[WaitReason, int]
    running: int = 0
    concurrency_limit: int = 0
    queued: int = 0
    max_queue_size: int = 0
    available_capacity: int = 0
    queue_capacity: int = 0
    limits: tuple[LimitUse, ...] = ()
    is_running: bool = False
    is_paused: bool = False
    pauses: tuple[Pause, ...] = ()
    rate_limited: int = 0
    retries: int = 0


# A reason, until when, and the bucket if it is one.
_Why = tuple[WaitReason, float | None, "Bucket | None"]


def explain(executor: Control, event: Event) -> Explanation:
    """Say what an event of this executor waits for. O(1), or O(what is used of its limits)."""
    if executor.processor is not None:
        executor.processor._follow_clock()
    now = current_time()
    after = tuple(executor._agenda.waits_for(event.id))
    reason, until, bucket = (WaitReason.DEPENDENCY, None, None) if after else _why(executor, event, now)
    return Explanation(
        event=event,
        status=event.status,
        waits_for=reason,
        seconds=0.0 if reason in _NOTHING else None if until is None else max(until - now, 0.0),
        limit=None if bucket is None else bucket.limit,
        key=None if bucket is None else bucket.key,
        after=after,
    )


def statistics(executor: Control) -> Statistics:
    """Give the state of an executor and what its events wait for. O(what is delayed or parked)."""
    if executor.processor is not None:
        executor.processor._follow_clock()
    now = current_time()
    kept: dict[str, Any] = {
        "status_counts": MappingProxyType(executor.status_counts()),
        "is_paused": executor.is_paused,
    }
    processor = executor.processor
    if processor is None:
        return Statistics(waits=MappingProxyType(_waits_before_start(executor)), **kept)
    return Statistics(
        waits=MappingProxyType(_waits(executor, processor, now)),
        running=len(processor._in_flight),
        concurrency_limit=processor.concurrency_limit,
        queued=processor.queue.qsize(),
        max_queue_size=processor.max_queue_size,
        available_capacity=processor.available_capacity,
        queue_capacity=processor.queue_capacity,
        limits=tuple(
            LimitUse(bucket.limit, bucket.key, bucket.used)
            for bucket in processor.queue.lanes.buckets
            if bucket.limit is not None and bucket.used_at(now)
        ),
        is_running=processor.is_running,
        pauses=tuple(sorted(processor._pauses.current(now), key=lambda pause: -pause.seconds)),
        rate_limited=processor._pauses.rate_limited,
        retries=processor.retries,
        **kept,
    )


def _why(executor: Control, event: Event, now: float) -> _Why:
    """Give what an event waits for that comes after no others."""
    processor = executor.processor
    if event.status is not EventStatus.PENDING:
        return (WaitReason.FINAL if event.status.is_terminal else WaitReason.RUNNING), now, None
    if processor is None or not (processor.is_running or event.id in processor.queue):
        return WaitReason.START, None, None
    delayed = processor.queue.due(event.id)
    if delayed is not None:
        return WaitReason(delayed[1]), delayed[0], None
    entry = processor.queue.entry_of(event.id)
    if entry is None:
        return (WaitReason.GATE if event.id == processor._asked else WaitReason.ROOM), None, None
    return _why_queued(executor, processor, entry, now)


def _why_queued(executor: Control, processor: Processor, entry: Entry, now: float) -> _Why:
    """Give what an event waits for that is queued and due."""
    processor.queue.ready(now)  # what has arrived is in its lane by now
    blocker = processor.queue.lanes.blocker(entry, now)
    if blocker is not None:
        bucket, until = blocker
        return _reason_of(bucket, now), (None if until == inf else until), bucket
    reason, until_all = _why_all(executor, processor, now)
    return reason, until_all, None


def _reason_of(bucket: Bucket, now: float) -> WaitReason:
    is_closed = bucket.limit is None or bucket.closed_until > now
    return WaitReason.GATE if is_closed else WaitReason.LIMIT


def _why_all(executor: Control, processor: Processor, now: float) -> tuple[WaitReason, float | None]:
    """Give what holds up an event that nothing of its own holds up."""
    if executor._held_back:
        return WaitReason.PAUSED, None
    if not processor.is_running or processor.is_stopped():
        return WaitReason.START, None
    if not processor.available_capacity:
        return WaitReason.CAPACITY, processor._window.next_at(now)
    if len(processor._in_flight) >= processor.concurrency_limit:
        return WaitReason.SLOT, None
    return WaitReason.TURN, None


def _waits_before_start(executor: Control) -> dict[WaitReason, int]:
    pending = executor.status_counts()[EventStatus.PENDING]
    waiting = executor._agenda.waiting
    return {
        reason: number
        for reason, number in ((WaitReason.DEPENDENCY, waiting), (WaitReason.START, pending - waiting))
        if number
    }


def _waits(executor: Control, processor: Processor, now: float) -> dict[WaitReason, int]:
    queue = processor.queue
    waits: Counter[WaitReason] = Counter()
    waits[WaitReason.DEPENDENCY] = executor._agenda.waiting
    queue.ready(now)  # what cannot start is parked by now
    for why, number in queue.delayed().items():
        waits[WaitReason(why)] += number
    for bucket, number in queue.lanes.parked():
        waits[_reason_of(bucket, now)] += number
    waits[WaitReason.ROOM] = queue.backlog_size()
    asked = None if processor._asked is None else executor.states.items.get(processor._asked, None)
    if asked is not None and asked.status is EventStatus.PENDING:
        waits[WaitReason.GATE] += 1
    entry = queue.lanes.front()
    rest = executor.status_counts()[EventStatus.PENDING] - waits.total()
    if rest > 0:  # they all wait for what the first of them waits for
        first = None if entry is None else executor.states.items.get(entry.event_id, None)
        waits[_why_all(executor, processor, now)[0] if first is None else _why(executor, first, now)[0]] += rest
    return dict(+waits)
