"""
The events that run: what each of them holds, how its run ends, and whether another run follows.

An event that starts takes capacity, limits, and a place among the running events. :meth:`EventRunner.finish_run` gives
all of them back, however the run ends. While the event runs, it asks here whether it runs again, and corrects
its costs.

Nothing here moves an event between statuses: the event moves itself, and the executor follows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.exception_groups import is_of, leaves
from lionpride_exec._events.running import RunnableEvent
from lionpride_exec._events.running_event import NOT_RUNNING
from lionpride_exec._status import COMPLETED, PENDING
from lionpride_exec.errors import PauseTooLong, RateLimited

from .processor_run import ProcessorRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import anyio

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._clients.allowance import Allowance
    from lionpride_exec._events.event import Event
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._offload.offload import Offload
    from lionpride_exec._scheduling.capacity import CapacityWindow
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.limit_state import Reservation
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .admission import Admission
    from .pauses import Pauses
    from .permission_gate import GateOwner, PermissionGate
    from .reporter import Reporter
    from .retries import RetryPlanner
    from .workers import WorkerPool

# ``Event.invoke()`` of the package, to see whether a subclass has one of its own.
_PLAIN_INVOKE: Final = RunnableEvent.invoke

# Sets an attribute without the hooks of attrs for assignments.
_set: Final = object.__setattr__


# What an event raises to end the program.
EXITS: Final = (KeyboardInterrupt, SystemExit)


class EventRunner:
    """
    The events that one processor runs.

    Args:
        owner: The processor, for its pile.
        queue: Where an event goes that runs again.
        window: The capacity, of which each start takes one.
        gate: Forgets the denials of an event that starts.
        retries: Decides whether an event runs again.
        pauses: Closes the keys of a run that was refused with ``RateLimited``.
        reporter: Tells the executor of ends.
        offload: Where plain functions run.

    Attributes:
        running: The runs by the number of the event's id, whose hash is computed in C. An event is here from its start
            until everything it held is given back.
        retries_done: How many runs failed and were followed by another run.
        resumes: Whether an interrupted event runs again even without a ``Retry``, because a journal or a cluster must
            lose no event.
        is_exiting: Whether an event has raised an error that ends the program. On asyncio, other events may learn of
            the end by a cancellation of their tasks that no scope has asked for.
        offload: Where plain functions run.
        timeout: How many seconds a run of an event without a timeout of its own may take. None for no limit.
        admission: Decides whether a started event begins, and takes the events that run again. None if nobody does.
    """

    __slots__ = (
        "_conditions",
        "_coordination",
        "_denial_counts",
        "_owner",
        "_pauses",
        "_queue",
        "_reporter",
        "_retries",
        "_window",
        "admission",
        "is_exiting",
        "offload",
        "resumes",
        "retries_done",
        "running",
        "timeout",
    )

    def __init__(
        self,
        owner: GateOwner,
        queue: PriorityQueue,
        window: CapacityWindow,
        gate: PermissionGate,
        retries: RetryPlanner,
        pauses: Pauses,
        reporter: Reporter,
        offload: Offload,
    ) -> None:
        self.offload: Offload = offload
        self.timeout: float | None = None
        self.running: dict[int, ProcessorRun] = {}
        self.retries_done: int = 0
        self.resumes: bool = False
        self.admission: Admission | None = None
        self.is_exiting: bool = False
        self._owner = owner
        self._queue = queue
        self._window = window
        self._denial_counts = gate.denial_counts
        self._retries = retries
        self._pauses = pauses
        pauses.runs = lambda: self.running
        self._reporter = reporter

    def share(self, coordination: Coordination) -> None:
        """Use this state, which an executor shares."""
        self._coordination = coordination
        self._conditions = coordination.conditions

    # ---------------------------------------------------------------- a run

    def begin(self, entry: Entry, event: Event, pool: WorkerPool, now: float) -> ProcessorRun:
        """Take an event that a worker of the pool runs next, and what its start costs."""
        has_begun = not self.resumes or _begins_at_once(event)
        token = None if pool.budget is not None else self._window.take(now, has_begun=has_begun)
        pool.started += 1
        if self._denial_counts:
            self._denial_counts.pop(event.id, None)
        retry = event.retry or self._retries.default
        if retry is not None and retry.budget is not None:
            self._retries.note_start(event, now)
        lanes = self._queue.lanes
        uses = lanes.amounts.take(entry, now, has_begun=has_begun) if lanes.limit_states.has_limits else ()
        run = ProcessorRun(event, entry, uses, now, None if has_begun else token, pool.now, self, self.timeout)
        self.running[event.id.int] = run
        _set(event, "_current_run", run)
        if self._pauses.limit_states:
            self._pauses.start(entry.route.key, now)
        return run

    def confirm_begun(self, event: Event) -> None:
        """
        Record that an event begins now. It was started earlier, and waited until its start was recorded.

        The time of its capacity token and of its limits counts from now. Otherwise the events that a slow disk or
        server holds up would begin together with later events, and exceed the limits.
        """
        run = self.running.get(event.id.int)
        if run is None or run.event is not event:
            return
        now = current_time()
        self._queue.lanes.amounts.begin(run.uses, now)
        if run.token is not None:
            self._window.begin(run.token, now)
            run.token = None
        self._look_again()

    async def run(self, run: ProcessorRun, scope: anyio.CancelScope, *, is_followed: bool) -> bool:
        """
        Run an event. Whatever the event raises is recorded in it. For workers.

        Args:
            run: From :meth:`begin`.
            scope: Cancels the run.
            is_followed: Whether the end need not be reported.

        Returns:
            Whether the same task can run the next event. False if the task may have been cancelled.

        Raises:
            BaseException: ``KeyboardInterrupt`` and ``SystemExit``, alone or in a group. They are recorded too.
        """
        event = run.event
        run.scope = scope
        try:
            if self.admission is not None and not await self._is_admitted(self.admission, run):
                return True
            # begin() takes PENDING events only. For them invoke() would only call _run(), in a second coroutine. But a
            # subclass or an event may have its own invoke(), and a strict journal may have an end on its way to disk.
            if (
                type(event).invoke is _PLAIN_INVOKE and "invoke" not in event.__dict__
                and (event._host is None or not event._host.is_strict)
            ):  # fmt: skip
                await event._run(run)
            else:
                await event.invoke()
            # A scope that was cancelled for this event must not cancel the next one.
            going_on = run.forced_outcome is None
        except BaseException as exc:
            if any(is_of(leaf, EXITS) for leaf in leaves(exc)):
                self.is_exiting = True
                if self.admission is not None and is_of(exc, EXITS):
                    # Raised as it is, the error breaks the loop of asyncio, and a cluster gets nothing back.
                    raise BaseExceptionGroup("an event ends the program", [exc]) from None
                raise
            # A cancellation of the scope around the worker is raised again at the first step of the next worker. A
            # cancellation that the event caused itself concerns only this task, which may stay marked by it.
            going_on = False
        finally:
            try:
                if not is_followed:
                    await self._reporter.report(event)
            finally:
                self.finish_run(run)
        return going_on

    async def _is_admitted(self, admission: Admission, run: ProcessorRun) -> bool:
        """Ask whether a started event may begin. If not, undo the start."""
        is_admitted = False
        try:
            is_admitted = await admission.admit(run) and run.event.execution.status is PENDING
        finally:
            if not is_admitted:
                self._undo_start(run)
        return is_admitted

    def _undo_start(self, run: ProcessorRun) -> None:
        """Give back what a start has taken, as if the event had stayed in the queue."""
        event, now = run.event, current_time()
        self._queue.lanes.amounts.undo(run.uses, now)
        run.uses = ()
        if run.token is not None:
            self._window.undo(run.token)
            run.token = None
        if event.execution.status is PENDING and event.id in self._owner.pile:
            self._queue.give_back(run.entry)
        self._look_again()

    def finish_run(self, run: ProcessorRun) -> None:
        """Give back what a run has held, and queue its event again if another run follows."""
        event = run.event
        del self.running[event.id.int]
        run.runner = None
        if run.is_active:  # another task runs the event by now, and ends the run
            run.is_given_up = True
        elif event._current_run is run:
            _set(event, "_current_run", NOT_RUNNING)
        if self._pauses.limit_states and event.execution.status is COMPLETED:
            self._pauses.accept(run)
        if run.uses:
            self._queue.lanes.amounts.release(run.uses, run.clock())
        if run.token is not None:
            self._window.begin(run.token, current_time())
        if run.again_in is not None and event.status is PENDING and event.id in self._owner.pile:
            self._queue_again(run, run.again_in)
        elif self._retries.first_starts:
            self._retries.forget(event.id)
        if self._conditions.waiting:
            self._conditions.notify()

    def _queue_again(self, run: ProcessorRun, seconds: float) -> None:
        """Have an event run again after so many seconds, here or in another process."""
        if self.admission is not None:
            self.admission.take_back(run)
        elif seconds > 0:
            self._queue.put_delayed(run.entry, current_time() + seconds, "retry")
        else:
            self._queue.put_back(run.entry)

    # ---------------------------------------------------------------- what running events ask for

    def plan_retry(
        self, event: Event, error: BaseException, *, began: float, interrupted: bool, is_final: bool = False
    ) -> bool:
        """
        Decide whether an event whose run has ended with this error runs again.

        Args:
            event: The event.
            error: What its run has ended with.
            began: When that run began.
            interrupted: Whether the run was cut short from outside, or refused with ``RateLimited``.
            is_final: Whether no other run may follow. ``RateLimited`` closes the keys of the event even then.

        Returns:
            Whether the event runs again. Its next status is PENDING then.

        Raises:
            PauseTooLong: The event does not run again, and ends with this error instead.
        """
        run = self.running.get(event.id.int)
        if run is None or event.id not in self._owner.pile:
            return False
        now = current_time()
        is_refused = any(is_of(leaf, RateLimited) for leaf in leaves(error))
        if interrupted and is_refused and not is_final:
            until = self._pauses.refuse(run, error, now=now, max_pause=self._retries.max_pause(event))
            run.again_in = 0.0 if self._retries.is_in_time(event, until, began=began) else None
        elif interrupted and not is_final:
            self._retries.is_in_time(event, now, began=began)  # its first start is that of this run
            goes_on = self._retries.of(event) is not None or (self.resumes and event._kind.on_crash == "rerun")
            run.again_in = 0.0 if goes_on else None
        else:
            if is_refused:  # among other errors, by which the event goes on, or for the last time
                with suppress(PauseTooLong):
                    self._pauses.refuse(run, error, now=now, max_pause=self._retries.max_pause(event))
            if not is_final:
                run.again_in = self._retries.seconds_until(event, error, began=began, now=now)
                self.retries_done += run.again_in is not None
        return run.again_in is not None

    def seconds_until_again(self, event_id: UUID) -> float | None:
        """Return the seconds after which an event whose run ends is run again. None if it is not."""
        run = self.running.get(event_id.int)
        return None if run is None else run.again_in

    def costs_taken(self, event_id: UUID) -> list[float | None]:
        """Return what a running event has taken of each limit. None for a limit without a cost."""
        costs: list[float | None] = [None] * len(self._queue.lanes.limit_states.limits)
        for use in self._uses_of(event_id):
            if use.state.limit is not None and use.state.limit.cost is not None:
                costs[use.state.number - 1] = use.cost
        return costs

    def settle_cost(self, event: Event, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of a limit. None for all limits with a cost."""
        for use in self._uses_of(event.id):
            theirs = use.state.limit
            if theirs is limit if limit is not None else theirs is not None and theirs.cost is not None:
                self._queue.lanes.amounts.settle(use, actual)
        self._look_again()

    def observe_allowance(self, event: Event, allowance: Allowance) -> None:
        """Let the adaptive limits of a running event know what the other side says is left. O(running events)."""
        run = self.running.get(event.id.int)
        if run is not None and self._pauses.limit_states:
            self._pauses.observe(run, allowance, self.running.values(), current_time())
            self._look_again()

    def _uses_of(self, event_id: UUID) -> Sequence[Reservation]:
        run = self.running.get(event_id.int)
        return () if run is None else run.uses

    def _look_again(self) -> None:
        """Have the dispatcher see whether another event can start now."""
        if self._coordination.starter is not None:
            self._coordination.starter.look_again()


def _begins_at_once(event: Event) -> bool:
    """Return whether the run of an event begins without a wait for its record, as ``_run()`` decides it."""
    host = event._host
    return host is None or not host.is_recording or not host.waits_to_begin(event)
