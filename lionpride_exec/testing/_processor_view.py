"""What a processor keeps to itself, as the testing kit sees it. ``_view`` says how the kit uses this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import TypeAlias
    from uuid import UUID

    from lionpride_exec import Event, Processor, Retry
    from lionpride_exec._processing import processor_run
    from lionpride_exec._processing.processor_lifetime import LoopState
    from lionpride_exec._scheduling import limit_state

    ProcessorRun: TypeAlias = processor_run.ProcessorRun
    LimitState: TypeAlias = limit_state.LimitState
    Reservation: TypeAlias = limit_state.Reservation


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
        return self.is_followed and self.processor._gate.is_open_for_all() and self.processor._gate.is_free()

    @property
    def loop_state(self) -> LoopState:
        """What the loop of the processor does."""
        return self.processor._lifetime.loop.state

    @property
    def is_in_batch(self) -> bool:
        """Whether a ``forward()`` is working off a batch."""
        return self.processor._lifetime.is_in_batch

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
    def capacity_given_back(self) -> int:
        """How many starts of the capacity window were allowed again by hand."""
        return self.processor._window.given_back

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
