"""
How events come in where there is a journal: nothing starts that is not on disk.

An event is stored first, as PENDING and not queued; when it is on disk it is queued. Without a journal nothing of this
costs anything.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import attrs

from lionpride_exec._base.backend import current_time
from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import Ticket
from lionpride_exec._model.execution import utc_now
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ExecutorClosedError, ExistsError, JournalError

from .journal_link import Journaling

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from lionpride_exec._journal.inserts import PendingInsert
    from lionpride_exec._journal.rows import Row
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._processing.processor import Processor

E = TypeVar("E", bound=Event)

# Events that extend() has written in one commit, at most.
MAX_TOGETHER = 100


@attrs.define(eq=False)
class Coming:
    """
    An event that is stored, and on its way to the disk.

    Attributes:
        event: Which one.
        ticket: How it is to be queued then.
        arrival: Tells when.
        book: The journal, as it is open meanwhile.
        takes_room: Whether it has a promise of room in the queue.
        is_final: Whether it had ended before.
        queued_at: What stood in its record before.
        is_decided: Whether it was queued, or has left again.
        taken: Once it is settled, the event; or the one that is known under its key. Set by ``_settle_together()``.
    """

    event: Event
    ticket: Ticket
    arrival: PendingInsert
    book: JournalSession
    takes_room: bool
    is_final: bool
    queued_at: datetime | None
    is_decided: bool = False
    taken: Event | None = None


class Durable(Journaling):
    """What an executor does to have events on disk before they are queued."""

    async def _when_arrived(self, known: E) -> E | None:
        """Return an event that is known under its key, once it is on disk. None if the caller has to look again."""
        if known.id in self._enqueuer.submitted:
            await self._enqueuer.wait_decided(known.id)
            return None
        arrival = None if self._book is None else self._book.pending_insert_of(known)
        if arrival is not None:
            await arrival.done.wait()
            if arrival.error is not None:
                raise JournalError(str(arrival.error)) from arrival.error
            if arrival.is_withdrawn or arrival.known is not None:
                return None
        return known

    def _is_coming(self, event: Event) -> bool:
        return self._book is not None and self._book.pending_insert_of(event) is not None

    def _count_coming(self) -> int:
        return 0 if self._book is None else self._book.count_pending_inserts()

    async def _store_on_disk(self, event: E, ticket: Ticket) -> E | None:
        try:
            coming = await self._announce_in_turn(event, ticket)
        except Exception:
            # What is wrong with the event, or with the room for it, does not matter if its work is known already.
            known = None if ticket.key is None else await self._known_on_disk(ticket.key)
            if known is None:
                raise
            return cast("E", known)
        return None if coming is None else cast("E", await self._settle_in(coming))

    async def _announce_in_turn(self, event: Event, ticket: Ticket) -> Coming | None:
        """Store an event, and have it written as soon as the journal has room. None if its key is known by now."""
        book = self._book
        if (
            book is not None
            and event.execution.status in TERMINAL
            and (self._known_ended(event) is not None or await book.lookup.statuses([event.id]))
        ):
            raise ExistsError(f"{event!r} is in the journal already; as_fresh_event() gives one to run anew")
        if book is not None and not book.writer.has_room:
            await book.writer.wait_for_room()  # the last wait: what follows is one step, up to the room that is taken
        if ticket.key is not None and self._known_under(ticket.key) is not None:
            return None
        return self._announce(event, ticket)

    async def _known_on_disk(self, key: Hashable) -> Event | None:
        book = self._book
        if book is None:
            return None
        row = await book.lookup.row_of_key(cast("str", key))
        return None if row is None else self._known_by_row(book, row)

    def _announce(self, event: Event, ticket: Ticket) -> Coming:
        """Store an event, and have it written; the journal has room. Leaves nothing behind if it raises."""
        book, processor = self._book, self._processor
        if book is None or processor is None:
            raise ExecutorClosedError(f"{self!r} has a journal and takes events in while it runs: start it first")
        self._check_new(event)
        if self._remembered.status_of(event.id) is not None:
            raise ExistsError(f"An event with the id {event.id} has ended here; as_fresh_event() gives one to run anew")
        if not processor.router.is_plain:
            self._check_costs(event)
        is_pending = event.execution.status is EventStatus.PENDING
        takes_room = is_pending and not ticket.after and ticket.lost is None and not ticket.is_urgent
        if takes_room:
            processor.check_room()
        queued_at = event.execution.queued_at
        event.execution.queued_at = queued_at or utc_now()
        try:
            arrival = book.prepare_insert(event, ticket, _due_of(ticket))
            self._take_in(event)
        except BaseException:
            event.execution.queued_at = queued_at
            raise
        if ticket.key is not None:
            self._agenda.give_key(event.id, ticket.key)
        if takes_room:
            processor.queue.promise_room()
        book.insert(event, arrival)
        return Coming(event, ticket, arrival, book, takes_room, not is_pending, queued_at)

    async def _settle_in(self, coming: Coming) -> Event:
        """
        Return when an event is on disk, and queue it; give it, or the one that is known under its key.

        Raises:
            JournalError: It could not be written.

        Cancellation: nothing is left behind; if it is being written, it is taken out again.
        """
        arrival = coming.arrival
        try:
            if not arrival.done.is_set():
                await arrival.done.wait()
        except BaseException:
            self._withdraw(coming)
            raise
        self._decide(coming)
        if arrival.error is not None:
            raise JournalError(str(arrival.error)) from arrival.error
        return coming.event if arrival.known is None else self._known_by_row(coming.book, arrival.known)

    def _decide(self, coming: Coming) -> None:
        """Queue an event that is on disk now, or have it leave, if it is not; once."""
        if coming.is_decided:
            return
        if not coming.arrival.is_on_disk:
            self._withdraw(coming)
            return
        coming.is_decided = True
        event, ticket, processor = coming.event, coming.ticket, self._processor
        assert processor is not None
        if self._book is not None:
            self._book.mark_inserted(event)
        if coming.takes_room:
            processor.queue.withdraw_promise()
        if event.id in self.states.items:
            self._taken_final += coming.is_final
            if self._book is None and (ticket.after or ticket.lost is not None):  # closed meanwhile: it is settled next
                self._agenda.keep_after(event.id, ticket)
                self._unsettled.append((event, [other.id for other in ticket.after], ticket.lost))
            elif event.execution.status is EventStatus.PENDING and event.id not in self._put_off:
                self._queue(event, ticket, processor)
        if coming.takes_room:
            processor.queue.offer_room()

    def _queue(self, event: Event, ticket: Ticket, processor: Processor) -> None:
        """Queue an event for which there is room, or that needs none; or skip it."""
        if ticket.lost is not None:
            self._skip_lost(event, ticket.lost)
        elif ticket.after:
            self._keep_after(event, ticket)
        elif processor._has_own_enqueue:
            self._enqueuer.reserve(event, ticket, processor)
        elif ticket.is_urgent:
            self._queue_anyway([(event, ticket)], processor)
        else:
            priority = event.created_at.timestamp() if ticket.priority is None else ticket.priority
            try:
                ticket.follow_wall()
                processor.queue.put_nowait(priority, event.id, ticket.until, ticket.at)
            except Exception as exc:  # noqa: BLE001  a function of the user, that of a limit, has changed its mind
                self._end(event, EventStatus.ABORTED, exc)

    def _withdraw(self, coming: Coming) -> None:
        """Have an event leave that is not on disk, or is not to be, as if it had never come."""
        event, arrival = coming.event, coming.arrival
        if coming.is_decided:
            return
        coming.is_decided = True
        if self._book is not None:
            if arrival.is_on_disk or not arrival.done.is_set():
                self._book.writer.delete(arrival.row.seq)  # with whatever was noted of it
            self._book.forget(event)
        arrival.is_withdrawn = True
        if event.id in self.states.items:
            self._let_go(event)
            if not event.execution._running:  # else its end will come, and wake them
                event._wake()  # somebody may have found it here meanwhile, and wait for it
        event.execution.queued_at = coming.queued_at
        if coming.takes_room and self._processor is not None:
            self._processor.queue.withdraw_promise()
            self._processor.queue.offer_room()

    def _known_by_row(self, book: JournalSession, row: Row) -> Event:
        """Give the event that has a key on disk; also when the journal has been closed since it was looked up."""
        known_id = UUID(bytes=row.id)
        known = self.states.items.get(known_id, None)
        if known is not None:
            return known
        if row.status not in TERMINAL:
            raise ExistsError(
                f"The key is that of event {known_id}, which is left in the journal as it is: {row.status}"
            )
        return book.lookup.decode(row)

    async def _append_together(
        self, event: E, priority: float | None, key: Hashable, coming: dict[UUID, Coming]
    ) -> E | Coming:
        """
        Do as ``append(wait=True)``, but have many events written in one commit.

        Returns:
            The event that ``append()`` would return; or, where only the commit tells which one, what ``coming`` now
            holds: ``taken`` of it is the event, after :meth:`_settle_together`.
        """
        if len(coming) >= MAX_TOGETHER or not self._has_room():
            await self._settle_together(coming)
        if not self._appends_one_by_one() and self._has_room() and self._is_plain(event):
            known_by = None if key is None else self._key_of(key)
            known = None if known_by is None else self._known_under(known_by)
            if known is not None and known.id in coming:
                return coming[known.id]
            if known is None:
                try:
                    return self._announce_together(event, priority, known_by, coming)
                except Exception:
                    if key is None:
                        raise
        # append() knows what to wait for, and what to do with an event that has ended or whose key is known.
        if key is None:
            return cast("E", await self.append(event, priority, wait=True))
        await self._settle_together(coming)  # its key may be that of one of them
        return cast("E", await self.append(event, priority, wait=True, key=key))

    def _announce_together(
        self, event: Event, priority: float | None, known_by: Hashable, coming: dict[UUID, Coming]
    ) -> Coming:
        """Have an event written in the next commit, whoever waits for it."""
        ticket = Ticket(None if priority is None else check_priority(priority), key=known_by)
        one = self._announce(event, ticket)
        one.arrival.on_done = partial(self._decide, one)  # the source of the next event may take its time
        coming[event.id] = one
        return one

    def _appends_one_by_one(self) -> bool:
        """Return whether each event has to come in by ``append()``, since a subclass overrides what is done there."""
        raise NotImplementedError

    def _has_room(self) -> bool:
        """Whether an event can be stored and queued at once."""
        book, processor = self._book, self._processor
        return book is not None and book.writer.has_room and processor is not None and not processor.queue.is_full

    def _is_plain(self, event: Event) -> bool:
        """Whether an event is new, and nobody holds a lock that an event needs to come in."""
        if not isinstance(cast("object", event), Event) or event.execution.status in TERMINAL:
            return False
        status = event.execution.status
        return not self.states.items.guard.users and self._turn_to_move(status, status) is None

    async def _settle_together(self, coming: dict[UUID, Coming]) -> None:
        """
        Wait until all these events are on disk and queued; raise what prevented it after that.

        Cancellation: events that are not on disk yet leave again.
        """
        error: BaseException | None = None
        for one in coming.values():
            if error is None or one.arrival.done.is_set():
                try:
                    one.taken = await self._settle_in(one)
                except BaseException as exc:  # noqa: BLE001  raised below
                    error = error or exc
            else:
                self._withdraw(one)
        coming.clear()
        if error is not None:
            raise error

    async def append(
        self, event: Event, priority: float | None = None, *, wait: bool = False, key: Hashable = None
    ) -> Any:
        """Take an event in and queue it."""
        raise NotImplementedError


def _due_of(ticket: Ticket) -> float | None:
    """Return the time before which an event is not due, as seconds since 1970; None if it is."""
    if ticket.at is not None or ticket.until is None:
        return ticket.at
    return time.time() + ticket.until - current_time()
