"""Running ended events of a journal again: their rows are put back, as ``lionpride-exec retry`` does it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lionpride_exec._journal.rows import unpack_ids
from lionpride_exec._status import COMPLETED, FINAL, HELD, EventStatus
from lionpride_exec.errors import EventNotFinished, JournalError, NotFoundError

from .found import FoundEvent
from .named_events import id_of
from .retrying import AT_A_TIME, Retrying, all_found, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from lionpride_exec._events.event import Event
    from lionpride_exec._journal.rows import Row
    from lionpride_exec._journal.session import JournalSession

    from .finding import Finding
    from .found import Wanted
    from .journal_link import JournalLink
    from .parts import Parts

logger = logging.getLogger("lionpride_exec")


class JournalRetrying(Retrying):
    """
    Runs events again that are in the file.

    Args:
        parts: The parts of the executor.

    Attributes:
        watch: Called with each row that was put back, as it was before. None if nobody asks.
    """

    watch: Callable[[Row], None] | None = None

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        assert parts.link is not None
        self._link: JournalLink = parts.link

    async def forget(self, key: Hashable) -> bool:
        """Free a key in the file, then in memory."""
        known_by = self._link.key_of(key)
        session = await self._caught_up()
        open_event = self._parts.keys.find(known_by)
        if open_event is not None and not has_ended(open_event):
            return self._free(known_by, key)  # raises
        statuses = await session.lookup.free_key(known_by)
        for status in statuses:
            if status not in FINAL and self._parts.keys.find(known_by) is None:
                raise EventNotFinished(f"the key {key!r} is that of an event that is left in the journal: {status}")
        event = self._parts.keys.find(known_by)
        if event is not None and has_ended(event):
            self._parts.keys.forget(event.id)
        return bool(statuses)

    async def one(self, target: FoundEvent | Event[Any] | UUID | str) -> Event[Any]:
        """Put the row of an event back, and run the event again."""
        event_id = id_of(target)
        session = await self._caught_up()
        async with self._link.opening:
            row = await self._row(session, target, event_id)
            event = session.lookup.decode_again(row)
            if not self._link.accepts(event):
                raise JournalError(f"the executor does not take a {type(event).__name__}", retryable=False)
            taken = await self._put_back(session, [(row, event)])
        if not taken:
            raise NotFoundError(f"Event {event_id} has just left {self._link.journal.path}")
        return taken[0]

    async def all(self, finding: Finding, asked: Wanted, limit: int | None) -> list[Event[Any]]:
        """Put the rows of events back, some hundred in a commit, and run them again, the oldest first."""
        seqs = [found.number for found in await all_found(finding, asked, limit)]
        session = self._link.open_session()
        taken: list[Event[Any]] = []
        for begin in range(0, len(seqs), AT_A_TIME):
            async with self._link.opening:
                rows = await session.lookup.rows_at(seqs[begin : begin + AT_A_TIME])
                taken += await self._put_back(session, self._readable(session, rows))
        return taken

    async def _caught_up(self) -> JournalSession:
        """Return the open journal, once everything that has happened so far is on disk."""
        session = self._link.open_session()
        if not session.writer.is_caught_up:
            await session.writer.wait_committed()
        return session

    async def _row(self, session: JournalSession, target: FoundEvent | Event[Any] | UUID | str, event_id: UUID) -> Row:
        """
        Return the row of an event that has ended.

        Raises:
            NotFoundError: There is no such row.
            EventNotFinished: The event has not ended.
        """
        here = self._parts.index.items.get(event_id, None)
        if here is not None and not has_ended(here):
            raise EventNotFinished(f"{here} is {here.status}: only an event that has ended can run again")
        number = target.number if isinstance(target, FoundEvent) else 0 if here is None else here._seq
        if not number:
            number = await session.lookup.number_of(event_id) or 0
        rows = await session.lookup.rows_at([number])
        if not rows or rows[0].id != event_id.bytes:
            raise NotFoundError(f"There is no event {event_id} in {self._link.journal.path}")
        status = rows[0].status
        if status not in FINAL:
            hint = "release() lets a held event run" if status == HELD else "only an event that has ended can run again"
            raise EventNotFinished(f"event {event_id} is {status}: {hint}")
        return rows[0]

    def _readable(self, session: JournalSession, rows: Sequence[Row]) -> list[tuple[Row, Event[Any]]]:
        """Return the rows that have ended and can be read here, with their events."""
        found: list[tuple[Row, Event[Any]]] = []
        for row in rows:
            here = self._parts.index.items.get(UUID(bytes=row.id), None)
            if row.status not in FINAL or (here is not None and not has_ended(here)):
                continue
            try:
                event = session.lookup.decode_again(row)
            except JournalError as exc:
                logger.warning("not retried: %s", exc)
                continue
            if self._link.accepts(event):
                found.append((row, event))
            else:
                logger.warning("not retried: the executor does not take a %s", type(event).__name__)
        return found

    async def _put_back(self, session: JournalSession, found: Sequence[tuple[Row, Event[Any]]]) -> list[Event[Any]]:
        """
        Put rows back, and take their events in. ``opening`` is held. Return the events.

        Raises:
            JournalError: The rows could not be written. Nothing has changed.
        """
        if not found:
            return []
        self.check_open()
        for _, event in found:
            self._parts.queueing.check_costs(event)
        before = {UUID(bytes=one) for row, _ in found for one in unpack_ids(row.after)}
        statuses = await session.lookup.statuses([*before]) if before else {}
        any_ends = await session.lookup.any_ends([row.seq for row, _ in found]) if before else {}
        changed = await session.lookup.put_back([row.seq for row, _ in found])
        if self._link.session is not session:
            raise JournalError(f"{self._link.journal.path} was closed: the events run again at the next start")
        taken = [(row, event) for row, event in found if row.seq in changed]
        for row, event in taken:
            self._take_in(session, row, event, statuses, any_ends.get(row.seq, frozenset()))
        return [event for _, event in taken]

    def _take_in(
        self,
        session: JournalSession,
        row: Row,
        event: Event[Any],
        statuses: Mapping[UUID, str],
        any_end: frozenset[UUID],
    ) -> None:
        """Take in an event whose row was put back. The object that has ended leaves."""
        parts = self._parts
        if self.watch is not None:
            self.watch(row)
        here = parts.index.items.get(event.id, None)
        if here is not None:
            self.drop(here)
            session.forget(here)
        else:
            status = EventStatus(row.status)
            parts.index.failures.look_at_row(status, row.seq)
            self._link.stored.taken_out(event.id, status)
            parts.retention.removed[status] -= 1
            parts.retention.run_again[status] += 1
        event._set("_seq", row.seq)
        ids = [UUID(bytes=one) for one in unpack_ids(row.after)]
        after = [parts.index.items[one] for one in ids if one in parts.index.items]
        away = [one for one in ids if one not in parts.index.items and one not in any_end]
        lost = next((one for one in away if statuses.get(one) != COMPLETED), None)
        comes_after = tuple(one for one in ids if one not in any_end)
        self.put_in(event, comes_after, row.key, [] if lost is not None else after, row.priority, any_end)
        if here is not None:
            event._set("_carried", here._carried)  # the context of its caller, not that of ours
        if lost is not None:
            self._link.recovery.skip_lost(event, lost)
