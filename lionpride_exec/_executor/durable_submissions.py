"""
How events come in if there is a journal: no event starts before it is on disk.

An event is stored first, PENDING and not queued. Once it is on disk, it is queued. An executor without a journal makes
none of these parts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import attrs

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import SubmitOptions, expiry_of, priority_of
from lionpride_exec._journal.departures import Departure
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ExecutorClosedError, ExistsError, JournalError

from .coming import Coming

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime, timedelta

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._journal.rows import Row
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex

    from .facade import Facade
    from .followers import Followers
    from .journal_link import JournalLink
    from .keys import Keys
    from .queueing import Queueing
    from .submissions import Submissions
    from .transitions import Transitions

E = TypeVar("E", bound=Event)

# The largest number of events that extend() writes in one commit.
MAX_TOGETHER = 100


class DurableSubmissions:
    """
    Has events on disk before they are queued.

    Attributes:
        link: The link to the journal of the executor.
    """

    def __init__(
        self,
        executor: Facade,
        link: JournalLink,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        submissions: Submissions,
        queueing: Queueing,
        followers: Followers,
        keys: Keys,
        retention: Retention,
    ) -> None:
        self.link: JournalLink = link
        self._executor, self._submissions = executor, submissions
        self._keys = keys
        self._index = index
        self._transitions = transitions
        self._retention = retention
        self._queueing = queueing
        self._followers = followers
        self._deferred_ends = coordination.deferred_ends

    # ---------------------------------------------------------------- looking

    def is_being_stored(self, event: Event) -> bool:
        """Return whether an event is stored and on its way to the disk, so that it must not be queued yet."""
        session = self.link.session
        return session is not None and session.pending_insert_of(event) is not None

    def set_priority(self, event: Event, priority: float | None) -> None:
        """Have an event that is on its way to the disk queued with another priority. None for the default."""
        session = self.link.session
        arrival = None if session is None else session.pending_insert_of(event)
        if arrival is not None:
            arrival.row = arrival.row._replace(priority=priority)

    def count_being_stored(self) -> int:
        """Return how many PENDING events are on their way to the disk."""
        session = self.link.session
        return 0 if session is None else session.count_pending_inserts()

    async def find_on_disk(self, options: SubmitOptions) -> Event | None:
        """Return the event that has the key of new options, if the event is only on disk. None if there is none."""
        session, departed = self.link.session, self._departed(options)
        if session is None or departed is not None:
            return departed
        row = await session.lookup.row_of_key(cast("str", options.key))
        is_free = options.unique_open and row is not None and row.status in TERMINAL
        return None if row is None or is_free else self._known_by_row(session, row)

    async def when_arrived(self, known: E) -> E | None:
        """
        Return a known event once it is on disk. The event may still be on its way.

        None if the event could not be written: the caller must try again.
        """
        session = self.link.session
        arrival = None if session is None else session.pending_insert_of(known)
        if arrival is not None:
            await arrival.done.wait()
            if arrival.error is not None:
                raise JournalError(str(arrival.error)) from arrival.error
            if arrival.is_withdrawn or arrival.known is not None:
                return None
        return known

    def removed(self, event: Event, status: EventStatus, key: Hashable) -> None:
        """Note that an event was removed from the executor, which knew the event under a key."""
        self.link.removed(event, status, key)

    # ---------------------------------------------------------------- one event

    async def store(self, event: E, options: SubmitOptions) -> E | None:
        """Store an event, and queue it once it is on disk. None if its key has become known meanwhile."""
        session, is_new = self.link.session, event.execution.status not in TERMINAL
        if is_new and options.key is None and session is not None and session.writer.has_room:
            # Most events: there is room for the row, so the coroutine that waits for room is left out.
            return cast("E", await self._wait_stored(self._announce(event, options)))
        try:
            coming = await self._announce_in_turn(event, options)
        except Exception:
            # If the key is known, errors of this event and a full queue do not matter.
            if options.key is None or (known := await self.find_on_disk(options)) is None:
                raise
            return cast("E", known)
        return cast("E | None", self._departed(options) if coming is None else await self._wait_stored(coming))

    async def _announce_in_turn(self, event: Event, options: SubmitOptions) -> Coming | None:
        """Store an event, and have it written once the journal has room. None if its key has become known."""
        session = self.link.session
        if (
            session is not None
            and event.execution.status in TERMINAL
            and (self.link.stored.find(event) is not None or await session.lookup.statuses([event.id]))
        ):
            raise ExistsError(f"{event} is in the journal already; as_fresh_event() returns a fresh copy")
        if session is not None and not session.writer.has_room:
            await session.writer.wait_for_room()  # the last wait: the rest is one step, including the room
        return None if self.is_known(options) else self._announce(event, options)

    def is_known(self, options: SubmitOptions) -> bool:
        """Return whether an event in memory, or one that has just left it, has the key of new options."""
        return options.key is not None and (self._keys.holder(options) or self._departed(options)) is not None

    def _departed(self, options: SubmitOptions) -> Event | None:
        """Return the event that has a key, has ended, and has left memory before its end was on disk."""
        session = self.link.session
        if session is None or options.key is None or options.unique_open:
            return None
        return session.departures.ended_with_key(cast("str", options.key))

    def _announce(self, event: Event, options: SubmitOptions) -> Coming:
        """Store an event and have it written. The journal has room. An error leaves nothing behind."""
        session, processor = self.link.session, self._submissions.processor
        if session is None or processor is None:
            raise ExecutorClosedError(
                f"{self._executor!r} has a journal and takes events only while it runs: start it first"
            )
        self._submissions.check_new(event)
        if self.link.stored.remembered.status_of(event.id) is not None:
            raise ExistsError(f"An event with the id {event.id} has ended here; as_fresh_event() returns a fresh copy")
        if not processor.router.is_plain:
            self._queueing.check_costs(event)
        is_pending = event.execution.status is EventStatus.PENDING
        takes_room = is_pending and not options.after and options.lost is None and not options.is_urgent
        if takes_room:
            processor.check_room()
        if self._submissions.entries:
            self._transitions.enter(event)  # before the row is made: an observer may add to the metadata
        queued_at = event.execution.queued_at
        event.execution.queued_at = queued_at or wall_clock.now()
        try:
            arrival = session.prepare_insert(event, options, options.due_wall())
            if options.unique_open:
                holder = self._keys.find(options.key) or session.departures.ended_with_key(cast("str", options.key))
                arrival.frees = 0 if holder is None else holder._seq  # its end may not be on disk yet
            self._submissions.add_after(event, options.comes_after, options.any_end)
        except BaseException:
            event.execution.queued_at = queued_at
            raise
        keyless = None if options.key is None else self._keys.give(event.id, options.key)
        if takes_room:
            processor.queue.promise_room()
        session.insert(event, arrival)
        if options.expiry is not None:
            self._queueing.expire_later(event, options.expiry)
        return Coming(event, options, arrival, session, takes_room, not is_pending, queued_at, keyless)

    async def _wait_stored(self, coming: Coming) -> Event:
        """
        Return an event once it is on disk and queued, or the known event with its key.

        Raises:
            JournalError: The event could not be written.

        Cancellation: nothing is left behind. If the event is being written, it is deleted again.
        """
        arrival = coming.arrival
        try:
            if not arrival.done.is_set():
                await arrival.done.wait()
        except BaseException:
            self._withdraw(coming)
            raise
        self._decide(coming)
        if arrival.error is not None:
            raise JournalError(str(arrival.error)) from arrival.error
        return coming.event if arrival.known is None else self._known_by_row(coming.session, arrival.known)

    def _decide(self, coming: Coming) -> None:
        """Queue an event whose row was inserted, or let the event leave if it was not. Only the first call counts."""
        if coming.is_decided:
            return
        if not coming.arrival.is_on_disk:
            self._withdraw(coming)
            return
        coming.is_decided = True
        link = self.link
        event, options, processor = coming.event, coming.options, self._submissions.processor
        assert processor is not None
        if options.priority != coming.arrival.row.priority:  # set_priority() was called meanwhile
            options = attrs.evolve(options, priority=coming.arrival.row.priority)
        if link.session is not None:
            link.session.mark_inserted(event)
        if coming.takes_room:
            processor.queue.withdraw_promise()
        if event.id in self._index.items:
            self._retention.ended_before[event.execution.status] += coming.is_final
            if link.session is None and (options.after or options.lost is not None):  # closed: the next start decides
                self._followers.keep_unresolved(event, options)
                link.recovery.unresolved.append((event, [other.id for other in options.after], options.lost))
            elif event.execution.status is EventStatus.PENDING and event.id not in self._deferred_ends:
                self._queue(event, options, processor)
        if coming.takes_room:
            processor.queue.offer_room()

    def _queue(self, event: Event, options: SubmitOptions, processor: Processor) -> None:
        """Queue an event for which there is room, or that needs none; or skip the event."""
        if options.lost is not None:
            self.link.recovery.skip_lost(event, options.lost)
        elif options.after:
            self._followers.keep_after(event, options)
        elif options.submitted is not None and processor._has_own_enqueue:
            self._queueing.queue_anyway([(event, options)], processor)  # no task can await the override here
        elif processor._has_own_enqueue:
            self._queueing.enqueue_override.reserve(event, options, processor)
        elif options.is_urgent:
            self._queueing.queue_anyway([(event, options)], processor)
        else:
            priority = priority_of(event, options.priority)
            try:
                if options.until is not None:
                    options = options.follow_wall()
                processor.queue.put_nowait(priority, event.id, options.until, options.at)
            except Exception as exc:  # noqa: BLE001  the user's function of a limit raised this time
                self._transitions.end(event, EventStatus.ABORTED, exc)

    def _withdraw(self, coming: Coming) -> None:
        """Let an event leave that is not on disk, or must not be, as if it had never come."""
        event, arrival, session = coming.event, coming.arrival, self.link.session
        if coming.is_decided:
            return
        coming.is_decided = True
        if session is not None:
            if session.departures.discard(arrival.row.seq) and event.execution.status in TERMINAL:
                self.link.stored.take_back(event)
            session.forget(event)
            if arrival.is_on_disk or not arrival.done.is_set():
                session.depart(Departure(event, arrival.row.seq, cast("Any", coming.options.key), has_ended=False))
        arrival.is_withdrawn = True
        if event.id in self._index.items:
            self._submissions.forget(event)
            self._keys.give_back(coming.keyless, coming.options.key)
            if not event._current_run.is_active:  # else the end of the run wakes the waiting tasks
                event._wake()  # a task may have found the event here meanwhile, and wait for it
        event.execution.queued_at = coming.queued_at
        processor = self._submissions.processor
        if coming.takes_room and processor is not None:
            processor.queue.withdraw_promise()
            processor.queue.offer_room()

    def _known_by_row(self, session: JournalSession, row: Row) -> Event:
        """Return the event that has a key on disk, even if the journal has been closed since the look-up."""
        known_id = UUID(bytes=row.id)
        if (known := self._index.items.get(known_id, None)) is not None:
            return known
        if row.status not in TERMINAL:
            raise ExistsError(
                f"The key is that of event {known_id}, which is left in the journal as it is: {row.status}"
            )
        return session.lookup.decode(row)

    # ---------------------------------------------------------------- many events in one commit

    async def append_together(
        self,
        event: E,
        priority: float | None,
        key: Hashable,
        coming: dict[UUID, Coming],
        expires: float | timedelta | datetime | None = None,
    ) -> E | Coming:
        """
        Like ``append(wait=True)``, but write many events in one commit.

        Returns:
            The event that ``append()`` would return, if that is known now. Otherwise the entry that ``coming`` now has:
            its ``taken`` is the event after :meth:`wait_all_stored`.
        """
        has_room = self._has_room()
        if len(coming) >= MAX_TOGETHER or not has_room:
            await self.wait_all_stored(coming)
            has_room = self._has_room()
        if has_room and not self._executor._appends_one_by_one() and self._is_plain(event):
            known_by = None if key is None else self.link.key_of(key)
            known = None if known_by is None else self._keys.find(known_by)
            if known is not None and known.id in coming:
                return coming[known.id]
            if known is None and self._departed(SubmitOptions(key=known_by)) is None:
                try:
                    return self._announce_together(event, priority, known_by, coming, expires)
                except Exception:
                    if key is None:
                        raise
        # append() handles waiting, events that have ended, and known keys.
        if key is not None:
            await self.wait_all_stored(coming)  # one of them may have the same key
        given = {name: value for name, value in (("key", key), ("expires", expires)) if value is not None}
        return cast("E", await self._executor.append(event, priority, wait=True, **given))

    def _announce_together(
        self,
        event: Event,
        priority: float | None,
        known_by: Hashable,
        coming: dict[UUID, Coming],
        expires: float | timedelta | datetime | None,
    ) -> Coming:
        """Have an event written in the next commit, whichever task waits for the commit."""
        expiry = None if expires is None else expiry_of(expires)
        options = SubmitOptions(None if priority is None else check_priority(priority), key=known_by, expiry=expiry)
        return coming.setdefault(event.id, self.announce(event, options))  # the source may be slow to yield the next

    def announce(self, event: Event, options: SubmitOptions) -> Coming:
        """Have an event written in the next commit, and queued then, whichever task waits. The journal has room."""
        one = self._announce(event, options)
        one.arrival.on_done = partial(self._decide, one)
        return one

    def _has_room(self) -> bool:
        """Return whether an event can be stored and queued at once."""
        session, processor = self.link.session, self._submissions.processor
        return session is not None and session.writer.has_room and processor is not None and not processor.queue.is_full

    def _is_plain(self, event: Event) -> bool:
        """Return whether an event is new, and no task holds a lock that is needed to add the event."""
        if not isinstance(cast("object", event), Event) or event.execution.status in TERMINAL:
            return False
        return not self._index.is_locked(event.execution.status)

    async def wait_all_stored(self, coming: dict[UUID, Coming]) -> None:
        """
        Wait until all these events are on disk and queued. Then raise what prevented one of them.

        Cancellation: events that are not on disk yet leave the executor.
        """
        error: BaseException | None = None
        for one in coming.values():
            arrival = one.arrival
            if one.is_decided and arrival.error is None and arrival.known is None and not arrival.is_withdrawn:
                one.taken = one.event  # queued already, without a wait
            elif error is None or one.arrival.done.is_set():
                try:
                    one.taken = await self._wait_stored(one)
                except BaseException as exc:  # noqa: BLE001  raised below
                    error = error or exc
            else:
                self._withdraw(one)
        coming.clear()
        if error is not None:
            raise error
