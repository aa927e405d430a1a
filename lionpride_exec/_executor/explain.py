"""Why an event does not run, and what the events of an executor wait for."""

from __future__ import annotations

from collections import Counter
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._scheduling.blockers import find_blocker
from lionpride_exec._status import EventStatus
from lionpride_exec._tracking.subscriptions import Subscription

from .explanation import WAITS_FOR_NOTHING, Explanation, LimitUse, Statistics, WaitReason

if TYPE_CHECKING:
    from collections.abc import Collection

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.limit_state import LimitState
    from lionpride_exec._tracking.status_index import StatusIndex

    from .dependencies import Dependencies
    from .queueing import Queueing


# What an event waits for; the time of the loop's clock before which it does not start, -inf if none is known; and the
# limit state if one has no room.
_Why = tuple[WaitReason, float, "LimitState | None"]


class Explainer:
    """
    Explains what the events of an executor wait for.

    Attributes:
        coordination: The reasons why nothing starts, and the deferred ends.
        index: Where the events are, and the locks.
        dependencies: The events that wait for others.
        queueing: The events that the processor does not have yet.
    """

    def __init__(
        self, coordination: Coordination, index: StatusIndex, dependencies: Dependencies, queueing: Queueing
    ) -> None:
        self.coordination: Coordination = coordination
        self.index: StatusIndex = index
        self.dependencies: Dependencies = dependencies
        self.queueing: Queueing = queueing

    def explain(self, event: Event, processor: Processor | None) -> Explanation:
        """Return what an event waits for. O(1), or O(what is used of its limits)."""
        self._follow_clocks(processor)
        now = current_time()
        reason, until, state = _why(self, processor, event, now)
        return Explanation(
            event=event,
            status=event.status,
            waits_for=reason,
            seconds=0.0 if reason in WAITS_FOR_NOTHING else until - now if until > now else None,
            limit=None if state is None else state.limit,
            key=None if state is None else state.key,
            after=tuple(self.dependencies.awaited_by(event.id)) if reason is WaitReason.DEPENDENCY else (),
            holder=self._holder(reason),
        )

    def statistics(self, processor: Processor | None, status_counts: dict[str, int]) -> Statistics:
        """Return the state of the executor and what its events wait for. O(what is delayed or parked)."""
        self._follow_clocks(processor)
        now = current_time()
        kept: dict[str, Any] = {
            "status_counts": MappingProxyType(status_counts),
            "is_paused": PAUSED in self.coordination.holds,
        }
        if processor is None:
            return Statistics(waits=MappingProxyType(_waits_before_start(self)), **kept)
        return Statistics(
            waits=MappingProxyType(_waits(self, processor, now)),
            running=len(processor._running),
            concurrency_limit=processor.concurrency_limit,
            queued=processor.queue.qsize(),
            max_queue_size=processor.max_queue_size,
            available_capacity=processor.available_capacity,
            queue_capacity=processor.queue_capacity,
            limits=tuple(
                LimitUse(state.limit, state.key, state.used)
                for state in processor.queue.lanes.limit_states
                if state.limit is not None and state.used_at(now)
            ),
            is_running=processor.is_running,
            pauses=tuple(sorted(processor._pauses.current(now), key=lambda pause: -pause.seconds)),
            paces=tuple(processor._pauses.paces(now)),
            rate_limited=processor._pauses.rate_limited,
            retries=processor.retries,
            **kept,
        )

    def is_being_stored(self, event: Event) -> bool:
        """Return whether an event is being written, and will be queued after that."""
        inserts = self.queueing.inserts
        return inserts is not None and inserts.is_being_stored(event)

    def count_being_stored(self) -> int:
        """Return how many events are being written, and will be queued after that."""
        inserts = self.queueing.inserts
        return 0 if inserts is None else inserts.count_being_stored()

    def count_pending(self) -> int:
        """Return how many events are PENDING."""
        return len(self.index.progression(EventStatus.PENDING))

    def _follow_clocks(self, processor: Processor | None) -> None:
        """Carry all times over to the running event loop."""
        self.queueing.follow_clock()
        if processor is not None:
            processor._follow_clock()

    def _holder(self, reason: WaitReason) -> str | None:
        """Return a description of the watcher or the lock that holds events up. None for other reasons."""
        if reason is WaitReason.WATCHER:
            watchers = [token for token in self.coordination.holds if isinstance(token, Subscription)]
            return "; ".join(watcher.describe() for watcher in watchers)
        return self.index.lock_in_the_way() if reason is WaitReason.LOCK else None


def _why(parts: Explainer, processor: Processor | None, event: Event, now: float) -> _Why:
    """Return the first unmet condition of an event."""
    if event.status is not EventStatus.PENDING:
        return (WaitReason.FINAL if event.status.is_terminal else WaitReason.RUNNING), now, None
    if event.id in parts.coordination.deferred_ends:  # its end is decided
        return (WaitReason.LOCK if parts.index.lock_in_the_way() else WaitReason.JOURNAL), -inf, None
    if event.id in parts.dependencies.waiting:
        return WaitReason.DEPENDENCY, _or_unknown(parts.dependencies.due(event.id)), None
    if parts.is_being_stored(event):
        return WaitReason.JOURNAL, -inf, None
    if processor is None:
        early = parts.queueing.early.get(event.id)
        return WaitReason.START, _or_unknown(None if early is None else early.until), None
    return _why_in_processor(parts, processor, event, now)


