"""
What an executor submits to a cluster, and what the server reports of these events: the half of the link without runs.

An event of the executor runs in any worker of the queue. Here it has a record only: a reader reads each transition from
the server, and the event makes the same transition. So the progressions, the observers and the waiting tasks of
the executor see the same as for an event that runs here, some milliseconds later.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from anyio import CancelScope, current_time

from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._cluster.engine import RoundTrips, TransitionReader
from lionpride_exec._status import CANCELLED, FAILED, PENDING, PROCESSING, SKIPPED, TERMINAL, TRANSITIONS, EventStatus
from lionpride_exec.errors import ClusterError, EventCancelled, Skip

from .cluster_tally import UNREADABLE, UNTRUSTED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anyio.abc import TaskGroup

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._cluster.engine import Answer, Moved, ServerQueue, Submission, Wire
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._tracking.status_index import StatusIndex

    from .cluster_records import ClusterRecords
    from .submitted import Submitted

logger = logging.getLogger("lionpride_exec")

# Ends without an outcome are possible with these only: the server makes them itself, or at a command without a secret.
MAY_LACK_OUTCOME = frozenset({SKIPPED, CANCELLED})

# What the log says of events that a worker cannot run, by the reason.
REFUSALS = {
    UNTRUSTED: "%s stays pending: worker %s cannot verify its signature. Do this process and the worker have the same "
    "secret? Further ones are not logged",
    UNREADABLE: "%s stays pending: worker %s does not know its class, or cannot read its fields. Another worker may "
    "run it. Further ones are not logged",
}

# A request to end an event: the id, the status, the signed outcome.
EndRequest = tuple[str, str, bytes]

# A word and an id, which the server answers to a submission.
Word = tuple[str, str]


class ClusterClient:
    """
    Submits events and follows them. ``Records`` of the executor's transitions.

    Args:
        index: The events of the executor.
        records: Encodes what is stored on the server.
        coordination: The locks in use.

    Attributes:
        is_open: Whether events can be submitted.
        on_the_way: The events that were sent and have no answer yet, by id.
    """

    def __init__(self, index: StatusIndex, records: ClusterRecords, coordination: Coordination) -> None:
        self.is_open: bool = False
        self.on_the_way: dict[UUID, Submitted] = {}
        self._index = index
        self._records = records
        self._coordination = coordination
        self._reader: TransitionReader | None = None
        self._submissions: RoundTrips[Submission, Word] | None = None
        self._ends: RoundTrips[EndRequest, str] | None = None
        self._group: TaskGroup | None = None
        self._wire: Wire
        self._reading: CancelScope | None = None  # of the task that reads transitions
        self._told: set[str] = set()  # the reasons why workers cannot run events here that were logged

    # ---------------------------------------------------------------- the tasks

    def open(self, queue: ServerQueue, group: TaskGroup) -> None:
        """Start to follow the open events, and to submit others, in a task group."""
        self._reader = reader = TransitionReader(queue, self._follow, self._note_refusal)

        async def submit(submissions: Sequence[Submission]) -> list[Word]:
            """Submit events, once their transitions are being read."""
            await reader.awake()
            return await queue.submit(submissions)

        self._submissions = RoundTrips(submit, lambda submission: len(submission.envelope))
        self._ends = RoundTrips(lambda requests: _request_ends(queue, requests), lambda request: len(request[2]))
        self._group, self._wire = group, queue.wire
        for event_id in self._index.event_ids(PENDING, PROCESSING):
            reader.add(event_id.hex, is_submitted=True)
        group.start_soon(self._submissions.run)
        group.start_soon(self._ends.run)
        group.start_soon(self._read, reader)
        self.is_open = True

    async def _read(self, reader: TransitionReader) -> None:
        with CancelScope() as self._reading:
            await reader.run()
        self._reading = None

    def close(self) -> None:
        """Submit and follow nothing more. Requests that were made before are sent, while there is time to leave."""
        self.is_open = False
        if self._reading is not None:
            self._reading.cancel()
        for round_trips in (self._submissions, self._ends):
            if round_trips is not None:
                round_trips.close_soon(self._wire.leave_by - current_time())

    def start_soon(self, run: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run a task for as long as the executor is connected."""
        assert self._group is not None
        self._group.start_soon(run, *args)

    # ---------------------------------------------------------------- submitting

    def submit(
        self, submitted: Submitted, submission: Submission, then: Callable[[Answer[Submission, Word]], None]
    ) -> None:
        """
        Submit an event, and follow it.

        Args:
            submitted: The event.
            submission: What is sent of it.
            then: Called with the answer as soon as there is one; see ``ServerQueue.submit()``.

        Raises:
            ClusterError: The executor is closing.
        """
        if self._submissions is None or self._reader is None:
            raise ClusterError("the executor is not connected to its cluster")
        self._submissions.ask(submission, then)
        self._reader.add(submission.event_id)  # the next transition may come before the answer
        self.on_the_way[submitted.event.id] = submitted

    def note_submitted(self, event: Event, *, is_new: bool) -> None:
        """Note that the queue has taken an event in, or that it has had it before."""
        if self._reader is not None:
            self._reader.note_submitted(event.id.hex, is_new=is_new)

    async def follow_known(self, event: Event) -> None:
        """
        Follow an event that another client has submitted. On return it has the status that it has on the server.

        Raises:
            ClusterError: The server was not reached, or it refused. The reader tries again.
        """
        assert self._reader is not None
        self._reader.add(event.id.hex, is_submitted=True)
        await self._reader.awake()
        await self._reader.learn([event.id.hex])

    async def catch_up(self) -> None:
        """
        Update the status of all open events from the server.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        if self._reader is not None:
            await self._reader.learn([event_id.hex for event_id in self._index.event_ids(PENDING, PROCESSING)])

    def forget(self, event: EventLifecycle) -> None:
        """Stop to follow an event."""
        if self._reader is not None:
            self._reader.discard(event.id.hex)

    # ---------------------------------------------------------------- what the server tells

    def _follow(self, moved: Moved) -> Coroutine[Any, Any, None] | None:
        """Repeat a transition of the server. If tasks have locks, return a coroutine that waits for the locks."""
        event = self._index.items.get(UUID(moved.event_id), None)
        if event is None:
            return None
        if self._coordination.locks_in_use:
            return self._move_when_unlocked(event, moved)
        self._move(event, moved)
        return None

    def _note_refusal(self, event_id: str, why: str, worker: str) -> None:
        """Log that a worker cannot run an event. Only the first event of a reason is logged."""
        if why not in self._told and why in REFUSALS:
            self._told.add(why)
            logger.warning(REFUSALS[why], self._index.items.get(UUID(event_id), event_id), worker)

    async def _move_when_unlocked(self, event: Event, moved: Moved) -> None:
        async with self._index.locks(*EventStatus):
            self._move(event, moved)

    def _move(self, event: Event, moved: Moved) -> None:
        execution = event.execution
        if execution.status in TERMINAL or event.id not in self._index.items:
            return
        if not moved.status:
            self._end(event, moved, FAILED, ClusterError("the queue does not keep the event any more"))
            return
        target, at = EventStatus(moved.status), _moment(moved.cursor)
        if target in TERMINAL:
            self._end_as_told(event, moved, target)
            return
        if target not in TRANSITIONS[execution.status]:
            if target is execution.status is PENDING:
                return  # the transition of its submission
            event._transition(PENDING, interrupted=True, at=at)  # another worker has begun the event again
        is_interrupted = target is PENDING and moved.attempt < execution.attempt
        execution.attempt = max(moved.attempt - (target is PROCESSING), 0)
        event._transition(target, interrupted=is_interrupted, at=at)
        execution.attempt = moved.attempt

    def _end_as_told(self, event: Event, moved: Moved, target: EventStatus) -> None:
        """End an event as it has ended on the server."""
        if not moved.outcome and target in MAY_LACK_OUTCOME:
            self._end(event, moved, target, error_without_outcome(target, moved.because))
            return
        try:
            found = self._records.read_outcome(event, target, moved.outcome, moved.attempt)
        except Exception as exc:  # noqa: BLE001  anyone who can write to the server can store anything
            logger.warning("the outcome of %s cannot be read: %s", event, exc)
            reason = f"it is {target} on the server, but its outcome cannot be read: {exc}"
            self._end(event, moved, FAILED, ClusterError(reason))
            return
        execution = event.execution
        self._approach(event, target, _moment(moved.cursor))
        execution.attempt, execution.attempts = moved.attempt, found.attempts
        execution.duration, execution.started_at = found.duration, found.started_at
        error = Unset if found.error is None else found.error
        event._transition(target, response=found.response, error=error, at=found.finished_at)

    def _end(self, event: Event, moved: Moved, target: EventStatus, error: BaseException) -> None:
        """End an event for which there is no outcome."""
        at = _moment(moved.cursor)
        self._approach(event, target, at)
        event.execution.attempt = max(moved.attempt, event.execution.attempt)
        event._transition(target, error=error, at=at)

    @staticmethod
    def _approach(event: Event, target: EventStatus, at: datetime) -> None:
        """If the transition to a status needs one before it that was not read, make that one."""
        status = event.execution.status
        if target not in TRANSITIONS[status]:
            event._transition(PROCESSING if status is PENDING else PENDING, at=at)

    # ---------------------------------------------------------------- Records of the transitions

    def record(self, event: Event, target: EventStatus, again_in: float | None) -> bool:  # noqa: ARG002  a protocol
        """Return whether an event has ended, so that it may leave memory. The server has made the transition."""
        return target in TERMINAL

    def record_cost(self, event: Event, costs: Sequence[float | None]) -> None:
        """Do nothing: the worker of an event corrects its costs."""

    def end_waiting(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """Ask the server to end an event. Return True: the request is on its way."""
        if self._ends is None or self._group is None or not self.is_open:
            raise ClusterError(f"the executor of {event} is not connected to its cluster", retryable=True)
        outcome = self._records.outcome(event, status, Unset, error)
        self._group.start_soon(self._request_end, event, (event.id.hex, status.value, outcome))
        return True

    async def _request_end(self, event: Event, request: EndRequest) -> None:
        assert self._ends is not None
        submitted = self.on_the_way.get(event.id)
        if submitted is not None:
            await submitted.decided.wait()  # until then, the server may not know the event
        try:
            await self._ends.send(request)
        except ClusterError as error:
            logger.warning("event %s was not asked to end: %s", request[0], error)

    def has_unreported_outcome(self, event: EventLifecycle) -> bool:  # noqa: ARG002  a protocol
        """Return False: an event here learns of its end at once."""
        return False

    def has_written_start(self, event: EventLifecycle) -> bool:  # noqa: ARG002  a protocol
        """Return True: nothing has to be written before an event begins."""
        return True

    async def confirm_start(self) -> None:
        """Do nothing: no event of the executor runs here."""

    async def confirm_end(
        self, event: EventLifecycle, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """Do nothing: no event of the executor runs here."""


async def _request_ends(queue: ServerQueue, requests: Sequence[EndRequest]) -> list[str]:
    """Ask the server to end events, with one call for each status."""
    words: dict[str, str] = {}
    for status in {request[1] for request in requests}:
        same = [request for request in requests if request[1] == status]
        answers = await queue.cancel([one[0] for one in same], status, [one[2] for one in same])
        words.update(zip((one[0] for one in same), answers, strict=True))
    return [words[request[0]] for request in requests]


def _moment(cursor: str) -> datetime:
    """Return the time of a transition by the clock of the server. Now, if the cursor is "": it was not read."""
    milliseconds = cursor.partition("-")[0]
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else wall_clock.now()


def error_without_outcome(target: EventStatus, because: str) -> BaseException:
    """Return the error of an event that the server itself has ended, or a command without a secret."""
    if target is CANCELLED:
        return EventCancelled()
    return Skip(f"It comes after event {_uuid_text(because)}, which did not complete" if because else None)


def _uuid_text(event_id: str) -> str:
    """Return an id as people know it. Another program may have written any text."""
    try:
        return str(UUID(event_id))
    except ValueError:
        return repr(event_id)
