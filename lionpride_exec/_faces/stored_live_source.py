"""
A running executor with a journal.

Events that have ended leave its memory, so lists, errors and the pages of events come from the file. The file is some
milliseconds behind. What events wait for, the limits and the throughput come from the executor itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._status import HELD, PENDING, PROCESSING
from lionpride_exec.errors import JournalError, NotFoundError

from .journal_source import JournalSource
from .live_pages import AT_A_TIME
from .live_source import LiveSource
from .snapshot import MOST_OTHERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lionpride_exec._executor.executor import Executor

    from .snapshot import Choice, ErrorLine, EventLine, EventPage, EventView, Snapshot

_OPEN: Final = frozenset({PENDING, PROCESSING})


class StoredLiveSource(LiveSource):
    """
    A source that reads a running executor and its journal. Use it in the event loop of the executor.

    Before the file can be read, as before the first start, everything comes from memory.

    Args:
        executor: The executor.
        path: The file of its journal.
        writable: Whether :meth:`act` does anything.
    """

    def __init__(self, executor: Executor, path: Path, *, writable: bool = True) -> None:
        super().__init__(executor, writable=writable)
        self._stored = JournalSource(path, writable=False, asks=False)

    async def aclose(self) -> None:
        """Take the observer off the executor, and close the file. Idempotent."""
        await super().aclose()
        await self._stored.aclose()

    async def snapshot(self) -> Snapshot:
        """Return how the run goes."""
        found = await super().snapshot()
        try:
            held = (await self._stored.counts())[HELD]
        except JournalError:
            return found
        return attrs.evolve(found, counts=dict(found.counts) | {HELD: held})

    async def events(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """Return events that fit, the newest first, by their numbers in the file."""
        try:
            page = await self._stored.events(choice, before, count)
        except JournalError:
            return await super().events(choice, before, count)
        return attrs.evolve(page, lines=tuple([line async for line in self._with_waits(page.lines)]))

    async def _with_waits(self, lines: tuple[EventLine, ...]) -> AsyncIterator[EventLine]:
        """Yield lines of the file, with what the pending events wait for."""
        for number, line in enumerate(lines, 1):
            event = self._view.with_id(UUID(line.id)) if line.status == PENDING else None
            yield line if event is None else attrs.evolve(line, waits=self._view.waits(event))
            if number % AT_A_TIME == 0:
                await checkpoint()

    async def event(self, ref: str) -> EventView:
        """Return all about an event. Its failure counts as looked at."""
        try:
            stored = await self._stored.event(ref)
        except (JournalError, NotFoundError):  # it may not be on disk yet
            return await super().event(ref)
        event = self._view.with_id(UUID(stored.line.id))
        if event is None and stored.line.status in _OPEN:  # it has left memory meanwhile, so its end is on disk now
            stored = await self._stored.event(stored.line.id)
        if event is None:
            self._view.look_at_row(stored.line.status, stored.line.number)
            return stored
        live = await super().event(stored.line.id)
        is_behind = live.line.status != stored.line.status
        known = {line.id: line for line in (*stored.others, *live.others)}  # what has ended is in the file only
        return attrs.evolve(
            live,
            others=tuple(known.values())[:MOST_OTHERS],
            facts=dict(stored.facts) | dict(live.facts),
            transitions=live.transitions if is_behind else stored.transitions,
        )

    async def errors(self, count: int) -> tuple[ErrorLine, ...]:
        """Return the most frequent shapes of errors in the file, the most frequent first."""
        try:
            return await self._stored.errors(count)
        except JournalError:
            return await super().errors(count)
