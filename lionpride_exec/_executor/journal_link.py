"""
The link between an executor and its journal: what is written about events, and which part is told.

The journal is opened before anything starts, whichever way the executor is started. A task in the executor's own group
writes the journal. That task ends last, when no other task in the group can make a change.

Most methods are called inside transitions and do not wait. An event of a strict journal waits for the confirmations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio

from lionpride_exec._base.backend import startable
from lionpride_exec._base.counted_lock import CountedLock
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.running import Unconfirmed
from lionpride_exec._journal.departures import Departure
from lionpride_exec._journal.journal_lifecycle import JournalLifecycle, JournalState
from lionpride_exec._journal.reports import JournalReports
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import ExecutorClosedError, JournalError

from .inbox import Inbox
from .opening_fact import opening_fact
from .restored_starts import longest_period
from .stored_ends import StoredEnds
from .while_closed import WhileClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from datetime import datetime
    from uuid import UUID

    from anyio.abc import TaskGroup

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._journal import Journal
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._model.pile import Pile
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex

    from .facade import Facade
    from .restored_events import Recovery
    from .transitions import Transitions


class JournalLink:
    """
    The open journal of an executor, and what is known of events that are only on disk.

    Attributes:
        journal: The journal that the user passed.
        session: The journal while it is open. None if it is closed.
        stored: The events that have ended and are only on disk.
        lifecycle: The state of the journal. ``session`` is set from OPEN to CLOSING.
        recovery: Takes in what an opened journal holds.
        while_closed: What has happened while the journal was closed. The next start tells the journal.
        pile: None: the processor runs the events of the executor themselves.
        inbox: Deals with what other processes have written into the file.
        reports: Tells what happens to the journal.
        opening: Held while the journal is opened or a held event is released: one at a time.
    """

    recovery: Recovery
    lifecycle: JournalLifecycle
    pile: Pile[Any] | None = None

    def __init__(self, journal: Journal, executor: Facade) -> None:
        journal._belong_to(executor)
        self.journal: Journal = journal
        self.session: JournalSession | None = None
        self.stored = StoredEnds(journal.path)
        self.while_closed = WhileClosed()
        self.inbox = Inbox(lambda: self.session)
        self.opening = CountedLock()
        self.executor: Facade = executor
        self.reports = JournalReports(journal.path, executor)

    def connect(
        self,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        retention: Retention,
        recovery: Recovery,
        is_deserted: Callable[[], bool],
    ) -> None:
        """
        Give the link the parts of the executor that are made after the link.

        Args:
            coordination: The deferred ends, the holds and the conditions.
            index: Where the events are.
            transitions: Ends events.
            retention: Lets events leave memory.
            recovery: Takes in what an opened journal holds.
            is_deserted: Returns whether no task in the executor's group can change an event any more.
        """
        self._coordination = coordination
        self._index = index
        self._transitions = transitions
        self._retention = retention
        self.recovery = recovery
        self._is_deserted = is_deserted
        self.lifecycle = JournalLifecycle(coordination.conditions)

    def attach(self, processor: Processor) -> None:
        """Make the executor's processor continue interrupted events, since a journal loses no event."""
        processor.resumes = True
        self.recovery.knows_past = False

    # ---------------------------------------------------------------- opening and closing

    @property
    def is_open(self) -> bool:
        """Whether the journal is open."""
        return self.session is not None

    def check_batch(self) -> None:
        """Raise if ``Executor.forward()`` cannot run a batch, because the journal is closed or of another process."""
        if self.session is None:
            raise ExecutorClosedError(f"{self.executor!r} has a journal, which is closed: start it first")
        self.check_process()

    def check_process(self) -> None:
        """Raise ``JournalError`` if the process was forked since the journal was opened."""
        if self.session is not None:
            self.session.store.check_process()

    def open_session(self) -> JournalSession:
        """Return the open journal. Raise ``JournalError`` if it is not open, or the process is a forked child."""
        if self.session is None:
            raise JournalError(f"{self.executor!r} has no open journal")
        self.check_process()
        return self.session

    async def open(self) -> None:
        """Open the journal, unless it is open, and take in the events that come back."""
        async with self.opening:
            while self._is_journal_closing():
                await self._coordination.conditions.wait_for(lambda: not self._is_journal_closing())
            if self.session is not None:
                return
            self.lifecycle.move_to(JournalState.OPENING)
            from lionpride_exec._journal.session import JournalSession  # noqa: PLC0415  needs the extra

            session = JournalSession(self.journal, self)
            session.store.facts_of_opening = opening_fact(self.executor.processor)
            try:
                await session.open()
                await self.recovery.catch_up(session, self.while_closed.departed, self._opened)
            except BaseException:
                self._close_at_once(session)
                raise

    def _opened(self, session: JournalSession) -> None:
        """Record everything in the journal from now on."""
        self.session = session
        self.lifecycle.move_to(JournalState.OPEN)
        self._transitions.is_recording = True
        self._transitions.is_strict = session.journal.is_strict
        self.while_closed.tell(session)
        if session.store.inbox_has_rows:
            self.inbox.look_soon()  # the task starts with the group

    def _is_journal_closing(self) -> bool:
        """Return whether the journal is closing or about to close, so that a new lifetime must open it again."""
        if self.lifecycle.state is JournalState.CLOSING:
            return True
        return self.session is not None and self.session.has_task and self._is_deserted()

    async def run_in(self, group: TaskGroup) -> None:
        """
        Start the task that writes the journal and the task that closes it, in the group of the executor.

        Wait until both tasks have started. asyncio can silently cancel a task before its first step, even a shielded
        one. If this call is cancelled in that way, the first task may run without the second, so it must not wait for
        the second.
        """
        session = self.session
        assert session is not None
        begun = [anyio.Event(), anyio.Event()]
        name = type(self.executor).__name__
        group.start_soon(startable(self._write), begun[0], name=f"{name} journal")
        group.start_soon(startable(self._close_at_end), begun[1], name=f"{name} journal's end")
        try:
            with anyio.CancelScope(shield=True):
                for each in begun:
                    await each.wait()
        except BaseException:
            session.writer.close_soon()
            raise

    async def _write(self, begun: anyio.Event) -> None:
        assert self.session is not None
        begun.set()
        try:
            await self.session.writer.run()
        finally:
            if self.lifecycle.state is JournalState.CLOSING:  # else abandon() has closed the journal
                self.lifecycle.move_to(JournalState.CLOSED)

    async def _close_at_end(self, begun: anyio.Event) -> None:
        """Close the journal when no task in the group can make a change any more."""
        session = self.session
        assert session is not None
        begun.set()
        with anyio.CancelScope(shield=True):
            while not self._is_deserted():
                try:
                    await self._coordination.conditions.wait_for(self._is_deserted)
                except anyio.get_cancelled_exc_class():
                    continue  # outside all scopes: asyncio ends its loop, and running events end soon
        session.writer.close_soon()

    def abandon(self) -> None:
        """Close the journal if it is still open: asyncio may have cancelled the closing task before its first step."""
        if self.session is not None:
            self._close_at_once(self.session)

    def _close_at_once(self, session: JournalSession) -> None:
        try:
            session.close_at_once()
        finally:
            if self.lifecycle.can_move_to(JournalState.CLOSING):  # the group failed before there was a writer
                self.lifecycle.move_to(JournalState.CLOSING)
            self.lifecycle.move_to(JournalState.CLOSED)

    # ---------------------------------------------------------------- what becomes of events

    def record(self, event: Event, target: EventStatus, again_in: float | None) -> bool:
        """
        Have a transition written.

        Args:
            event: The event.
            target: The status that the event has come to.
            again_in: Seconds after which the event runs again, if it is PENDING after a run.

        Returns:
            Whether the end of the event is on disk already, so that the event may leave memory.
        """
        if self.session is None:
            if target in TERMINAL:
                self.while_closed.ended[event.id] = event
                self.reports.ended_while_closed(event)
            return False
        return self.session.record_transition(event, target, wall_clock.seconds() + again_in if again_in else None)

    def record_cost(self, event: Event, costs: Sequence[float | None]) -> None:
        """Have the corrected costs of a running event written."""
        if self.session is not None:
            self.session.record_costs(event, costs)

    def end_waiting(self, event: Event, status: EventStatus, error: BaseException) -> bool:
        """End a waiting event from outside, once its end is on disk. Return whether the event ends now or soon."""
        session, deferred_ends = self.session, self._coordination.deferred_ends
        assert session is not None
        if session.has_unreported_outcome(event) and session.is_outcome_committed(event):
            _, status, error = deferred_ends.pop(event.id, (event, status, error))  # the first decision counts
            # If a different end is on disk, the permission gate wrote it and will report it next.
            return status is not session.recorded_status(event) or self._transitions.end_now(event, status, error)
        deferred_ends.setdefault(event.id, (event, status, error))  # the event does not start before that

        def end() -> None:
            """End the event, now that its end is on disk."""
            if event.id in deferred_ends:
                self._transitions.end(event, status, error)

        if not session.has_unreported_outcome(event):
            session.record_outcome(event, status, Unset, error, wall_clock.now(), then=end)
        return True

    def has_unreported_outcome(self, event: EventLifecycle) -> bool:
        """Return whether the journal has recorded a final outcome that the event has not been told yet."""
        return self.session is not None and self.session.has_unreported_outcome(event)

    def is_end_written(self, event: Event) -> bool:
        """Return whether the end of an event is on disk."""
        return self.session is not None and self.session.is_outcome_committed(event)

    def committed_outcome(self, event: Event) -> tuple[bool, bytes | None]:
        """Return whether the end of an event is on disk, and the stored outcome. None if it is not at hand."""
        return (False, None) if self.session is None else self.session.committed_outcome(event)

    def has_written_start(self, event: EventLifecycle) -> bool:
        """Return whether the start of an event is on disk already, before the event begins."""
        return self.session is not None and self.session.starts_ahead.has_written(event._seq)

    async def confirm_start(self) -> None:
        """
        Wait until the start of an event is on disk.

        Raises:
            Unconfirmed: The journal was closed before that.
        """
        if self.session is not None:
            try:
                await self.session.writer.wait_committed()
            except JournalError as exc:
                raise Unconfirmed from exc

    async def confirm_end(
        self, event: EventLifecycle, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """Wait until the end of an event is on disk, or cannot be written."""
        session = self.session
        if session is not None and session.record_outcome(event, target, response, error, at):
            try:
                await session.writer.wait_committed()
            except JournalError:  # contextlib.suppress() would take three calls for each event
                return

    def removed(self, event: Event, status: EventStatus, key: Hashable) -> None:
        """Note that an event was removed from the executor, which knew the event under a key."""
        if event._seq:
            departure = Departure(event, event._seq, cast("str | None", key), status in TERMINAL)
            if self.session is None:
                self.while_closed.departed.append(departure)
            else:
                self.session.depart(departure)
        if status in TERMINAL:
            self.remember(event, status)
        elif self.session is not None:
            event._set("_seq", 0)

    def remember(self, event: Event, status: EventStatus) -> None:
        """Count an event that is only on disk, and remember that the event has ended."""
        self.stored.add(event, status)

    def key_of(self, key: Hashable) -> str:
        """Return the form that a key has in the journal."""
        return self.journal._codec.key_of(key)

    # ---------------------------------------------------------------- what the session needs (JournalHost)

    def find_in_memory(self, event_id: UUID) -> Event | None:
        """Return an event that is in memory. None if it is not in memory."""
        return self._index.items.get(event_id, None)

    def find_ended_while_closed(self, event_id: UUID) -> Event | None:
        """Return an event that ended while the journal was closed, even if the event has been removed since."""
        return self.while_closed.ended.get(event_id)

    def accepts(self, event: Event) -> bool:
        """Return whether the executor takes events of this class."""
        kind = self.executor.event_type
        return type(event) is kind if self.executor.strict_event_type else isinstance(event, kind)

    def retire(self, status: EventStatus) -> None:
        """Let events leave memory, now that the ends of some with this status are on disk."""
        self._retention.apply(status)

    def next_to_start(self, ending: int) -> list[Event]:
        """Return the events that start next. Empty if a limit, a window, a gate or a hold may keep them back."""
        processor = self._transitions.processor
        if processor is None or processor.router.limits or not processor.router.is_plain or longest_period(processor):
            return []
        return processor._dispatcher.next_to_start(ending)

    def journal_closing(self) -> None:
        """Record nothing from now on. The next start writes the ends that come from now on."""
        self.session = None
        self.lifecycle.move_to(JournalState.CLOSING)
        self._transitions.is_recording = self._transitions.is_strict = False
        self._transitions.apply_deferred_ends()  # these ends do not wait for the disk

    def was_read(self, event: Event, seq: int) -> None:
        """Let a look at an object that was read from a row count as a look at its event."""
        self._index.failures.was_read(event, seq)

    def changed_outside(self) -> None:
        """Learn that another process has changed the file: the inbox may have something new."""
        self.inbox.look_soon()

    def rows_deleted(self, counts: dict[str, int]) -> None:
        """Subtract events that were deleted from the file, by status."""
        self.stored.deleted(counts)

    def hold(self, token: object) -> None:
        """Start no event until :meth:`release_hold` is called with the token."""
        self._coordination.hold(token)

    def release_hold(self, token: object) -> None:
        """End a hold. Events start again once no hold is left."""
        self._coordination.release_hold(token)
