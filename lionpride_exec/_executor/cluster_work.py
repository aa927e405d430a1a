"""
The events that a process works on for a cluster: the half of the link that runs events.

A worker takes events of any client from the queue on the server. They have a pile and progressions of their own, apart
from the events that this process has submitted. Before the executor's processor begins one of them, it asks here
(``Admission``): the server records the start, and says if the limits allow it. The end is recorded before the slot is
free. If an event has to run again, it goes back to the server.
"""

from __future__ import annotations

import logging
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._base.exception_groups import is_of, leaves
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._cluster.engine import UntrustedRecordError
from lionpride_exec._journal.codec import Unreadable
from lionpride_exec._model.flow import Flow
from lionpride_exec._model.retain import Retain, by_status
from lionpride_exec._status import FAILED, PENDING, TERMINAL, EventStatus
from lionpride_exec._tracking.observers import Observers
from lionpride_exec._tracking.retention import Retention
from lionpride_exec._tracking.status_index import StatusIndex
from lionpride_exec._tracking.subscriptions import Subscriptions
from lionpride_exec.errors import ClusterError, EventCancelled, RateLimited, Skip

from .cluster_limits import MAX_WAITING_FOR_KEY, ClusterLimits
from .cluster_lookahead import Lookahead
from .cluster_noops import NoQueueing, forget_nothing
from .cluster_records import interruption, runs_again
from .cluster_steps import ClusterSteps
from .cluster_tally import UNREADABLE, UNTRUSTED, ClusterTally
from .dependencies import Dependencies
from .transitions import Transitions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from anyio.abc import TaskGroup

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._cluster import Cluster
    from lionpride_exec._cluster.engine import QueueWorker, Taken
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._processing.processor_run import ProcessorRun

    from .cluster_records import ClusterRecords
    from .facade import Facade

logger = logging.getLogger("lionpride_exec")

# Seconds after which the server offers an event again that this process cannot run.
SECONDS_UNTIL_OFFERED_AGAIN = 10.0

# The ends for which a client can ask.
REQUESTS = {EventStatus.CANCELLED.value, EventStatus.SKIPPED.value}


