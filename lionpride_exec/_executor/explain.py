"""Why an event does not run, and what all of them wait for."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._base.wording import MAX_SECONDS, counted, shown_seconds
from lionpride_exec._scheduling.blockers import find_blocker
from lionpride_exec._status import EventStatus
from lionpride_exec._tracking.subscriptions import Subscription

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.pauses import Pause, StartPace
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.limit_state import LimitState
    from lionpride_exec._tracking.status_index import StatusIndex

    from .dependencies import Dependencies
    from .submissions import Submissions


class WaitReason(StrEnum):
    """What an event waits for."""

    START = "start"
    """For the executor to be started (again)."""
    PAUSED = "paused"
    """For ``resume()``."""
    WATCHER = "watcher"
    """For the reader of a ``watch()`` that has to catch up."""
    LOCK = "lock"
    """For a lock on the progressions that somebody holds."""
    JOURNAL = "journal"
    """For the journal: the event is not on disk yet, or the disk is behind or in trouble."""
    DEPENDENCY = "dependency"
    """For the events that it comes after."""
    DELAY = "delay"
    """For its time."""
    RETRY = "retry"
    """For its next attempt."""
    ROOM = "room"
    """For room in the queue."""
    GATE = "gate"
    """For its gate to be asked (again), for the end of a ``RateLimited``, or for the pace of its key after that."""
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
        waits_for: The first unmet condition, of the event or of those that go before it.
        seconds: How many seconds the event waits at least, unless somebody changes something (``cancel()``,
            ``resize()``, ``settle()``, ``forward()``, …). 0 if it waits for nothing, None if no time is known.
        limit: The limit that has no room, if it waits for one.
        key: The key of that limit or gate, if it has keys.
        after: The events that have not completed yet, if it waits for others.
        holder: Who holds things up, in words: which watcher, or which task holds which lock. None for other reasons.
    """

    event: Event
    status: EventStatus
    waits_for: WaitReason
    seconds: float | None = None
    limit: Limit | None = None
    key: Hashable = None
    after: tuple[UUID, ...] = ()
    holder: str | None = None

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
                parts.append(f"of {counted(len(self.after), 'event')}")
            if self.holder is not None:
                parts.append(self.holder)
            if self.seconds is not None:
                parts.append("for ever" if self.seconds > MAX_SECONDS else f"at least {shown_seconds(self.seconds)}")
        return ", ".join(parts)


