"""
What an executor keeps to itself, as the testing kit sees it.

This is the only module of the kit that uses private attributes of the package. Everything else in the kit asks a view,
by the name of the concept. So a change inside the package changes this module only. A view only reads. The two
functions at the end change something.

An invariant runs at every step of a simulation, so a view copies nothing. A collection that a property returns is
the executor's own: do not change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._status import EventStatus
from lionpride_exec._tracking.subscriptions import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias
    from uuid import UUID

    from lionpride_exec import Event, Executor, Processor, Retry
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._processing import processor_run
    from lionpride_exec._processing.processor_lifetime import LoopState
    from lionpride_exec._scheduling import limit_state

    ProcessorRun: TypeAlias = processor_run.ProcessorRun
    LimitState: TypeAlias = limit_state.LimitState
    Reservation: TypeAlias = limit_state.Reservation
    Observer: TypeAlias = Callable[[Event[Any], EventStatus, EventStatus], None]


_NONE_ON_DISK: Final[Mapping[EventStatus, int]] = dict.fromkeys(EventStatus, 0)
_NAMES: Final = tuple((status, status.value) for status in EventStatus)  # a value of an enum takes a call of Python


def is_running(event: Event[Any]) -> bool:
    """Return whether a task runs the event now."""
    return event._current_run.is_active


def running_among(events: Iterable[Event[Any]]) -> list[Event[Any]]:
    """Return those of the events that a task runs now."""
    return [event for event in events if event._current_run.is_active]


def owner_of(event: Event[Any]) -> object:
    """Return the executor that the event belongs to. None if it belongs to none."""
    return None if event._host is None else event._host.executor


def has_journal_number(event: Event[Any]) -> bool:
    """Return whether a journal has given the event a number, so that earlier processes may have run it."""
    return bool(event._seq)


def end_waiters(event: Event[Any]) -> Collection[object] | None:
    """Return those who are woken when the event ends. None if there are none."""
    return (event._at_end,) if callable(event._at_end) else event._at_end


def produced_chunks(event: Event[Any]) -> Sequence[Any] | None:
    """Return what a streaming event has produced and still keeps. None if it keeps nothing."""
    return None if event._feed is None else event._feed.chunks


class ProcessorView:
    """What a processor keeps to itself."""

    __slots__ = ("processor",)

    def __init__(self, processor: Processor) -> None:
        self.processor: Final = processor

    # ---------------------------------------------------------------- events on their way

    @property
    def running(self) -> Mapping[UUID, ProcessorRun]:
        """The events that the processor has started and has not finished with, by id."""
        return {run.event.id: run for run in self.processor._running.values()}

    @property
    def asked(self) -> UUID | None:
        """The event whose gate is being asked, or has just let it in. None if there is none."""
        return self.processor._gate.asked

    @property
    def strikes(self) -> Mapping[UUID, int]:
        """How often each waiting event was denied, by id."""
        return self.processor._gate.denial_counts

    @property
    def first_starts(self) -> Mapping[UUID, float]:
        """When events that run again under a deadline first started, by id."""
        return self.processor._retry_planner.first_starts

    @property
    def excluded_from_waits(self) -> Mapping[UUID, int]:
        """The events that waits pass over because they wait for others themselves: how often each, by id."""
        return self.processor._conditions.aside

    def retry_of(self, event: Event[Any]) -> Retry | None:
        """Return the retry that holds for an event."""
        return self.processor._retry_planner.of(event)

    @property
    def is_followed(self) -> bool:
        """Whether the events themselves tell the executor of starts and ends. If not, the processor reports them."""
        return self.processor._reporter.is_needless()

    @property
    def asks_nobody(self) -> bool:
        """Whether events start in the order of the queue: no report, no gate, and no lock comes between."""
        processor = self.processor
        return processor._reporter.is_needless() and processor._gate.is_open_for_all() and processor._gate.is_free()

    @property
    def loop_state(self) -> LoopState:
        """What the loop of the processor does."""
        return self.processor._lifetime.loop.state

    @property
    def is_in_batch(self) -> bool:
        """Whether a ``forward()`` is working off a batch."""
        return any(pool.budget is not None for pool in self.processor._lifetime.pools)

    @property
    def busy_workers(self) -> int:
        """How many workers run an event."""
        return sum(pool.busy for pool in self.processor._lifetime.pools)

    @property
    def slot_workers(self) -> tuple[int, int]:
        """How many workers with slots of this processor run an event, and how many are on their way to one."""
        pools = [pool for pool in self.processor._lifetime.pools if pool.slots is self.processor._lifetime.slots]
        return sum(pool.busy for pool in pools), sum(pool.seeking for pool in pools)

    # ---------------------------------------------------------------- slots, capacity, limits

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return self.processor._lifetime.slots.total

    @property
    def slots_taken(self) -> int:
        """How many slots are taken."""
        return self.processor._lifetime.slots.limiter.borrowed_tokens

    @property
    def are_slots_resized(self) -> bool:
        """Whether the number of slots was ever changed, so that more may be taken than there are."""
        return self.processor._lifetime.slots.resized > 0

    @property
    def window_size(self) -> int:
        """How many starts the capacity window allows."""
        return self.processor._window.total

    @property
    def window_starts(self) -> tuple[object, int]:
        """The group of workers whose starts the capacity window counts, and how many it has made. (None, 0) if none."""
        pool = self.processor._dispatcher.main_pool
        return (None, 0) if pool is None else (pool, pool.started)

    @property
    def unbegun_starts(self) -> Collection[object]:
        """The starts that the capacity window counts and that have not begun yet: the journal has to know first."""
        return self.processor._window._held

    @property
    def starts_given_back(self) -> int:
        """How many starts were taken out of the capacity window by hand."""
        return self.processor._window.forgotten

    @property
    def limit_states(self) -> Iterable[LimitState]:
        """The state of each limit, for each of its keys; gates of partitions are among them."""
        return self.processor.queue.lanes.limit_states

    @property
    def has_keys(self) -> bool:
        """Whether a limit has a key, or there are partitions, so that events take turns."""
        return self.processor.queue.lanes.limit_states.has_keys

    @property
    def keyed_lanes(self) -> int:
        """How many lanes there are, without the one of the events that have no key."""
        return sum(bool(lane.path) for lane in self.processor.queue.lanes._lanes.values())

    @property
    def stale_entries(self) -> int:
        """How many entries in the lanes belong to events that have left the queue."""
        return self.processor.queue.lanes.stale

    @property
    def keyed_limit_states(self) -> int:
        """How many limit states are kept for keys."""
        return len(self.processor.queue.lanes.limit_states._by_key)

    @property
    def max_keyed_limit_states(self) -> int:
        """How many limit states may be kept for keys until the unused ones go."""
        states = self.processor.queue.lanes.limit_states
        return states._sweep_at + len(states._keyed)

    def largest_cost(self, state: LimitState) -> float:
        """Return the most that a queued event takes of a limit, in this state of it. O(number of queued events)."""
        lanes, entries = self.processor.queue.lanes, self.processor.queue.entries()
        return max((e.route.costs[state.number] for e in entries if state in lanes.stops(e.route.key)), default=0)

    @property
    def room_waiters(self) -> int:
        """How many tasks wait for room in the queue."""
        return len(self.processor.queue._room.waiting)

    @property
    def promised_places(self) -> int:
        """How many places in the queue are promised to events that are being written to the journal."""
        return self.processor.queue._room.promised


class ExecutorView:
    """What an executor keeps to itself."""

    __slots__ = ("executor",)

    def __init__(self, executor: Executor) -> None:
        self.executor: Final = executor

    @property
    def processor(self) -> ProcessorView | None:
        """The view of the executor's processor. None if there is no processor yet."""
        processor = self.executor.processor
        return None if processor is None else ProcessorView(processor)

    @property
    def is_in_transition(self) -> bool:
        """Whether observers are being told of a transition."""
        return self.executor._observers.depth > 0

    @property
    def observers(self) -> Sequence[Observer]:
        """Those who are told of transitions, in this order."""
        return self.executor._observers.callbacks

    @property
    def running(self) -> Collection[UUID]:
        """The events that a task runs, by id, with those that the processor did not start."""
        return [run.event.id for run in self.executor._transitions.running]

    @property
    def missing_statuses(self) -> list[EventStatus]:
        """The statuses whose progression was taken out of the flow."""
        return [status for status, _ in _NAMES if status not in self.executor.states._progression_names]

    @property
    def counts_on_disk(self) -> Mapping[EventStatus, int]:
        """How many events of each status have ended and are on disk only."""
        return _NONE_ON_DISK if self.executor._link is None else self.executor._link.stored.counts

    @property
    def ended_before(self) -> int:
        """How many events had ended before the executor took them in."""
        return self.executor._parts.retention.ended_before

    @property
    def unannounced_ends(self) -> Collection[Event[Any]]:
        """The events that have ended, and whose followers have yet to be told."""
        return self.executor._parts.followers.ended

    @property
    def deferred_ends(self) -> Collection[UUID]:
        """The events whose end is decided and waits for a lock or for the disk, by id."""
        return self.executor._coordination.deferred_ends.keys()

    @property
    def locks_held(self) -> int:
        """How many locks of progressions are held or waited for."""
        return self.executor._coordination.locks_in_use

    def ids_by_status(self) -> dict[EventStatus, list[UUID]]:
        """Return the ids in the progression that has the name of each status."""
        return {status: list(self.executor.states.get_progression(name)._order) for status, name in _NAMES}

    def is_locked(self, status: EventStatus) -> bool:
        """Return whether a lock is held that is needed to take an event in with a status."""
        return self.executor._index.is_locked(status)

    @property
    def early(self) -> Collection[UUID]:
        """The events whose time or priority is kept until there is a processor, by id."""
        return self.executor._parts.queueing.early.keys()

    @property
    def waiting_after(self) -> Collection[UUID]:
        """The events that wait for others to complete, by id."""
        return self.executor._parts.dependencies.waiting.keys()

    @property
    def followers(self) -> Mapping[UUID, Collection[UUID]]:
        """The events that are told when an event ends, by its id."""
        return self.executor._parts.dependencies.followers

    @property
    def unresolved(self) -> Iterator[Event[Any]]:
        """The events that come after others of which it is not known yet how they ended in an earlier process."""
        link = self.executor._link
        return iter(()) if link is None else (event for event, _, _ in link.recovery.unresolved)

    @property
    def keys(self) -> Mapping[Hashable, UUID]:
        """The event that is known under each key."""
        return self.executor._parts.keys._event_of

    @property
    def key_of(self) -> Mapping[UUID, Hashable]:
        """The key of each event that has one, by id."""
        return self.executor._parts.keys.key_of

    def awaited_by(self, event_id: UUID) -> Collection[UUID]:
        """Return the events that have to complete before an event is queued."""
        return self.executor._parts.dependencies.awaited_by(event_id)

    def is_being_enqueued(self, event: Event[Any]) -> bool:
        """Return whether an event is stored, and an overridden ``enqueue()`` has not returned for it."""
        return self.executor._parts.queueing.enqueue_override.is_on_its_way(event.id)

    def is_being_written(self, event: Event[Any]) -> bool:
        """Return whether a new event is on its way to the journal, and is queued after that."""
        return self.executor._explainer.is_being_stored(event)

    # ---------------------------------------------------------------- lifetime

    @property
    def has_lifetime(self) -> bool:
        """Whether the executor is in one of its lifetimes, or is about to be."""
        return self.executor._lifetime.is_running

    @property
    def holds(self) -> Collection[object]:
        """Why nothing starts at the moment: texts such as "pause", and watchers that have not caught up."""
        return self.executor._coordination.holds

    @property
    def is_held_by_watcher(self) -> bool:
        """Whether nothing starts because a watcher has not caught up."""
        return any(isinstance(hold, Subscription) for hold in self.executor._coordination.holds)

    @property
    def guests(self) -> Collection[object]:
        """The tasks in the executor's group that run no events."""
        return self.executor._lifetime.group.guests

    @property
    def subscriptions(self) -> Collection[object]:
        """What watchers have subscribed to."""
        return self.executor._subscriptions._subscriptions

    @property
    def conditions(self) -> Collection[Callable[[], bool]]:
        """What tasks wait for: a ``join()``, a ``stop()``, a batch, the end of a block."""
        return self.executor._coordination.conditions.waiting.values()

    @property
    def journal_session(self) -> JournalSession | None:
        """The journal while it is open. None if it is closed, or there is none."""
        return None if self.executor._link is None else self.executor._link.session

    @property
    def is_journal_closed(self) -> bool:
        """Whether there is a journal that is not open."""
        return self.executor._link is not None and self.executor._link.session is None

    @property
    def is_strict(self) -> bool:
        """Whether an end has to be in the open journal before anybody learns of it."""
        return self.executor._transitions.is_strict

    @property
    def pending_writes(self) -> Collection[object]:
        """The events that have something to be written, with what it is."""
        session = self.journal_session
        return () if session is None else session._pending_writes.values()


def observe_first(executor: Executor, observer: Observer) -> Callable[[], None]:
    """Call an observer at each transition, before all others. Return a function that ends this."""
    end = executor.observe(observer)
    callbacks = executor._observers.callbacks
    callbacks.insert(0, callbacks.pop())
    return end


async def prepare(executor: Executor) -> None:
    """Make the executor's processor unless there is one, and queue the pending events, as a start does."""
    executor._parts.queueing.queue_pending(await executor._lifetime.prepare())
