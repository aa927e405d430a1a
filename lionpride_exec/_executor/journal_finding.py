"""Finding events in the file of a journal, in which all events of its executor are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from lionpride_exec._journal.row_search import END, MAX_ROWS, RowSearch
from lionpride_exec._status import HELD, EventStatus
from lionpride_exec.errors import JournalError, NotFoundError

from .finding import Finding, as_items
from .found import FoundEvent
from .found_rows import found_in_row
from .named_events import id_of

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._journal.rows import Row
    from lionpride_exec._journal.session import JournalSession

    from .finding import Before, Walk
    from .found import Wanted
    from .journal_link import JournalLink
    from .parts import Parts

# Events that are made of rows between two checkpoints. Each takes 10 to 20 us.
AT_A_TIME: Final = 100


class JournalFinding(Finding):
    """
    Answers questions about the events in the file. What has happened before the call is on disk before it is read.

    Args:
        parts: The parts of the executor.
    """

    @cached_property
    def _link(self) -> JournalLink:
        link = self._parts.link
        assert link is not None
        return link

    async def begin(self, wanted: Wanted, before: Before, limit: int | None, *, reads: bool = True) -> Walk:  # noqa: ARG002  for memory
        """
        Return a walk through the file.

        Raises:
            NotFoundError: The last item of ``before`` is not in the file.
            JournalError: The file cannot be read, or is not open.
        """
        session = await self._caught_up()
        if wanted.key is not None:
            row = None if as_items(before) else await session.lookup.row_of_key(self._link.key_of(wanted.key))
            return JournalWalk(self._parts, session, wanted, 0, [] if row is None else [row], reads=reads)
        number = await self._number(session, before)
        return JournalWalk(self._parts, session, wanted, number, [], reads=reads)

    async def _counts(self) -> dict[str, int]:
        counts = await (await self._caught_up()).lookup.counts()
        counts[EventStatus.PENDING.value] += counts.pop(HELD)
        return counts

    async def _caught_up(self) -> JournalSession:
        """Return the open journal, once everything that has happened so far is on disk."""
        session = self._link.open_session()
        if not session.writer.is_caught_up:
            await session.writer.wait_committed()
        return session

    async def _number(self, session: JournalSession, before: Before) -> int:
        """Return the number of the row from which to go back. That of an id is looked up: O(rows)."""
        items = as_items(before)
        if not items:
            return END
        last = items[-1]
        if isinstance(last, FoundEvent) and last.number:
            return last.number
        event_id = id_of(last, "before")
        event = self._parts.index.items.get(event_id, None)
        if event is not None and event._seq:
            return event._seq
        number = await session.lookup.number_of(event_id)
        if number is None:
            raise NotFoundError(f"There is no event {event_id} in {self._link.journal.path}")
        return number


class JournalWalk:
    """
    Goes back through the file.

    Args:
        parts: The parts of the executor.
        session: The open journal.
        wanted: What is asked for.
        before: The number of the row from which to go back. 0 to look at ``rows`` only.
        rows: The rows that are looked at first.
        reads: Whether the events themselves are needed.
    """

    def __init__(
        self, parts: Parts, session: JournalSession, wanted: Wanted, before: int, rows: list[Row], *, reads: bool
    ) -> None:
        self._reads = reads
        self._items = parts.index.items
        self._lookup = session.lookup
        self._wanted = wanted
        statuses = None if wanted.statuses is None else [status.value for status in wanted.statuses]
        self._search = RowSearch(statuses)
        self._before = before
        self._taken: list[FoundEvent] = []  # by a call that was cancelled
        self._found = [(row, one) for row in rows if (one := self._read(row)) is not None]

    async def next(self, limit: int) -> list[FoundEvent]:
        """Return the next events that are asked for. The rows are read in pieces."""
        taken = self._taken
        while len(taken) < limit:
            if not self._found:
                if not self._before:
                    break
                few = min(limit - len(taken), MAX_ROWS) if self._wanted.is_plain else MAX_ROWS
                piece = await self._lookup.newest(self._search, self._before, few, self._read)
                self._found, self._before = piece
                continue
            some = self._found[: min(limit - len(taken), AT_A_TIME)]
            if self._reads:
                # Nobody else has the records yet. evolve() would take a fifth of the time of a page.
                for row, one in some:
                    object.__setattr__(one, "event", self._event(row, one.id))
            if len(some) == AT_A_TIME:
                await checkpoint()
            self._found = self._found[len(some) :]
            taken += [one for _, one in some]
        self._taken = taken[limit:]
        return taken[:limit]

    def _read(self, row: Row) -> FoundEvent | None:
        """Return what a row says, if it is asked for. Called in a thread."""
        one = found_in_row(row)
        return one if one is not None and self._wanted.fits(one) else None

    def _event(self, row: Row, event_id: UUID) -> Event | None:
        """Return the event in memory, or a copy. None if the row cannot be read here."""
        event = self._items.get(event_id, None)
        if event is not None and event._seq == row.seq:
            return event
        try:
            return self._lookup.decode(row)
        except JournalError:
            return None