_WORDS: Final = {
    WaitReason.START: "the executor to be started",
    WaitReason.PAUSED: "resume()",
    WaitReason.WATCHER: "a watcher that has to catch up",
    WaitReason.JOURNAL: "the journal",
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
        waits: Pending events by what they wait for; only what there is. Events with the same keys are counted with
            the first of them.
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
        paces: The keys that are open again since, and how fast their runs may start.
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
    paces: tuple[StartPace, ...] = ()
    rate_limited: int = 0
    retries: int = 0


# What an event waits for, the time (of the loop's clock) before which it does not start (-inf: none is known), and the
# limit state if one has no room.
_Why = tuple[WaitReason, float, "LimitState | None"]


class Explainer:
    """
    Says what the events of an executor wait for.

    Attributes:
        coordination: The reasons why nothing starts, and the deferred ends.
        index: Where the events are, and the locks.
        dependencies: The events that wait for others.
        submissions: The events that are not with the processor yet.
    """

    def __init__(
        self, coordination: Coordination, index: StatusIndex, dependencies: Dependencies, submissions: Submissions
    ) -> None:
        self.coordination: Coordination = coordination
        self.index: StatusIndex = index
        self.dependencies: Dependencies = dependencies
        self.submissions: Submissions = submissions

    def explain(self, event: Event, processor: Processor | None) -> Explanation:
        """Return what an event waits for. O(1), or O(what is used of its limits)."""
        self._follow_clocks(processor)
        now = current_time()
        reason, until, state = _why(self, processor, event, now)
        return Explanation(
            event=event,
            status=event.status,
            waits_for=reason,
            seconds=0.0 if reason in _NOTHING else until - now if until > now else None,
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
            running=len(processor._in_flight),
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

    def is_coming(self, event: Event) -> bool:
        """Return whether an event is being written, and is queued after that."""
        durable = self.submissions.durable
        return durable is not None and durable.is_coming(event)

    def count_coming(self) -> int:
        """Return how many events are being written, and are queued after that."""
        durable = self.submissions.durable
        return 0 if durable is None else durable.count_coming()

    def count_pending(self) -> int:
        """Return how many events are PENDING."""
        return len(self.index.progression(EventStatus.PENDING))

    def _follow_clocks(self, processor: Processor | None) -> None:
        """Carry all times over to the running event loop."""
        self.submissions.follow_clock()
        if processor is not None:
            processor._follow_clock()

    def _holder(self, reason: WaitReason) -> str | None:
        """Return who holds things up, if it is a watcher or a lock."""
        if reason is WaitReason.WATCHER:
            watchers = [token for token in self.coordination.holds if isinstance(token, Subscription)]
            return "; ".join(watcher.describe() for watcher in watchers)
        return self.index.lock_in_the_way() if reason is WaitReason.LOCK else None


def _why(parts: Explainer, processor: Processor | None, event: Event, now: float) -> _Why:
    """Return what an event waits for: the first condition that is not met."""
    if event.status is not EventStatus.PENDING:
        return (WaitReason.FINAL if event.status.is_terminal else WaitReason.RUNNING), now, None
    if event.id in parts.coordination.deferred_ends:  # its end is decided
        return (WaitReason.LOCK if parts.index.lock_in_the_way() else WaitReason.JOURNAL), -inf, None
    if event.id in parts.dependencies.waiting:
        return WaitReason.DEPENDENCY, _or_unknown(parts.dependencies.due(event.id)), None
    if parts.is_coming(event):
        return WaitReason.JOURNAL, -inf, None
    if processor is None:
        early = parts.submissions.early.get(event.id)
        return WaitReason.START, _or_unknown(None if early is None else early.until), None
    return _why_in_processor(parts, processor, event, now)


def _why_in_processor(parts: Explainer, processor: Processor, event: Event, now: float) -> _Why:
    """Return what an event waits for that waits for nothing before it comes to the processor."""
    queue = processor.queue
    queue.ready(now)  # what has arrived, or has become due, is in its lane by now, and what cannot start is parked
    if event.id == processor._asked:
        return _why_asked(parts, processor), -inf, None
    if (flight := processor._in_flight.get(event.id)) is not None:  # its run is over, but for what comes after it
        return WaitReason.RETRY, now + (flight.again_in or 0.0), None
    if queue.is_in_backlog(event.id):
        return WaitReason.ROOM, -inf, None
    if (delayed := queue.due(event.id)) is not None:
        return WaitReason(delayed[1]), delayed[0], None
    entry = queue.entry_of(event.id)
    if entry is None:
        return WaitReason.START, -inf, None
    return _why_queued(parts, processor, entry, now)


def _why_asked(parts: Explainer, processor: Processor) -> WaitReason:
    """Return what the event waits for that was taken out of the queue to be asked about."""
    return WaitReason.LOCK if not processor._is_asking and parts.index.lock_in_the_way() else WaitReason.GATE


def _why_queued(parts: Explainer, processor: Processor, entry: Entry, now: float) -> _Why:
    """Return what an event waits for that is queued and due. The lanes have to be up to date."""
    state, until = find_blocker(processor.queue.lanes, entry, now)
    reason, until_all = _why_all(parts, processor, now)
    if until_all < inf:
        until = max(until, until_all)
    return (reason if state is None else _reason_of(state, now)), until, state


def _reason_of(state: LimitState, now: float) -> WaitReason:
    is_closed = state.limit is None or state.closed_until > now
    return WaitReason.GATE if is_closed else WaitReason.LIMIT


def _why_all(parts: Explainer, processor: Processor, now: float) -> tuple[WaitReason, float]:
    """Return what holds up an event that has room in all its limits, and until when at least."""
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
    if len(processor._in_flight) >= processor.concurrency_limit:
        return WaitReason.SLOT, -inf
    return WaitReason.TURN, -inf


def _why_held(held: Collection[object]) -> WaitReason:
    """Return what these tokens stand for: pause(), a watcher, the journal."""
    if PAUSED in held:
        return WaitReason.PAUSED
    return WaitReason.WATCHER if any(isinstance(token, Subscription) for token in held) else WaitReason.JOURNAL


def _or_unknown(until: float | None) -> float:
    return -inf if until is None else until


def _waits_before_start(parts: Explainer) -> dict[WaitReason, int]:
    pending = parts.count_pending()
    waiting, coming = len(parts.dependencies.waiting), parts.count_coming()
    counts = {WaitReason.DEPENDENCY: waiting, WaitReason.JOURNAL: coming, WaitReason.START: pending - waiting - coming}
    return {reason: number for reason, number in counts.items() if number > 0}


def _waits(parts: Explainer, processor: Processor, now: float) -> dict[WaitReason, int]:
    queue = processor.queue
    waits: Counter[WaitReason] = Counter()
    waits[WaitReason.DEPENDENCY] = len(parts.dependencies.waiting)
    waits[WaitReason.JOURNAL] = parts.count_coming()
    queue.ready(now)  # what cannot start is parked by now
    for why, number in queue.delays.counts().items():
        waits[WaitReason(why)] += number
    for front, number in list(queue.lanes.parked()):
        waits[_why_queued(parts, processor, front, now)[0]] += number
    waits[WaitReason.ROOM] += queue.backlog_size()
    waits[WaitReason.RETRY] += sum(
        flight.event.status is EventStatus.PENDING for flight in processor._in_flight.values()
    )
    asked = None if processor._asked is None else parts.index.items.get(processor._asked, None)
    if asked is not None and asked.status is EventStatus.PENDING:
        waits[_why_asked(parts, processor)] += 1
    front_entry = queue.lanes.front()
    rest = parts.count_pending() - waits.total()
    if rest > 0:  # they all wait for what the first of them waits for
        all_wait_for = _why_all(parts, processor, now)[0]
        first = None if front_entry is None else _why_queued(parts, processor, front_entry, now)[0]
        waits[first or all_wait_for] += rest
    return dict(+waits)