def _why_in_processor(parts: Explainer, processor: Processor, event: Event, now: float) -> _Why:
    """Return what an event waits for in the processor. No condition before the processor is unmet."""
    queue = processor.queue
    queue.ready(now)  # what has arrived, or has become due, is in its lane by now, and what cannot start is parked
    if event.id == processor._gate.asked:
        return _why_asked(parts, processor), -inf, None
    if (run := processor._running.get(event.id)) is not None:  # its run is over, but for what comes after it
        return WaitReason.RETRY, now + (run.again_in or 0.0), None
    if queue.is_in_backlog(event.id):
        return WaitReason.ROOM, -inf, None
    if (delayed := queue.due(event.id)) is not None:
        return WaitReason(delayed[1]), delayed[0], None
    entry = queue.entry_of(event.id)
    if entry is None:
        return WaitReason.START, -inf, None
    return _why_queued(parts, processor, entry, now)


def _why_asked(parts: Explainer, processor: Processor) -> WaitReason:
    """Return what an event waits for that was taken out of the queue for the gate to be asked."""
    return WaitReason.LOCK if not processor._gate.is_asking and parts.index.lock_in_the_way() else WaitReason.GATE


def _why_queued(parts: Explainer, processor: Processor, entry: Entry, now: float) -> _Why:
    """Return what a queued and due event waits for. The lanes must be up to date."""
    state, until = find_blocker(processor.queue.lanes, entry, now)
    reason, until_all = _why_all(parts, processor, now)
    if until_all < inf:
        until = max(until, until_all)
    return (reason if state is None else _reason_of(state, now)), until, state


def _reason_of(state: LimitState, now: float) -> WaitReason:
    is_closed = state.limit is None or state.closed_until > now
    return WaitReason.GATE if is_closed else WaitReason.LIMIT


def _why_all(parts: Explainer, processor: Processor, now: float) -> tuple[WaitReason, float]:
    """Return what holds up an event that has room in all its limits, and the earliest time at which that may end."""
    until = -inf if processor.available_capacity else processor._window.next_at(now)
    held = parts.coordination.holds
    if held:
        return _why_held(held), until
    if not processor.is_running or processor.is_stopped():
        return WaitReason.START, -inf  # forward() asks for no capacity
    if parts.index.lock_in_the_way():
        return WaitReason.LOCK, until
    if until > now:
        return WaitReason.CAPACITY, until
    if len(processor._running) >= processor.concurrency_limit:
        return WaitReason.SLOT, -inf
    return WaitReason.TURN, -inf


def _why_held(held: Collection[object]) -> WaitReason:
    """Return what the tokens stand for: ``pause()``, a watcher, or the journal."""
    if PAUSED in held:
        return WaitReason.PAUSED
    return WaitReason.WATCHER if any(isinstance(token, Subscription) for token in held) else WaitReason.JOURNAL


def _or_unknown(until: float | None) -> float:
    return -inf if until is None else until


def _waits_before_start(parts: Explainer) -> dict[WaitReason, int]:
    pending = parts.count_pending()
    waiting, coming = len(parts.dependencies.waiting), parts.count_being_stored()
    counts = {WaitReason.DEPENDENCY: waiting, WaitReason.JOURNAL: coming, WaitReason.START: pending - waiting - coming}
    return {reason: number for reason, number in counts.items() if number > 0}


def _waits(parts: Explainer, processor: Processor, now: float) -> dict[WaitReason, int]:
    queue = processor.queue
    waits: Counter[WaitReason] = Counter()
    waits[WaitReason.DEPENDENCY] = len(parts.dependencies.waiting)
    waits[WaitReason.JOURNAL] = parts.count_being_stored()
    queue.ready(now)  # what cannot start is parked by now
    for why, number in queue.delays.counts().items():
        waits[WaitReason(why)] += number
    for front, number in list(queue.lanes.parked()):
        waits[_why_queued(parts, processor, front, now)[0]] += number
    waits[WaitReason.ROOM] += queue.backlog_size()
    waits[WaitReason.RETRY] += sum(run.event.status is EventStatus.PENDING for run in processor._running.values())
    asked = None if processor._gate.asked is None else parts.index.items.get(processor._gate.asked, None)
    if asked is not None and asked.status is EventStatus.PENDING:
        waits[_why_asked(parts, processor)] += 1
    front_entry = queue.lanes.front()
    rest = parts.count_pending() - waits.total()
    if rest > 0:  # they all wait for what the first of them waits for
        all_wait_for = _why_all(parts, processor, now)[0]
        first = None if front_entry is None else _why_queued(parts, processor, front_entry, now)[0]
        waits[first or all_wait_for] += rest
    return dict(+waits)
