"""
How events come in and leave: stored, queued, kept until others have completed, and forgotten.

Each change here is one synchronous step, or it raises and leaves nothing behind.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.event import Event
from lionpride_exec._events.observed import leave
from lionpride_exec._events.running_event import NOT_RUNNING
from lionpride_exec._events.submit_options import PLAIN, has_options, is_unique_open, options_for
from lionpride_exec._model.element import to_uuid
from lionpride_exec._status import PENDING, TERMINAL, EventStatus
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ExecutorClosedError, ExistsError, QueueFullError

from .dependencies import named
from .executor_states import GroupState

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.submit_options import SubmitArguments, SubmitOptions
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex

    from .dependencies import Dependencies
    from .executor_states import GroupLifecycle
    from .facade import Facade
    from .followers import Followers
    from .keys import Keys
    from .queueing import Queueing
    from .submission_parts import DurableStore, Finder
    from .transitions import Transitions

E = TypeVar("E", bound=Event)

# A loop of appends that never waits yields to other tasks after this many appends: about a millisecond.
APPENDS_BETWEEN_CHECKPOINTS = 100


class Submissions:
    """
    Takes events into one executor, and lets them go.

    Attributes:
        processor: What starts the events. None until there is one.
        group: The state of the executor's task group.
        durable: Has events written before they are queued. None if the executor has no journal.
        entries: The observers that are told of each new event.
        lookups: Finds events. Set by ``Parts``, since the module of the lookups uses this one.
    """

    __slots__ = (
        "_appends",
        "_coordination",
        "_dependencies",
        "_enqueue_override",
        "_executor",
        "_followers",
        "_index",
        "_keys",
        "_queueing",
        "_retention",
        "_transitions",
        "durable",
        "entries",
        "group",
        "lookups",
        "processor",
    )

    lookups: Finder

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        dependencies: Dependencies,
        keys: Keys,
        retention: Retention,
        queueing: Queueing,
        followers: Followers,
        group: GroupLifecycle,
    ) -> None:
        self.processor: Processor | None = None
        self.durable: DurableStore | None = None
        self.entries: Sequence[object] = transitions.entries
        self._executor = executor
        self._coordination = coordination
        self._index = index
        self._transitions = transitions
        self._dependencies = dependencies
        self._keys = keys
        self._retention = retention
        self._queueing = queueing
        self._followers = followers
        self._enqueue_override = queueing.enqueue_override
        self.group: GroupLifecycle = group
        self._appends = 0

    # ---------------------------------------------------------------- in

    async def append(
        self,
        event: E,
        priority: float | None,
        *,
        wait: bool,
        **how: Unpack[SubmitArguments],
    ) -> E:
        """Take an event in and queue it; see ``Executor.append()``."""
        if self._transitions.crash is not None:
            self._transitions.raise_crash()
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, got {type(event).__name__}")
        options = PLAIN
        if priority is not None or has_options(how):
            options = await self._options_for(event, priority, **how)
        self._appends += 1
        if self._appends > APPENDS_BETWEEN_CHECKPOINTS:
            self._appends = 0
            await checkpoint()
        durable, submitted, queued_at = self.durable, self._enqueue_override.submitted, event.execution.queued_at
        while True:
            processor = self.processor
            if (
                durable is not None
                or self._index.items.guard.users
                or self._coordination.locks_in_use
                or (wait and processor is not None and processor.queue.is_full)
            ):
                taken = await self._enter(event, options, wait=wait)
            else:
                taken = self._store(event, options)
            if taken is event and not submitted:
                return event
            if taken is not None:
                taken = await self._when_queued(event, taken, queued_at)
            if taken is not None:
                return taken

    def append_nowait(self, event: Event, options: SubmitOptions = PLAIN) -> bool:
        """
        Take an event in like :meth:`append`, without a coroutine. Most events come in here.

        Returns:
            Whether the event came in. If not, nothing has changed: :meth:`append` may have to wait, or will raise.

        Raises like :meth:`append` if the event cannot come in at all, for example if its id is known here.
        """
        processor = self.processor
        if (
            (self.durable is not None or self._transitions.crash is not None or not isinstance(event, Event))
            or (self._index.items.guard.users or self._coordination.locks_in_use)
            or self._enqueue_override.submitted
            or (processor is not None and (processor._has_own_enqueue or processor.queue.is_full))
            or self._appends >= APPENDS_BETWEEN_CHECKPOINTS
        ):
            return False
        self._appends += 1
        self._store(event, options, has_room=True)
        return True

    async def _when_queued(self, event: Event, taken: E, queued_at: datetime | None) -> E | None:
        """Return the submitted event, or the known event with its key, once it is queued. None if it has left."""
        if taken is event and self._enqueue_override.claim(event.id):
            await self._submit(event, queued_at)
        elif taken.id in self._enqueue_override.submitted:
            await self._enqueue_override.wait_decided(taken.id)
            return None
        elif taken is not event and self.durable is not None:
            return await self.durable.when_arrived(taken)
        return taken

    async def _submit(self, event: Event, queued_at: datetime | None) -> None:
        """Await an overridden ``enqueue()`` for a stored event, or raise and leave everything as it was."""
        assert self.processor is not None
        try:
            await self._enqueue_override.submit(event, self.processor)
        except BaseException:
            if event.id not in self._index.items:
                event.execution.queued_at = queued_at
            raise

    async def _options_for(self, event: Event, priority: float | None, **how: Unpack[SubmitArguments]) -> SubmitOptions:
        lost: UUID | None = None
        names, others = named(how)
        any_end = frozenset(map(to_uuid, others))
        after: Iterable[Event | UUID] = (*names, *others)
        if self.durable is not None and after:
            after, lost = await self.lookups.find_after(event, after, any_end)  # those that have ended may be on disk
        priority = None if priority is None else check_priority(priority)
        key = None if how["key"] is None else self.lookups.key_of(how["key"])
        return options_for(
            priority, how["delay"], how["at"], expires=how["expires"], after=self.lookups.predecessors(event, after),
            comes_after=names, any_end=any_end, key=key, lost=lost, unique_open=is_unique_open(how["unique"], key),
        )  # fmt: skip

    def _enter(self, event: E, options: SubmitOptions, *, wait: bool) -> Coroutine[Any, Any, E | None]:
        """Return the coroutine of :meth:`_enter_in_turn`, or a shorter one that does the same for most events."""
        durable, locks = self.durable, self._index.items.guard.users or self._coordination.locks_in_use
        if durable is None or wait or locks or options.key is not None:
            return self._enter_in_turn(event, options, wait=wait)
        return durable.store(event, options)

    async def _enter_in_turn(self, event: E, options: SubmitOptions, *, wait: bool) -> E | None:
        """Take an event in, or return the known event with its key. None if the caller must try again for room."""
        known = None if options.key is None else self._keys.holder(options)
        if known is not None:
            return cast("E", known)
        durable = self.durable
        if wait and self.processor is not None and self.processor.queue.is_full and not options.after:
            if durable is not None and options.key is not None:
                known = await durable.find_on_disk(options)
                if known is not None:
                    return cast("E", known)  # a known event needs no room
            options = await self._wait_for_room(event, options, self.processor)
        try:
            status = event.execution.status
            if (self._index.items.guard.users or self._coordination.locks_in_use) and self._index.is_locked(status):
                async with self._index.all_locks(status):
                    return self._store(event, options) if durable is None else await durable.store(event, options)
            return self._store(event, options) if durable is None else await durable.store(event, options)
        except QueueFullError:
            if not wait:
                raise
            return None
        finally:
            if wait and self.processor is not None:
                self.processor.queue.offer_room()  # the room may not have been used

    async def _wait_for_room(self, event: Event, options: SubmitOptions, processor: Processor) -> SubmitOptions:
        """Return the options of an event, once there is room for it or it needs none."""
        self.check_new(event)
        if self._transitions.runs_caller():
            return attrs.evolve(options, is_urgent=True)  # while it waits, it would hold a slot that others need
        with self._transitions.reader_away() or nullcontext():
            await processor.queue.wait_for_room()
        return options

    def _store(self, event: E, options: SubmitOptions, *, has_room: bool = False) -> E:
        """
        Store and queue an event, or raise and change nothing. Return the event, or the known event with its key.

        Args:
            event: The event.
            options: How it is queued.
            has_room: Whether the caller has seen that the queue is not full.
        """
        is_plain = options is PLAIN  # most events
        if not is_plain and options.key is not None:
            known = self._keys.holder(options)
            if known is not None:
                return cast("E", known)
        self.check_new(event)
        if self.entries:
            self._transitions.enter(event)
        if is_plain:
            self.add(event)
        else:
            self.add_after(event, options.comes_after, options.any_end)
        try:
            self._place(event, options, has_room=has_room)
        except BaseException:
            self.forget(event)
            raise
        execution = event.execution
        if execution.status in TERMINAL and not options.after:
            self._retention.ended_before[execution.status] += 1
        execution.queued_at = execution.queued_at or wall_clock.now()
        if not is_plain:
            if options.key is not None:
                self._keys.give(event.id, options.key)
            if options.expiry is not None:
                self._queueing.expire_later(event, options.expiry)
        return event

    def add_after(self, event: Event, after: tuple[Event | UUID, ...], any_end: frozenset[UUID]) -> None:
        """Store an event, which may come after others, under its status."""
        self.add(event)
        if after or any_end:
            event._set("_after", after)
            event._set("_any_end", any_end)
            self._dependencies.are_used = True

    def add(self, event: Event) -> None:
        """Store an event that comes after no other under its status."""
        self._index.add(event)
        object.__setattr__(event, "_host", self._transitions)  # Event._set(), without the call
        if event._current_run.is_active:
            self._transitions.running.add(event._current_run)

    def _place(self, event: Event, options: SubmitOptions, *, has_room: bool) -> None:
        """Queue a stored event, or keep the event until it can be queued."""
        if event.execution.status is not PENDING:
            return
        processor = self.processor
        if processor is not None and processor._has_own_enqueue and not options.after:
            if not options.is_urgent:
                processor.check_room()
            self._enqueue_override.reserve(event, options, processor)
        elif options.after:
            self._followers.keep_after(event, options)
        elif processor is None:
            self._queueing.check_costs(event)
            self._queueing.follow_clock()
            self._queueing.keep_early(event.id, options)
        elif options.is_urgent:
            self._queueing.check_costs(event)
            self._queueing.queue_anyway([(event, options)], processor)
        else:
            if not has_room:
                processor.check_room()
            if options.until is not None:
                processor._follow_clock()
                options = options.follow_wall()
            # As priority_of() says it, without the call: each event comes here.
            priority = event.created_at.timestamp() if options.priority is None else options.priority
            processor.queue.put_nowait(priority, event.id, options.until, options.at)

    def check_new(self, event: Event) -> None:
        """
        Check that an event can come in, by its identity only.

        Raises:
            ExecutorClosedError: The executor's block is being left, and the caller is no event running in it.
            ExistsError: The event is here already, belongs to another executor, or an event with its id runs here.
        """
        executor = self._executor
        if self.group.state is GroupState.LEAVING and not self._transitions.runs_caller():
            raise ExecutorClosedError(f"{executor!r} is being left and takes nothing more in")
        host = event._host
        if host is not None and host is not self._transitions:
            raise ExistsError(f"{event} belongs to another executor: {host.executor!r}")
        if event.id.int in self._index.items._items:  # as ``event.id in self._index.items``, without the call
            raise ExistsError(f"Item {event.id} already exists in {executor!r}; as_fresh_event() returns a fresh copy")
        running = None if self.processor is None else self.processor._running
        run = running.get(event.id.int) if running else None
        if run is not None and run.event is not event:
            raise ExistsError(f"{run.event}, which was removed, still runs here: no other event can have its id")

    # ---------------------------------------------------------------- out

    def forget(self, event: Event) -> None:
        """Remove an event from all parts: its status, key, place in the queue and dependencies."""
        if event._unseen is not None:
            event._unseen.leave(event)
        self._index.remove(event)
        if event._current_run is not NOT_RUNNING:
            self._transitions.running.discard(event._current_run)
        if self._coordination.deferred_ends:
            self._coordination.deferred_ends.pop(event.id, None)
        if self._queueing.early or self._dependencies.waiting:
            self._queueing.early.pop(event.id, None)
            self._dependencies.remove(event.id)
        if self._keys.key_of:
            self._keys.forget(event.id)
        # An event leaves the queue at its end, unless its record was changed by hand. Then it holds up no other event.
        processor = self.processor
        if processor is not None and (event.execution.status not in TERMINAL or event.id in processor.queue):
            processor.forget(event.id)
        if event._intake is not None:
            leave(event)
        object.__setattr__(event, "_host", None)  # as ``event._set()`` does it, without the call
        if self._dependencies.followers:
            self._followers.follow_up(event)

    def remove(self, event: Event) -> None:
        """Remove an event that was returned to its consumer or cleaned up. An ended event still counts as done."""
        status, key = event.execution.status, None if self.durable is None else self._keys.of(event.id)
        self.forget(event)
        if status in TERMINAL:
            self._retention.removed[status] += 1
        if self.durable is not None:
            self.durable.removed(event, status, key)

    async def clean_up(self, statuses: Iterable[EventStatus]) -> int:
        """Remove the events with these statuses; see ``Executor.cleanup_events()``."""
        async with self._index.all_locks(*EventStatus):
            events = [event for status in dict.fromkeys(statuses) for event in self._index.events(status)]
            for event in events:
                self.remove(event)
                if not event._current_run.is_active:  # else the end of the run wakes the waiting tasks
                    event._wake()
        return len(events)
