"""Why an event does not run, and what the events of an executor wait for."""

from __future__ import annotations

from collections import Counter
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._base.steps import result_of
from lionpride_exec._model.waiting import Waiting, WaitReason
from lionpride_exec._processing import start_blockers
from lionpride_exec._scheduling import blockers
from lionpride_exec._status import EventStatus
from lionpride_exec._tracking.subscriptions import Subscription
from lionpride_exec.errors import ConfigurationError

from .explanation import (
    DESCRIBED,
    WAITS_FOR_NOTHING,
    Explanation,
    Fullest,
    LimitUse,
    RemoteExplanation,
    Statistics,
    limit_name,
)
from .survey import NOTHING_USED, LimitTotal, Survey, brought_to

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._tracking.status_index import StatusIndex

    from .dependencies import Dependencies
    from .keys import Keys
    from .queueing import Queueing
    from .start_warning import StartWarning
    from .survey import Parked


# How many lanes that are not parked, or limits that are not used, are looked at in one step of a survey.
EASY_ONES = 16

# How many uses of limits a survey keeps, those of the fullest.
MOST_USES = 1000


class Explainer:
    """
    Explains what the events of an executor wait for.

    Attributes:
        coordination: The reasons why nothing starts, and the deferred ends.
        index: Where the events are, and the locks.
        dependencies: The events that wait for others.
        queueing: The events that the processor does not have yet.
        start_warning: The tasks that wait for an executor which does not run.
        keys: The keys of the events.
    """

    def __init__(
        self,
        coordination: Coordination,
        index: StatusIndex,
        dependencies: Dependencies,
        queueing: Queueing,
        start_warning: StartWarning,
        keys: Keys,
    ) -> None:
        self.coordination: Coordination = coordination
        self.index: StatusIndex = index
        self.dependencies: Dependencies = dependencies
        self.queueing: Queueing = queueing
        self.start_warning: StartWarning = start_warning
        self.keys: Keys = keys

    def explain(self, event: Event, processor: Processor | None) -> Explanation:
        """Return what an event waits for. O(1), or O(what is used of its limits)."""
        self._follow_clocks(processor)
        now = current_time()
        reason, until, limit, key, after = self._why(event, processor, now)
        expiring = self.coordination.expiring
        return Explanation(
            event=event,
            status=event.status,
            waits_for=reason,
            seconds=0.0 if reason in WAITS_FOR_NOTHING else until - now if until > now else None,
            limit=limit,
            key=key,
            after=after,
            holder=self._holder(reason),
            expires_in=expiring[0].seconds_left(event) if expiring else None,
            awaited=tuple(map(self._described, after[:DESCRIBED])),
        )

    def statistics(
        self, processor: Processor | None, status_counts: dict[str, int], survey: Survey | None = None
    ) -> Statistics:
        """
        Return the state of the executor and what its events wait for, all at this moment.

        O(what is parked, and used of limits). With a survey, O(slots): then the limits are the fullest ones as the
        survey has found them, and no paces are told.
        """
        self._follow_clocks(processor)
        now = current_time()
        kept: dict[str, Any] = {
            "status_counts": MappingProxyType(status_counts),
            "is_paused": PAUSED in self.coordination.holds,
            "schedules": tuple(schedule.state for schedule in self.coordination.schedules or ()),
        }
        if processor is None:
            return Statistics(waits=MappingProxyType(self._waits_before_start()), **kept)
        if survey is None:
            limits = tuple(use for use in _uses_at(processor, now) if use is not None)
            paces = tuple(processor._pauses.paces(now))
            waits = self._waits(processor, result_of(self._parked_in_steps(processor)))
        else:
            limits, paces, waits = survey.fullest, (), self.waits(processor, survey)
        return Statistics(
            waits=MappingProxyType(waits),
            running=len(processor._running),
            concurrency_limit=processor.concurrency_limit,
            queued=processor.queue.qsize(),
            max_queue_size=processor.max_queue_size,
            available_capacity=processor.available_capacity,
            queue_capacity=processor.queue_capacity,
            limits=limits,
            is_running=processor.is_running,
            pauses=tuple(sorted(processor._pauses.current(now), key=lambda pause: -pause.seconds)),
            paces=paces,
            rate_limited=processor._pauses.rate_limited,
            retries=processor.retries,
            working=MappingProxyType(processor._offload.working()),
            **kept,
        )

    def survey(self, processor: Processor | None) -> Generator[None, None, Survey]:
        """
        Look at what :meth:`statistics` says of waits and limits. Yield after each small step.

        Raises:
            RuntimeError: No event loop runs.
        """
        self._follow_clocks(processor)
        if processor is None:
            return Survey(self._waits_before_start(), Counter(), {}, ())
        parked = yield from self._parked_in_steps(processor)
        names: dict[Limit, str] = {}
        totals: dict[str, LimitTotal] = {}
        fullest = Fullest(MOST_USES)
        for use in _uses_at(processor, current_time()):
            if use is not None:
                name = names.get(use.limit)
                if name is None:
                    name = names[use.limit] = limit_name(use.limit)
                ratio = use.used / use.amount if use.amount else 1.0
                known = totals.get(name, NOTHING_USED)
                totals[name] = LimitTotal(max(known.highest, ratio), known.keys + 1, known.full + (ratio >= 1.0))
                fullest.add(use)
            yield
        processor.queue.ready(current_time())
        return Survey(self._waits(processor, parked), parked, totals, fullest.uses())

    def waits(self, processor: Processor | None, survey: Survey) -> dict[WaitReason, int]:
        """
        Return the number of pending events by what they wait for, all at this moment. O(slots).

        Only how the events of closed or full keys are divided comes from the survey.
        """
        self._follow_clocks(processor)
        if processor is None:
            return self._waits_before_start()
        processor.queue.ready(current_time())
        return self._waits(processor, survey.parked)

    async def explain_remote(self, event: Event | UUID | str) -> RemoteExplanation:  # noqa: ARG002  see the subclass
        """Refuse: there is no server to ask."""
        raise ConfigurationError("the executor has no cluster: explain() says what its events wait for")

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

    def _described(self, event_id: UUID) -> str:
        """Return an event in words: its key if it has one, and its status."""
        event = self.index.items.get(event_id, None)
        if event is None:  # held, or in the file only
            return f"event {event_id}"
        return f"{self.keys.named(event)} ({event.status})"

    def _holder(self, reason: WaitReason) -> str | None:
        """Return a description of the watcher or the lock that holds events up, or of the tasks that wait in vain."""
        if reason is WaitReason.START:
            return self.start_warning.describe()
        if reason is WaitReason.WATCHER:
            watchers = [token for token in self.coordination.holds if isinstance(token, Subscription)]
            return "; ".join(watcher.describe() for watcher in watchers)
        return self.index.lock_in_the_way() if reason is WaitReason.LOCK else None

    # ---------------------------------------------------------------- one event

    def _why(self, event: Event, processor: Processor | None, now: float) -> Waiting:
        """Return the first unmet condition of an event, as the parts say it."""
        if event.status is not EventStatus.PENDING:
            return Waiting(WaitReason.FINAL if event.status.is_terminal else WaitReason.RUNNING, now)
        if event.id not in self.index.items:  # it is known and pending, so it is held in the file
            return Waiting(WaitReason.HELD)
        if event.id in self.coordination.deferred_ends:  # its end is decided
            return Waiting(WaitReason.LOCK if self._is_locked() else WaitReason.JOURNAL)
        if processor is not None:
            held, is_locked = self._held(), self._is_locked()
            in_queue = blockers.why_waiting(processor.queue, event.id, now)
            at_start = start_blockers.why_waiting(processor, event.id, now, held=held, is_locked=is_locked)
            if (found := _first(in_queue, at_start)) is not None:
                return found
        return self.dependencies.why_waiting(event.id) or self._why_not_queued(event, processor)

    def _why_not_queued(self, event: Event, processor: Processor | None) -> Waiting:
        """Return what an event waits for that comes after no other event, and that the processor does not have."""
        if self.is_being_stored(event):
            return Waiting(WaitReason.JOURNAL)
        if self._is_queued_elsewhere(processor):
            return Waiting(WaitReason.CLUSTER)
        early = None if processor is not None else self.queueing.early.get(event.id)
        return Waiting(WaitReason.START, -inf if early is None or early.until is None else early.until)

    def _is_queued_elsewhere(self, processor: Processor | None) -> bool:
        """Return whether the events of the executor are queued on a server: its processor runs those of a worker."""
        return processor is not None and self.queueing.processor is None

    def _why_queued(self, processor: Processor, entry: Entry, now: float) -> Waiting:
        """Return what a queued and due event waits for. The lanes must be up to date."""
        at_start = start_blockers.why_nothing_starts(processor, now, held=self._held(), is_locked=self._is_locked())
        return _first(blockers.why_blocked(processor.queue, entry, now), at_start) or at_start

    def _is_locked(self) -> bool:
        """Return whether a task holds a lock that a start needs."""
        return self.index.lock_in_the_way() is not None

    def _held(self) -> WaitReason | None:
        """Return why nothing may start: ``pause()``, a watcher, or the journal. None if events may start."""
        held = self.coordination.holds
        if not held:
            return None
        if PAUSED in held:
            return WaitReason.PAUSED
        return WaitReason.WATCHER if any(isinstance(token, Subscription) for token in held) else WaitReason.JOURNAL

    # ---------------------------------------------------------------- all events

    def _waits_before_start(self) -> dict[WaitReason, int]:
        pending = self.count_pending()
        following, coming = len(self.dependencies.waiting), self.count_being_stored()
        rest = pending - following - coming
        counts = {WaitReason.DEPENDENCY: following, WaitReason.JOURNAL: coming, WaitReason.START: rest}
        return {reason: number for reason, number in counts.items() if number > 0}

    def _waits(self, processor: Processor, parked: Parked) -> dict[WaitReason, int]:
        """
        Count the pending events by what they wait for: all of them, at this moment. O(slots).

        Args:
            processor: The processor. Its queue must be up to date.
            parked: Of :meth:`_parked_in_steps`, perhaps from a moment ago. Its sum is brought up to date.
        """
        if self._is_queued_elsewhere(processor):
            return {WaitReason.CLUSTER: self.count_pending()} if self.count_pending() else {}
        queue = processor.queue
        now = current_time()
        nothing = start_blockers.why_nothing_starts(processor, now, held=self._held(), is_locked=self._is_locked())
        waits: Counter[WaitReason] = Counter()
        waits[WaitReason.DEPENDENCY] = len(self.dependencies.waiting)
        waits[WaitReason.JOURNAL] = self.count_being_stored()
        for why, number in queue.delays.counts().items():
            waits[WaitReason(why)] += number
        for reason, number in brought_to(parked, queue.blocked).items():
            waits[nothing.reason if reason is None else reason] += number
        waits[WaitReason.RETRY] += sum(
            run.event.execution.status is EventStatus.PENDING for run in processor._running.values()
        )
        asked = None if processor._gate.asked is None else self.index.items.get(processor._gate.asked, None)
        if asked is not None and asked.status is EventStatus.PENDING:
            waits[start_blockers.why_asked(processor, is_locked=self._is_locked()).reason] += 1
        rest = self.count_pending() - waits.total()
        if rest > 0:  # the others wait for the same as the first
            front = queue.lanes.front()
            waits[nothing.reason if front is None else self._why_queued(processor, front, now).reason] += rest
        return dict(+waits)

    def _parked_in_steps(self, processor: Processor) -> Generator[None, None, Parked]:
        """Count the events in parked lanes by what they wait for. Yield after each lane: other things may happen."""
        parked: Counter[WaitReason | None] = Counter()
        if self._is_queued_elsewhere(processor):
            return parked
        queue = processor.queue
        queue.ready(current_time())  # what cannot start is parked by now
        for number, lane in enumerate([*queue.lanes._lanes.values()]):
            if lane.parked_at is not None and lane.live > 0:
                why = blockers.why_blocked(queue, queue.lanes.front_of(lane), current_time())
                parked[None if why is None else why.reason] += lane.live
                yield
            elif number % EASY_ONES == 0:
                yield
        return parked


def _uses_at(processor: Processor, now: float) -> Iterator[LimitUse | None]:
    """Yield what is used of each limit and key, and None now and then if nothing is used of many."""
    for number, state in enumerate(tuple(processor.queue.lanes.limit_states)):
        used = 0.0 if state.limit is None else state.used_at(now)
        if state.limit is None or not used:
            if number % EASY_ONES == 0:
                yield None
        else:
            yield LimitUse(state.limit, state.key, used, state.total, state.per)


def _first(in_queue: Waiting | None, at_start: Waiting | None) -> Waiting | None:
    """Return the first answer, with the latest known time of both. None if there is none."""
    if in_queue is None or at_start is None:
        return in_queue or at_start
    return in_queue._replace(until=max(in_queue.until, at_start.until))
