"""
The executor: it takes events in and lets them go.

Where each of them stands is told by the status board (``_board``), who owns what runs them is settled by the lifetime
(``_lifetime``), and which of them starts when by the processor.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from ._board import to_status
from ._config import check_priority
from ._event import Event
from ._execution import utc_now
from ._lifetime import Lifetime
from ._status import EventStatus
from .errors import ExecutorClosedError, ExistsError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from ._limits import Limit
    from ._processor import Processor

    Observer = Callable[[Event, EventStatus, EventStatus], None]

logger = logging.getLogger("lionpride_exec")

# A loop of appends that never waits lets other tasks run after so many: about a millisecond.
APPENDS_BETWEEN_CHECKPOINTS = 100

DEFAULT_CLEANUP = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Executor(Lifetime):
    """
    Runs events and tracks the status of each.

    Subclasses set ``processor_type``. Three ways to run one: ``async with executor:`` (the block owns
    everything and, left normally, waits until nothing is pending or processing), ``await
    tg.start(executor.run)``, or ``await executor.start()`` ... ``await executor.stop()``.

    Args:
        processor_config: Keywords of the processor; ``queue_capacity`` and ``capacity_refresh_time`` are
            required by the time it starts.
        strict_event_type: Whether only events of exactly the processor's ``event_type`` are taken.
        name: Name of the flow :attr:`states`; default "executor_states".

    Raises:
        ConfigurationError: The class has no ``processor_type``, or that has no ``event_type``.
    """

    def __init__(
        self,
        processor_config: dict[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
    ) -> None:
        config = {} if processor_config is None else processor_config
        super().__init__(config, strict=strict_event_type, name=name or "executor_states")
        self._early: dict[UUID, float] = {}  # priorities given before there was a processor to keep them
        self._observers: list[Observer] = []
        self._appends = 0

    def observe(self, observer: Callable[[Event, EventStatus, EventStatus], None]) -> Callable[[], None]:
        """
        Have ``observer(event, previous, status)`` called at every transition; returns a function that ends it.

        It runs inside the transition and delays it, so it should be quick. An exception of it is logged.
        """
        self._observers.append(observer)

        def end() -> None:
            """Call the observer no more; again does nothing."""
            if observer in self._observers:
                self._observers.remove(observer)

        return end

    # ---------------------------------------------------------------- taking events in

    async def append(self, event: Event, priority: float | None = None, *, wait: bool = False) -> None:
        """
        Take an event in and queue it. O(log n); does not wait once the event is queued.

        An event that is not PENDING is filed under its status and not queued. Before the first ``start()``
        events are kept, with their priorities, until then.

        Args:
            event: Of the executor's event type, not yet in it.
            priority: Lower runs first; finite; equal priorities run in order of arrival. The default is the
                event's ``created_at`` in seconds (about 1.8e9), so any smaller number goes before it.
            wait: Wait for room in a full queue instead of raising; first come, first served.

        Raises:
            QueueFullError: The queue is full.
            ExistsError: The event is here already, or stands in another executor.
            TypeError: It is of another type.
            ValueError: The priority is NaN or infinite.
            ExecutorClosedError: The executor's block is being left, and the caller is no event running in it.
            BaseException: What the background task crashed with, once.

        After any of them executor and event are as before, but for the crash, which is told only once.

        Cancellation: while it waits for room, or before anything has happened; nothing is left behind.
        """
        self._raise_crash()
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, got {type(event).__name__}")
        if priority is not None:
            check_priority(priority)
        self._appends += 1
        if self._appends > APPENDS_BETWEEN_CHECKPOINTS:
            self._appends = 0
            await checkpoint()
        while True:
            if wait and self.processor is not None and self.processor.queue.is_full:
                self._check_new(event)
                await self.processor.queue.wait_for_room()
            try:
                await self._take_in(event, priority)
            except QueueFullError:
                if not wait:
                    raise
            else:
                return
            finally:
                if wait and self.processor is not None:
                    self.processor.queue.offer_room()  # of the room it was given it may have made no use

    async def invoke(self, event: Event, priority: float | None = None) -> Any:
        """
        Append an event, wait for its end, and give its response: ``append(wait=True)``, ``wait``, ``result``.

        Raises:
            EventFailed: It ended without a response.

        And what :meth:`append` and ``Event.wait()`` raise.

        Cancellation: the event stays in the executor and is run all the same.
        """
        await self.append(event, priority, wait=True)
        await event.wait()
        return event.result()

    async def cleanup_events(self, statuses: Iterable[EventStatus | str] | None = None) -> int:
        """
        Remove the events with these statuses, and what the processor knows of them. O(1) for each.

        CANCELLED and SKIPPED events are removed only when asked for. One that still runs goes on without the
        executor; whoever waits for a PENDING one gets ``ExecutorClosedError``.

        Args:
            statuses: Default: COMPLETED, FAILED, ABORTED.

        Returns:
            The number of events removed.

        Raises:
            NotFoundError: No such status; nothing was removed.

        Cancellation: while it waits for a lock; nothing has been removed then.
        """
        wanted = [to_status(status) for status in (DEFAULT_CLEANUP if statuses is None else statuses)]
        async with self.states.items, self._locks(*EventStatus):
            events = [event for status in dict.fromkeys(wanted) for event in self.get_events_by_status(status)]
            for event in events:
                self._let_go(event)
                if not event.execution._running:  # else its end will come, and wake them
                    event._wake()
        return len(events)

    # ---------------------------------------------------------------- the owner of events

    def event_moved(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition; called by the event inside it."""
        self._move(event, previous, target)
        if target is EventStatus.PROCESSING and event.execution._running:
            self._active.add(event.id)
        elif previous is EventStatus.PROCESSING:
            self._active.discard(event.id)
        if self._early:
            self._early.pop(event.id, None)
        if previous is EventStatus.PENDING and self.processor is not None and event.id in self.processor.queue:
            self.processor.forget(event.id)  # run or decided by somebody else: it does not start here any more
        for observer in tuple(self._observers):
            try:
                observer(event, previous, target)
            except Exception:
                logger.exception("an observer of %r failed at %r", self, event)
        if target is not EventStatus.PROCESSING:  # nobody waits for a beginning
            self._waiters.notify()

    def refile(self, event: Event) -> None:
        """Put an event where its status says, at once; called when the processor's report was premature."""
        if event.id in self.states.items:
            self._file(event, event.status)

    def runs_again(self, event: Event, error: BaseException, *, began: float, interrupted: bool) -> bool:
        """Whether an event whose run has ended with this error goes back to PENDING; it is seen to then."""
        return self.processor is not None and self.processor.runs_again(
            event, error, began=began, interrupted=interrupted
        )

    def settle(self, event: Event, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of its limits."""
        if self.processor is not None:
            self.processor.settle(event, actual, limit)

    # ---------------------------------------------------------------- inside: events

    async def _take_in(self, event: Event, priority: float | None) -> None:
        """Store and queue an event, or raise and leave everything as it was."""
        if self.states.items.guard.users or self.turn_to_move(event.status, event.status) is not None:
            async with self.states.items, self._locks(event.status):
                await self._store(event, priority)
        else:
            await self._store(event, priority)

    async def _store(self, event: Event, priority: float | None) -> None:
        self._check_new(event)
        self.states.items.add(event)
        self._progression(event.status).append(event.id)
        _set_owner(event, self)
        if event.execution._running:
            self._active.add(event.id)
        try:
            if event.status is EventStatus.PENDING:
                await self._queue_up(event, priority)
        except BaseException:
            self._let_go(event)
            raise
        event.execution.queued_at = event.execution.queued_at or utc_now()

    async def _queue_up(self, event: Event, priority: float | None) -> None:
        if self.processor is not None:
            await self.processor.enqueue(event.id, priority)
        elif priority is not None:
            self._early[event.id] = float(priority)

    def _check_new(self, event: Event) -> None:
        if self._is_leaving and not self._runs_caller():
            raise ExecutorClosedError(f"{self!r} is being left and takes nothing more in")
        if event._owner is not None and event._owner is not self:
            raise ExistsError(f"{event!r} stands in another executor: {event._owner!r}")
        if event.id in self.states.items:
            raise ExistsError(f"Item {event.id} already exists in {self!r}; as_fresh_event() gives one to run anew")

    def _let_go(self, event: Event) -> None:
        """Forget an event altogether."""
        self.states.items.remove(event.id)
        for progression in self._by_status.values():
            progression.exclude(event.id)
        self._active.discard(event.id)
        self._early.pop(event.id, None)
        if self.processor is not None:
            self.processor.forget(event.id)
        _set_owner(event, None)

    def _queue_pending(self, processor: Processor) -> None:
        """Queue what is pending and not on its way already."""
        early, items = self._early, self.states.items
        processor.queue.put_backlog(
            (early.pop(event_id) if event_id in early else items[event_id].created_at.timestamp(), event_id)
            for event_id in self._progression(EventStatus.PENDING)
            if not processor.is_handling(event_id)
        )


def _set_owner(event: Event, owner: Executor | None) -> None:
    # Past the hooks that attrs runs at each assignment: this one needs none, and is made for every event.
    object.__setattr__(event, "_owner", owner)
