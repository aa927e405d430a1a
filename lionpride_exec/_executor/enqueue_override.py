"""
How events reach a processor whose ``enqueue()`` is overridden.

An executor normally puts an event straight into the queue of its processor, in one step. An override of ``enqueue()``
must be awaited, so an event is stored first and queued later. ``append()`` awaits the override for its event, with a
promise of room. If the override raises, the event leaves the executor again. All other events come from code that
cannot wait. ``start()``, ``forward()``, or a task in the group of the executor hands them over, one after another.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from lionpride_exec._events.submit_options import PLAIN, priority_of
from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from uuid import UUID

    from lionpride_exec._base.conditions import PredicateCondition
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec._model.pile import Pile
    from lionpride_exec._processing.processor import Processor

    from .transitions import Transitions


class EnqueueHost(Protocol):
    """What ``EnqueueOverride`` uses of the submissions."""

    def remove(self, event: Event) -> None:
        """Forget an event."""


class GuestRunner(Protocol):
    """What runs a task in the group of the executor."""

    def try_start_guest(self, guest: Any, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> bool:
        """Run a task that runs no events, and cancel it when the group closes. Return False if there is no group."""
        ...

    def guest_ended(self, guest: Any) -> None:
        """Note that a guest has ended."""


class EnqueueOverride:
    """
    The events that are on their way to an overridden ``enqueue()``.

    Attributes:
        submitted: The options of each event that an ``append()`` has stored and is handing over.
        late: The ids of the events that are handed over later, in order.
        host: Removes an event whose ``enqueue()`` raised. Set by ``Parts``, as ``group`` is.
        group: Runs the task that hands over late events. Set by ``Parts``, since the group is made after this
            object.
    """

    group: GuestRunner
    host: EnqueueHost

    def __init__(
        self,
        early: dict[UUID, SubmitOptions],
        items: Pile[Event],
        transitions: Transitions,
        conditions: PredicateCondition,
    ) -> None:
        self._early = early
        self._items = items
        self._transitions = transitions
        self._conditions = conditions
        self.submitted: dict[UUID, SubmitOptions] = {}
        self.late: OrderedDict[UUID, None] = OrderedDict()
        self._changed: dict[UUID, float | None] = {}  # the priorities that were changed since, None for the default
        self._unclaimed: set[UUID] = set()  # the part of submitted that no task has claimed
        self._running: UUID | None = None  # the late event that is being handed over; None if there is none
        self._scope: anyio.CancelScope | None = None  # of the task that hands over late events; None without one

    def is_on_its_way(self, event_id: UUID) -> bool:
        """Return whether an event is stored, and its ``enqueue()`` has not returned."""
        return event_id in self.submitted or event_id in self.late or event_id == self._running

    def set_priority(self, event_id: UUID, priority: float | None) -> bool:
        """Have an event on its way to ``enqueue()`` queued with another priority. Return whether it is on its way."""
        if event_id not in self.submitted and event_id != self._running:
            return False
        self._changed[event_id] = priority
        return True

    # ---------------------------------------------------------------- events of append()

    def reserve(self, event: Event, options: SubmitOptions, processor: Processor) -> None:
        """Promise room for an event that is stored now. The caller's task hands it over by :meth:`submit`."""
        if not options.is_urgent:
            processor.queue.promise_room()
        self.submitted[event.id] = options
        self._unclaimed.add(event.id)

    def claim(self, event_id: UUID) -> bool:
        """Return whether the caller must submit an event. True once: for the caller that has stored the event."""
        if event_id not in self._unclaimed:
            return False
        self._unclaimed.discard(event_id)
        return True

    async def submit(self, event: Event, processor: Processor) -> None:
        """
        Await ``enqueue()`` for a stored event. If it raises, the event leaves the executor, unless the event has begun.

        Cancellation: the same as if ``enqueue()`` raised.
        """
        options = self.submitted[event.id]
        try:
            await self._enqueue(event, options, processor)
        except BaseException:
            if self._is_pending(event):
                self.host.remove(event)
                event._wake()  # a task may have found the event meanwhile and wait for its end
            raise
        finally:
            del self.submitted[event.id]
            if not options.is_urgent:
                processor.queue.withdraw_promise()
            processor.queue.offer_room()
            self._conditions.notify()

    async def wait_decided(self, event_id: UUID) -> None:
        """Wait until an event of another ``append()`` is queued or has left."""
        await self._conditions.wait_for(lambda: event_id not in self.submitted)

    # ---------------------------------------------------------------- late events

    def keep_late(self, event: Event, options: SubmitOptions) -> None:
        """Hand an event over as soon as a task can await ``enqueue()``."""
        self._early[event.id] = options
        self.late[event.id] = None

    def launch(self, processor: Processor) -> None:
        """Start the task that hands over late events, if there are late events and the executor has a group."""
        if (
            self.late
            and self._scope is None
            and self.group.try_start_guest(self, partial(self._run, processor), "enqueue")
        ):
            self._scope = anyio.CancelScope()

    def cancel(self) -> None:
        """Cancel the task that hands over late events, since the group closes. The next start hands over the rest."""
        if self._scope is not None:
            self._scope.cancel()

    async def hand_over_late(self, processor: Processor) -> None:
        """
        Await ``enqueue()`` for each late event, in order. An event whose ``enqueue()`` raises ends ABORTED.

        Cancellation: the events that were not handed over stay late.
        """
        while self.late:
            event_id, _ = self.late.popitem(last=False)
            event = self._items.get(event_id, None)
            options = self._early.pop(event_id, PLAIN)
            if event is None or not self._is_pending(event) or processor.is_handling(event_id):
                continue
            self._running = event_id
            try:
                await self._enqueue(event, options, processor)
            except Exception as exc:  # noqa: BLE001  no caller waits for it: the event records it
                if self._is_pending(event):
                    self._transitions.end(event, EventStatus.ABORTED, exc)
            except BaseException:
                self.keep_late(event, options)
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
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -inf:
                raise
            # No scope asked for this cancellation: only this task ends, and the executor lives on.
        finally:
            self._scope = None
            self.group.guest_ended(self)

    # ---------------------------------------------------------------- inside

    async def _enqueue(self, event: Event, options: SubmitOptions, processor: Processor) -> None:
        """Await the override. No room is needed: room was promised, or the event needs none."""
        processor._dispatcher.admitted[event.id] = options.at
        try:
            if options.until is None:
                await processor.enqueue(event.id, priority=options.priority)
            else:
                processor._follow_clock()
                options = options.follow_wall()
                await processor.enqueue(event.id, priority=options.priority, until=options.until)
        finally:
            processor._dispatcher.admitted.pop(event.id, None)
            if event.id in self._changed:
                processor.queue.set_priority(event.id, priority_of(event, self._changed.pop(event.id)))
            if event.id in processor.queue and not self._is_pending(event):
                processor.forget(event.id)  # the event ended or left before it was queued

    def _is_pending(self, event: Event) -> bool:
        return event.execution.status is EventStatus.PENDING and self._items.get(event.id, None) is event
