"""
A journal, which another process runs, or nobody.

All is read from the file, in a worker thread of its own, so the event loop of a dashboard goes on. What only the
process that has the file open knows is asked by a command in the file, see ``owner_state``. Actions are commands too.
In a file that nobody has open, events are changed directly.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

import attrs
from anyio import CapacityLimiter

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._journal.asking import SentCommand
from lionpride_exec._journal.command_forms import Explaining
from lionpride_exec._journal.file_lock import owner_of
from lionpride_exec._journal.reader import id_text
from lionpride_exec._journal.row_search import END, MAX_ROWS
from lionpride_exec._journal.run_watcher import RunWatcher
from lionpride_exec._journal.worker_thread import run_in_thread
from lionpride_exec._status import BAD, FINAL, HELD, OPEN, EventStatus
from lionpride_exec.errors import JournalError, NotFoundError, OperationError

from .journal_actions import JournalActions
from .journal_lines import RowFilter, progress_in_words, row_line, row_view, shown_line
from .live_actions import refused_here
from .live_rings import Shapes
from .owner_state import OwnerAsking
from .snapshot import MOST_OTHERS, Choice, EventPage, RunLine, Second, Snapshot
from .trail_runs import runs_in

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from lionpride_exec._journal.rows import Row
    from lionpride_exec._journal.run_watcher import Look

    from .owner_state import OwnerState
    from .snapshot import Action, ErrorLine, EventLine, EventView, LimitLine

T = TypeVar("T")

# Rows that a page looks at, beyond which it is returned as it is.
MOST_LOOKED_AT: Final = 5000

# Events that one action names at most.
MOST_NAMED: Final = 10_000

# Seconds of which the mean rate is shown, and seconds for which an explanation is waited for.
RATE_SECONDS: Final = 60
PATIENCE: Final = 2.0

# Errors are counted anew after this many times the time that it took.
REST: Final = 20.0


class JournalSource:
    """
    A source that reads a journal.

    Args:
        path: The file, which has to exist at the first question.
        writable: Whether :meth:`act` does anything.
        asks: Whether to ask the process that has the file open what only it knows.

    Raises:
        JournalError: From any method: the file cannot be read now.
    """

    def __init__(self, path: str | os.PathLike[str], *, writable: bool = True, asks: bool = True) -> None:
        self._path = Path(path)
        self._asks = asks
        self._is_writable = writable
        self._watcher = RunWatcher(self._path)
        self._owner = OwnerAsking(self._path.resolve())
        self._actions = JournalActions(self._path.resolve(), self._number_of, self._found)
        self._limiter = CapacityLimiter(1)
        self._is_first = True  # no look was made yet
        self._shapes: Shapes | None = None
        self._n = 0  # the transition up to which errors are counted
        self._counted_bad = 0  # the events whose errors are counted, those without an error included
        self._recount_at = 0.0

    @property
    def name(self) -> str:
        """The name of the file."""
        return self._path.name

    @property
    def takes_actions(self) -> bool:
        """Whether :meth:`act` does anything."""
        return self._is_writable

    async def aclose(self) -> None:
        """Close the file. Idempotent. A later question opens it again."""
        await self._in_thread(self._close)

    def _close(self) -> None:
        self._owner.close()
        self._watcher.close()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await run_in_thread(function, limiter=self._limiter)

    # ---------------------------------------------------------------- the whole

    async def version(self) -> object:
        """Return a text that changes with each commit, and when a process opens or closes the file. 50 us."""
        return await self._in_thread(self._watcher.version)

    async def snapshot(self) -> Snapshot:
        """
        Return how the run goes. Some milliseconds, in a thread.

        While a process has the file open, all is as that process told it, a second or some ago.

        The first call waits for the answer of the process that has the file open, 1.5 s at most.
        """
        return await self._in_thread(self._snapshot)

    def _look(self) -> tuple[Look, OwnerState | None]:
        look = self._watcher.look()
        is_first, self._is_first = self._is_first, False
        return look, self._owner.look(look.owner, look.counts, is_first=is_first) if self._asks else None

    def _snapshot(self) -> Snapshot:
        look, known = self._look()
        told, at, counts = None if known is None else known.told, wall_clock.seconds(), look.counts
        if told is not None and told.at is not None and told.counts is not None:
            # What the owner told is of one moment, and the file of another.
            at, counts = told.at, look.counts | told.counts
        ended = self._watcher.ended(RATE_SECONDS)
        state = "stopped" if look.owner is None else "unknown"
        return Snapshot(
            name=self.name,
            at=at,
            state=state if known is None else known.state,
            is_live=known is not None,
            counts=counts,
            progress=progress_in_words(look.counts) if told is None else told.progress,
            rate=sum(sum(each.values()) for _, each in ended) / RATE_SECONDS if told is None else told.rate,
            seconds_left=None if told is None else told.seconds_left,
            is_growing=told is not None and told.is_growing,
            slots=0 if told is None else told.slots,
            slots_used=look.counts[EventStatus.PROCESSING] if told is None else told.slots_used,
            waits=None if told is None else dict(sorted(told.waits.items(), key=lambda item: -item[1])),
            oldest_pending=None if look.oldest is None else max(at - look.oldest, 0.0),
            pauses=() if known is None else known.pauses,
            notes=tuple(self._notes(look)),
        )

    async def counts(self) -> dict[str, int]:
        """Return the number of events by status, "held" included."""
        return (await self._in_thread(self._watcher.look)).counts

    def _notes(self, look: Look) -> list[str]:
        """Return what people should know of the file."""
        notes: list[str] = []
        if look.submitted:
            notes.append(f"submitted events that wait for the process with the journal: {look.submitted:,}")
        if look.refused:
            notes.append(f"submitted events that could not be taken in: {look.refused:,}")
        if look.owner is None and look.is_closed is False:
            notes.append("the last process with the journal has ended without closing it")
        if not self._watcher.has_trail and any(look.counts.values()):
            notes.append("no audit trail: throughput counts from now on, and there is no timeline")
        return notes

    async def limits(self, count: int) -> tuple[LimitLine, ...]:
        """Return what is used of the limits, as the process with the journal told last, at most 200. Else nothing."""
        _, known = await self._in_thread(self._look)
        return () if known is None else known.limits(count)

    # ---------------------------------------------------------------- events

    async def running(self, count: int) -> tuple[EventLine, ...]:
        """Return the events that run, the longest first. O(open events), but not at each call."""
        return await self._in_thread(lambda: tuple(map(shown_line, self._watcher.running(count))))

    async def events(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """Return events that fit, the newest first, by their numbers. Some 10 us for each row that is looked at."""
        return await self._in_thread(partial(self._page, choice, before, count))

    def _page(self, choice: Choice, before: str | None, count: int) -> EventPage:
        number = END if before is None else _place(before)
        chosen, statuses = RowFilter(choice), None if choice.status is None else [choice.status]
        if choice.status is not None and choice.status not in {*OPEN, *FINAL}:
            raise NotFoundError(f"there is no status {choice.status!r}")
        is_plain = choice == Choice(status=choice.status)
        lines: list[EventLine] = []
        looked_at = 0
        while number and len(lines) < count and looked_at < MOST_LOOKED_AT:
            wanted = min(count - len(lines), MAX_ROWS) if is_plain else MAX_ROWS
            piece = self._watcher.piece(statuses, number, wanted)
            number = piece.before
            looked_at += max(len(piece.rows), 1 if piece.rows else MAX_ROWS)
            for row in piece.rows:
                if chosen.line(row) is not None:
                    lines.append(shown_line(row))
                    if len(lines) == count:
                        number = row.seq
                        break
        return EventPage(lines=tuple(lines), before=str(number) if number else None)

    async def event(self, ref: str) -> EventView:
        """
        Return all about an event. What it waits for is asked of the process with the journal, for 2 s at most.

        An id costs O(events), 60 ms for a million. The first history costs O(transitions), see ``JournalReader``.
        """
        return await self._in_thread(partial(self._view, ref.strip()))

    def _view(self, ref: str) -> EventView:
        row, steps = self._watcher.find(ref)
        is_open = row.status not in {*FINAL, HELD}
        owner = owner_of(self._path.resolve()) if is_open and self._asks else None
        explanation = None if owner is None else self._explained(row, owner)
        if row.status == HELD:
            explanation = "held: it ran when a process died, and waits for retry or cancel"
        view = row_view(row, steps, explanation)
        if not view.after:
            return view
        others = self._watcher.of_ids([UUID(one).bytes for one in view.after[:MOST_OTHERS]])
        return attrs.evolve(view, others=tuple(map(row_line, others)))

    def _explained(self, row: Row, owner: str) -> str | None:
        """Return what the process with the journal says of an event. None if it does not answer in time."""
        try:
            command = SentCommand(self._path.resolve(), "explain", Explaining({id_text(row.id): row.seq}), owner)
            result = command.wait(PATIENCE)
            command.forget()
        except JournalError:
            return None
        return None if result is None or not result.lines else result.lines[0]

    # ---------------------------------------------------------------- what happened of late

    async def errors(self, count: int) -> tuple[ErrorLine, ...]:
        """
        Return the most frequent shapes of errors: of the 100,000 newest events of each status that did not complete.

        O(what has ended since the last call). The first call reads all of these, and so does a call after a retry.
        """
        return await self._in_thread(partial(self._errors, count))

    def _errors(self, count: int) -> tuple[ErrorLine, ...]:
        counts = self._watcher.look().counts
        bad, now = sum(counts[status] for status in BAD), perf_counter()
        is_behind = self._shapes is None or (self._counted_bad != bad and not self._watcher.has_trail)
        if (is_behind or self._counted_bad > bad) and now >= self._recount_at:
            self._shapes, self._counted_bad = Shapes(), 0
            self._add_errors(None)
            self._recount_at = perf_counter() + REST * (perf_counter() - now)
        elif self._watcher.has_trail:
            self._add_errors(self._n)
        return () if self._shapes is None else self._shapes.largest(count)

    def _add_errors(self, after_n: int | None) -> None:
        assert self._shapes is not None
        self._n, found = self._watcher.bad_ends(after_n)
        self._counted_bad += len(found)
        for one in found:
            if one.error is not None:
                self._shapes.add(one.status, one.error, id_text(one.id), one.at)

    async def ended(self, seconds: int) -> tuple[Second, ...]:
        """
        Return how many events ended in each of the last seconds, at most 3600. O(transitions since the last call).

        Without an audit trail, the difference of two looks counts for the second of the later one.
        """
        found = await self._in_thread(partial(self._watcher.ended, seconds))
        return tuple(Second(at=at, ended=ended) for at, ended in found)

    async def runs(self, seconds: float, count: int) -> tuple[RunLine, ...]:
        """Return the runs of the last seconds, as the audit trail has them. O(count). Nothing without a trail."""
        return await self._in_thread(lambda: runs_in(self._watcher.last_steps(4 * count), seconds, count))

    # ---------------------------------------------------------------- actions

    async def act(self, action: Action) -> str:
        """
        Do what somebody asks for.

        Raises:
            LionprideError: It was refused, or the process with the journal has not answered within 10 s.

        Cancellation: what has begun goes on, and the call returns late.
        """
        if not self._is_writable:
            raise refused_here()
        try:
            return await self._in_thread(partial(self._actions.do, action))
        finally:
            self._owner.again()

    def _number_of(self, ref: str) -> tuple[str, int]:
        row, _ = self._watcher.find(ref)
        return id_text(row.id), row.seq

    def _found(self, choice: Choice, statuses: tuple[str, ...]) -> dict[str, int]:
        """
        Return the ids and numbers of the events that fit.

        Raises:
            OperationError: There are too many.
        """
        chosen, number, found = RowFilter(choice), END, dict[str, int]()
        while number:
            piece = self._watcher.piece(statuses, number, MAX_ROWS)
            number = piece.before
            found |= {id_text(row.id): row.seq for row in piece.rows if chosen.line(row) and row.status in statuses}
            if len(found) > MOST_NAMED:
                raise OperationError(f"more than {MOST_NAMED:,} events fit: choose fewer", retryable=False)
        return found


def _place(before: str) -> int:
    """
    Return the number before which a page begins.

    Raises:
        NotFoundError: The text is none.
    """
    if not before.isascii() or not before.isdigit() or len(before) > 18:  # noqa: PLR2004  what SQLite can hold
        raise NotFoundError("there is no such page: read the first page again")
    return int(before)
