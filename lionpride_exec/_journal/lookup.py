"""Look-ups in an open journal: events by id or key, and held events."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import anyio
from anyio import CapacityLimiter, current_time

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._status import FINAL, HELD, TERMINAL, EventStatus
from lionpride_exec.errors import JournalError, NotFoundError

from .any_end import read_any_ends
from .batch_sql import free_key, release_held
from .bulk_sql import rows_by_id, rows_by_key
from .codec import Unreadable, encode_key
from .overview import count_events
from .recovery import Restored, held_event
from .row_search import rows_at
from .rows import AuditRecord, Row
from .schema import COLUMNS, KEY, LETTER_OF
from .skipped_after import count_skipped_after
from .transient_errors import PATIENCE, RETRY_PAUSE, is_passing
from .worker_thread import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from sqlite3 import Connection

    from lionpride_exec._events.event import Event

    from .codec import Codec
    from .departures import Departures
    from .row_search import Piece, RowSearch
    from .store import Store

T = TypeVar("T")

logger = logging.getLogger("lionpride_exec.journal")

ROWS_AT_A_TIME = 500


class Lookup:
    """
    Reads the file of an open journal in a worker thread.

    Args:
        store: The open file.
        codec: For its events.
        departures: The events of which the file does not know yet what has become of them.
        was_read: Called with each event that has ended and was read, and the number of its row.
    """

    def __init__(
        self, store: Store, codec: Codec, departures: Departures, was_read: Callable[[Event, int], None]
    ) -> None:
        self._store = store
        self._codec = codec
        self._departures = departures
        self._was_read = was_read
        self._limiter = CapacityLimiter(1)

    async def in_thread(self, function: Callable[[], Any]) -> Any:
        """
        Return what a function returns in the worker thread.

        The function is called again each second, for 30 s, while it meets trouble that may pass.

        Raises:
            JournalError: What the function raises.
            JournalError: This process is a child that was forked from the owner of the journal.
        """
        self._store.check_process()
        until = current_time() + PATIENCE
        while True:
            try:
                return await run_in_thread(function, limiter=self._limiter)
            except JournalError as exc:
                if not is_passing(exc) or current_time() >= until:
                    raise
                logger.warning("%s; it is tried again for %.0f s at most", exc, until - current_time())
            await anyio.sleep(RETRY_PAUSE)

    async def _ask(self, question: Callable[[Connection], Any]) -> Any:
        return await self.in_thread(partial(self._store.read, question))

    async def find(self, event_id: UUID) -> Event:
        """
        Return an event that is on disk, or that has left memory before its end was. A held event is PENDING.

        Raises:
            NotFoundError: There is no event with this id in the file.
            JournalError: The file or the event cannot be read.
        """
        departure = self._departures.with_id(event_id)
        if departure is not None and departure.has_ended:
            return departure.event
        rows = await self.in_thread(partial(self._store.rows_by_id, [event_id.bytes])) if departure is None else ()
        if not rows:
            raise NotFoundError(f"There is no event {event_id} in {self._store.path}")
        return self.decode(rows[0])

    async def statuses(self, ids: Sequence[UUID]) -> dict[UUID, str]:
        """Return the statuses of the events that are on disk, by id. Ends that are not on disk yet are included."""
        departed = {one: departure for one in ids if (departure := self._departures.with_id(one)) is not None}
        wanted = [one.bytes for one in ids if one not in departed]
        found: dict[bytes, str] = await self.in_thread(partial(self._store.statuses_by_id, wanted)) if wanted else {}
        ended = {one: departure.event.status for one, departure in departed.items() if departure.has_ended}
        return {UUID(bytes=event_id): status for event_id, status in found.items()} | ended

    async def known_keys(self, keys: Collection[Any]) -> set[Any]:
        """Return the keys that are in the file, or will be after the next commit."""
        texts = {encode_key(key): key for key in keys}
        wanted = list(texts)
        ended = {text for text in wanted if self._departures.ended_with_key(text) is not None}
        deleted = self._departures.deleted_rows(wanted)
        columns = f"{KEY}, seq"
        known: list[tuple[str, int]] = await self._ask(lambda connection: rows_by_key(connection, columns, wanted))
        return {texts[text] for text in ended.union(text for text, seq in known if seq not in deleted)}

    async def row_of_key(self, key: str) -> Row | None:
        """
        Return the row of the event that has a key. None if there is none, or if the row is being deleted.

        Args:
            key: The key as :func:`encode_key` returns it. No event with the key is in memory or has just left it.
        """
        deleted = self._departures.deleted_rows([key])
        rows: list[Row] = await self._ask(lambda connection: _rows_of_keys(connection, [key]))
        return rows[0] if rows and rows[0].seq not in deleted else None

    async def number_of(self, event_id: UUID) -> int | None:
        """Return the number of the row of an event. None if there is none. O(number of events in the file)."""
        rows = await self._ask(lambda connection: rows_by_id(connection, "seq", [event_id.bytes]))
        return rows[-1][0] if rows else None

    async def newest(
        self, search: RowSearch, before: int, count: int, read: Callable[[Row], T | None]
    ) -> tuple[list[tuple[Row, T]], int]:
        """
        Return rows as :meth:`RowSearch.piece` does, each with what is read of it, and where the next piece begins.

        Args:
            search: What to look for.
            before: The number of the row from which to go back.
            count: How many rows at most.
            read: Called with each row in the thread, while others may use the file. None leaves the row out.
        """

        def look() -> tuple[list[tuple[Row, T]], int]:
            """Read a piece, then look at its rows."""
            piece: Piece = self._store.read(lambda connection: search.piece(connection, before, count))
            return [(row, one) for row in piece.rows if (one := read(row)) is not None], piece.before

        found: tuple[list[tuple[Row, T]], int] = await self.in_thread(look)
        return found

    async def counts(self) -> dict[str, int]:
        """Return the number of events in the file by status, "held" included. O(number of open events)."""
        counts: dict[str, int] = await self._ask(count_events)
        return counts

    async def rows_at(self, seqs: Sequence[int]) -> list[Row]:
        """Return the rows with these numbers, the oldest first; some may be missing."""
        rows: list[Row] = await self._ask(lambda connection: rows_at(connection, seqs))
        return rows[::-1]

    async def any_ends(self, seqs: Sequence[int]) -> dict[int, frozenset[UUID]]:
        """Return the events that may end in any way, by the numbers of rows that come after them."""
        first, last = min(seqs), max(seqs)
        found: dict[int, frozenset[bytes]] = await self._ask(lambda connection: read_any_ends(connection, first, last))
        return {seq: frozenset(UUID(bytes=one) for one in ids) for seq, ids in found.items()}

    async def put_back(self, seqs: Collection[int]) -> set[int]:
        """
        Make events that have ended pending again, as if they had never run. Return the numbers of those that have.

        Raises:
            JournalError: The file cannot be written. Nothing has changed.
        """
        return set(await self.in_thread(partial(self._store.requeue, FINAL, seqs)))

    async def count_skipped_after(self, seqs: Sequence[int]) -> int:
        """Return how many events are SKIPPED and come after those with these numbers. O(skipped events)."""
        number: int = await self._ask(lambda connection: count_skipped_after(connection, seqs))
        return number

    async def free_key(self, key: str) -> list[str]:
        """Take a key from the events that have ended. Return the statuses of all events that had it."""
        statuses: list[str] = await self.in_thread(partial(self._store.write, partial(free_key, key=key)))
        return statuses

    def decode_again(self, row: Row) -> Event:
        """
        Return the event of a row as it was before its first run.

        Raises:
            JournalError: The event cannot be read.
        """
        new = row._replace(
            status=EventStatus.PENDING.value, attempt=0, started=None, finished=None, outcome=None, attempts=None
        )
        return self.decode(new)

    async def held(self) -> list[Event]:
        """Return the held events."""
        rows: list[Row] = []
        seen = 0
        while some := await self.in_thread(partial(self._store.open_rows, seen, ROWS_AT_A_TIME)):
            rows += [row for row in some if row.status == HELD]
            seen = some[-1].seq
        return [self.decode(row) for row in rows]

    async def release(self, event_id: UUID, *, audit: bool) -> Restored:
        """
        Make a held event pending again, and return it.

        Args:
            event_id: The id of the event.
            audit: Whether the audit trail gets a line.

        Raises:
            NotFoundError: There is no held event with this id.
            JournalError: The file cannot be read or written.
        """
        rows = await self.in_thread(partial(self._store.rows_by_id, [event_id.bytes]))
        row: Row | None = rows[0] if rows and rows[0].status == HELD else None
        if row is not None:
            event, now = self.decode(row), wall_clock.seconds()
            steps = [AuditRecord(row.seq, now, LETTER_OF[EventStatus.PENDING.value], row.attempt, "released")]
            write = partial(release_held, seq=row.seq, steps=steps if audit else [])
            if await self.in_thread(partial(self._store.write, write)):
                return held_event(row, event)
        raise self.not_held(event_id)

    def not_held(self, event_id: UUID) -> NotFoundError:
        """Return the error that an event is not held."""
        return NotFoundError(f"No event {event_id} is held in {self._store.path}")

    def decode(self, row: Row) -> Event:
        """
        Return the event of a row.

        Raises:
            JournalError: The event cannot be read.
        """
        # A held event has not ended.
        shown = row._replace(status=EventStatus.PENDING.value) if row.status == HELD else row
        try:
            event = self._codec.decode(shown)
            if event.execution.status in TERMINAL:
                event._set("_kept_in", self._store.path)
                self._was_read(event, row.seq)
            return event  # noqa: TRY300  only decode() raises Unreadable
        except Unreadable as exc:
            raise JournalError(f"event {UUID(bytes=row.id)} in {self._store.path} cannot be read: {exc}") from exc


def _rows_of_keys(connection: Connection, keys: Sequence[str]) -> list[Row]:
    return [Row(*values) for values in rows_by_key(connection, COLUMNS, keys)]
