"""
What an executor keeps of its events: in memory as long as it is asked to, and in a journal if it has one.

Everything here is called inside transitions or by the journal, and does not wait; but for the confirmations of a strict
journal, which an event waits for before it says that it has ended.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.sentinel import Unset
from lionpride_exec._events.event import Event
from lionpride_exec._events.running import Unconfirmed
from lionpride_exec._model.element import to_uuid
from lionpride_exec._model.execution import to_status, utc_now
from lionpride_exec._model.retain import Remembered, Retain, by_status
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import EventsOnDiskWarning, JournalError

from .submissions import Intake

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._events.lifecycle import Life
    from lionpride_exec._journal import Journal
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._model.retain import RetainRule

logger = logging.getLogger("lionpride_exec")

_PACKAGE = str(Path(__file__).parents[1])


class Keeping(Intake):
    """What an executor does so that its events are kept, and let go."""

    def __init__(
        self,
        config: dict[str, Any],
        *,
        strict: bool,
        name: str,
        journal: Journal | None,
        retain: RetainRule,
    ) -> None:
        super().__init__(config, strict=strict, name=name)
        self.journal: Journal | None = journal
        self._retain: Mapping[EventStatus, Retain] = by_status(retain, None if journal is None else Retain(0))
        self._keeps_records: bool = journal is not None or bool(self._retain)
        self._book: JournalSession | None = None  # while the journal is open
        self._is_strict = False  # it is open, and nobody is to be told of an end before that is in it
        self._on_disk: Counter[EventStatus] = Counter()  # events that have ended and are on disk only
        self._remembered = Remembered()  # of those, the last
        self._gone: list[int] = []  # events that were removed while the journal was closed, by number
        # Events that have ended while it was closed, to be written at the next start, removed ones included.
        self._ended_late: dict[UUID, Event] = {}
        if journal is not None:
            journal._belong_to(self)
            self.states._before_record = self._warn_of_all_on_disk
        if self._retain:
            self.states.items.guard.when_free = self._make_up

    # ---------------------------------------------------------------- what becomes of them

    def _keep_record(self, event: Event, target: EventStatus) -> None:
        """Have a transition written, or let an event leave memory; called inside it, when all else is done."""
        if self._put_off and target in TERMINAL:
            self._put_off.pop(event.id, None)
        if self._book is None:
            if self.journal is None:
                if target in TERMINAL:
                    self._retire(event)
            elif target in TERMINAL:
                self._ended_late[event.id] = event
                logger.warning(
                    "%r has ended while its journal was closed: only a next start of this executor writes that", event
                )
            return
        due: float | None = None
        if target is EventStatus.PENDING and self._processor is not None:
            again_in = self._processor.seconds_until_again(event.id)
            due = None if not again_in else time.time() + again_in
        if self._book.record_transition(event, target, due):
            self._retire(event)

    async def _confirm_start(self, event: Event) -> None:
        """
        Return once it is on disk that an event runs: it begins now.

        Raises:
            Unconfirmed: The journal was closed before that.
        """
        if self._book is not None:
            try:
                await self._book.writer.wait_committed()
            except JournalError as exc:
                raise Unconfirmed from exc
        if self._processor is not None:
            self._processor._note_begun(event)

    async def _confirm_end(
        self, event: Life, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """Return once the end of an event is on disk, which it is to learn of next; or cannot be written."""
        if self._book is not None:
            with suppress(JournalError):
                await self._book.commit_outcome(event, target, response, error, at)

    def _is_end_noted(self, event: Life) -> bool:
        """Whether the end of an event is being written, of which it does not know yet."""
        return self._is_strict and self._book is not None and self._book.has_unreported_outcome(event)

    def _end(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        book, execution = self._book, event.execution
        if book is None or not self._is_strict or execution._running or execution.status in TERMINAL or not event._seq:
            return super()._end(event, status, error)
        if book.has_unreported_outcome(event) and book.is_outcome_committed(event):
            _, status, error = self._put_off.pop(event.id, (event, status, error))  # what was decided first
            # Another end that is on disk is that of its gate, which is about to tell it.
            return status is not book.recorded_status(event) or super()._end(event, status, error)
        self._put_off.setdefault(event.id, (event, status, error))  # it does not start before

        def end() -> None:
            """End it, now that this is on disk."""
            if event.id in self._put_off:
                self._end(event, status, error)

        if not book.has_unreported_outcome(event):
            book.record_outcome(event, status, Unset, error, utc_now(), then=end)
        return True

    def _make_up(self) -> None:
        super()._make_up()
        for status, rule in self._retain.items():
            self._let_leave(status, rule)

    def _waits_for_less(self, event: Event) -> None:
        if self._book is not None:
            self._book.record_dependencies(event, self._agenda.waits_for(event.id))

    # ---------------------------------------------------------------- leaving memory

    def _retire(self, event: Event) -> None:
        """Let events leave memory that have ended as this one, are on disk if there is one, and are not to be kept."""
        status = event.execution.status
        rule = self._retain.get(status)
        if rule is not None:
            self._let_leave(status, rule)

    def _let_leave(self, status: EventStatus, rule: Retain) -> None:
        progression, items = self._by_status[status], self.states.items
        excess = 0 if rule.count is None else len(progression) - rule.count
        oldest = None if rule.age is None else utc_now() - timedelta(seconds=rule.age)
        while progression:
            first = items.get(progression[0], None)
            if first is None:  # taken out by hand
                progression.popleft()
            elif (excess > 0 or (oldest is not None and _ended_before(first, oldest))) and self._may_leave(first):
                self._drop(first, status)
            else:
                return
            excess -= 1

    def _may_leave(self, event: Event) -> bool:
        """Whether an event that has ended can leave memory now: it is on disk, and nobody holds anything still."""
        if self.journal is not None and (self._book is None or not self._book.is_outcome_committed(event)):
            return False
        status = event.execution.status
        return not self.states.items.guard.users and self._turn_to_move(status, status) is None

    def _drop(self, event: Event, status: EventStatus) -> None:
        """Let an event leave memory that has ended, so that neither the processor nor other events know it."""
        if event._unseen is not None:
            event._unseen.let_go(event)
        self.states.items.remove(event.id)
        self._by_status[status].exclude(event.id)
        if self._agenda._key_of:
            self._agenda.forget(event.id)
        object.__setattr__(event, "_owner", None)
        self._removed[status] += 1
        if self.journal is not None:
            self._remember(event, status, self.journal)

    def _remove(self, event: Event) -> None:
        status = event.execution.status
        super()._remove(event)
        if self.journal is None:
            return
        if status in TERMINAL:
            self._remember(event, status, self.journal)
        elif self._book is not None:
            self._book.delete(event)
        elif event._seq:
            self._gone.append(event._seq)

    def _remember(self, event: Event, status: EventStatus, journal: Journal) -> None:
        """Count an event that is on disk only, and go on knowing that it has ended."""
        self._on_disk[status] += 1
        self._remembered.note(event.id, status)
        object.__setattr__(event, "_kept_in", journal.path)  # past the hooks of attrs, as elsewhere

    # ---------------------------------------------------------------- what has left memory

    def _known_ended(self, event: Event | UUID | str) -> Event | None:
        """
        Return an event that has ended and left memory.

        For an id it is a plain event with that id and status. None if the event is not here, or if only a look at the
        disk would tell.
        """
        if self.journal is None:
            return None
        in_hand = event if isinstance(event, Event) and event.execution.status in TERMINAL else None
        if in_hand is not None and in_hand._kept_in == self.journal.path:
            return in_hand
        event_id = to_uuid(event)
        status = self._remembered.status_of(event_id)
        if status is None or in_hand is not None:
            return None if status is None else in_hand
        stand_in = Event(id=event_id)
        stand_in.execution.status = status
        return stand_in

    def _where_else(self) -> str:
        if self.journal is None:
            return ""
        return " that is in memory; if it has ended and is in the journal only, `await executor.get(id)` reads it"

    def __contains__(self, event: Event | UUID | str) -> bool:
        if super().__contains__(event):
            return True
        if self.journal is None:
            return False
        try:
            return self._known_ended(event) is not None
        except (TypeError, ValueError):  # no id
            return False

    def get_events_by_status(self, status: EventStatus | str) -> list[Event]:
        """
        Return the events with a status that are in memory, in the order they came to it. O(number of them).

        Warns:
            EventsOnDiskWarning: The executor has a journal, and more events with this status are in the journal only.

        Raises:
            NotFoundError: No such status. (Also a KeyError.)
            ConfigurationError: Its progression was taken out of :attr:`states`.
        """
        events = super().get_events_by_status(status)
        wanted = to_status(status)
        if self._on_disk[wanted]:
            self._warn_of_events_on_disk(self._on_disk[wanted], len(events), f"{wanted.value} events")
        return events

    def _warn_of_all_on_disk(self) -> None:
        if number := self._on_disk.total():
            self._warn_of_events_on_disk(number, len(self.states.items), "events")

    def _warn_of_events_on_disk(self, on_disk: int, in_memory: int, what: str) -> None:
        assert self.journal is not None
        warnings.warn(
            f"{on_disk:,} of the {on_disk + in_memory:,} {what} are in the journal only ({self.journal.path}), and not "
            "in what this returns: status_counts() counts them, `await executor.get(id)` reads one, and "
            "Executor(..., retain=Retain()) keeps them in memory",
            EventsOnDiskWarning,
            stacklevel=_levels_to_the_caller(),
        )

    def _key_of(self, key: Hashable) -> Hashable:
        """Give what a key is known by: with a journal as it stands there."""
        return key if self.journal is None else self.journal._key_of(key)

    def _find_here(self, event_id: UUID) -> Event | None:
        """Give an event that is in memory."""
        return self.states.items.get(event_id, None)

    def _find_ended_late(self, event_id: UUID) -> Event | None:
        """Give an event whose end is still to be written, also one that was removed since."""
        return self._ended_late.get(event_id)

    def _takes(self, event: Event) -> bool:
        """Whether an event is of a class that this executor takes."""
        kind = self.event_type
        return type(event) is kind if self.strict_event_type else isinstance(event, kind)

    def _journal_deleted(self, counts: dict[str, int]) -> None:
        for name, number in counts.items():
            status = EventStatus(name)
            self._on_disk[status] = max(self._on_disk[status] - number, 0)

    def status_counts(self) -> dict[str, int]:
        """
        Give the number of events in each of the seven statuses, zeros included. O(1).

        With a journal those that have ended and are only on disk are included.
        """
        return {name: number + self._on_disk[EventStatus(name)] for name, number in super().status_counts().items()}


def _ended_before(event: Event, moment: datetime) -> bool:
    finished = event.execution.finished_at
    return finished is not None and finished < moment


def _levels_to_the_caller() -> int:
    """Return the level, as seen from the function that warns, of the code outside the package that called it."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
