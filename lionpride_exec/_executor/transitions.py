"""
What an executor does at each transition of its events: the host that the events see.

An event calls :meth:`Transitions.moved` inside its own transition, whoever brought that about. The index moves the id,
the observers are told, the followers are queued or skipped, the journal learns of it: all in one synchronous step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lionpride_exec._base.backend import current_time
from lionpride_exec._events.lifecycle import running_here
from lionpride_exec._status import TERMINAL, EventStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.observers import Observers
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex
    from lionpride_exec._tracking.subscriptions import Subscriptions

    from .dependencies import Dependencies
    from .facade import Facade

FAILED, CANCELLED, ABORTED = EventStatus.FAILED, EventStatus.CANCELLED, EventStatus.ABORTED


class Queues(Protocol):
    """Where events are queued, as their transitions see it."""

    def queue_unless_handled(self, event: Event) -> None:
        """Queue an event that was set back to PENDING, unless the processor goes on with it."""

    def forget_place(self, event: Event) -> None:
        """Forget how an event was to start: it has begun, or was decided by somebody else."""


class Followed(Protocol):
    """What becomes of the events that come after others, as the transitions of these see it."""

    def follow_up(self, event: Event) -> None:
        """Queue or skip the events that wait for one that has ended."""


class Records(Protocol):
    """The journal of an executor, as the transitions of its events see it."""

    def record(self, event: Event, target: EventStatus, again_in: float | None) -> bool:
        """Have a transition written. Return whether the end of the event is on disk already."""
        ...

    def record_cost(self, event: Event, costs: Sequence[float | None]) -> None:
        """Have the corrected costs of a running event written."""

    def end_on_disk(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """End an event that waits, once its end is on disk. Return whether it ends, or is on its way to."""
        ...

    def is_ending(self, event: EventLifecycle) -> bool:
        """Return whether the end of an event is being written of which the event does not know yet."""
        ...

    async def confirm_start(self) -> None:
        """Return once it is on disk that an event runs."""

    async def confirm_end(
        self, event: EventLifecycle, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """Return once the end of an event is on disk, or cannot be written."""


class Transitions:
    """
    Follows the transitions of the events of one executor, and ends events from outside. An ``EventHost``.

    Attributes:
        executor: The executor.
        queues: Where events are queued. Set by the executor, since the queueing uses this object too.
        followers: Who comes after others. Set likewise.
        link: The journal. None if the executor has none.
        processor: What starts the events. None until there is one.
        running: The ids of the events that a task runs now, whoever started them; by ``id(event)``, which costs less
            than a hash of the UUID.
        clock: A short way to ``anyio.current_time()``, as long as the executor lives in one event loop.
        is_abandoned: Whether the executor was left, or crashed, and has not been started again.
        crash: What the root task behind ``start()`` crashed with; raised by the next call.
        is_loop_ending: Whether the event loop ends, and with it the root task in which the executor lives.
        is_journal_open: Whether there is a journal, and it is open.
        is_strict: Whether it is open, and nobody learns of an end before that is in it.
    """

    __slots__ = (
        "_by_status",
        "_coordination",
        "_dependencies",
        "_index",
        "_keeps_records",
        "_observers",
        "_retention",
        "_subscriptions",
        "clock",
        "crash",
        "executor",
        "followers",
        "is_abandoned",
        "is_journal_open",
        "is_loop_ending",
        "is_strict",
        "link",
        "processor",
        "queues",
        "running",
    )

    queues: Queues
    followers: Followed

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        observers: Observers,
        subscriptions: Subscriptions,
        dependencies: Dependencies,
        retention: Retention,
        link: Records | None,
    ) -> None:
        self.executor: Facade = executor
        self.link: Records | None = link
        self.processor: Processor | None = None
        self.running: dict[int, UUID] = {}
        self.clock: Callable[[], float] = current_time
        self.is_abandoned: bool = False
        self.crash: BaseException | None = None
        self.is_loop_ending: Callable[[], bool] = bool
        self.is_journal_open: bool = False
        self.is_strict: bool = False
        self._coordination = coordination
        self._index = index
        self._by_status = index.by_status
        self._observers = observers
        self._subscriptions = subscriptions
        self._dependencies = dependencies
        self._retention = retention
        self._keeps_records = link is not None or bool(retention.rules)
        index.when_unlocked = self.apply_deferred_ends
        if retention.rules:
            index.items.guard.when_free = self.apply_deferred_ends

    # ---------------------------------------------------------------- inside a transition

    def moved(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition; the event calls this inside it."""
        if self._by_status[previous].exclude(event.id):
            self._by_status[target].include(event.id)
        else:
            self._index.move(event, previous, target)
        # The processor runs it: it has taken it from the queue, and tells who waits when it has landed.
        is_run_here = self.processor is not None and event.id in self.processor._running
        if target is EventStatus.PROCESSING and event.execution._running:
            self.running[id(event)] = event.id
        elif previous is EventStatus.PROCESSING:
            self.running.pop(id(event), None)
            if target is EventStatus.PENDING:
                self.queues.queue_unless_handled(event)
        if previous is EventStatus.PENDING and not is_run_here:
            self.queues.forget_place(event)
        if (target is FAILED or target is CANCELLED or target is ABORTED) and not self._subscriptions.learn_of(target):
            self._index.failures.note(event, target)
        if self._keeps_records and target not in TERMINAL:
            self._keep_record(event, target)  # now: an observer may lead on to the next status, whose record is later
        try:
            if self._observers.callbacks:
                self._observers.tell(event, previous, target)
        finally:  # also past what an observer raises that is no Exception
            # Nobody waits for a beginning, nor, most often, for the end of what the processor runs.
            if target is not EventStatus.PROCESSING and (
                not is_run_here or self._keeps_records or self._dependencies.followers
            ):
                self._pass_on(event, target, is_run_here=is_run_here)

    def _pass_on(self, event: Event, target: EventStatus, *, is_run_here: bool) -> None:
        """Have those learn of a transition who wait for it, and what remains."""
        if not is_run_here:
            self._coordination.conditions.notify()
        if target in TERMINAL:
            if self._dependencies.followers:
                self.followers.follow_up(event)
            if self._keeps_records:
                self._keep_record(event, target)

    def _keep_record(self, event: Event, target: EventStatus) -> None:
        """Have a transition written, or let an event leave memory; called inside it, when all else is done."""
        deferred_ends = self._coordination.deferred_ends
        if deferred_ends and target in TERMINAL:
            deferred_ends.pop(event.id, None)
        if self.link is None:
            is_kept = target in TERMINAL
        else:
            again_in: float | None = None
            if target is EventStatus.PENDING and self.processor is not None:
                again_in = self.processor.seconds_until_again(event.id)
            is_kept = self.link.record(event, target, again_in)
        if is_kept:
            self._retention.apply(event)

    def refile(self, event: Event) -> None:
        """Put an event where its status says, at once; the event calls this when a report was premature."""
        if event.id in self._index.items:
            self._index.file(event, event.status)

    def locks_needed(self, previous: EventStatus, target: EventStatus) -> AbstractAsyncContextManager[None] | None:
        """Return the locks that a move needs, if a task uses one of them now. None if it can be made at once."""
        return self._index.locks_needed(previous, target) if self._coordination.locks_in_use else None

    # ---------------------------------------------------------------- ends that come from outside

    def end(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """
        End an event from outside: at once, or by cancelling its run; later, if a lock or the disk has to come first.

        An event that has ended stays as it is. One that is being cancelled ends as it was told first.

        Returns:
            Whether it ends, or is on its way to; False if it had ended.
        """
        execution = event.execution
        is_waiting = not execution._running and execution.status not in TERMINAL
        if is_waiting and self.link is not None and self.is_strict and event._seq:
            return self.link.end_on_disk(event, status, error)
        return self.end_now(event, status, error)

    def end_now(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """Do as :meth:`end`, without a look at the journal."""
        execution = event.execution
        if execution.status.is_terminal:
            return False
        if execution._running:
            if execution._scope is not None and event._verdict is None:
                event._verdict = status, error
                execution._scope.cancel()
        elif self.locks_needed(execution.status, status) is None:
            event._transition(status, error=error)
        else:
            self._coordination.deferred_ends.setdefault(event.id, (event, status, error))
        return True

    def apply_deferred_ends(self) -> None:
        """Make the ends that were deferred, now that a lock is free; let events leave that a lock has kept."""
        deferred_ends = self._coordination.deferred_ends
        for event, status, error in list(deferred_ends.values()):
            if deferred_ends.pop(event.id, None) is not None:  # else it has ended by following another of them
                self.end(event, status, error)
        if self._retention.rules:
            self._retention.apply_all()

    # ---------------------------------------------------------------- what running events ask for

    def plan_retry(self, event: Event, error: BaseException, *, began: float, interrupted: bool) -> bool:
        """Return whether an event whose run has ended with this error is run again. Its next status is PENDING then."""
        return self.processor is not None and self.processor._runs.plan_retry(
            event, error, began=began, interrupted=interrupted
        )

    def settle_cost(self, event: Event, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of its limits."""
        if self.processor is not None:
            self.processor._runs.settle_cost(event, actual, limit)
            if self.link is not None and event.id in self.processor._running:
                self.link.record_cost(event, self.processor._runs.costs_taken(event.id))

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Return the context of a task that waits for the executor and so reads no transitions. None if none reads."""
        return self._subscriptions.reader_away()

    @property
    def is_interrupted(self) -> bool:
        """Whether the event loop that the executor lives in by ``start()`` is being ended."""
        return self.is_loop_ending()

    def raise_crash(self) -> None:
        """Raise what the root task crashed with, once."""
        crash, self.crash = self.crash, None
        if crash is not None:
            raise crash

    def runs_caller(self) -> bool:
        """Return whether the calling code belongs to an event that runs here."""
        running = () if self.processor is None else self.processor._running
        return any(event._host is self or event.id in running for event in running_here())

    # ---------------------------------------------------------------- with a journal

    def is_end_noted(self, event: EventLifecycle) -> bool:
        """Return whether the journal writes an end of the event of which the event does not know yet."""
        return self.is_strict and self.link is not None and self.link.is_ending(event)

    async def confirm_start(self, event: Event) -> None:
        """
        Return once it is in the journal that an event runs: it begins now.

        Raises:
            Unconfirmed: The journal was closed before that.
        """
        if self.link is not None:
            await self.link.confirm_start()
        if self.processor is not None:
            self.processor._runs.confirm_begun(event)

    async def confirm_end(
        self,
        event: EventLifecycle,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType,
        at: datetime,
    ) -> None:
        """Return once the end of an event is in the journal, or cannot be written. The event learns of it then."""
        if self.link is not None:
            await self.link.confirm_end(event, target, response, error, at)
