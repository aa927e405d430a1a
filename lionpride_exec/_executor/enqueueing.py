"""
How events reach a processor whose ``enqueue()`` is overridden.

An executor puts an event straight into the queue of its processor, in one step. An override of ``enqueue()`` has to be
awaited instead, so an event is stored first and queued later. Events of ``append()`` are awaited there, with a promise
of room, and leave the executor again if the override raises. All other events come where nothing can be awaited: they
are handed over one after another, by ``start()``, by ``forward()``, or by a task in the group of the executor.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from anyio import CancelScope, current_effective_deadline, get_cancelled_exc_class

from lionpride_exec._base.backend import startable
from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from uuid import UUID

    from anyio.abc import TaskGroup

    from lionpride_exec._base.conditions import Waiters
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import Ticket
    from lionpride_exec._model.flow import Flow
    from lionpride_exec._model.progression import Progression
    from lionpride_exec._processing.processor import Processor

    from .agenda import Agenda


class EnqueueHost(Protocol):
    """What this part uses of its executor."""

    states: Flow[Event, Progression]
    _agenda: Agenda
    _group: TaskGroup | None
    _guests: set[Any]
    _put_off: dict[UUID, tuple[Event, EventStatus, BaseException]]
    _waiters: Waiters

    def _remove(self, event: Event) -> None:
        """Forget an event."""

    def _end(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """End an event from outside."""
        ...


class Enqueuer:
    """
    The events that are on their way to an overridden ``enqueue()``.

    Attributes:
        submitted: The ticket of each event that ``append()`` has stored and hands over.
        late: The ids of the events that are handed over later, in order. The agenda has their tickets.
    """

    def __init__(self, host: EnqueueHost) -> None:
        self._host = host
        self.submitted: dict[UUID, Ticket] = {}
        self.late: OrderedDict[UUID, None] = OrderedDict()
        self._unclaimed: set[UUID] = set()  # of the submitted: append() has stored them in this very step
        self._running: UUID | None = None  # the late event that is being handed over
        self._scope: CancelScope | None = None  # of the task that hands over late events

    def is_on_its_way(self, event_id: UUID) -> bool:
        """Return whether an event is stored, and its ``enqueue()`` has not returned."""
        return event_id in self.submitted or event_id in self.late or event_id == self._running

    # ---------------------------------------------------------------- events of append()

    def reserve(self, event: Event, ticket: Ticket, processor: Processor) -> None:
        """Promise room for an event that is stored now and handed over by :meth:`submit` in the caller's task."""
        if not ticket.is_urgent:
            processor.queue.promise_room()
        self.submitted[event.id] = ticket
        self._unclaimed.add(event.id)

    def claim(self, event_id: UUID) -> bool:
        """Return whether the caller has to submit an event: True for the first caller, which has stored it."""
        if event_id not in self._unclaimed:
            return False
        self._unclaimed.discard(event_id)
        return True

    async def submit(self, event: Event, processor: Processor) -> None:
        """
        Await ``enqueue()`` for a stored event. If it raises, the event leaves the executor, unless it has begun.

        Cancellation: likewise.
        """
        ticket = self.submitted[event.id]
        try:
            await self._enqueue(event, ticket, processor)
        except BaseException:
            if self._is_pending(event):
                self._host._remove(event)
                event._wake()  # a task may have found the event meanwhile, and wait for it
            raise
        finally:
            del self.submitted[event.id]
            if not ticket.is_urgent:
                processor.queue.withdraw_promise()
            processor.queue.offer_room()
            self._host._waiters.notify()

    async def wait_decided(self, event_id: UUID) -> None:
        """Wait until an event of another ``append()`` is queued or has left."""
        await self._host._waiters.wait_for(lambda: event_id not in self.submitted)

    # ---------------------------------------------------------------- late events

    def keep_late(self, event: Event, ticket: Ticket) -> None:
        """Hand an event over as soon as that can be awaited."""
        self._host._agenda.keep_early(event.id, ticket)
        self.late[event.id] = None

    def launch(self, processor: Processor) -> None:
        """Have a task hand over what is late, if the executor has a group."""
        group = self._host._group
        if group is not None and self.late and self._scope is None:
            self._scope = CancelScope()
            self._host._guests.add(self)
            group.start_soon(startable(self._run), processor, name=f"{type(processor).__name__} enqueue")

    def cancel(self) -> None:
        """End that task: the group closes. What is left is handed over at the next start."""
        if self._scope is not None:
            self._scope.cancel()

    async def hand_over_late(self, processor: Processor) -> None:
        """
        Await ``enqueue()`` for each late event, in order. An event whose ``enqueue()`` raises ends ABORTED.

        Cancellation: the events that were not handed over stay late.
        """
        host = self._host
        while self.late:
            event_id, _ = self.late.popitem(last=False)
            event = host.states.items.get(event_id, None)
            ticket = host._agenda.take_early(event_id)
            if event is None or not self._is_pending(event) or processor.is_handling(event_id):
                continue
            self._running = event_id
            try:
                await self._enqueue(event, ticket, processor)
            except Exception as exc:  # noqa: BLE001  no caller is there to get it: the event has it
                if self._is_pending(event):
                    host._end(event, EventStatus.ABORTED, exc)
            except BaseException:
                self.keep_late(event, ticket)
                self.late.move_to_end(event_id, last=False)
                raise
            finally:
                self._running = None

    async def _run(self, processor: Processor) -> None:
        scope = self._scope
        assert scope is not None
        try:
            with scope:
                await self.hand_over_late(processor)
        except get_cancelled_exc_class():
            if current_effective_deadline() == -inf:
                raise
            # No scope asked for this cancellation: it concerns this task only. The executor is to live on.
        finally:
            self._scope = None
            self._host._guests.discard(self)
            self._host._waiters.notify()

    # ---------------------------------------------------------------- inside

    async def _enqueue(self, event: Event, ticket: Ticket, processor: Processor) -> None:
        """Await the override. What it queues needs no room: room is promised, or is waited for in the backlog."""
        processor._admitted[event.id] = ticket.at
        try:
            if ticket.until is None:
                await processor.enqueue(event.id, priority=ticket.priority)
            else:
                processor._follow_clock()
                ticket.follow_wall()
                await processor.enqueue(event.id, priority=ticket.priority, until=ticket.until)
        finally:
            processor._admitted.pop(event.id, None)
            if event.id in processor.queue and not self._is_pending(event):
                processor.forget(event.id)  # the event was decided, or has left, before it was queued

    def _is_pending(self, event: Event) -> bool:
        return event.execution.status is EventStatus.PENDING and self._host.states.items.get(event.id, None) is event