class ClusterWork:
    """
    The events that a worker holds. A ``WorkerHost``, an ``Admission``, a ``Records`` and a ``ReportHost``.

    Args:
        executor: The executor.
        settings: The cluster.
        records: Decodes the events.
        coordination: The state that the executor and its processor share.

    Attributes:
        index: The held events by status.
        limits: What the runs take from the limits.
        observers: Called at each transition of a held event.
        transitions: Follow what becomes of the held events.
        tally: What this process could not run or report.
    """

    def __init__(
        self, executor: Facade, settings: Cluster, records: ClusterRecords, coordination: Coordination
    ) -> None:
        self.index = StatusIndex(Flow(name="held events", item_type=executor.event_type), coordination)
        self.tally = ClusterTally()
        self._executor, self._records = executor, records
        self._holds = coordination.holds
        self.limits = ClusterLimits(self._pass_place)
        self._lookahead = Lookahead(settings)
        self._steps = ClusterSteps()
        self.observers = observers = Observers(executor)
        self.transitions = transitions = Transitions(
            executor, coordination, self.index, observers, Subscriptions(observers, coordination), Dependencies(),
            Retention(self.index, by_status(None, Retain(0)), forget_nothing, None), self,
        )  # fmt: skip
        transitions.queues = transitions.followers = NoQueueing()
        transitions.is_strict = transitions.is_recording = True
        self._processor: Processor | None = None
        self._worker: QueueWorker | None = None

    def attach(self, processor: Processor) -> None:
        """Have a processor run the events."""
        self._processor = self.transitions.processor = processor
        processor._runner.admission = processor._reporter.files = self
        processor._runner.resumes = True
        self.limits.attach(processor)
        processor.queue.lanes.blocked.add_listener(self)

    def open(self, worker: QueueWorker, group: TaskGroup) -> None:
        """Work for a worker from now on. Steps that no task waits for are sent in the group."""
        self._worker = worker
        self._steps.open(group)

    def disconnect(self) -> None:
        """Send nothing more: the connection is lost for good, or closed."""
        self._steps.close()

    def close(self) -> None:
        """Forget the events that the worker has given back."""
        for event in list(self.index.items):
            self._drop(event)
        self._worker = None
        self._steps.close()

    # ---------------------------------------------------------------- WorkerHost: what comes from the server

    def room(self) -> int:
        """Return how many more events can be taken now."""
        processor = self._processor
        if processor is None:
            return 0
        if self._starts_nothing():
            self._give_back_waiting()
            return 0
        for seconds, event_id in self.limits.stuck():
            if (event := self.index.items.get(event_id, None)) is not None:
                self._drop(event)
                self._postpone(event_id.hex, seconds)
        room = self._lookahead.room(processor, len(self.index.items))
        if not room and processor.queue.lanes.blocked.number > MAX_WAITING_FOR_KEY:
            self._park_excess()
            room = self._lookahead.room(processor, len(self.index.items))
        return room

    def reconsider(self) -> None:
        """Have the worker ask for the room again: if events here wait for a limit, others may be taken."""
        if self._worker is not None:
            self._worker.room_changed()

    def _give_back_waiting(self) -> None:
        """Give back the events that have not begun here."""
        assert self._processor is not None
        assert self._worker is not None
        for event in list(self.index.items):
            if event.id.int not in self._processor._running:
                self._drop(event)
                self._steps.send(self._worker.give_back, event.id.hex)

    def _park_excess(self) -> None:
        """Give back events behind a key at its limit, so that there is room for events of other keys."""
        assert self._worker is not None
        for limit, seconds, event_id in self.limits.excess():
            if (event := self.index.items.get(event_id, None)) is not None:
                self._drop(event)
                self._steps.send(self._worker.park, event_id.hex, limit, seconds)

    def _starts_nothing(self) -> bool:
        """Return whether this process is paused, for long or until a call, while other workers could run its events."""
        assert self._processor is not None
        return self._processor.is_stopped() or PAUSED in self._holds or self.limits.starts_nothing_for_long()

    def take(self, taken: Taken) -> None:
        """Queue an event that the worker has taken. If it cannot run here, give it back for other workers."""
        event_id = taken.entry.event_id
        if self._starts_nothing():  # the pause began while the worker took the event
            assert self._worker is not None
            self._steps.send(self._worker.give_back, event_id)
            return
        try:
            event, priority = self._records.read_envelope(
                event_id, taken.envelope, PENDING, taken.attempt, taken.attempts
            )
            if not self.accepts(event):
                raise Unreadable(f"the executor does not take a {type(event).__name__}")  # noqa: TRY301  handled like other events that cannot run here
        except (UntrustedRecordError, Unreadable) as exc:
            self._pass_on(event_id, UNTRUSTED if isinstance(exc, UntrustedRecordError) else UNREADABLE, exc)
            return
        if event.id in self.index.items:  # an earlier run here, to which the event does not belong any more, still ends
            self._disown(event_id)
        elif taken.status == EventStatus.PROCESSING and not runs_again(event):
            assert self._worker is not None
            outcome = self._records.outcome(event, FAILED, Unset, interruption())
            self._steps.send(self._worker.finish, event_id, FAILED.value, outcome)
        else:
            self._queue(event, priority)

    def accepts(self, event: Event) -> bool:
        """Return whether the executor runs events of this class."""
        kind = self._executor.event_type
        return type(event) is kind if self._executor.strict_event_type else isinstance(event, kind)

    def _queue(self, event: Event, priority: float | None) -> None:
        processor = self._processor
        assert processor is not None
        self.index.add(event)
        event._set("_host", self.transitions)
        try:
            # On the server, the event has waited at the middle level, and not by its age. So 0 counts here too.
            entry = processor.queue.make_entry(0.0 if priority is None else priority, event.id)
            self.limits.check_keys(entry.route.key)
        except Exception as exc:  # noqa: BLE001  a function of the user raised, which a limit calls, or no key can be made of its result
            self.transitions.end_now(event, EventStatus.ABORTED, exc)
            return
        if event.execution.attempts:  # a deadline of its retry counts from its first start, in any process
            since = wall_clock.now() - event.execution.attempts[0].started_at
            processor._retry_planner.first_starts[event.id] = current_time() - since.total_seconds()
        processor.queue.put_back(entry)

    def _pass_on(self, event_id: str, why: str, error: Exception, *, is_fault: bool = False) -> None:
        """Give back an event that cannot run here. The server offers it again after a while."""
        self.tally.pass_on(event_id, why, error, is_fault=is_fault)
        self._postpone(event_id, SECONDS_UNTIL_OFFERED_AGAIN, why if self.tally.reports(event_id) else "")

    def _postpone(self, event_id: str, seconds: float, why: str = "") -> None:
        assert self._worker is not None
        self._steps.send(partial(self._worker.postpone, why=why), event_id, -seconds * 1e6, b"")

    def _disown(self, event_id: str) -> None:
        assert self._worker is not None
        self._worker.disown(event_id)
        self._postpone(event_id, 1.0)

    def lose(self, event_id: str) -> None:
        """Stop an event that another worker has taken over."""
        event = self.index.items.get(UUID(event_id), None)
        if event is None:
            return
        logger.warning("%s was taken over by another worker, since its lease was not renewed in time", event)
        if event._current_run.is_active:
            self.tally.lose(EventStatus.CANCELLED)
            self.transitions.end_now(event, EventStatus.CANCELLED, EventCancelled("another worker has the event"))
        else:
            self._drop(event)

    def lapse(self, event_id: str) -> None:
        """Stop an event whose place in a ``Concurrent`` the server has given to others, and give it back."""
        event = self.index.items.get(UUID(event_id), None)
        if event is not None and event._current_run.is_active and not runs_again(event):
            self.transitions.end_now(event, FAILED, interruption())
            return
        assert self._worker is not None
        self._steps.send(self._worker.give_back, event_id, then=self.lose)  # an end that came first would count

    def end(self, event_id: str, status: str, outcome: bytes) -> None:
        """End an event, because a client or a command has asked for its end."""
        event = self.index.items.get(UUID(event_id), None)
        if event is not None and status in REQUESTS:
            target = EventStatus(status)
            reason = self._records.read_reason(event, target, outcome)
            error = Skip(reason) if target is EventStatus.SKIPPED else EventCancelled(reason)
            self.transitions.end_now(event, target, error)

    def reopen(self, bucket: str) -> None:
        """Let the events ask again that wait for a limit."""
        self.limits.reopen(bucket)

    def _pass_place(self, bucket: str) -> None:
        assert self._worker is not None
        self._steps.send(self._worker.pass_place, bucket)

    def _drop(self, event: Event) -> None:
        """Forget an event that has not begun, or has gone back to PENDING."""
        processor = self._processor
        assert processor is not None
        self.index.remove(event)
        event._set("_host", None)
        processor.forget(event.id)

    # ---------------------------------------------------------------- Admission: what the processor asks

    async def admit(self, run: ProcessorRun) -> bool:
        """
        Have the start of an event recorded, and return whether it begins.

        Cancellation: the start may be recorded. The event is given back with the others that the worker holds.
        """
        event, worker = run.event, self._worker
        assert worker is not None
        try:
            asked = self.limits.of(run.uses)
            with self.limits.asking(asked):
                start = await worker.begin(event.id.hex, [limit for limit, _ in asked])
                if start.limit is not None:
                    self.limits.close(*asked[start.limit], start.seconds)
        except ClusterError as error:
            logger.warning("the start of %s was not recorded: %s", event, error)
            return False
        except Exception as error:  # noqa: BLE001  the event would be asked for again and again
            self._drop(event)
            self._pass_on(event.id.hex, "not startable", error, is_fault=True)
            return False
        if start.may_run:
            event.execution.attempt = start.attempt - 1
            return True
        if start.is_gone and event.id in self.index.items:
            self._drop(event)
        return False

    def take_back(self, run: ProcessorRun) -> None:
        """Give an event that runs again to the server: at once if it was interrupted, else when it is due."""
        event, worker, seconds = run.event, self._worker, run.again_in or 0.0
        assert worker is not None
        self._drop(event)
        last = event.execution.attempts[-1] if event.execution.attempts else None
        is_refused = (
            last is not None and last.error is not None and any(is_of(leaf, RateLimited) for leaf in leaves(last.error))
        )
        if is_refused:
            until, buckets = self.limits.closed_by_refusal(run.entry.route.key)
            seconds = max(seconds, until - current_time())
            for bucket in buckets:
                self._steps.send(worker.shut, bucket, -seconds * 1e6)
        if last is not None and last.interrupted and not is_refused:
            self._steps.send(worker.give_back, event.id.hex)
        else:
            counts = last is None or not last.interrupted
            self._steps.send(self._put_off, event, seconds, counts)

    async def _put_off(self, event: Event, seconds: float, counts: bool) -> None:
        assert self._worker is not None
        due = -max(seconds, 1e-6) * 1e6 if isfinite(seconds) else -1.0
        await self._worker.postpone(event.id.hex, due, self._records.attempts(event), costs_attempt=counts)

    # ---------------------------------------------------------------- Records: what the transitions tell

    def record(self, event: Event, target: EventStatus, again_in: float | None) -> bool:  # noqa: ARG002  a protocol
        """Have an end recorded that was not confirmed. Return whether the event may leave memory."""
        if target not in TERMINAL:
            return False
        if self._worker is not None and self._worker.holds(event.id.hex):
            outcome = self._records.outcome(event, target, event.execution.response, event.execution.error)
            self._steps.send(self._finish, event, target, outcome)
        return True

    async def _finish(self, event: EventLifecycle, target: EventStatus, outcome: bytes) -> None:
        """Have an end recorded. If the server does not take it, that is counted."""
        assert self._worker is not None
        is_held = self._worker.holds(event.id.hex)  # else it was counted when it was lost
        try:
            if not await self._worker.finish(event.id.hex, target.value, outcome) and is_held:
                self.tally.lose(target)
        except ClusterError as error:
            self.tally.note_unrecorded(event, target, error)

    def record_cost(self, event: Event, costs: Sequence[float | None]) -> None:
        """Correct what a running event has taken of its limits."""
        assert self._worker is not None
        run = None if self._processor is None else self._processor._running.get(event.id.int)
        for limit, state in self.limits.of(() if run is None else run.uses):
            if costs[state.number - 1] is not None:
                self._steps.send(self._worker.settle, event.id.hex, limit.bucket, limit.cost)

    def end_waiting(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """End a waiting event. Its end is recorded after that."""
        return self.transitions.end_now(event, status, error)

    def has_unreported_outcome(self, event: EventLifecycle) -> bool:  # noqa: ARG002  a protocol
        """Return False: the transition of an event follows the record of its end at once."""
        return False

    def has_written_start(self, event: EventLifecycle) -> bool:  # noqa: ARG002  a protocol
        """Return False: what an event takes of the limits counts from its beginning, not from the question."""
        return False

    async def confirm_start(self) -> None:
        """Do nothing: the start is recorded already."""

    async def confirm_end(
        self, event: EventLifecycle, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """Wait until the end is recorded, or cannot be."""
        if isinstance(event.execution.duration, float):
            self._lookahead.note_end(event.execution.duration)
        await self._finish(event, target, self._records.outcome(event, target, response, error, at))

    # ---------------------------------------------------------------- ReportHost

    async def _update_progression(self, event: Event, force_status: EventStatus | None = None) -> None:
        await self.index.update(event, event.execution.status if force_status is None else force_status)

    def _wants_reports(self) -> bool:
        return False
