"""
How the owner of a journal takes in the events that other processes have submitted.

A submitted event comes in like one of ``append(wait=True)``: it waits for room, gets the key and the priority of
``Executor.of()`` if it has none of its own, and is on disk before it is queued. The commit that writes the event also
deletes its row in the table ``submit``. No task waits for a single event, so nothing is withdrawn when this task is
cancelled.

A row whose key is known is deleted too, once the known event is on disk. A row that cannot become an event stays in the
file with its error, and is tried again at the next start.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.jsonable import error_in_line
from lionpride_exec._events.submit_options import SubmitOptions, expiry_at, options_at
from lionpride_exec._journal.inbox import submitted_rows
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ExecutorClosedError, ExistsError, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event
    from lionpride_exec._journal.inbox import SubmittedRow
    from lionpride_exec._journal.inserts import PendingInsert
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._tracking.status_index import StatusIndex

    from .call_defaults import CallDefaults
    from .durable_submissions import DurableSubmissions
    from .keys import Keys
    from .submissions import Submissions

logger = logging.getLogger("lionpride_exec")

ROWS = 200  # that are read at once, and written in one commit


class SubmittedEvents:
    """
    Takes submitted events into one executor.

    Args:
        durable: Has events written before they are queued.
        submissions: Knows the processor, and keys as the journal has them.
        index: Where the events are.
        keys: Which event has which key.
        defaults: Returns the key and the priority of events that come without. None if there are none.
    """

    def __init__(
        self,
        durable: DurableSubmissions,
        submissions: Submissions,
        index: StatusIndex,
        keys: Keys,
        defaults: Callable[[], CallDefaults | None],
    ) -> None:
        self._durable = durable
        self._submissions = submissions
        self._index = index
        self._keys = keys
        self._defaults = defaults
        self._session: JournalSession | None = None  # the one in which the number below counts
        self._seen = 0  # the number of the last row that was read

    async def take(self, session: JournalSession) -> None:
        """Take in all rows that are new since the last call; see ``TableReader``."""
        if session is not self._session:
            self._session, self._seen = session, 0
        try:
            while rows := await session.lookup.in_thread(
                lambda: session.store.read(partial(submitted_rows, after=self._seen, limit=ROWS))
            ):
                await self._take_rows(session, rows)
                self._seen = rows[-1].n
        except BaseException:
            self._session = None  # some rows may be left: read all of them again
            raise

    async def _take_rows(self, session: JournalSession, rows: list[SubmittedRow]) -> None:
        """Take in some rows, and wait until their events are on disk."""
        inserts = [insert for row in rows if (insert := await self._take_row(session, row)) is not None]
        for insert in inserts:
            await insert.done.wait()
            if insert.error is not None:
                raise JournalError(str(insert.error)) from insert.error

    async def _take_row(self, session: JournalSession, row: SubmittedRow) -> PendingInsert | None:
        """Return the insert of the event of a row. None if it becomes no event."""
        try:
            event, options = self._decode(session, row)
            return await self._announce(session, row, event, options)
        except (JournalError, ExecutorClosedError):
            raise
        except ExistsError:  # the event itself has been here: its caller did not learn of it, and submitted it again
            session.writer.next.drop_submitted(row.n)
            return None
        except Exception as exc:  # noqa: BLE001  of the user's class or function: the row stays
            error = error_in_line(exc)
            if error != row.error:
                logger.warning("submitted event %s stays in %s as it is: %s", row.n, session.journal.path, error)
                session.writer.next.refuse_submitted(row.n, error)
            return None

    def _decode(self, session: JournalSession, row: SubmittedRow) -> tuple[Event, SubmitOptions]:
        event = session.journal._codec.decode(row.as_row())
        if not self._durable.link.accepts(event):
            raise TypeError(f"the executor does not take a {type(event).__name__}")
        priority, key = row.priority, row.key
        defaults = self._defaults()
        if defaults is not None:
            priority, own_key = defaults.fill(event, priority, key)
            key = key if key is not None or own_key is None else self._durable.link.key_of(own_key)
        rest: dict[str, Any] = {
            "key": key,
            "unique_open": bool(row.unique_open),
            "expiry": None if row.expires is None else expiry_at(row.expires),
            "submitted": row.n,
        }
        if row.due is None:
            return event, SubmitOptions(priority, **rest)
        return event, options_at(priority, row.due, **rest)

    async def _announce(
        self, session: JournalSession, row: SubmittedRow, event: Event, options: SubmitOptions
    ) -> PendingInsert | None:
        """Have an event written, once there is room. None if its key is known, or the event is here."""
        while True:
            known = self._holder(event, options)
            if known is not None and await self._durable.when_arrived(known) is None:
                continue  # it could not be written, so it is not here any more
            if known is not None or self._durable.is_known(options):
                session.writer.next.drop_submitted(row.n)
                return None
            insert = await self._announce_in_turn(session, event, options)
            if insert is not None:
                return insert

    def _holder(self, event: Event, options: SubmitOptions) -> Event | None:
        """Return the event in memory that has the id or the key. None if there is none."""
        known = self._index.items.get(event.id, None)
        return self._keys.holder(options) if known is None and options.key is not None else known

    async def _announce_in_turn(
        self, session: JournalSession, event: Event, options: SubmitOptions
    ) -> PendingInsert | None:
        """Wait for room and for locks, then have an event written. None if the room was taken, or the key."""
        processor = self._submissions.processor
        if processor is None:
            raise ExecutorClosedError("there is no processor")
        queue = processor.queue
        await session.writer.wait_for_room()
        await queue.wait_for_room()
        try:
            is_locked = self._index.is_locked(EventStatus.PENDING)
            async with self._index.all_locks(EventStatus.PENDING) if is_locked else nullcontext():
                if queue.is_full or not session.writer.has_room or self._durable.is_known(options):
                    return None
                return self._durable.announce(event, options).arrival
        finally:
            queue.offer_room()  # the room may not have been used
