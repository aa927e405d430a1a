"""
An executor opens its journal, takes in what comes back, and closes it; meanwhile it can look up what has ended.

The journal is opened before anything starts, in whatever way that happens, and written by a task in the executor's own
group, which ends last: when nothing in that group can make a change any more.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
from anyio import CancelScope, get_cancelled_exc_class

from lionpride_exec._base.backend import startable
from lionpride_exec._base.counted_lock import Guard
from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import Ticket, wall_ticket
from lionpride_exec._model.element import to_uuid
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import EventCancelled, ExecutorClosedError, JournalError, NotFoundError, Skip

from .restored_starts import bring_back, longest_period
from .retention import Keeping

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Hashable, Iterable

    from anyio.abc import TaskGroup

    from lionpride_exec._journal import Journal
    from lionpride_exec._journal.recovery import Restored
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._model.retain import RetainRule
    from lionpride_exec._processing.processor import Processor


class Journaling(Keeping):
    """What an executor does to open its journal, to close it, and to read in it."""

    def __init__(
        self, config: dict[str, Any], *, strict: bool, name: str, journal: Journal | None, retain: RetainRule
    ) -> None:
        super().__init__(config, strict=strict, name=name, journal=journal, retain=retain)
        self._generation = 0  # of the file, when it was opened last
        self._is_counted = False  # what had ended before is in our counts
        self._knows_past = False  # the limits count what had begun before
        # Events that come after others, of which nobody has looked yet what became of those while the journal was
        # closed; and one of these that is known not to complete.
        self._unsettled: list[tuple[Event, list[UUID], UUID | None]] = []
        self._opening = Guard()
        self._is_closing_journal = False  # nothing is written any more, but the file is not closed yet
        self._is_kept = False  # a group has the tasks that write it, and will close it at its end

    # ---------------------------------------------------------------- opening and closing

    async def _prepare(self) -> Processor:
        if self._book is not None:
            self._book.store.check_process()
        processor = await super()._prepare()
        await self._open_journal()
        return processor

    def _attach_processor(self, processor: Processor) -> None:
        super()._attach_processor(processor)
        if self.journal is not None:
            processor.resumes = True
            self._knows_past = False

    async def _open_journal(self) -> None:
        """Open the journal, unless it is open, and take in what comes back."""
        if self.journal is None:
            return
        async with self._opening:
            while self._is_ending_journal():
                await self._waiters.wait_for(lambda: not self._is_ending_journal())
            if self._book is not None:
                return
            from lionpride_exec._journal.session import JournalSession  # noqa: PLC0415  needs the extra

            book = JournalSession(self.journal, self)
            try:
                await book.open()
                await self._catch_up(book)
            except BaseException:
                self._close_at_once(book)
                raise

    def _is_ending_journal(self) -> bool:
        """Whether the journal is on the way to its end: nobody is to take it over from a group that has ended."""
        return self._is_closing_journal or (self._is_kept and self._is_deserted())

    async def _catch_up(self, book: JournalSession) -> None:
        """Bring memory and file together."""
        if self._generation and book.store.generation != self._generation + 1:
            raise JournalError(
                f"{book.journal.path} was used by somebody else since {self!r} had it; make a new executor for it"
            )
        self._generation = book.store.generation
        if self._processor is not None:
            book.store.min_retention = longest_period(self._processor)
            if not self._knows_past:
                await bring_back(self._processor, book)
                self._knows_past = True
        here = [event for event in self.pending_events if event._seq]
        gone = set(self._gone)
        async for restored in book.restore():
            if restored.seq in gone:  # it was removed while the journal was closed
                continue
            self._take_back_in(restored)
            if not book.store.was_closed:
                object.__setattr__(restored.event, "_is_suspect", True)  # past the hooks of attrs, as elsewhere
            if restored.lost is not None or restored.after:
                self._unsettled.append((restored.event, restored.after, restored.lost))
        await self._follow_file(book, [event for event in here if event._seq not in book.open_in_memory])
        if not self._is_counted:
            self._is_counted = True
            self._on_disk.update({EventStatus(name): number for name, number in book.store.tally.items()})
            self._removed.update(self._on_disk)
            self._taken_final += self._on_disk.total()
        self._book, self._is_strict = book, book.journal.is_strict
        book.delete_rows(self._gone)
        self._gone.clear()
        self._ended_late.clear()
        await self._settle_unsettled(book)

    async def _follow_file(self, book: JournalSession, events: Iterable[Event]) -> None:
        """End events that are open in memory only: their end was written, and a lock held back what was to follow."""
        for event in events:
            self._put_off.pop(event.id, None)
            try:
                known = await book.lookup.find(event.id)
            except NotFoundError:  # it has ended, and is not kept any longer
                self._let_go(event)
                continue
            error = known.execution.error
            super()._end(event, known.status, error if isinstance(error, BaseException) else EventCancelled())

    async def _settle_unsettled(self, book: JournalSession) -> None:
        """Follow up what was decided about those that events come after."""
        while self._unsettled:
            event, after, lost = self._unsettled[-1]
            away = [event_id for event_id in after if event_id not in self.states.items]
            statuses = await book.lookup.statuses(away) if away else {}
            self._unsettled.pop()
            for event_id in after:
                other = self.states.items.get(event_id, None)
                if other is not None and other.execution.status in TERMINAL:
                    self._follow_up(other)
                elif other is None and statuses.get(event_id) == EventStatus.COMPLETED:
                    self._come_nearer(event, event_id)
                elif other is None:
                    lost = event_id
            if lost is not None:
                self._skip_lost(event, lost)

    def _take_back_in(self, restored: Restored) -> None:
        event = restored.event
        self._take_in(event)
        after = [self.states.items[one] for one in restored.after]
        rest: dict[str, Any] = {"after": after, "key": restored.key}  # the key as the file has it
        if restored.due is None:
            ticket = Ticket(restored.priority, **rest)
        else:
            ticket = wall_ticket(restored.priority, restored.due, **rest)
        self._agenda.follow_clock()
        if after:
            self._agenda.keep_after(event.id, ticket)
        else:
            self._agenda.keep_early(event.id, ticket)
        if ticket.key is not None:
            self._agenda.give_key(event.id, ticket.key)

    def _skip_lost(self, event: Event, other: UUID) -> None:
        """End an event that comes after one that is in the file only, and did not complete."""
        status = self._remembered.status_of(other)
        became = "did not complete" if status is None else f"is {status}"
        self._end(event, EventStatus.SKIPPED, Skip(f"It comes after event {other}, which {became}"))

    @asynccontextmanager
    async def _own_group(self) -> AsyncGenerator[None]:
        if self.journal is None:
            async with super()._own_group():
                yield
            return
        await self._open_journal()
        self._check_unowned()  # somebody else may have begun meanwhile
        async with super()._own_group():
            assert self._group is not None
            await self._start_keeping(self._group)
            yield

    async def _start_keeping(self, group: TaskGroup) -> None:
        """
        Start what writes the journal, and what closes it.

        Both have taken their first step when anything else happens: before it, asyncio can end a task that is shielded,
        and does so without a trace. If this one is ended so, the first may run, and is not to wait for the second.
        """
        book = self._book
        assert book is not None
        begun = [anyio.Event(), anyio.Event()]
        group.start_soon(startable(self._keep_journal), begun[0], name=f"{type(self).__name__} journal")
        group.start_soon(startable(self._close_journal_at_end), begun[1], name=f"{type(self).__name__} journal's end")
        try:
            with CancelScope(shield=True):
                for each in begun:
                    await each.wait()
        except BaseException:
            book.writer.close_soon()
            raise
        self._is_kept = True

    def _abandon(self) -> None:
        super()._abandon()
        if self._book is not None:  # its task was cancelled before its first step, as asyncio may do
            self._close_at_once(self._book)

    def _close_at_once(self, book: JournalSession) -> None:
        try:
            book.close_at_once()
        finally:
            self._is_closing_journal = False

    async def _keep_journal(self, begun: anyio.Event) -> None:
        assert self._book is not None
        begun.set()
        try:
            await self._book.writer.run()
        finally:
            self._is_closing_journal = False
            self._waiters.notify()

    def _check_unowned(self) -> None:
        if self._group is not None:
            raise RuntimeError(f"{self!r} is running already")

    def _journal_closing(self) -> None:
        """Learn that from now on nothing is written; what is decided now is made up for at the next start."""
        self._book, self._is_strict, self._is_kept, self._is_closing_journal = None, False, False, True
        self._make_up()  # what waited for the disk to end does not wait any longer

    async def _close_journal_at_end(self, begun: anyio.Event) -> None:
        """Close the journal when nothing can happen any more in the group."""
        book = self._book
        assert book is not None
        begun.set()
        with CancelScope(shield=True):
            while not self._is_deserted():
                try:
                    await self._waiters.wait_for(self._is_deserted)
                except get_cancelled_exc_class():
                    continue  # past all scopes: asyncio ends its loop. What runs is about to end too.
        book.writer.close_soon()

    async def forward(self) -> None:
        """
        Run one batch now: up to ``queue_capacity`` queued events, without waiting for the capacity window.

        Returns when they, and what was running already, have ended; at once if there is no processor yet. Works
        when stopped, but not while a journal is closed. A denied event is asked again. Any number of calls may overlap.

        Raises:
            ExecutorClosedError: The executor has a journal, and it is not open: nothing could be kept.

        Cancellation: what this call started ends CANCELLED (with a journal: PENDING), what has not begun stays PENDING
        and queued.
        """
        if self.journal is not None and self._processor is not None and self._book is None:
            raise ExecutorClosedError(f"{self!r} has a journal, which is closed: start it first")
        if self._book is not None:
            self._book.store.check_process()
        await super().forward()

    def _is_deserted(self) -> bool:
        return (self._group is None or self._is_broken) and not self._dispatches and not self._guests

    # ---------------------------------------------------------------- looking

    async def get(self, event: Event | UUID | str) -> Event:
        """
        Give an event by its id, from memory or, if it is not there, from the journal.

        One from the journal is a copy that stands in no executor: its result is what JSON keeps of it, its error a
        :class:`RemoteError`. O(1) in memory; on disk O(number of events there), about 60 ms for a million.

        Raises:
            NotFoundError: There is no such event.
            JournalError: It cannot be read.
            ValueError: What was given means no id.

        Cancellation: while it is read from the journal; that has changed nothing.
        """
        event_id = to_uuid(event)
        known = self.states.items.get(event_id, None)
        if known is not None:
            return known
        if self._book is None:
            raise NotFoundError(f"There is no event {event_id} in {self!r}")
        found = await self._book.lookup.find(event_id)
        if found.execution.status in TERMINAL:
            self._remembered.note(event_id, found.execution.status)
        return found

    async def known_keys(self, keys: Iterable[Hashable]) -> set[Hashable]:
        """
        Give those of the keys under which an event is known here, in memory or in the journal. One look-up each.

        Raises:
            TypeError: A key is not hashable, or nothing that JSON can hold.
            JournalError: The journal cannot be read.

        Cancellation: while the journal is read; that has changed nothing.
        """
        wanted = set(keys)
        known = {key for key in wanted if self._known_under(self._key_of(key)) is not None}
        if self._book is not None:
            known |= await self._book.lookup.known_keys(wanted - known)
        return known

    async def _find_after(
        self, event: Event, after: Event | UUID | Iterable[Event | UUID]
    ) -> tuple[list[Event | UUID], UUID | None]:
        """
        Give those of the events that are in memory, and one of the others that did not complete.

        Raises:
            NotFoundError: One is nowhere, or is left in the journal as it is.
            ValueError: The event comes after itself.
        """
        others = [after] if isinstance(after, Event | UUID | str) else list(after)
        ids = {to_uuid(other): other for other in others}
        if event.id in ids:
            self._check_after(event, [event])
        statuses: dict[UUID, str] = {}
        # Again after the look: meanwhile others may have ended and left.
        while away := [one for one in ids if one not in self.states.items and one not in statuses]:
            statuses |= {} if self._book is None else await self._book.lookup.statuses(away)
            for event_id in away:
                is_open = event_id in statuses and statuses[event_id] not in TERMINAL
                if event_id not in statuses or (is_open and event_id not in self.states.items):
                    raise NotFoundError(f"There is no event {event_id} in {self!r}")
        for event_id, status in statuses.items():
            if status in TERMINAL:
                self._remembered.note(event_id, EventStatus(status))
        lost = [event_id for event_id, status in statuses.items() if status != EventStatus.COMPLETED]
        return [other for event_id, other in ids.items() if event_id not in statuses], next(iter(lost), None)

    # ---------------------------------------------------------------- held events

    async def held_events(self) -> list[Event]:
        """
        Give the events that wait for a decision: they ran when the process died, and their class says ``hold``.

        O(number of open events).

        Raises:
            JournalError: They cannot be read; or there is no open journal.

        Cancellation: while they are read; that has changed nothing.
        """
        return await self._open_book().lookup.held()

    async def release(self, event: Event | UUID | str) -> Event:
        """
        Let a held event go on: it is queued as any other. To give it up, ``cancel()`` it then. O(as :meth:`get`).

        Raises:
            NotFoundError: No such event is held.
            JournalError: The journal cannot be read or written; or there is no open one.
            ValueError: What was given means no id.

        Cancellation: before it is written; then it goes on.
        """
        book = self._open_book()
        async with self._opening:  # one at a time: only one of two callers finds it held
            restored = await book.lookup.release(to_uuid(event), audit=book.journal.audit)
            book.register_released(restored)
            self._take_back_in(restored)
        assert self._processor is not None
        self._queue_pending(self._processor)
        return restored.event

    def _open_book(self) -> JournalSession:
        if self._book is None:
            raise JournalError(f"{self!r} has no open journal")
        self._book.store.check_process()
        return self._book
