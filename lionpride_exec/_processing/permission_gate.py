"""The gate: who may start, and where those go who may not."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.coordination import Coordination
from lionpride_exec._base.tracebacks import log_info
from lionpride_exec._events.event import Event
from lionpride_exec._events.lifecycle import running_events
from lionpride_exec._model.permission import Deny, Wait
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import AccessError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Mapping, Sequence
    from uuid import UUID

    from lionpride_exec._base.conditions import PredicateCondition
    from lionpride_exec._base.coordination import ReportHost, Starter
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._model.pile import Pile
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.limit_state import Reservation
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .retries import Reruns
    from .workers import Crew

logger = logging.getLogger("lionpride_exec")

MAX_DENIALS = 3


class Flight:
    """What a processor knows of an event that runs."""

    __slots__ = ("again_in", "began", "entry", "event", "token", "uses")

    def __init__(self, event: Event, entry: Entry, uses: Sequence[Reservation], began: float, token: object) -> None:
        self.event: Event = event
        self.entry: Entry = entry
        self.uses: Sequence[Reservation] = uses
        self.began: float = began  # when it was started
        self.again_in: float | None = None  # seconds after its end; None: not, as far as is known
        self.token: object = token  # of the window, as long as the event has not begun; else None


# An entry that does not start, its event, and what its gate has answered.
Refused = tuple["Entry", "Event", "bool | Wait | Deny | Exception"]


class Admission:
    """
    The part of a processor that asks gates, counts denials, and tells the executor.

    It moves no event between statuses: it asks the event to, and reports.
    """

    queue: PriorityQueue
    pile: Pile[Event]
    executor: Executor | None
    capacity_refresh_time: float
    max_denial_tracking: int
    _reruns: Reruns

    def __init__(self) -> None:
        # How often each waiting event was denied, the oldest entry first. An event that starts or leaves has none.
        self._denial_counts: dict[UUID, int] = {}
        # Held across the question to a gate: the entry that was taken and the strikes hold still meanwhile.
        self._gate_lock = anyio.Lock(fast_acquire=True)
        # The event in question: it is in no queue and does not run yet.
        self._asked: UUID | None = None
        self._is_asking = False  # its gate has not answered yet; afterwards the event may wait for a lock
        # Whether what is interrupted is run again even without a Retry: a journal is to lose nothing.
        self.resumes: bool = False
        self._host: ReportHost | None = None  # the executor, once this processor is attached to it
        self._has_own_enqueue = False  # decided when it is attached
        # The events whose enqueue() the executor awaits: what is queued of them needs no room. By event id, with the
        # time by the wall clock before which the event is not due, in seconds since 1970, or None.
        self._admitted: dict[UUID, float | None] = {}
        self._share(Coordination())

    # ---------------------------------------------------------------- the executor

    def _share(self, coordination: Coordination) -> None:
        """Use these conditions, holds and deferred ends. Its parts have names of their own, since every hop costs."""
        self._coordination: Coordination = coordination
        self._waiters: PredicateCondition = coordination.conditions
        self._held_back: set[object] = coordination.holds
        self._put_off: Mapping[UUID, object] = coordination.deferred_ends
        coordination.starter = cast("Starter", self)

    def _attach(self, coordination: Coordination, report: ReportHost) -> None:
        """
        Work for an executor from now on; the setter of its ``processor`` calls this. Idempotent.

        Args:
            coordination: The state that the executor shares.
            report: The executor, which is told of starts and ends.

        Raises:
            ConfigurationError: The processor belongs to another executor. Nothing has changed.
            RuntimeError: A task runs the processor or waits for it already. Nothing has changed.
        """
        if self._host is report:
            return
        executor: object = self.executor
        if self._host is not None or (executor is not None and executor is not report):
            raise ConfigurationError(f"{self!r} belongs to another executor: {executor!r}")
        if self._is_in_use():
            raise RuntimeError(f"{self!r} is in use: attach it to its executor before anything runs it or waits for it")
        self._host = report
        self._has_own_enqueue = self._overrides_enqueue()
        self.executor = cast("Executor", report)
        self._share(coordination)

    def _overrides_enqueue(self) -> bool:
        """Return whether ``enqueue()`` is overridden, in a subclass or on the instance."""
        raise NotImplementedError

    def _is_in_use(self) -> bool:
        """Return whether a task runs this processor or waits for it."""
        raise NotImplementedError

    # ---------------------------------------------------------------- for subclasses

    async def request_permission(self, *args: Any, **kwargs: Any) -> bool | Wait | Deny:
        """
        Decide whether an event may start now; asked with its ``request``. Override this.

        One event is asked about at a time, in order of priority. ``True`` lets it start. ``False`` is a strike: it
        keeps its place and is asked again 1 s, then 2 s later; the third strike ends it ABORTED. After a ``False``
        nobody of that partition is asked for ``capacity_refresh_time``. ``Wait(seconds)`` is no strike: its partition
        is asked again after that time. ``Deny(reason)`` ends it ABORTED at once. An exception, or ``None``, is a
        strike, logged as a warning, and the event's error if it is the third.

        Cancellation: the event stays queued where it stood.
        """
        return True

    def partition(self, event: Any) -> Hashable:  # noqa: ARG002  for subclasses
        """Give the partition that a closed gate closes; the default is one for all. Called when queued."""
        return None

    # ---------------------------------------------------------------- inside

    def _may_begin(self, entry: Entry, event: Event, crew: Crew, now: float) -> bool:
        """Whether an event that was let in may still start."""
        raise NotImplementedError

    def _begin(self, entry: Entry, event: Event, crew: Crew, now: float) -> Flight:
        """Take the event and what its start costs."""
        raise NotImplementedError

    def _follows_events(self) -> bool:
        """
        Return whether nothing has to be reported, since the executor follows the transitions of its events.

        Each crew asks this when it begins. An executor that this processor is not attached to gets all reports.
        """
        return self.executor is None if self._host is None else not self._host._wants_reports()

    def _has_no_gate(self) -> bool:
        """Whether the processor leaves everything that a gate would be as it is here."""
        return (
            type(self).request_permission is Admission.request_permission
            and "request_permission" not in self.__dict__
            and getattr(self, "event_type", Event).request is Event.request
        )

    def _is_free(self) -> bool:
        """Return whether no event is in question, no lock is in use, and the instance got no gate meanwhile."""
        return self._asked is None and not self._coordination.locks_in_use and "request_permission" not in self.__dict__

    async def _admit(self, entry: Entry, event: Event, crew: Crew) -> Flight | Refused:
        """Ask an entry's gate, and begin the event or say what became of the question."""
        verdict: bool | Wait | Deny | Exception = True
        with self._asking(entry, event):
            if event.status is EventStatus.PENDING:
                verdict = await self._ask(event)
            if verdict is True and event.status is EventStatus.PENDING and not crew.is_dismissed:
                await self._report(event, EventStatus.PROCESSING)
                # Gate and lock may have taken their time: look again. From here to the run nothing yields.
                now = current_time()
                if self._may_begin(entry, event, crew, now):
                    return self._begin(entry, event, crew, now)
                event._refile()
        return entry, event, verdict

    async def _refuse_alone(self, entry: Entry, event: Event, verdict: bool | Wait | Deny | Exception) -> None:
        """Do as :meth:`_refuse` where the lock of the gate is not held yet."""
        try:
            await self._gate_lock.acquire()
        except BaseException:
            self._put_back(entry, event)
            raise
        try:
            await self._refuse(entry, event, verdict)
        finally:
            self._gate_lock.release()

    async def _refuse(self, entry: Entry, event: Event, verdict: bool | Wait | Deny | Exception) -> None:
        """Send an entry that does not start where it belongs."""
        with self._asking(entry, event):
            await self._turn_away(entry, event, verdict)
        self._waiters.notify()

    @contextmanager
    def _asking(self, entry: Entry, event: Event) -> Generator[None]:
        """Have an event be the one in question; if that is cut short, it goes back to the queue."""
        self._asked = event.id
        try:
            yield
        except BaseException:
            event._refile()
            self._put_back(entry, event)
            raise
        finally:
            self._asked = None

    def _put_back(self, entry: Entry, event: Event) -> None:
        """Queue an entry again, unless its event has left or was decided meanwhile."""
        if event.status is EventStatus.PENDING and event.id in self.pile:
            self.queue.put_back(entry)

    def _check_request(self, event: Event) -> bool | Exception:
        """Have a request that cannot be made be a strike, also where no gate is asked with it."""
        try:
            event.request  # noqa: B018  a property of the user
        except Exception as exc:
            logger.warning("The request of %r failed, which gets a strike", event, exc_info=log_info(exc))
            return exc
        return True

    async def _ask(self, event: Event) -> bool | Wait | Deny | Exception:
        context = running_events.set((*running_events.get(), event))  # stop() called by the gate must not wait for it
        self._is_asking = True
        try:
            answer = await self.request_permission(**event.request)
            if answer is None:  # most likely a forgotten return: better said than taken for a plain False
                raise TypeError("request_permission() must answer True, False, Wait or Deny, got None")  # noqa: TRY301  handled as what a gate raises
            return answer if answer is True or isinstance(answer, Wait | Deny) else bool(answer)
        except Exception as exc:
            logger.warning("The gate of %r failed for %r, which gets a strike", self, event, exc_info=log_info(exc))
            return exc
        finally:
            self._is_asking = False
            running_events.reset(context)

    async def _turn_away(self, entry: Entry, event: Event, verdict: bool | Wait | Deny | Exception) -> None:
        """Decide where an entry goes that does not start."""
        now = current_time()
        if event.id not in self.pile:
            self.forget(event.id)
        elif event.status is not EventStatus.PENDING:  # it was run or decided elsewhere
            self.forget(event.id)
            await self._report(event)
        elif verdict is True:  # it may, but meanwhile the workers were dismissed, or capacity or a limit is used up
            self.queue.give_back(entry)
        elif isinstance(verdict, Wait) and verdict.seconds:
            self.queue.give_back(entry)
            self.queue.lanes.deny(entry.route.key, now + verdict.seconds)
        elif isinstance(verdict, Wait):
            self.queue.put_back(entry)  # behind the other keys, or nobody but this one would be asked
        elif isinstance(verdict, Deny):
            await self._abort(event, AccessError(verdict.reason))
        else:
            self.queue.lanes.deny(entry.route.key, now + self.capacity_refresh_time)
            await self._strike(entry, event, verdict if isinstance(verdict, Exception) else None)

    async def _strike(self, entry: Entry, event: Event, error: Exception | None) -> None:
        denials = self._denial_counts.get(event.id, 0) + 1
        if denials >= MAX_DENIALS:
            await self._abort(event, error or AccessError(f"Permission was denied {denials} times"))
            return
        if event.id not in self._denial_counts and len(self._denial_counts) >= self.max_denial_tracking:
            del self._denial_counts[next(iter(self._denial_counts))]
        self._denial_counts[event.id] = denials
        self.queue.put_delayed(entry, current_time() + denials)

    async def _abort(self, event: Event, error: Exception) -> None:
        self._denial_counts.pop(event.id, None)
        self._reruns.forget(event.id)
        await event._refuse(error)
        # It may have been decided otherwise while that waited for a lock.
        await self._report(event, EventStatus.ABORTED if event.status is EventStatus.ABORTED else None)

    async def _report(self, event: Event, status: EventStatus | None = None) -> None:
        """Tell the executor: with a status before the event has it, without one after it has moved."""
        if self.executor is None:
            return
        if status is None:
            await self.executor._update_progression(event)
        else:
            await self.executor._update_progression(event, status)

    def forget(self, event_id: UUID) -> None:
        """Drop an event that left the pile or ended elsewhere: its entry and its denials. O(1) amortised."""
        self.queue.discard(event_id)
        self._denial_counts.pop(event_id, None)
        self._reruns.forget(event_id)
