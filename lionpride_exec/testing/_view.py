"""
What an executor keeps to itself, as the testing kit sees it.

This module and ``_processor_view`` are the only ones of the kit that use private attributes of the package. Everything
else in the kit asks a view, by the name of the concept. So a change inside the package changes these modules only. A
view only reads. The two functions at the end change something.

An invariant runs at every step of a simulation, so a view copies nothing. A collection that a property returns is
the executor's own: do not change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._status import EventStatus
from lionpride_exec._tracking.subscriptions import Subscription

from ._processor_view import ProcessorView

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias
    from uuid import UUID

    from lionpride_exec import Event, Executor
    from lionpride_exec._executor.inbox import Inbox
    from lionpride_exec._executor.steering import Steering
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._model.key_amounts import Terms
    from lionpride_exec._model.limits import Limit

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


class ExecutorView:
    """What an executor keeps to itself."""

    __slots__ = ("executor",)

    def __init__(self, executor: Executor) -> None:
        self.executor: Final = executor

    @property
    def processor(self) -> ProcessorView | None:
        """The view of the executor's processor. None if there is no processor yet."""
        return None if self.executor.processor is None else ProcessorView(self.executor.processor)

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

    def with_defaults(self, event: Event[Any], priority: float | None, key: Hashable) -> tuple[float | None, Hashable]:
        """Return the priority and the key of an event that is appended with these."""
        defaults = self.executor._parts.call_defaults
        return (priority, key) if defaults is None else defaults.fill(event, priority, key)

    @property
    def counts_on_disk(self) -> Mapping[EventStatus, int]:
        """How many events of each status have ended and are on disk only."""
        return _NONE_ON_DISK if self.executor._link is None else self.executor._link.stored.counts

    @property
    def ended_before(self) -> int:
        """How many events had ended before the executor took them in."""
        return self.executor._parts.retention.ended_before.total()

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

    @property
    def changed_limits(self) -> Mapping[Limit, Terms]:
        """What ``set_limit()`` has made of limits."""
        return {} if self.executor._parts.queueing.steering is None else self.steering._terms

    @property
    def steering(self) -> Steering:
        """What the program has changed of limits and keys. Made if the program has changed nothing."""
        return self.executor._steering

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
    def journal_inbox(self) -> Inbox | None:
        """What deals with what other processes have written into the journal. None if there is no journal."""
        return None if self.executor._link is None else self.executor._link.inbox

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
