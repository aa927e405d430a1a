"""What an executor takes in when it opens its journal, and how memory and file are made to agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._events.submit_options import SubmitOptions, expiry_at, options_at
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import EventCancelled, JournalError, NotFoundError, Skip

from .restored_starts import bring_back, longest_period

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._journal.departures import Departure
    from lionpride_exec._journal.recovery import Restored
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex

    from .facade import Facade
    from .followers import Followers
    from .keys import Keys
    from .queueing import Queueing
    from .stored_ends import StoredEnds
    from .submissions import Submissions
    from .transitions import Transitions


class Recovery:
    """
    Takes in what an opened journal holds, for one executor.

    Attributes:
        unresolved: Events that come after others, if the outcomes of the others have not been looked up since the
            journal was closed. With each event: the ids that it comes after, and one of them that is known not to
            complete.
        taken_in: How many events the last opening has brought back.
        knows_past: Whether the limits of the processor count the runs that began before the start.
    """

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        submissions: Submissions,
        queueing: Queueing,
        followers: Followers,
        keys: Keys,
        retention: Retention,
        stored: StoredEnds,
    ) -> None:
        self.unresolved: list[tuple[Event, list[UUID], UUID | None]] = []
        self.taken_in: int = 0
        self.knows_past: bool = False
        self._generation = 0  # the file's generation at the last opening; 0 if it was never opened
        self._is_counted = False  # whether the counts include the events that ended before the first opening
        self._executor = executor
        self._coordination = coordination
        self._index = index
        self._transitions = transitions
        self._submissions = submissions
        self._retention = retention
        self._stored = stored
        self._queueing = queueing
        self._followers = followers
        self._keys = keys

    async def catch_up(
        self, session: JournalSession, departed: Collection[Departure], opened: Callable[[JournalSession], None]
    ) -> None:
        """
        Make memory and file agree.

        Args:
            session: The open journal.
            departed: The events that were removed from memory while the journal was closed.
            opened: Called with the session at the moment from which everything must be recorded.

        Raises:
            JournalError: The file cannot be read, or another executor has used it since this one.
        """
        if self._generation and session.store.generation != self._generation + 1:
            raise JournalError(
                f"{session.journal.path} was used by somebody else since {self._executor!r} had it; "
                "make a new executor for it"
            )
        self._generation = session.store.generation
        await self._bring_back_starts(session)
        here = [event for event in self._index.events(EventStatus.PENDING) if event._seq]
        gone = {departure.seq for departure in departed}
        self.taken_in = 0
        async for restored in session.restore():
            if restored.seq in gone:
                continue
            self.take_in(restored)
            self.taken_in += 1
            if not session.store.was_closed:
                restored.event._set("_is_suspect", True)
            if restored.lost is not None or restored.after:
                self.unresolved.append((restored.event, restored.after, restored.lost))
        await self._follow_file(session, [event for event in here if event._seq not in session.open_in_memory])
        if not self._is_counted:
            self._is_counted = True
            counts = self._stored.counts
            counts.update({EventStatus(name): number for name, number in session.store.tally.items()})
            self._retention.removed.update(counts)
            self._retention.ended_before.update(counts)
        opened(session)
        await self._resolve_dependencies(session)

    def take_in_kept(self, session: JournalSession, restored: Restored) -> None:
        """
        Store an event that has stayed in the file, and what comes after it, if nothing else before that stays.

        Args:
            session: The open journal.
            restored: The event. It is released, or about to be ended, so it waits for no other event.
        """
        session.register_released(restored)
        self.take_in(attrs.evolve(restored, after=[]))
        for one in [kept for kept in session.kept.values() if kept.left_before]:
            if one.left_before.isdisjoint(session.kept):
                self._take_in_follower(session, one)

    def _take_in_follower(self, session: JournalSession, restored: Restored) -> None:
        """Store an event that comes after events which have stayed in the file, and do so no longer."""
        items, status_of = self._index.items, self._stored.remembered.status_of
        ended = {other: status_of(other) for other in restored.after if other not in items}
        if None in ended.values():  # this has left memory long ago: the next start looks it up
            return
        session.register_released(restored)
        here = [other for other in restored.after if other in items]
        self.take_in(attrs.evolve(restored, after=here))
        for other in map(items.__getitem__, here):
            if other.execution.status in TERMINAL:
                self._followers.follow_up(other)
        for lost, status in ended.items():
            if status is not EventStatus.COMPLETED and lost not in restored.any_end:
                self.skip_lost(restored.event, lost)

    def take_in(self, restored: Restored) -> None:
        """Store an event that comes back from the file. The event is PENDING, and is queued with its stored options."""
        event = restored.event
        self._submissions.add_after(event, restored.comes_after, restored.any_end)
        after = [self._index.items[one] for one in restored.after]
        expiry = None if restored.expires is None else expiry_at(restored.expires)
        # The key is in the form that it has in the file.
        rest: dict[str, Any] = {"after": after, "any_end": restored.any_end, "key": restored.key, "expiry": expiry}
        if restored.due is None:
            options = SubmitOptions(restored.priority, **rest)
        else:
            options = options_at(restored.priority, restored.due, **rest)
        self._queueing.keep_restored(event, options)
        if options.key is not None:
            self._keys.give(event.id, options.key)

    def skip_lost(self, event: Event, other: UUID) -> None:
        """Skip an event that comes after one which is only in the file and did not complete."""
        status = self._stored.remembered.status_of(other)
        became = "did not complete" if status is None else f"is {status}"
        self._transitions.end(event, EventStatus.SKIPPED, Skip(f"It comes after event {other}, which {became}"))

    async def _bring_back_starts(self, session: JournalSession) -> None:
        processor = self._executor.processor
        if processor is not None:
            session.store.min_retention = longest_period(processor)
            if not self.knows_past:
                await bring_back(processor, session)
                self.knows_past = True

    async def _follow_file(self, session: JournalSession, events: Iterable[Event]) -> None:
        """End the events that are open only in memory: their ends were written, but a lock held back the rest."""
        for event in events:
            self._coordination.deferred_ends.pop(event.id, None)
            try:
                known = await session.lookup.find(event.id)
            except NotFoundError:  # the event has ended, and was deleted from the file
                self._submissions.forget(event)
                continue
            error = known.execution.error
            self._transitions.end_now(
                event, known.status, error if isinstance(error, BaseException) else EventCancelled()
            )

    async def _resolve_dependencies(self, session: JournalSession) -> None:
        """Follow up the outcomes of the events that other events come after."""
        items, followers = self._index.items, self._followers
        while self.unresolved:
            event, after, lost = self.unresolved[-1]
            away = [event_id for event_id in after if event_id not in items]
            statuses = await session.lookup.statuses(away) if away else {}
            self.unresolved.pop()
            for event_id in after:
                other = items.get(event_id, None)
                if other is not None and other.execution.status in TERMINAL:
                    followers.follow_up(other)
                elif other is None and followers.may_follow(event, event_id, statuses.get(event_id)):
                    followers.come_nearer(event, event_id)
                elif other is None:
                    lost = event_id
            if lost is not None:
                self.skip_lost(event, lost)
