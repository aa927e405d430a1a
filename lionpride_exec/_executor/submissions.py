"""
How events come in and leave: stored, queued, kept until others have completed, forgotten.

Whatever is done here is done at once and as a whole, or raises and leaves nothing behind.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import attrs

from lionpride_exec._events.event import Event
from lionpride_exec._model.element import to_uuid
from lionpride_exec._model.execution import utc_now
from lionpride_exec._model.limits import Router
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import ExecutorClosedError, ExistsError, QueueFullError, Skip

from .agenda import Agenda
from .control import Control
from .enqueueing import Enqueuer

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from datetime import datetime

    from lionpride_exec._events.submit_options import Ticket
    from lionpride_exec._journal import Journal
    from lionpride_exec._processing.processor import Processor


E = TypeVar("E", bound=Event)


class Intake(Control):
    """The part of an executor that takes events in and lets them go."""

    journal: Journal | None

    def __init__(self, config: dict[str, Any], *, strict: bool, name: str) -> None:
        super().__init__(config, strict=strict, name=name)
        self._agenda = Agenda()
        self._enqueuer = Enqueuer(self)
        self._ended: deque[Event] = deque()  # others may wait for these
        self._is_following_up = False
        self._taken_final = 0  # events that had ended before they came
        self._removed: Counter[EventStatus] = Counter()  # events that were removed after their end

    # ---------------------------------------------------------------- in and out

    async def _enter(self, event: E, ticket: Ticket, *, wait: bool) -> E | None:
        """Take an event in, or give the one that is known under its key; None: there was no room, try again."""
        known = None if ticket.key is None else self._known_under(ticket.key)
        if known is not None:
            return cast("E", known)
        if wait and self._processor is not None and self._processor.queue.is_full and not ticket.after:
            if ticket.key is not None and (known := await self._known_on_disk(ticket.key)) is not None:
                return cast("E", known)  # which needs no room
            self._check_new(event)
            if self._runs_caller():
                ticket = attrs.evolve(ticket, is_urgent=True)  # to wait would hold a slot that the others wait for
            else:
                with self._reader_away() or nullcontext():
                    await self._processor.queue.wait_for_room()
        try:
            status = event.execution.status
            if self.states.items.guard.users or self._turn_to_move(status, status) is not None:
                async with self.states.items, self._locks(status):
                    return await self._store_on_disk(event, ticket) if self.journal else self._store(event, ticket)
            return await self._store_on_disk(event, ticket) if self.journal else self._store(event, ticket)
        except QueueFullError:
            if not wait:
                raise
            return None
        finally:
            if wait and self._processor is not None:
                self._processor.queue.offer_room()  # of the room it was given it may have made no use

    async def _submit(self, event: Event, queued_at: datetime | None) -> None:
        """Await an overridden ``enqueue()`` for a stored event, or raise and leave everything as it was."""
        assert self._processor is not None
        try:
            await self._enqueuer.submit(event, self._processor)
        except BaseException:
            if event.id not in self.states.items:
                event.execution.queued_at = queued_at
            raise

    async def _store_on_disk(self, event: E, ticket: Ticket) -> E | None:
        """Do as :meth:`_store`, but have the event on disk before it is queued."""
        raise NotImplementedError

    async def _known_on_disk(self, key: Hashable) -> Event | None:  # noqa: ARG002  for subclasses
        """Return the event that is known under a key and is on disk only. None if there is none."""
        return None

    def _store(self, event: E, ticket: Ticket) -> E | None:
        """Store and queue an event, or raise and leave everything as it was; None: its key is known by now."""
        if ticket.key is not None and self._known_under(ticket.key) is not None:
            return None
        self._check_new(event)
        self._take_in(event)
        try:
            self._place(event, ticket)
        except BaseException:
            self._let_go(event)
            raise
        self._note_taken(event, ticket)
        return event

    def _take_in(self, event: Event) -> None:
        """Store an event under its status."""
        progression = self._progression(event.execution.status)  # first: it may have been taken out
        self.states.items.add(event)
        progression.append(event.id)
        object.__setattr__(event, "_owner", self)  # as _set_owner()
        if event.execution._running:
            self._active[id(event)] = event.id

    def _place(self, event: Event, ticket: Ticket) -> None:
        """Queue a stored event, or keep it until it can be."""
        if event.execution.status is not EventStatus.PENDING:
            return
        if self._processor is not None and self._processor._has_own_enqueue and not ticket.after:
            if not ticket.is_urgent:
                self._processor.check_room()
            self._enqueuer.reserve(event, ticket, self._processor)
        elif ticket.after or ticket.is_urgent or self._processor is None:
            self._keep(event, ticket)
        else:
            self._processor.check_room()
            if ticket.until is not None:
                self._processor._follow_clock()
                ticket.follow_wall()
            priority = event.created_at.timestamp() if ticket.priority is None else ticket.priority
            self._processor.queue.put_nowait(priority, event.id, ticket.until, ticket.at)

    def _note_taken(self, event: Event, ticket: Ticket) -> None:
        if event.execution.status in TERMINAL and not ticket.after:
            self._taken_final += 1
        event.execution.queued_at = event.execution.queued_at or utc_now()
        if ticket.key is not None:
            self._agenda.give_key(event.id, ticket.key)

    def _known_under(self, key: Hashable) -> Event | None:
        event_id = self._agenda.known_under(key)
        event = None if event_id is None else self.states.items.get(event_id, None)
        if event_id is not None and event is None:  # taken out by hand
            self._agenda.forget(event_id)
        return event

    def _keep(self, event: Event, ticket: Ticket) -> None:
        """Keep an event until it can be queued, or queue it whatever room there is."""
        if ticket.after:
            self._keep_after(event, ticket)
            return
        self._check_costs(event)
        if self._processor is not None:
            self._queue_anyway([(event, ticket)], self._processor)
        else:
            self._agenda.follow_clock()
            self._agenda.keep_early(event.id, ticket)

    def _check_costs(self, event: Event) -> None:
        """Have the limits refuse now what they would refuse at the start."""
        if self._processor is not None:
            self._processor.router.route(event)
        elif self.processor_config.get("limits"):
            Router(self.processor_config["limits"]).route(event)

    def _check_new(self, event: Event) -> None:
        if self._is_leaving and not self._runs_caller():
            raise ExecutorClosedError(f"{self!r} is being left and takes nothing more in")
        owner: object = event._owner
        if owner is not None and owner is not self:
            raise ExistsError(f"{event!r} stands in another executor: {event._owner!r}")
        if event.id in self.states.items:
            raise ExistsError(f"Item {event.id} already exists in {self!r}; as_fresh_event() gives one to run anew")
        in_flight = None if self._processor is None else self._processor._in_flight
        flight = in_flight.get(event.id) if in_flight else None
        if flight is not None and flight.event is not event:
            raise ExistsError(
                f"{flight.event!r}, which was removed, still runs here: another one is not to have its id"
            )

    def _let_go(self, event: Event) -> None:
        """Forget an event altogether."""
        if event._unseen is not None:
            event._unseen.let_go(event)
        self.states.items.remove(event.id)
        for progression in self._by_status.values():
            progression.exclude(event.id)
        self._active.pop(id(event), None)
        self._put_off.pop(event.id, None)
        self._agenda.forget(event.id)
        if self._processor is not None:
            self._processor.forget(event.id)
        _set_owner(event, None)
        if self._agenda._followers:
            self._follow_up(event)

    def _remove(self, event: Event) -> None:
        """Forget an event that nobody will ask for any more; as one that has ended it still counts."""
        self._let_go(event)
        if event.status in TERMINAL:
            self._removed[event.status] += 1

    def _queue_pending(self, processor: Processor) -> None:
        """Queue what is pending and not on its way already."""
        self._agenda.follow_clock()
        waiting = [
            self.states.items[event_id]
            for event_id in self._progression(EventStatus.PENDING)
            if not processor.is_handling(event_id)
            and not self._agenda.is_waiting(event_id)
            and not self._is_coming(self.states.items[event_id])
            and not self._enqueuer.is_on_its_way(event_id)
        ]
        self._queue_anyway([(event, self._agenda.take_early(event.id)) for event in waiting], processor)

    async def _hand_over_late(self, processor: Processor) -> None:
        await self._enqueuer.hand_over_late(processor)

    def _is_coming(self, event: Event) -> bool:  # noqa: ARG002  for subclasses
        """Whether an event is stored, but not to be queued yet."""
        return False

    def _count_coming(self) -> int:
        """Return how many PENDING events are stored, but not to be queued yet."""
        return 0

    def _queue_anyway(self, tickets: Iterable[tuple[Event, Ticket]], processor: Processor) -> None:
        """Queue events whatever room there is: what is too much follows when there is some."""
        if processor._has_own_enqueue:
            for event, ticket in tickets:
                self._enqueuer.keep_late(event, ticket)
            self._enqueuer.launch(processor)
            return
        queue, entries = processor.queue, []
        for event, ticket in tickets:
            priority = event.created_at.timestamp() if ticket.priority is None else ticket.priority
            try:
                entry = queue.make_entry(priority, event.id)
            except Exception as exc:  # noqa: BLE001  a function of the user, that of a limit, has changed its mind
                self._end(event, EventStatus.ABORTED, exc)
                continue
            if ticket.until is None:
                entries.append(entry)
            else:
                ticket.follow_wall()
                queue.put_delayed(entry, ticket.until, "delay", ticket.at)
        queue.put_backlog(entries)

    # ---------------------------------------------------------------- what comes after others

    def _check_after(self, event: Event, after: Event | UUID | Iterable[Event | UUID]) -> Sequence[Event]:
        others = [after] if isinstance(after, Event | UUID | str) else list(after)
        if any(to_uuid(other) == event.id for other in others):
            raise ValueError(f"{event!r} cannot come after itself: that is a cycle")
        return [self._known(other) for other in others]

    def _keep_after(self, event: Event, ticket: Ticket) -> None:
        """Keep an event until those have completed; it may be queued, or SKIPPED, already now."""
        self._check_costs(event)
        self._agenda.follow_clock()
        self._agenda.keep_after(event.id, ticket)
        for other in ticket.after:
            if other.status.is_terminal or other.id not in self.states.items:
                self._follow_up(other)

    def _follow_up(self, event: Event) -> None:
        """Let go, or skip, those that wait for an event that has ended or left; one after the other, all the way."""
        self._ended.append(event)
        if self._is_following_up:
            return
        self._is_following_up = True
        try:
            while self._ended:
                ended = self._ended.popleft()
                for follower in self._agenda.take_followers(ended.id):
                    event_or_none = self.states.items.get(follower, None)
                    if event_or_none is None:  # taken out by hand
                        self._agenda.forget(follower)
                    else:
                        self._follow(event_or_none, ended)
        finally:
            self._is_following_up = False

    def _waits_for_less(self, event: Event) -> None:
        """Learn that one of the events that it comes after has completed."""

    def _follow(self, event: Event, ended: Event) -> None:
        if ended.status is not EventStatus.COMPLETED:
            became = f"is {ended.status}" if ended.status.is_terminal else "has left the executor"
            self._end(event, EventStatus.SKIPPED, Skip(f"It comes after {ended!r}, which {became}"))
            return
        self._come_nearer(event, ended.id)

    def _come_nearer(self, event: Event, completed: UUID) -> None:
        """Queue an event that comes after one that has completed, if that was the last."""
        if not self._agenda.is_waiting(event.id):
            return
        if self._agenda.until(event.id) is not None:
            self._follow_clocks()
        ticket = self._agenda.complete(event.id, completed)
        self._waits_for_less(event)
        if ticket is not None:
            if self._processor is None:
                self._agenda.keep_early(event.id, ticket)
            else:
                self._queue_anyway([(event, ticket)], self._processor)

    def _follow_clocks(self) -> None:
        """Carry all times over to the running event loop, which may not be that in which they were given."""
        with suppress(RuntimeError):  # no event loop runs: a status was set by hand
            self._agenda.follow_clock()
            if self._processor is not None:
                self._processor._follow_clock()


def _set_owner(event: Event, owner: Intake | None) -> None:
    # Past the hooks that attrs runs at each assignment: this one needs none, and is made for every event.
    object.__setattr__(event, "_owner", owner)
