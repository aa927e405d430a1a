"""
The executor: it takes events in and lets them go.

Where each of them stands is told by the status board (``_tracking.status_index``), who owns what runs them is settled
by the lifetime (``_executor.lifetime``), how they come in and leave by the intake (``_executor.submissions``), and
which of them starts when by the processor.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from anyio.lowlevel import checkpoint

from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import PLAIN, ticket_for
from lionpride_exec._model.execution import to_status
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._tracking.progress import Pace, progress_of
from lionpride_exec._validation import check_number, check_priority

from .bulk import Bulk

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._iteration.map_state import MapState
    from lionpride_exec._journal import Journal
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._model.retain import RetainRule
    from lionpride_exec._tracking.progress import Progress
    from lionpride_exec._tracking.subscriptions import OnFull, Watcher

    T = TypeVar("T")
    Observer = Callable[[Event, EventStatus, EventStatus], None]

E = TypeVar("E", bound=Event)

logger = logging.getLogger("lionpride_exec")

# A loop of appends that never waits lets other tasks run after so many: about a millisecond.
APPENDS_BETWEEN_CHECKPOINTS = 100

FAILED, CANCELLED, ABORTED = EventStatus.FAILED, EventStatus.CANCELLED, EventStatus.ABORTED

DEFAULT_CLEANUP = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Executor(Bulk):
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
        journal: Keeps the events on disk; the next start goes on where this one ends, however that is. None: what is
            pending when the process ends is gone.
        retain: What is kept in memory of events that have ended: a :class:`Retain`, or one by status. Default:
            everything; with a journal nothing that is on disk, where :meth:`get` finds it. Without one, what has left
            is gone with its key, and nothing can come ``after`` it.

    Raises:
        ConfigurationError: The class has no ``processor_type``, or that has no ``event_type``; the journal is that of
            another executor.
        TypeError: ``retain`` is no such thing.
        ValueError: It is about a status that is not final.
    """

    def __init__(
        self,
        processor_config: dict[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
        *,
        journal: Journal | None = None,
        retain: RetainRule = None,
    ) -> None:
        config = {} if processor_config is None else processor_config
        super().__init__(
            config, strict=strict_event_type, name=name or "executor_states", journal=journal, retain=retain
        )
        self._observers: list[Observer] = []
        self._telling = 0  # transitions that observers are being told of, one inside the other
        self._pace = Pace()
        self._maps: WeakSet[MapState[Any]] = WeakSet()  # those that have begun
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

    def watch(
        self,
        *,
        buffer: int = 1000,
        on_full: OnFull = "wait",
        statuses: Iterable[EventStatus | str] | str | None = None,
    ) -> Watcher:
        """
        Give an async iterator of every :class:`Transition` from now on: ``async with executor.watch() as transitions``.

        A transition cannot wait for its reader, so while ``buffer`` or more of them are unread, ``on_full`` holds:

        - "wait": none is missed; nothing new starts and no gate is asked until the reader has caught up. What runs goes
          on, so more than ``buffer`` may gather: one for each running event, one for an event in question at a
          gate, and whatever others decide or invoke by hand. A reader that itself waits for the executor (in
          :meth:`join`, at the end of its block, in ``Event.wait()``, :meth:`invoke`, or ``append(wait=True)``)
          cannot read meanwhile: it holds nothing back then, however much gathers.
        - "drop": the oldest are dropped; ``Watcher.missed`` counts them.
        - "error": after those in the buffer the reader gets :class:`WatcherTooSlow`.

        The iteration ends, after what is unread, when the executor's lifetime ends: its block was left, ``run()`` has
        returned, or, without either, ``stop()`` has. Until the executor is started it waits. It is subscribed at the
        call, so a task that is given the watcher sees everything, whenever it begins.

        Args:
            buffer: How many unread transitions are too many, at least 1.
            on_full: What to do then.
            statuses: Transitions to these statuses (or this one) only; None: all.

        Raises:
            ValueError: ``buffer`` or ``on_full`` is none of those.
            NotFoundError: No such status.

        Costs nothing while nobody watches.
        """
        return self._watchers.watch(buffer, on_full, statuses)

    def progress(self, *, to_come: float = 0) -> Progress:
        """
        Return the number of events done and to do, the rate, and the time left.

        The rate is that since earlier calls, at most 60 s back, so call it now and then. Events that were taken in
        with a final status count as done, but not for the rate. Works outside an event loop too, without a rate and
        without the time left. O(what is queued, runs, or is used of the limits).

        Args:
            to_come: How many events will come that the executor cannot know of, 0 or more; an estimate will do. What
                a running :meth:`map` will take from its source is known, if the source has a length.

        Raises:
            ConfigurationError: A progression was taken out of :attr:`states`.
            ValueError: ``to_come`` is negative, infinite or NaN.
        """
        return progress_of(self, check_number("to_come", to_come))

    # ---------------------------------------------------------------- taking events in

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        wait: bool = False,
        delay: float | None = None,
        at: datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
    ) -> E:
        """
        Take an event in and queue it. O(log n); does not wait once the event is queued.

        An event that is not PENDING is filed under its status and not queued. Before the first ``start()``
        events are kept, with all that is given here, until then.

        With a journal it returns once the event is on disk, and takes events only while the executor runs; see
        ``docs/durability.md``.

        Args:
            event: Of the executor's event type, not yet in it.
            priority: Lower runs first; finite; equal priorities run in order of arrival, those of different keys of
                limits in turn. The default is the event's ``created_at`` in seconds (about 1.8e9), so any smaller
                number goes before it.
            wait: Wait for room in a full queue instead of raising; first come, first served. An event that runs here
                and appends others does not wait, since it would hold a slot that they wait for: its are taken in beyond
                the bound.
            delay: Seconds, 0 or more, before which it does not start.
            at: A time before which it does not start, by the wall clock, with a time zone; one that is past is now. If
                the wall clock is set, or the machine sleeps, it is followed within 30 s.
            after: Events of this executor (or their ids). All of them COMPLETED let it be queued, whatever room there
                is; when one ends otherwise, or leaves the executor, it ends SKIPPED with a :class:`Skip` as its error,
                and so do those that come after it. With a journal also events that are on disk only, at the price of
                :meth:`get`.
            key: Anything hashable by which this work is known once: if there is an event with this key here, in
                whatever status, that one is given back and the new one is left alone. With a journal anything that
                JSON can hold; what is written alike is one key.

        Returns:
            The event; or that which is known under ``key``, which may be a copy read from the journal.

        Raises:
            QueueFullError: The queue is full.
            ExistsError: The event is here already, or stands in another executor.
            NotFoundError: One of ``after`` is not in this executor.
            TypeError: It is of another type; ``at`` is no datetime; ``key`` is not hashable.
            ValueError: A number is NaN, infinite or negative; both ``delay`` and ``at``; the event comes after itself;
                ``at`` has no time zone; or it takes more of a limit than there ever is.
            ExecutorClosedError: The executor's block is being left, and the caller is no event running in it; or it has
                a journal and does not run.
            BaseException: What the background task crashed with, once; or what a function of a limit raises.

        With a journal also:

        Raises:
            JournalError: It could not be written, for 30 s if what prevents it may pass.
            ValidationError: A field cannot be kept; it is named. (Also a ValueError.)
            TypeError: The class has no tag, or JSON cannot hold the key.
            ExistsError: The key is that of an event that is held or cannot be read.

        After any of them executor and event are as before, but for the crash, which is told only once.

        Cancellation: while it waits for room or for the disk, or before anything has happened; nothing is left behind.
        """
        if self._crash is not None:
            self._raise_crash()
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, got {type(event).__name__}")
        lost: UUID | None = None
        if self.journal is not None and after != ():
            after, lost = await self._find_after(event, after)  # those that have ended may be on disk only
        if priority is None and delay is None and at is None and key is None and lost is None and not after:
            ticket = PLAIN
        else:
            priority = None if priority is None else check_priority(priority)
            known_by = None if key is None else self._key_of(key)
            others = self._check_after(event, after)
            ticket = ticket_for(priority, delay, at, after=others, key=known_by, lost=lost)
        self._appends += 1
        if self._appends > APPENDS_BETWEEN_CHECKPOINTS:
            self._appends = 0
            await checkpoint()
        queued_at = event.execution.queued_at
        while True:
            entered = await self._enter(event, ticket, wait=wait)
            if entered is event and self._enqueuer.submitted and self._enqueuer.claim(event.id):
                await self._submit(event, queued_at)
            elif entered is not None and (self._enqueuer.submitted or (self.journal and entered is not event)):
                entered = await self._when_arrived(entered)
            if entered is not None:
                return entered

    def _appends_one_by_one(self) -> bool:
        """Return whether each event has to come in by :meth:`append`, since that or ``enqueue()`` is overridden."""
        if self._processor is not None and self._processor._has_own_enqueue:
            return True
        return type(self).append is not Executor.append or "append" in self.__dict__

    async def invoke(
        self,
        event: Event[T],
        priority: float | None = None,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
    ) -> T:
        """
        Append an event, wait for its end, and give its response: ``append(wait=True)``, ``wait``, ``result``.

        With a ``key`` that is known here, the response is that of the known event. ``priority`` (finite), ``delay``
        (seconds, 0 or more), ``at`` and ``after`` are those of :meth:`append` too.

        Raises:
            EventFailed: It ended without a response.

        And what :meth:`append` and ``Event.wait()`` raise.

        Cancellation: the event stays in the executor and is run all the same.
        """
        taken = await self.append(event, priority, wait=True, delay=delay, at=at, after=after, key=key)
        await taken.wait()
        return taken.result()

    async def cleanup_events(self, statuses: Iterable[EventStatus | str] | None = None) -> int:
        """
        Remove the events with these statuses, and what the processor knows of them. O(1) for each.

        CANCELLED and SKIPPED events are removed only when asked for. One that still runs goes on without the
        executor; whoever waits for a PENDING one gets ``ExecutorClosedError``. With a journal, what has ended stays
        there, with its key, and is still counted; what has not is taken out of it.

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
            events = [event for status in dict.fromkeys(wanted) for event in self._events_in_memory(status)]
            for event in events:
                self._remove(event)
                if not event.execution._running:  # else its end will come, and wake them
                    event._wake()
        return len(events)

    # ---------------------------------------------------------------- the owner of events

    def _event_moved(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition; called by the event inside it."""
        self._move(event, previous, target)
        # The processor runs it: it has taken it from the queue, and tells who waits when it has landed.
        is_flying = self._processor is not None and event.id in self._processor._in_flight
        if target is EventStatus.PROCESSING and event.execution._running:
            self._active[id(event)] = event.id
        elif previous is EventStatus.PROCESSING:
            self._active.pop(id(event), None)
            if target is EventStatus.PENDING:
                self._queue_unless_handled(event)
        if previous is EventStatus.PENDING and not is_flying:
            self._unqueue(event)
        if target is FAILED or target is CANCELLED or target is ABORTED:
            self._note_failure(event, target)
        is_kept = self._keeps_records
        if is_kept and target not in TERMINAL:
            self._keep_record(event, target)  # now: an observer may lead on to the next status, whose record is later
        try:
            if self._observers:
                self._tell(event, previous, target)
        finally:  # also past what an observer raises that is no Exception
            # Nobody waits for a beginning, nor, most often, for the end of what flies.
            if target is not EventStatus.PROCESSING and (not is_flying or is_kept or self._agenda._followers):
                self._pass_on(event, target, is_flying=is_flying, is_kept=is_kept)

    def _pass_on(self, event: Event, target: EventStatus, *, is_flying: bool, is_kept: bool) -> None:
        """Have those learn of a transition who wait for it, and what remains."""
        if not is_flying:
            self._waiters.notify()
        if target in TERMINAL:
            if self._agenda._followers:
                self._follow_up(event)
            if is_kept:
                self._keep_record(event, target)

    def _note_failure(self, event: Event, status: EventStatus) -> None:
        """Count an event that has failed, unless somebody is told of it now."""
        if not self._observers or (
            self._observers == [self._watchers._follow] and not self._watchers.are_told_of(status)
        ):
            self._failures.note(event, status)

    def _unqueue(self, event: Event) -> None:
        """Forget how an event was to start: it has begun, or was decided by somebody else."""
        if self._agenda._early or self._agenda._waiting:
            self._agenda.settle(event.id)
        if self._processor is not None and event.id in self._processor.queue:
            self._processor.forget(event.id)

    def _queue_unless_handled(self, event: Event) -> None:
        """Queue an event that was set back to PENDING: a restored run that nobody goes on with."""
        if self._processor is not None and not self._processor.is_handling(event.id):
            self._queue_anyway([(event, PLAIN)], self._processor)

    def _tell(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        self._telling += 1
        try:
            for observer in tuple(self._observers):
                try:
                    observer(event, previous, target)
                except Exception:
                    logger.exception("an observer of %r failed at %r", self, event)
        finally:
            self._telling -= 1

    def _refile_event(self, event: Event) -> None:
        """Put an event where its status says, at once; called when the processor's report was premature."""
        if event.id in self.states.items:
            self._file(event, event.status)

    def _take_back(self, event: Event, error: BaseException, *, began: float, interrupted: bool) -> bool:
        """Take back an event whose run has ended with this error, if it is to run again; whether it is, PENDING."""
        return self._processor is not None and self._processor._take_back(
            event, error, began=began, interrupted=interrupted
        )

    def _settle_cost(self, event: Event, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of its limits."""
        if self._processor is not None:
            self._processor._settle_cost(event, actual, limit)
            if self._book is not None and event.id in self._processor._in_flight:
                self._book.record_costs(event, self._processor._costs_taken(event.id))
