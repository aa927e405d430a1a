"""How events reach the queue of the processor: at once, or as soon as there is a processor that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lionpride_exec._base.loop_time import LoopClock
from lionpride_exec._events.submit_options import PLAIN, priority_of
from lionpride_exec._model.limits import Router
from lionpride_exec._status import EventStatus

from .enqueue_override import EnqueueOverride

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import Expiry, SubmitOptions
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.status_index import StatusIndex

    from .dependencies import Dependencies
    from .facade import Facade
    from .transitions import Transitions


class Inserts(Protocol):
    """The new events that are being written to a journal, as the queueing sees them."""

    def is_being_stored(self, event: Event) -> bool:
        """Return whether an event is on its way to the disk, so that it must not be queued yet."""
        ...

    def set_priority(self, event: Event, priority: float | None) -> None:
        """Have an event that is on its way to the disk queued with another priority. None for the default."""

    def count_being_stored(self) -> int:
        """Return how many events are on their way to the disk."""
        ...


class Steering(Protocol):
    """What the program has changed of limits and keys, as the queueing sees it."""

    def tune(self, router: Router) -> None:
        """Let the changed limits hold in a router."""

    def apply(self, processor: Processor) -> None:
        """Make the changes in a processor that starts, unless it has them already."""


class Queueing:
    """
    Puts the events of one executor into the queue of its processor.

    Attributes:
        processor: What starts the events. None until there is one.
        inserts: The events that are being written first. None if the executor has no journal.
        enqueue_override: Hands events to a processor whose ``enqueue()`` is overridden.
        early: The options of events that came before there was a processor, by id. An event with plain options is not
            in it.
        steering: What the program has changed of limits and keys. None if it has changed nothing.
    """

    __slots__ = (
        "_clock",
        "_coordination",
        "_dependencies",
        "_executor",
        "_index",
        "_transitions",
        "early",
        "enqueue_override",
        "inserts",
        "processor",
        "steering",
    )

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        dependencies: Dependencies,
    ) -> None:
        self.processor: Processor | None = None
        self.inserts: Inserts | None = None
        self.steering: Steering | None = None
        self.early: dict[UUID, SubmitOptions] = {}
        self.enqueue_override: EnqueueOverride = EnqueueOverride(
            self.early, index.items, transitions, coordination.conditions
        )
        self._executor = executor
        self._coordination = coordination
        self._index = index
        self._transitions = transitions
        self._dependencies = dependencies
        self._clock = LoopClock()

    def expire_later(self, event: Event, expiry: Expiry) -> None:
        """Have a stored event end SKIPPED if it has not begun by a time."""
        if not self._coordination.expiring:
            from .expirations import Expirations  # noqa: PLC0415  few programs need it

            group, conditions = self.enqueue_override.group, self._coordination.conditions
            made = Expirations(self._index.items, self._transitions, group, conditions)
            self._coordination.expiring.append(made)
            self._coordination.launchers.append(made.launch)
        self._coordination.expiring[0].add(event, expiry)

    def check_costs(self, event: Event) -> None:
        """Raise now what the limits would raise when the event is queued."""
        config = self._executor.processor_config
        if self.processor is not None:
            self.processor.router.route(event)
        elif config.get("limits"):
            router = Router(config["limits"])
            if self.steering is not None:
                self.steering.tune(router)
            router.route(event)

    def keep_early(self, event_id: UUID, options: SubmitOptions) -> None:
        """Keep the options of an event until there is a processor."""
        if options is not PLAIN:
            self.early[event_id] = options

    def keep_restored(self, event: Event, options: SubmitOptions) -> None:
        """Keep an event that comes back from a journal, until the executor queues the pending events."""
        self.follow_clock()
        if options.after:
            self._dependencies.add(event.id, options)
        else:
            self.keep_early(event.id, options)
        if options.expiry is not None:
            self.expire_later(event, options.expiry)

    def queue_pending(self, processor: Processor) -> None:
        """Queue the pending events that are not on their way already."""
        self.follow_clock()
        if self.steering is not None:
            self.steering.apply(processor)
        items, waiting, inserts = self._index.items, self._dependencies.waiting, self.inserts
        ready = [
            items[event_id]
            for event_id in self._index.progression(EventStatus.PENDING)
            if not processor.is_handling(event_id)
            and event_id not in waiting
            and (inserts is None or not inserts.is_being_stored(items[event_id]))
            and not self.enqueue_override.is_on_its_way(event_id)
        ]
        self.queue_anyway([(event, self.early.pop(event.id, PLAIN)) for event in ready], processor)

    def queue_anyway(self, submitted: Iterable[tuple[Event, SubmitOptions]], processor: Processor) -> None:
        """Queue events even if the queue is full. They are in memory already, so they take part in the dispatch."""
        if processor._has_own_enqueue:
            for event, options in submitted:
                self.enqueue_override.keep_late(event, options)
            self.enqueue_override.launch(processor)
            return
        queue = processor.queue
        for event, options in submitted:
            due = options.follow_wall()
            try:
                queue.put_nowait(priority_of(event, options.priority), event.id, due.until, due.at)
            except Exception as exc:  # noqa: BLE001  the user's function of a limit raised this time
                self._transitions.end(event, EventStatus.ABORTED, exc)

    def queue_unless_handled(self, event: Event) -> None:
        """Queue an event that went back to PENDING, unless the processor goes on with it: it is a restored run."""
        if self.processor is not None and not self.processor.is_handling(event.id):
            self.queue_anyway([(event, PLAIN)], self.processor)

    def forget_place(self, event: Event) -> None:
        """Forget how an event was to be queued: the event has begun or has ended."""
        if self.early or self._dependencies.waiting:
            self.early.pop(event.id, None)
            self._dependencies.remove(event.id)
        if self.processor is not None and event.id in self.processor.queue:
            self.processor.forget(event.id)

    def follow_clock(self) -> None:
        """Carry the times of events that are not queued over to the running event loop."""
        seconds = self._clock.shift()
        if seconds:
            for event_id, options in self.early.items():
                self.early[event_id] = options.carry_over(seconds)
        self._dependencies.follow_clock()
        for expirations in self._coordination.expiring:
            expirations.follow_clock()
