"""What an executor takes in when it opens its journal, and how memory and file are brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._events.submit_options import SubmitOptions, options_at
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import EventCancelled, JournalError, NotFoundError, Skip

from .restored_starts import bring_back, longest_period

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
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
    Takes in what an opened journal has, for one executor.

    Attributes:
        unsettled: Events that come after others, of which nobody has looked yet what became of those while the journal
            was closed; and one of these that is known not to complete.
        knows_past: Whether the limits of the processor count the runs that began before.
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
        self.unsettled: list[tuple[Event, list[UUID], UUID | None]] = []
        self.knows_past: bool = False
        self._generation = 0  # of the file, when it was opened last; 0: never
        self._is_counted = False  # what had ended before is in the counts
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
        self, session: JournalSession, removed: Collection[int], opened: Callable[[JournalSession], None]
    ) -> None:
        """
        Bring memory and file together.

        Args:
            session: The open journal.
            removed: The numbers of events that were removed from memory while the journal was closed.
            opened: Called with the session when everything has to go into it from now on.

        Raises:
            JournalError: The file cannot be read, or was used by somebody else since the executor had it.
        """
        if self._generation and session.store.generation != self._generation + 1:
            raise JournalError(
                f"{session.journal.path} was used by somebody else since {self._executor!r} had it; "
                "make a new executor for it"
            )
        self._generation = session.store.generation
        await self._bring_back_starts(session)
        here = [event for event in self._index.events(EventStatus.PENDING) if event._seq]
        gone = set(removed)
        async for restored in session.restore():
            if restored.seq in gone:
                continue
            self.take_in(restored)
            if not session.store.was_closed:
                restored.event._set("_is_suspect", True)
            if restored.lost is not None or restored.after:
                self.unsettled.append((restored.event, restored.after, restored.lost))
        await self._follow_file(session, [event for event in here if event._seq not in session.open_in_memory])
        if not self._is_counted:
            self._is_counted = True
            counts = self._stored.counts
            counts.update({EventStatus(name): number for name, number in session.store.tally.items()})
            self._retention.removed.update(counts)
            self._retention.ended_before += counts.total()
        opened(session)
        await self._settle_dependencies(session)

    def take_in(self, restored: Restored) -> None:
        """Store an event that comes back from the file, PENDING, with how it is queued."""
        event = restored.event
        self._submissions.add(event)
        after = [self._index.items[one] for one in restored.after]
        rest: dict[str, Any] = {"after": after, "key": restored.key}  # the key as the file has it
        if restored.due is None:
            options = SubmitOptions(restored.priority, **rest)
        else:
            options = options_at(restored.priority, restored.due, **rest)
        self._queueing.keep_restored(event, options)
        if options.key is not None:
            self._keys.give(event.id, options.key)

    def skip_lost(self, event: Event, other: UUID) -> None:
        """End an event that comes after one that is in the file only, and did not complete."""
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
        """End events that are open in memory only: their end was written, and a lock held back what follows from it."""
        for event in events:
            self._coordination.deferred_ends.pop(event.id, None)
            try:
                known = await session.lookup.find(event.id)
            except NotFoundError:  # it has ended, and is not kept any longer
                self._submissions.let_go(event)
                continue
            error = known.execution.error
            self._transitions.end_now(
                event, known.status, error if isinstance(error, BaseException) else EventCancelled()
            )

    async def _settle_dependencies(self, session: JournalSession) -> None:
        """Follow up what was decided about those that events come after."""
        items, followers = self._index.items, self._followers
        while self.unsettled:
            event, after, lost = self.unsettled[-1]
            away = [event_id for event_id in after if event_id not in items]
            statuses = await session.lookup.statuses(away) if away else {}
            self.unsettled.pop()
            for event_id in after:
                other = items.get(event_id, None)
                if other is not None and other.execution.status in TERMINAL:
                    followers.follow_up(other)
                elif other is None and statuses.get(event_id) == EventStatus.COMPLETED:
                    followers.come_nearer(event, event_id)
                elif other is None:
                    lost = event_id
            if lost is not None:
                self.skip_lost(event, lost)
