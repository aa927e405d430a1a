"""
What an executor does at each transition of its events: the host that the events see.

An event calls :meth:`Transitions.moved` inside its own transition, whatever caused the transition. In one synchronous
step the index moves the id, the observers are called, followers are queued or skipped, and the journal records the
transition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import anyio

from lionpride_exec._base.backend import current_time
from lionpride_exec._events.running_event import running_here
from lionpride_exec._processing.processor_run import ProcessorRun
from lionpride_exec._status import FAILURES, PENDING, PROCESSING, TERMINAL, EventStatus
from lionpride_exec.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._clients.allowance import Allowance
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._events.running import RunnableEvent
    from lionpride_exec._events.running_event import RunningEvent
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.observers import Observers
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex
    from lionpride_exec._tracking.subscriptions import Subscriptions

    from .dependencies import Dependencies
    from .facade import Facade


class Queues(Protocol):
    """The part that queues events, as the transitions see it."""

    def queue_unless_handled(self, event: Event) -> None:
        """Queue an event that went back to PENDING, unless the processor goes on with it."""

    def forget_place(self, event: Event) -> None:
        """Forget how an event was to be queued: the event has begun or has ended."""


class Followed(Protocol):
    """The part that handles events which come after others, as the transitions see it."""

    def follow_up(self, event: Event) -> None:
        """Queue or skip the events that wait for an event that has ended."""


class Records(Protocol):
    """What keeps the transitions outside of the process, as the transitions see it: a journal or a cluster."""

    def record(self, event: Event, target: EventStatus, again_in: float | None) -> bool:
        """Have a transition recorded. Return whether the end of the event is recorded, so that it may leave memory."""
        ...

    def record_cost(self, event: Event, costs: Sequence[float | None]) -> None:
        """Have the corrected costs of a running event recorded. None for a limit without a cost."""

    def end_waiting(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """
        End a waiting event from outside, and have its end recorded. Return whether the event ends now or soon.

        A journal and the client of a cluster end the event once its end is recorded.

        Raises:
            ClusterError: The executor is not connected to its cluster.
        """
        ...

    def has_unreported_outcome(self, event: EventLifecycle) -> bool:
        """Return whether a final outcome is recorded that the event has not been told yet."""
        ...

    def has_written_start(self, event: EventLifecycle) -> bool:
        """Return whether the start of an event is recorded already, before the event begins."""
        ...

    async def confirm_start(self) -> None:
        """Wait until the start of an event is recorded."""

    async def confirm_end(
        self, event: EventLifecycle, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """Wait until the end of an event is recorded, or cannot be."""


class Transitions:
    """
    Follows the transitions of the events of one executor, and ends events from outside. An ``EventHost``.

    Attributes:
        executor: The executor.
        coordination: The state that the executor and its processor share.
        queues: Queues events. Set by ``Parts``, since the queueing uses this object too.
        followers: Handles the events that come after others. Set by ``Parts`` too.
        link: What keeps the transitions outside of the process. None if nothing does.
        processor: What starts the events. None until there is one.
        running: The runs of the events here, whether the processor or a user started them.
        clock: A short way to ``anyio.current_time()``, as long as the executor lives in one event loop.
        new_signal: A short way to ``anyio.Event()``, likewise. While the executor does not run, ``idle_signal``.
        idle_signal: Makes the signal of a task that waits while the executor does not run. Set by ``Parts``.
        reader_away: Returns a context in which a task waits for the executor and reads no transitions. None without
            watchers. The method of the subscriptions itself, since each ``Event.wait()`` calls it.
        is_abandoned: Whether the executor was left, or crashed, and has not been started again.
        entries: The observers that are told of each new event, by :meth:`enter`.
        crash: What the root task behind ``start()`` crashed with. The next call raises it. None if there was no crash.
        is_loop_ending: Returns whether the event loop of the root task behind ``start()`` is ending.
        is_recording: Whether runs wait for their records: a journal is open, or a worker of a cluster has the events.
        is_strict: Whether each end is recorded before other tasks can see the end.
        around: Does the work of an event, with what surrounds it. None if nothing does.
        runs_elsewhere: Whether the workers of a cluster run the events, and this process only follows them.
        lost: Why no event ends any more, since the cluster has failed for good. None if it has not.
    """

    __slots__ = (
        "_by_status",
        "_dependencies",
        "_index",
        "_keeps_records",
        "_observers",
        "_retention",
        "_subscriptions",
        "around",
        "clock",
        "coordination",
        "crash",
        "entries",
        "executor",
        "followers",
        "idle_signal",
        "is_abandoned",
        "is_loop_ending",
        "is_recording",
        "is_strict",
        "link",
        "lost",
        "new_signal",
        "processor",
        "queues",
        "reader_away",
        "running",
        "runs_elsewhere",
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
        self.running: set[RunningEvent] = set()
        self.clock: Callable[[], float] = current_time
        self.new_signal: Callable[[], anyio.Event] = anyio.Event
        self.idle_signal: Callable[[], anyio.Event] = anyio.Event
        self.reader_away: Callable[[], AbstractContextManager[None] | None] = subscriptions.reader_away
        self.is_abandoned: bool = False
        self.crash: BaseException | None = None
        self.is_loop_ending: Callable[[], bool] = bool
        self.is_recording: bool = False
        self.is_strict: bool = False
        self.runs_elsewhere: bool = False
        self.around: Callable[[Event], Awaitable[Any]] | None = None
        self.lost: ClusterError | None = None
        self.coordination: Coordination = coordination
        self._index = index
        self._by_status = index.by_status
        self._observers = observers
        self.entries: Sequence[object] = observers.entries
        self._subscriptions = subscriptions
        self._dependencies = dependencies
        self._retention = retention
        self._keeps_records = link is not None or bool(retention.rules)
        index.when_unlocked = self.apply_deferred_ends
        if retention.rules:
            index.items.guard.when_free = self.apply_deferred_ends

    def enter(self, event: Event) -> None:
        """Tell the observers of entries that a new event comes in, in the context of the caller."""
        self._observers.tell_of_entry(event, self.clock())

    # ---------------------------------------------------------------- inside a transition

    def moved(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition. The event calls this method inside the transition."""
        by_status = self._by_status
        if not by_status[previous]._order.hand_over(event.id, by_status[target]._order):
            self._index.move(event, previous, target)
        # The processor runs the event: it took the event from the queue, and wakes waiting tasks after the run.
        run, processor = event._current_run, self.processor
        # No look-up by id, since the hash of a UUID is a Python call. Another executor may still run the event.
        is_run_here = processor is not None and type(run) is ProcessorRun and run.runner is processor._runner
        if target is PROCESSING and run.is_active:
            self.running.add(run)
        elif previous is PROCESSING:
            self.running.discard(run)
            if target is PENDING:
                self.queues.queue_unless_handled(event)
        if previous is PENDING and not is_run_here:
            self.queues.forget_place(event)
        if target in FAILURES and not self._subscriptions.learn_of(target):
            self._index.failures.note(event, target)
        if self._keeps_records and target not in TERMINAL:
            self._keep_record(event, target)  # first: an observer may cause the next transition
        try:
            if self._observers.callbacks:
                self._observers.tell(event, previous, target)
        finally:  # also if an observer raises what is no Exception
            # No task waits for a start, and few tasks wait for the end of an event that the processor runs.
            if target is not PROCESSING and (not is_run_here or self._keeps_records or self._dependencies.are_used):
                self._pass_on(event, target, is_run_here=is_run_here)

    def _pass_on(self, event: Event, target: EventStatus, *, is_run_here: bool) -> None:
        """Tell the tasks and events that wait for a transition, and do what remains."""
        if not is_run_here:
            self.coordination.conditions.notify()
        if target in TERMINAL:
            if event._after or event._any_end:
                event._forget_predecessors(target)
            if self._dependencies.followers:
                self.followers.follow_up(event)
            if self._keeps_records:
                self._keep_record(event, target)

    def _keep_record(self, event: Event, target: EventStatus) -> None:
        """Have a transition written, or let an event leave memory. Called inside the transition, as its last step."""
        deferred_ends = self.coordination.deferred_ends
        if deferred_ends and target in TERMINAL:
            deferred_ends.pop(event.id, None)
        if self.link is None:
            is_kept = target in TERMINAL
        else:
            again_in: float | None = None
            if target is PENDING and self.processor is not None:
                again_in = self.processor.seconds_until_again(event.id)
            is_kept = self.link.record(event, target, again_in)
        if is_kept:
            self._retention.apply(target)

    def refile(self, event: Event) -> None:
        """File an event under its own status at once. The event calls this method when a report was premature."""
        if event.id in self._index.items:
            self._index.file(event, event.status)

    def locks_needed(self, previous: EventStatus, target: EventStatus) -> AbstractAsyncContextManager[None] | None:
        """Return the locks that a move needs, if a task uses one of them now. None if the move can be made at once."""
        return self._index.locks_needed(previous, target) if self.coordination.locks_in_use else None

    # ---------------------------------------------------------------- ends that come from outside

    def end(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """
        End an event from outside: at once, or by cancelling its run; later, if a lock or the disk has to come first.

        An event that has ended stays as it is. If an end was decided before, the event keeps that end.

        Returns:
            True if the event ends now or soon. False if it had ended.
        """
        execution = event.execution
        is_waiting = execution.status not in TERMINAL and not event._current_run.is_active
        if is_waiting and self.link is not None and self.is_strict and event._seq:
            return self.link.end_waiting(event, status, error)
        return self.end_now(event, status, error)

    def end_now(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """Like :meth:`end`, but without a record before it."""
        execution = event.execution
        if execution.status.is_terminal:
            return False
        run = event._current_run
        if run.is_active:
            if run.scope is not None and run.forced_outcome is None:
                run.forced_outcome = status, error
                run.scope.cancel()
        elif self.locks_needed(execution.status, status) is None:
            event._transition(status, error=error)
        else:
            self.coordination.deferred_ends.setdefault(event.id, (event, status, error))
        return True

    def apply_deferred_ends(self) -> None:
        """Apply the ends that waited for a lock, and let events leave memory that a lock has kept."""
        deferred_ends = self.coordination.deferred_ends
        for event, status, error in list(deferred_ends.values()):
            if deferred_ends.pop(event.id, None) is not None:  # else it has ended as a follower of another one
                self.end(event, status, error)
        if self._retention.rules:
            self._retention.apply_all()

    # ---------------------------------------------------------------- what running events ask for

    def plan_retry(
        self, event: Event, error: BaseException, *, began: float, interrupted: bool, is_final: bool = False
    ) -> bool:
        """Return whether an event goes back to PENDING and runs again after a run that ended with this error."""
        return self.processor is not None and self.processor._runner.plan_retry(
            event, error, began=began, interrupted=interrupted, is_final=is_final
        )

    def observe_allowance(self, event: Event, allowance: Allowance) -> None:
        """Let the adaptive limits of a running event know what the other side says is left."""
        if self.processor is not None:
            self.processor._runner.observe_allowance(event, allowance)

    def settle_cost(self, event: Event, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of its limits."""
        if self.processor is not None:
            self.processor._runner.settle_cost(event, actual, limit)
            if self.link is not None and event.id.int in self.processor._running:
                self.link.record_cost(event, self.processor._runner.costs_taken(event.id))

    @property
    def is_interrupted(self) -> bool:
        """Whether the event loop is ending: that of ``start()``, or because an event has ended the program."""
        return self.is_loop_ending() or (self.processor is not None and self.processor._runner.is_exiting)

    def raise_crash(self) -> None:
        """Raise what the root task crashed with, once."""
        crash, self.crash = self.crash, None
        if crash is not None:
            raise crash

    def raise_lost(self) -> None:
        """Raise why no event ends any more, if the cluster has failed for good. An error for each caller."""
        if self.lost is not None:
            raise ClusterError(str(self.lost), retryable=self.lost.retryable) from self.lost

    def runs_caller(self) -> bool:
        """Return whether the calling code belongs to an event that runs here."""
        running = () if self.processor is None else self.processor._running
        return any(event._host is self or event.id.int in running for event in running_here())

    # ---------------------------------------------------------------- with a journal or a cluster

    def has_unreported_outcome(self, event: EventLifecycle) -> bool:
        """
        Return whether a final outcome is recorded that the event has not been told yet.

        Always False unless a journal is strict.
        """
        return self.is_strict and self.link is not None and self.link.has_unreported_outcome(event)

    def waits_to_begin(self, event: RunnableEvent) -> bool:
        """Return whether a PENDING event begins only once its start is recorded."""
        if not self.is_recording or self.link is None:
            return False
        return not self.link.has_written_start(event) if self.is_strict else event._has_to_be_seen()

    async def confirm_start(self, event: Event) -> None:
        """
        Wait until it is recorded that an event runs. The event begins then.

        Raises:
            Unconfirmed: The journal was closed before that.
        """
        if self.link is not None:
            await self.link.confirm_start()
        if self.processor is not None:
            self.processor._runner.confirm_begun(event)

    def confirm_end(
        self,
        event: EventLifecycle,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType,
        at: datetime,
    ) -> Coroutine[Any, Any, None]:
        """Return the coroutine that waits until an end is recorded, or cannot be. For strict journals and clusters."""
        assert self.link is not None
        return self.link.confirm_end(event, target, response, error, at)
