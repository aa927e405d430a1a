"""
The permission gate: whether an event may start, and where an event goes that may not.

One event is asked about at a time. While its gate is asked, the event is in no queue and does not run yet. When the
question is cut short, the event goes back to the queue. An answer against the start sends the event back to the queue,
now or after a time, or ends the event ABORTED.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.tracebacks import log_info
from lionpride_exec._events.event import Event
from lionpride_exec._events.log_fields import log_fields
from lionpride_exec._events.running_event import RunningEvent, runs_here
from lionpride_exec._model.permission import Deny, Wait
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeAlias
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._model.pile import Pile
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .reporter import Reporter
    from .retries import RetryPlanner

    # What a gate has answered. An exception is what the gate raised.
    Verdict: TypeAlias = bool | Wait | Deny | Exception

logger = logging.getLogger("lionpride_exec.gate")

MAX_DENIALS = 3

# An entry that does not start now, its event, and the answer of the gate. True if the gate allowed the start, and the
# event cannot start for another reason.
NotStarted = tuple["Entry", "Event", "Verdict"]


class GateOwner(Protocol):
    """
    A processor, as its gate sees it: what a subclass may override, and what a user may set.

    Attributes:
        pile: Where the events are.
        capacity_refresh_time: The seconds for which a denial closes a partition.
        max_denial_tracking: How many events can have strikes at the same time.
    """

    pile: Pile[Event]
    capacity_refresh_time: float
    max_denial_tracking: int

    async def request_permission(self, *args: Any, **kwargs: Any) -> bool | Wait | Deny:
        """Decide whether an event may start now."""
        ...

    def forget(self, event_id: UUID) -> None:
        """Drop an event that left the pile or ended elsewhere."""


class PermissionGate:
    """
    Asks the gate of each event, counts strikes, and sends refused events where they belong.

    The gate moves no event between statuses: it asks the event to move, and reports that.

    Args:
        owner: The processor. Its ``request_permission()`` is looked up at each question.
        default: The ``request_permission()`` of a processor that has no gate.
        queue: Where refused events go.
        retries: Forgets the events that end here.
        reporter: Tells the executor.

    Attributes:
        denial_counts: How often each waiting event was denied, the oldest count first. An event that starts or leaves
            has no count.
        lock: Held while a gate is asked. It protects the entry that was taken from the queue, and the strikes.
        asked: The event in question. None if there is none.
        in_hand: The entries that were taken from the queue and neither started nor put back yet, by id of the event.
        is_asking: Whether the gate of that event has not answered yet. After the answer, the event may wait for a lock.
    """

    __slots__ = (
        "_conditions",
        "_coordination",
        "_default",
        "_owner",
        "_queue",
        "_reporter",
        "_retries",
        "asked",
        "denial_counts",
        "in_hand",
        "is_asking",
        "lock",
    )

    def __init__(
        self, owner: GateOwner, default: object, queue: PriorityQueue, retries: RetryPlanner, reporter: Reporter
    ) -> None:
        self.denial_counts: dict[UUID, int] = {}
        self.asked: UUID | None = None
        self.in_hand: dict[UUID, Entry] = {}
        self.is_asking: bool = False
        self._owner = owner
        self._default = default
        self._queue = queue
        self._retries = retries
        self._reporter = reporter
        self.make_lock()

    def make_lock(self) -> None:
        """Replace the lock, because a lock belongs to one event loop. No task may hold the old lock."""
        self.lock: anyio.Lock = anyio.Lock(fast_acquire=True)

    def share(self, coordination: Coordination) -> None:
        """Use this state, which an executor shares."""
        self._coordination = coordination
        self._conditions = coordination.conditions

    # ---------------------------------------------------------------- looking

    def is_open_for_all(self) -> bool:
        """Return whether every event may start: neither the class of the processor nor its instance has a gate."""
        owner = self._owner
        return (
            type(owner).request_permission is self._default
            and "request_permission" not in owner.__dict__
            and getattr(owner, "event_type", Event).request is Event.request
        )

    def is_free(self) -> bool:
        """Return whether no event is being asked about, no lock is in use, and the instance has no gate of its own."""
        return (
            self.asked is None
            and not self._coordination.locks_in_use
            and "request_permission" not in self._owner.__dict__
        )

    # ---------------------------------------------------------------- asking

    @contextmanager
    def asking(self, entry: Entry, event: Event) -> Generator[None]:
        """Mark an event as the one whose gate is asked, inside the block. If the block raises, queue it again."""
        self.asked = event.id
        self.in_hand[event.id] = entry
        try:
            yield
        except BaseException:
            event._refile()
            self._put_back(self.in_hand[event.id], event)
            raise
        finally:
            self.asked = None
            del self.in_hand[event.id]

    async def ask(self, event: Event) -> Verdict:
        """Ask the gate about an event. An exception of the gate is returned, not raised."""
        # stop() called by the gate must not wait for the event in question.
        context = runs_here.set((*runs_here.get(), RunningEvent(event)))
        self.is_asking = True
        try:
            answer: object = await self._owner.request_permission(**event.request)
            if answer is None:  # most likely a forgotten return, so it is reported and not taken for a plain False
                raise TypeError("request_permission() must answer True, False, Wait or Deny, got None")  # noqa: TRY301  handled as what a gate raises
            return answer if answer is True or isinstance(answer, Wait | Deny) else bool(answer)
        except Exception as exc:
            logger.warning(
                "The gate of %r failed for %s, which gets a strike", self._owner, event, exc_info=log_info(exc),
                extra=self._log_fields(event, exc),
            )  # fmt: skip
            return exc
        finally:
            self.is_asking = False
            runs_here.reset(context)

    def check_request(self, event: Event) -> bool | Exception:
        """Read ``event.request``. Return True, or the error that it raised: a strike even if there is no gate."""
        try:
            event.request  # noqa: B018  a property of the user
        except Exception as exc:
            logger.warning(
                "The request of %s failed, which gets a strike", event, exc_info=log_info(exc),
                extra=self._log_fields(event, exc),
            )  # fmt: skip
            return exc
        return True

    def _log_fields(self, event: Event, error: Exception) -> dict[str, Any]:
        fields = log_fields(self._coordination.name, event, error)
        return fields | {"lionpride.count": self.denial_counts.get(event.id, 0) + 1}

    # ---------------------------------------------------------------- what does not start

    async def return_unstarted(self, entry: Entry, event: Event, verdict: Verdict) -> None:
        """Send an entry that does not start now where it belongs. The caller holds the lock."""
        with self.asking(entry, event):
            await self._place_unstarted(event, verdict)
        self._conditions.notify()

    async def lock_and_return_unstarted(self, entry: Entry, event: Event, verdict: Verdict) -> None:
        """Do as :meth:`return_unstarted` for a caller that does not hold the lock."""
        self.in_hand[event.id] = entry
        try:
            await self.lock.acquire()
        except BaseException:
            self._put_back(self.in_hand[event.id], event)
            raise
        finally:
            entry = self.in_hand.pop(event.id)
        try:
            await self.return_unstarted(entry, event, verdict)
        finally:
            self.lock.release()

    def _put_back(self, entry: Entry, event: Event) -> None:
        """Queue an entry again, unless its event has left or was decided meanwhile."""
        if event.status is EventStatus.PENDING and event.id in self._owner.pile:
            self._queue.put_back(entry)

    async def _place_unstarted(self, event: Event, verdict: Verdict) -> None:
        """Queue an entry again, close its gate, count a strike, or end its event, depending on the gate's answer."""
        now, lanes, entry = current_time(), self._queue.lanes, self.in_hand[event.id]
        if event.id not in self._owner.pile:
            self._owner.forget(event.id)
        elif event.status is not EventStatus.PENDING:  # it was run or decided elsewhere
            self._owner.forget(event.id)
            await self._reporter.report(event)
        elif verdict is True:  # the workers were dismissed meanwhile, or capacity or a limit is used up
            self._queue.give_back(entry)
        elif isinstance(verdict, Wait) and verdict.seconds:
            self._queue.give_back(entry)
            lanes.close_gate_until(entry.route.key, now + verdict.seconds)
        elif isinstance(verdict, Wait):
            self._queue.put_back(entry)  # behind the other keys, or nobody but this one would be asked
        elif isinstance(verdict, Deny):
            await self._abort(event, AccessError(verdict.reason))
        else:
            lanes.close_gate_until(entry.route.key, now + self._owner.capacity_refresh_time)
            await self._strike(entry, event, verdict if isinstance(verdict, Exception) else None)

    async def _strike(self, entry: Entry, event: Event, error: Exception | None) -> None:
        """Count a denial: the event is asked again later, or ends."""
        counts = self.denial_counts
        denials = counts.get(event.id, 0) + 1
        if denials >= MAX_DENIALS:
            await self._abort(event, error or AccessError(f"Permission was denied {denials} times"))
            return
        if event.id not in counts and len(counts) >= self._owner.max_denial_tracking:
            del counts[next(iter(counts))]
        counts[event.id] = denials
        self._queue.put_delayed(entry, current_time() + denials)

    async def _abort(self, event: Event, error: Exception) -> None:
        """End an event ABORTED, and report that."""
        self.denial_counts.pop(event.id, None)
        self._retries.forget(event.id)
        await event._refuse(error)
        # The event may have been decided otherwise while that waited for a lock.
        await self._reporter.report(event, EventStatus.ABORTED if event.status is EventStatus.ABORTED else None)
