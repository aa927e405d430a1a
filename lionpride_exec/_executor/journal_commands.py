"""
What an executor does when another process asks for it: the commands in the file of its journal.

The command line, and any other program, writes a command into the file (``_journal.inbox``), with arguments of
``_journal.command_forms``. Each command becomes calls of the method of the executor that has its name. So a subclass
that overrides the method is asked, too.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._base.error_shapes import WholeError
from lionpride_exec._display.parts import joined
from lionpride_exec._journal.command_forms import (
    Chosen,
    Ending,
    Explaining,
    Pausing,
    Resizing,
    Result,
    Resuming,
    plain,
    read_form,
)
from lionpride_exec._journal.outcome_codec import from_seconds
from lionpride_exec._status import BAD, FINAL, HELD, OPEN, PENDING, PROCESSING, TERMINAL
from lionpride_exec.errors import EventNotFinished, LionprideError, NotFoundError

from .executor_states import asked_from_outside
from .expirations import has_begun
from .found import found_in_memory, wanted
from .found_rows import found_in_row
from .open_keys import has_open_events
from .pause_names import any_paused
from .progress_view import detail_lines, pauses_in_words
from .told_state import told_state

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Hashable

    from lionpride_exec._events.event import Event
    from lionpride_exec._journal.recovery import Restored
    from lionpride_exec._journal.rows import Row
    from lionpride_exec._tracking.status_index import StatusIndex

    from .facade import Facade
    from .found import FoundEvent
    from .journal_link import JournalLink

_IN_MEMORY: Final = (PENDING.value, PROCESSING.value)  # of the statuses of events that have not ended

# Nothing starts while a command ends events: otherwise an event would begin that is to end next. explain() shows this.
ENDING: Final = "events are being ended"

# Events that are looked at between two checkpoints.
AT_A_TIME: Final = 200

# Why an event that was named is left as it is. The commands for a cluster have the same words.
GONE: Final = "is not in the journal any more"
NOT_ENDED: Final = "has not ended"
ENDED: Final = "has ended"
NOT_HERE: Final = "stays in the journal as it is: the process that runs the journal does not have it in memory"
BEGUN: Final = "has begun"
IS_HELD: Final = "is held: it ran when a process died, and waits for retry or cancel"
NOT_CHOSEN: Final = "is not one of those that the other options choose"


def other_status(status: str, asked: Collection[str]) -> str:
    """Return why an event that was named is left as it is: it has none of the statuses that were asked for."""
    return f"is {status}: only {' or '.join(asked)} events were asked for"


class JournalCommands:
    """
    Carries out commands.

    Args:
        executor: The executor.
        link: Its journal.
        index: Where its events are.

    Attributes:
        handlers: What carries out each command, by its name. Each takes the arguments as JSON has them, and returns a
            :class:`Result` likewise. It raises what the method of the executor raises, and ``ValueError`` for
            arguments that do not have their form. Of several events, some may have changed then.
    """

    def __init__(self, executor: Facade, link: JournalLink, index: StatusIndex) -> None:
        self._executor = executor
        self._link = link
        self._index = index
        self.handlers: dict[str, Callable[[Any], Any]] = {
            "pause": self._pause,
            "resume": self._resume,
            "resize": self._resize,
            "cancel": lambda args: self._end(args, self._executor.cancel),
            "skip": lambda args: self._end(args, self._executor.skip),
            "retry": self._retry,
            "explain": self._explain,
        }

    # ---------------------------------------------------------------- the executor

    async def _pause(self, args: Any) -> Any:
        form = read_form(Pausing, args)
        until = None if form.until is None else from_seconds(form.until)
        keys = _keys_of(form)
        for key in keys:
            self._executor.pause(key=key, limit=form.limit, until=until, reason=form.reason)
        result = Result(paused=pauses_in_words(self._executor.statistics()))
        result.is_unknown = keys != [None] and not await has_open_events(self._executor, self._index, keys, form.limit)
        return plain(result)

    def _resume(self, args: Any) -> Any:
        form = read_form(Resuming, args)
        keys, before = _keys_of(form), self._executor.statistics()
        for key in keys:
            self._executor.resume(key=key, limit=form.limit)
        is_of_all = keys == [None] and form.limit is None
        is_unknown = not (before.is_paused if is_of_all else any_paused(before.pauses, keys, form.limit))
        return plain(Result(is_unknown=is_unknown, paused=pauses_in_words(self._executor.statistics())))

    def _resize(self, args: Any) -> Any:
        form = read_form(Resizing, args)
        self._executor.resize(concurrency_limit=form.concurrency_limit, queue_capacity=form.queue_capacity)
        return plain(Result())

    async def _explain(self, args: Any) -> Any:
        form = read_form(Explaining, args)
        result = Result()
        if form.limits is not None:
            result.state = await told_state(self._executor, form.limits)
        elif not form.events:
            statistics = self._executor.statistics()
            details = detail_lines(self._executor.progress(), attrs.evolve(statistics, pauses=()))
            result.lines = [str(self._executor.progress()), *map(joined, details)]
            result.paused = pauses_in_words(statistics)
        for text, number in form.events.items():
            kept = self._link.open_session().kept.get(UUID(text))
            if UUID(text) in self._index.items or (kept is not None and kept.left_before):
                result.lines.append(str(self._executor.explain(UUID(text))))
            else:
                row = await self._row(UUID(text), number)
                result.others[text] = GONE if row is None else _why_away(row)
        return plain(result)

    # ---------------------------------------------------------------- events that have not ended

    async def _end(self, args: Any, end: Callable[[UUID, str | None], bool]) -> Any:
        form = read_form(Ending, args)
        choice = _Choice(form, form.status or (OPEN if form.events else _IN_MEMORY), self._tag_of)
        for status in choice.statuses:
            if status not in OPEN:
                raise ValueError(f"status must be {', '.join(_IN_MEMORY)} or {HELD}, got {status!r}")
        result = Result()
        self._link.hold(ENDING)
        try:
            if form.events:
                chosen = self._named(form, choice, result.others)
            else:
                chosen = self._open_events(choice, has_limit=form.limit is not None)
            async with aclosing(chosen) as events:
                async for event in events:
                    _end_one(event, form, end, result)
                    if result.events + result.running == form.limit:
                        break
        finally:
            self._link.release_hold(ENDING)
        return plain(result)

    async def _open_events(self, choice: _Choice, *, has_limit: bool) -> AsyncGenerator[Event]:
        """
        Yield the events that are chosen, the newest first: a follower ends before the event that it comes after.

        O(open events). With a limit they are sorted in one step.
        """
        items = self._index.items
        ids = [one for one in self._index.event_ids(PENDING, PROCESSING) if one in items][::-1]
        if has_limit:  # events that have run again are not in order of arrival
            ids.sort(key=lambda one: items[one]._seq, reverse=True)
        for number, event_id in enumerate(ids, 1):
            event = items.get(event_id, None)
            if event is not None and choice.has(event):
                yield event
            if number % AT_A_TIME == 0:
                await checkpoint()
        for kept in self._kept(choice):
            yield kept.event

    def _kept(self, choice: _Choice) -> list[Restored]:
        """Return the chosen events that are held, or come after such. Those that cannot be read here are left out."""
        kept = [one for one in self._link.open_session().kept.values() if choice.has_kept(one)]
        return sorted(kept, key=lambda one: -one.seq)  # the newest first

    async def _named(self, form: Chosen, choice: _Choice, others: dict[str, str]) -> AsyncGenerator[Event]:
        """Yield the events that are named, as :meth:`_open_events`. Note in ``others`` why one of them is not."""
        for text, number in sorted(form.events.items(), key=lambda item: item[1], reverse=True):
            event = self._index.items.get(UUID(text), None)
            if event is not None:
                if choice.has(event):
                    yield event
                else:
                    status = event.execution.status
                    others[text] = ENDED if status in TERMINAL else choice.why_not(status.value)
                continue
            row = await self._row(UUID(text), number)
            kept = self._link.open_session().kept.get(UUID(text))
            if row is None:
                others[text] = GONE
            elif row.status in FINAL or kept is None:
                others[text] = ENDED if row.status in FINAL else NOT_HERE
            elif not choice.has_row(row):
                others[text] = choice.why_not(str(row.status))
            else:
                yield kept.event  # not released: one that has begun may stay as it is

    # ---------------------------------------------------------------- events that run again

    async def _retry(self, args: Any) -> Any:
        form = read_form(Chosen, args)
        result = Result()
        token = asked_from_outside.set(True)
        try:
            taken = await (self._retry_named(form, result.others) if form.events else self._retry_all(form))
        finally:
            asked_from_outside.reset(token)
        result.events = len(taken)
        if taken:
            lookup = self._link.open_session().lookup
            result.skipped_after = await lookup.count_skipped_after([event._seq for event in taken])
        return plain(result)

    async def _retry_all(self, form: Chosen) -> list[Event]:
        statuses = form.status or [status.value for status in BAD]
        held = self._kept(_Choice(form, statuses, self._tag_of))
        bad = [status for status in statuses if status != HELD]
        since = None if form.since is None else from_seconds(form.since)
        filters: dict[str, Any] = {"status": bad, "tag": form.tag or None, "error": _error(form), "since": since}
        limit = form.limit
        if limit is not None and held and bad:  # the newest of all
            found = await self._executor.find(limit=limit, **filters)
            numbers = sorted([*(one.seq for one in held), *(one.number for one in found)])[-limit:]
            held = [one for one in held if one.seq in numbers]
            limit = len(numbers) - len(held)
        taken = [await self._executor.release(one.event.id) for one in held[: form.limit][::-1]]
        if bad and limit != 0:
            taken += await self._executor.retry(limit=limit, **filters)
        return taken

    async def _retry_named(self, form: Chosen, others: dict[str, str]) -> list[Event]:
        """Run the events again that are named, the oldest first. Note in ``others`` why one of them does not."""
        choice = _Choice(form, form.status or (*FINAL, HELD), self._tag_of)
        taken: list[Event] = []
        for text, number in sorted(form.events.items(), key=lambda item: item[1]):
            row = await self._row(UUID(text), number)
            found = None if row is None else found_in_row(row)
            if row is None or found is None:
                others[text] = GONE
            elif row.status not in {*FINAL, HELD}:
                others[text] = NOT_ENDED
            elif not choice.has_row(row):
                others[text] = choice.why_not(str(row.status))
            else:
                try:
                    taken.append(await self._again(found, is_held=row.status == HELD))
                except LionprideError as exc:
                    others[text] = _words(exc)
        return taken

    async def _again(self, found: FoundEvent, *, is_held: bool) -> Event:
        return await (self._executor.release(found.id) if is_held else self._executor.retry(found))

    # ---------------------------------------------------------------- the file

    def _tag_of(self, event: Event) -> str:
        return self._link.journal._codec.tag_for(event)

    async def _row(self, event_id: UUID, number: int) -> Row | None:
        """
        Return the row of an event, once everything that has happened so far is on disk. None if there is none.

        Raises:
            JournalError: The file cannot be read, or is closed.
        """
        session = self._link.open_session()
        if not session.writer.is_caught_up:
            await session.writer.wait_committed()
        number = number or await session.lookup.number_of(event_id) or 0
        rows = await session.lookup.rows_at([number])
        return rows[0] if rows and rows[0].id == event_id.bytes else None


class _Choice:
    """
    What a command says about its events, beyond their names.

    Args:
        form: The arguments of the command.
        statuses: The statuses that fit.
        tag_of: Returns the tag of an event.

    Raises:
        ValueError: The text of the error is empty, or a time is out of range.
    """

    def __init__(self, form: Chosen, statuses: list[str] | tuple[str, ...], tag_of: Callable[[Event], str]) -> None:
        since = None if form.since is None else from_seconds(form.since)
        asked = wanted(None, form.tag or None, None, _error(form), since)
        self.statuses: Final = statuses
        self._asked: Final = attrs.evolve(asked, statuses=None)
        self._tag_of = tag_of

    def has(self, event: Event) -> bool:
        """Return whether an event in memory is chosen."""
        return event.execution.status.value in self.statuses and self.fits(event)

    def has_row(self, row: Row) -> bool:
        """Return whether an event in the file is chosen."""
        found = found_in_row(row)
        return found is not None and row.status in self.statuses and self._asked.fits(found)

    def why_not(self, status: str) -> str:
        """Return why an event with a status, which was named, is not chosen."""
        return NOT_CHOSEN if status in self.statuses else other_status(status, self.statuses)

    def has_kept(self, kept: Restored) -> bool:
        """Return whether an event is chosen that is held, or comes after such an event."""
        return (PENDING.value if kept.left_before else HELD) in self.statuses and self.fits(kept.event)

    def fits(self, event: Event) -> bool:
        """Return whether an event fits all but the statuses."""
        return self._asked.is_plain or self._asked.fits(found_in_memory(event, None, self._tag_of(event)))


def _error(form: Chosen) -> str | None:
    """Return the part of their errors by which events are chosen, or the words of a group. None for all events."""
    return WholeError(form.error) if form.error is not None and form.whole else form.error


def _end_one(event: Event, form: Ending, end: Callable[[UUID, str | None], bool], result: Result) -> None:
    """End an event, or leave it alone if it has begun. Count it in the result, or note there why it stays."""
    if form.unless_begun and has_begun(event):
        if form.events:
            result.others[str(event.id)] = BEGUN
        return
    is_running = event._current_run.is_active
    if end(event.id, form.reason):
        result.events += not is_running
        result.running += is_running


def _why_away(row: Row) -> str:
    """Return why an event in the file is not in memory."""
    if row.status in FINAL:
        return ENDED
    return IS_HELD if row.status == HELD else NOT_HERE


def _keys_of(form: Resuming) -> list[Hashable]:
    """
    Return the keys that are paused or resumed. None for all events, or for a limit without keys.

    Raises:
        ValueError: A key is null.
    """
    if None in form.keys:
        raise ValueError("null is no key")
    return [_hashable(key) for key in form.keys] or [None]


def _hashable(key: Any) -> Hashable:
    return tuple(map(_hashable, key)) if isinstance(key, list) else key


def _words(exc: LionprideError) -> str:
    if isinstance(exc, EventNotFinished):
        return NOT_ENDED
    return GONE if isinstance(exc, NotFoundError) else str(exc)
