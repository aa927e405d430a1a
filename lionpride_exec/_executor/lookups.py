"""Finding events: in memory, and in the journal if there is one."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Final
from uuid import UUID

import attrs

from lionpride_exec._events.event import Event
from lionpride_exec._model.element import to_uuid
from lionpride_exec._model.execution import to_status
from lionpride_exec._model.waiting import WaitReason
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_count
from lionpride_exec.errors import EventsOnDiskWarning, JournalError, NotFoundError

from .named_events import id_of

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterable

    from lionpride_exec._journal.recovery import Restored
    from lionpride_exec._tracking.status_index import StatusIndex

    from .explanation import Explanation
    from .facade import Facade
    from .journal_link import JournalLink
    from .keys import Keys
    from .queueing import Queueing

# The end of the message about an event that an executor with a journal does not know.
_ONLY_ON_DISK: Final = (
    " that is in memory or held. The journal alone may have it, above all if it has ended: `await executor.get(id)` "
    "reads it"
)

_PACKAGE = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120  pathlib is slow to import


class Lookups:
    """Answers questions about the events of one executor."""

    __slots__ = ("_executor", "_index", "_keys", "_link", "_queueing")

    def __init__(
        self,
        executor: Facade,
        index: StatusIndex,
        keys: Keys,
        queueing: Queueing,
        link: JournalLink | None,
    ) -> None:
        self._executor = executor
        self._index = index
        self._keys = keys
        self._queueing = queueing
        self._link = link
        if link is not None:
            index.states._before_record = self._warn_of_all_on_disk

    # ---------------------------------------------------------------- in memory

    def with_status(self, status: EventStatus | str) -> list[Event]:
        """Return the events in memory with a status. Failed events among them count as looked at."""
        wanted = to_status(status)
        events = self._index.events(wanted)
        self._index.failures.look_at_all(wanted, events)
        if self._link is not None and self._link.stored.counts[wanted]:
            self._warn_on_disk(self._link, self._link.stored.counts[wanted], len(events), f"{wanted.value} events")
        return events

    def page(
        self, status: EventStatus | str, before: Event | UUID | str | Iterable[Event | UUID] | None, limit: int
    ) -> list[Event]:
        """Return some events in memory with a status, the newest first. Failed events among them count as looked at."""
        check_count("limit", limit, 1)
        wanted = to_status(status)
        events = self._index.newest(wanted, self._page_end(wanted, before), limit)
        self._index.failures.look_at_all(wanted, events)
        if len(events) < limit and self._link is not None and (on_disk := self._link.stored.counts[wanted]):
            in_memory = len(self._index.progression(wanted))
            self._warn_on_disk(self._link, on_disk, in_memory, f"{wanted.value} events")
        return events

    def _page_end(self, status: EventStatus, before: Event | UUID | str | Iterable[Event | UUID] | None) -> UUID | None:
        """
        Return the id of the last of these events that has the status now. None if no events are given.

        Raises:
            NotFoundError: None of the events has the status now.
        """
        if before is None:
            return None
        seen = [before] if isinstance(before, Event | UUID | str) else list(before)
        progression = self._index.progression(status)
        for event in reversed(seen):
            event_id = id_of(event, "before")
            if event_id in progression:
                return event_id
        few = "none of these events is" if len(seen) != 1 else f"{_named(seen[0])} is not"
        raise NotFoundError(f"{few} {status.value} any more: read the first page again")

    def status_counts(self) -> dict[str, int]:
        """Return the number of events with each status. Ended events that are only on disk are included."""
        on_disk = {} if self._link is None else self._link.stored.counts
        return {status.value: number + on_disk.get(status, 0) for status, number in self._index.counts().items()}

    def has(self, event: Event | UUID | str) -> bool:
        """Return whether an event is in memory, is held or comes after such, or is known to have ended here."""
        if event in self._index.items:
            return True
        if self._link is None:
            return False
        try:
            return self._held(to_uuid(event)) is not None or self._link.stored.find(event) is not None
        except (TypeError, ValueError):  # the value is not an id
            return False

    def known(self, event: Event | UUID | str) -> Event:
        """
        Return an event that is in memory, is held or comes after such, or is known to have ended here.

        Raises:
            NotFoundError: The event is none of these.
        """
        known = self._index.items.get(id_of(event), None)
        if known is None and self._link is not None:
            known = self._held(to_uuid(event)) or self._link.stored.find(event)
        if known is None:
            where = "" if self._link is None else _ONLY_ON_DISK
            raise NotFoundError(f"There is no {_named(event)} in {self._executor!r}{where}")
        return known

    def known_and_not_held(self, event: Event | UUID | str) -> Event:
        """
        Return a known event that is not held, and comes after no such event.

        Raises:
            NotFoundError: The event is held, or comes after a held event, or is not known.
        """
        known = self.known(event)
        if (restored := self._kept(known.id)) is not None:
            why = "comes after a held event: release() that one" if restored.left_before else "is held: release() it"
            raise NotFoundError(f"{known} {why} first")
        return known

    def can_be_taken_back(self, event: Event | UUID | str) -> bool:
        """
        Return whether an event has neither begun nor ended.

        Raises:
            NotFoundError: The event is not known.
        """
        from .expirations import has_begun  # noqa: PLC0415  few programs need it

        return not has_begun(self.known(event))

    def to_end(self, event: Event | UUID | str) -> Event:
        """
        Return a known event that is about to be ended. If it stays in the file, it comes into memory, unstarted.

        The file has the event as it was until its end is written.

        Raises:
            NotFoundError: The event is not known.
        """
        known = self.known(event)
        link = self._link
        if link is not None and (restored := self._kept(known.id)) is not None:
            link.recovery.take_in_kept(link.open_session(), restored)
        return known

    def with_left_before(self, told: Explanation) -> Explanation:
        """Return what an event waits for, if it may come after events that stay in the file."""
        restored = self._kept(told.event.id)
        if restored is None or not restored.left_before:
            return told
        awaited = tuple(one for one in restored.after if self._may_end(one))
        return attrs.evolve(told, waits_for=WaitReason.DEPENDENCY, after=awaited)

    def _may_end(self, event_id: UUID) -> bool:
        """Return whether an event has not ended, and is in memory or stays in the file."""
        event = self._index.items.get(event_id, None) or self._held(event_id)
        return event is not None and event.execution.status not in TERMINAL

    def _kept(self, event_id: UUID) -> Restored | None:
        """Return an event that can be read here, and is held in the open journal, or comes after such events."""
        session = None if self._link is None else self._link.session
        return None if session is None else session.kept.get(event_id)

    def _held(self, event_id: UUID) -> Event | None:
        """Return such an event itself."""
        restored = self._kept(event_id)
        return None if restored is None else restored.event

    def predecessors(self, event: Event, others: Iterable[Event | UUID]) -> list[Event]:
        """
        Return the events that an event comes after.

        Raises:
            ValueError: The event comes after itself.
            NotFoundError: One of the events is not here.
        """
        if any(to_uuid(other) == event.id for other in others):
            raise ValueError(f"{event} cannot come after itself: that is a cycle")
        return [self.known(other) for other in others]

    # ---------------------------------------------------------------- in the journal too

    async def get(self, event: Event | UUID | str) -> Event:
        """Return an event by its id, from memory or from the journal."""
        event_id = id_of(event)
        known = self._index.items.get(event_id, None) or self._held(event_id)
        if known is not None:
            return known
        session = None if self._link is None else self._link.session
        if session is None:
            raise NotFoundError(f"There is no event {event_id} in {self._executor!r}")
        found = await session.lookup.find(event_id)
        if found.execution.status in TERMINAL and self._link is not None:
            self._link.stored.remembered.note(event_id, found.execution.status)
        return found

    def key_of(self, key: Hashable) -> Hashable:
        """
        Return the form of a key by which events are found.

        With a journal, it is the key as the journal stores it.
        """
        return key if self._link is None else self._link.key_of(key)

    async def known_keys(self, keys: Iterable[Hashable]) -> set[Hashable]:
        """Return the keys under which an event is known."""
        wanted = set(keys)
        known = {key for key in wanted if self._keys.find(self.key_of(key)) is not None}
        if self._link is not None and self._link.session is not None:
            known |= await self._link.session.lookup.known_keys(wanted - known)
        return known

    async def find_after(
        self, event: Event, others: Iterable[Event | UUID], any_end: Container[UUID]
    ) -> tuple[list[Event | UUID], UUID | None]:
        """
        Return the events that are in memory, and one of the others that did not complete and had to.

        Args:
            event: The event that comes after them.
            others: The events that it comes after.
            any_end: The ids of those that may end in any way.

        Raises:
            NotFoundError: One of the events is in neither place, or is left in the journal as it is.
            ValueError: The event comes after itself.
        """
        link, items = self._link, self._index.items
        assert link is not None
        ids = {to_uuid(other): other for other in others}
        if event.id in ids:
            self.predecessors(event, [event])
        statuses: dict[UUID, str] = {}
        # Check memory again after the look-up: other events may have ended and left meanwhile.
        while away := [one for one in ids if one not in items and one not in statuses]:
            statuses |= {} if link.session is None else await link.session.lookup.statuses(away)
            for event_id in away:
                is_open = event_id in statuses and statuses[event_id] not in TERMINAL
                if event_id not in statuses or (is_open and event_id not in items):
                    raise NotFoundError(f"There is no event {event_id} in {self._executor!r}")
                if is_open:  # it was released meanwhile
                    del statuses[event_id]
        for event_id, status in statuses.items():
            if status in TERMINAL:
                link.stored.remembered.note(event_id, EventStatus(status))
        bad = (event_id for event_id, status in statuses.items() if status != EventStatus.COMPLETED)
        lost = next((event_id for event_id in bad if event_id not in any_end), None)
        return [other for event_id, other in ids.items() if event_id not in statuses], lost

    async def held(self) -> list[Event]:
        """Return the held events of the open journal."""
        found = await self._open_link().open_session().lookup.held()
        kept = ((event, self._held(event.id)) for event in found)
        return [held or event for event, held in kept if held is not None or not self.has(event)]

    async def release(self, event: Event | UUID | str) -> Event:
        """Queue a held event like any other."""
        link = self._open_link()
        session = link.open_session()
        async with link.opening:  # one at a time: only one of two callers finds the event held
            event_id = id_of(event)
            self._check_not_ended(event_id, link)
            restored = await session.lookup.release(event_id, audit=session.journal.audit)
            self._check_not_ended(event_id, link)
            restored = session.kept.get(event_id, restored)  # with the object that get() has returned
            link.recovery.take_in_kept(session, restored)
        processor = self._queueing.processor
        assert processor is not None
        self._queueing.queue_pending(processor)
        return restored.event

    def _check_not_ended(self, event_id: UUID, link: JournalLink) -> None:
        """Raise ``NotFoundError`` if ``cancel()`` has ended a held event, whose end is on its way to the disk."""
        if self._held(event_id) is None and self.has(event_id):
            raise link.open_session().lookup.not_held(event_id)

    def _open_link(self) -> JournalLink:
        if self._link is None:
            raise JournalError(f"{self._executor!r} has no open journal")
        return self._link

    # ---------------------------------------------------------------- warnings

    def _warn_of_all_on_disk(self) -> None:
        if self._link is not None and (number := self._link.stored.counts.total()):
            self._warn_on_disk(self._link, number, len(self._index.items), "events")

    def _warn_on_disk(self, link: JournalLink, on_disk: int, in_memory: int, what: str) -> None:
        warnings.warn(
            f"{on_disk:,} of the {on_disk + in_memory:,} {what} are in the journal only ({link.journal.path}), and not "
            "in what this returns: status_counts() counts them, `await executor.get(id)` reads one, and "
            "Executor(..., retain=Retain()) keeps them in memory",
            EventsOnDiskWarning,
            stacklevel=_levels_to_the_caller(),
        )


def _named(event: Event | UUID | str) -> str:
    return str(event) if isinstance(event, Event) else repr(event)


def _levels_to_the_caller() -> int:
    """Return the stack level of the first caller outside the package, as seen from the function that warns."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
