"""
A journal session: one journal from its opening to its closing.

The executor tells the session what happens to events; the session makes rows of it and gives them to the writer. For
each event of which something is not on disk yet, the session has a :class:`PendingWrite`. An event itself knows only
the number of its row (``_seq``; 0 if it has none).
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from lionpride_exec._status import HELD, PENDING, PROCESSING, TERMINAL, EventStatus

from .departures import Departure, Departures
from .facts import read_fact
from .inserts import insert_of
from .journal_lifecycle import WriterState
from .lookup import ROWS_AT_A_TIME, Lookup
from .pending_write import PendingWrite
from .recent_starts import runs_in_rows, runs_in_trail
from .recovery import AFTER_LEFT, Restorer
from .row_encoder import RowEncoder
from .starts_ahead import StartsAhead, StartWritten
from .store import Store
from .writer import MAX_BEHIND, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec.errors import JournalError

    from .host import JournalHost
    from .inserts import PendingInsert
    from .journal import Journal
    from .recent_starts import Run
    from .recovery import Restored
    from .rows import AuditRecord, Batch, RowUpdate
    from .store import CommitResult

# Why no event starts; explain() shows these words.
TROUBLE = "journal trouble"
BEHIND = "journal behind"
FORKED = "journal of the parent"


class JournalSession:
    """
    One journal from its opening to its closing.

    Args:
        journal: The options that the user gave.
        host: The executor.
    """

    def __init__(self, journal: Journal, host: JournalHost) -> None:
        self.journal: Journal = journal
        self.store: Store = Store(
            journal.path, journal.synchronous, {status.value: rule for status, rule in journal.retain.items()}
        )
        self.departures: Departures = Departures()
        self.lookup: Lookup = Lookup(self.store, journal._codec, self.departures, host.was_read)
        self.writer: Writer  # there once the file is open
        self.kept: dict[UUID, Restored] = {}  # events that are held, or come after such: see Restorer.kept
        self.open_in_memory: set[int] = set()  # rows that restore() found open, and whose events were in memory
        self._host = host
        self._encoder = RowEncoder(journal._codec, audit=journal.audit)
        self._next_seq = 1  # above the number of each row, also of one that is not written yet
        # By number. An entry is there as long as the row of its event is not on disk, or a recorded end has not been
        # both committed and told to the event.
        self._pending_writes: dict[int, PendingWrite] = {}
        self.starts_ahead: StartsAhead = StartsAhead(host, self._encoder, self._pending_writes, self._write)
        self._is_behind = False  # the host holds the token BEHIND

    # ---------------------------------------------------------------- opening

    async def open(self) -> None:
        """
        Open and lock the file.

        Raises:
            JournalLockedError: Another executor has the journal.
            JournalError: The file cannot be opened, or is not a journal.
        """
        self.store.when_forked = partial(self._host.hold, FORKED)
        await self.lookup.in_thread(self.store.open)
        self._next_seq = self.store.next_seq
        self.writer = Writer(self.store, self, self._host.reports, self._host.changed_outside)

    def close_at_once(self) -> None:
        """Commit what is left and close the file, where no task does. Blocks."""
        if hasattr(self, "writer"):
            self.writer.close_at_once()
        else:
            self.store.close()

    @property
    def has_task(self) -> bool:
        """Whether a task writes the session, and will close it."""
        return self.writer.lifecycle.state is not WriterState.IDLE

    async def runs_since(self, moment: float) -> list[Run]:
        """
        Return the runs that began or ended after a moment, in seconds since 1970.

        Raises:
            JournalError: The file cannot be read.
        """
        find = runs_in_trail if self.journal.audit else runs_in_rows
        runs: list[Run] = await self.lookup.in_thread(
            lambda: self.store.read(lambda connection: find(connection, moment))
        )
        return runs

    async def read_fact(self, name: str) -> str | None:
        """
        Return a fact of the file. None if there is none.

        Raises:
            JournalError: The file cannot be read.
        """
        found: str | None = await self.lookup.in_thread(
            lambda: self.store.read(lambda connection: read_fact(connection, name))
        )
        return found

    async def restore(self) -> AsyncIterator[Restored]:
        """
        Yield the open events of the file that are not in memory, in order of arrival.

        For the events that are in memory, record what has become of them since the file was closed.

        Raises:
            JournalError: The file cannot be read.
        """
        restorer = Restorer(self.store, self.journal._codec, self._host, audit=self.journal.audit)
        while rows := await self.lookup.in_thread(partial(restorer.next_rows, ROWS_AT_A_TIME)):
            statuses = await self.lookup.in_thread(partial(restorer.facts_of, rows))
            for row in rows:
                restored = restorer.restore(row, statuses)
                if restored is not None:
                    restored.event._set("_seq", row.seq)
                    yield restored
            await self.lookup.in_thread(restorer.write_interruptions)
        self.open_in_memory = {row.seq for row, _ in restorer.here}
        for row, event in restorer.here:
            event._set("_seq", row.seq)
            if event.execution.status != row.status:
                self.record_transition(event, event.execution.status, None)
        self.journal._left, self.kept = dict(restorer.left), restorer.kept
        if restorer.left:
            self._host.reports.left(restorer.left)

    def register_released(self, restored: Restored) -> None:
        """Register an event that stayed in the file, and that goes on, or ends."""
        restored.event._set("_seq", restored.seq)
        self.kept.pop(restored.event.id, None)
        left, why = self.journal._left, AFTER_LEFT if restored.left_before else HELD
        if left.get(why):
            left[why] -= 1

    # ---------------------------------------------------------------- new events

    def prepare_insert(self, event: Event, options: SubmitOptions, due: float | None) -> PendingInsert:
        """
        Return the insert of a new event; :meth:`insert` has it written.

        Args:
            event: The event.
            options: Its priority, dependencies and key; the key as :func:`encode_key` returns it.
            due: Seconds since 1970 before which the event does not start. None if it may start at once.

        Raises:
            ValidationError: A field cannot be stored. The message names it.
            TypeError: The class of the event has no tag.
        """
        row, step = self._encoder.encode_new(self._next_seq, event, options, due)
        self._next_seq += 1
        return insert_of(row, step, self.writer.next.done, options)

    def insert(self, event: Event, insert: PendingInsert) -> None:
        """Have a new event written. The writer has to have room."""
        seq = insert.row.seq
        event._set("_seq", seq)
        self._pending_writes[seq] = PendingWrite(event, insert)
        self.writer.next.insert(insert)
        if event.execution.status is not PENDING:
            self.record_transition(event, event.execution.status, None)

    def pending_insert_of(self, event: Event) -> PendingInsert | None:
        """Return the insert of an event. None if the row of the event is on disk, or there is none."""
        pending = self._pending_writes.get(event._seq)
        return None if pending is None else pending.insert

    def count_pending_inserts(self) -> int:
        """Return how many PENDING events have no row on disk yet. O(number of pending writes)."""
        return sum(
            pending.insert is not None and pending.event.execution.status is PENDING
            for pending in self._pending_writes.values()
        )

    def mark_inserted(self, event: Event) -> None:
        """Learn that the row of an event is on disk."""
        pending = self._pending_writes.get(event._seq)
        if pending is not None:
            pending.insert = None
            if pending.final_status is None:
                del self._pending_writes[event._seq]

    def forget(self, event: Event) -> None:
        """Record nothing more of an event, which has no row any more, or will get none."""
        self._pending_writes.pop(event._seq, None)
        event._set("_seq", 0)

    def depart(self, departure: Departure) -> None:
        """
        Learn that an event has left memory: keep its end for look-ups until the end is on disk.

        Have the row of an event that has not ended deleted.
        """
        seq = departure.seq
        self.starts_ahead.told(seq)  # nothing more is recorded of the event, also not its end
        if not departure.has_ended:
            self._pending_writes.pop(seq, None)
            self.departures.add(departure)
            self.writer.next.delete(seq)
        elif (pending := self._pending_writes.get(seq)) is not None and not pending.is_committed:
            self.departures.add(departure)

    # ---------------------------------------------------------------- what becomes of events

    def record_transition(self, event: EventLifecycle, target: EventStatus, due: float | None) -> bool:
        """
        Have a transition written. Return whether it is an end that is on disk already.

        Args:
            event: The event, which has its new status.
            target: The new status.
            due: Seconds since 1970 before which a PENDING event does not start. None if it may start at once.
        """
        seq, execution = event._seq, event.execution
        if not seq:
            return False
        if target not in TERMINAL:
            written = self.starts_ahead.begin(seq) if target is PROCESSING else StartWritten.NO
            if written is not StartWritten.ON_DISK:
                change, step = self._encoder.encode_progress(event, target, due)
                # A start that is on the way has its line of the audit trail in the commit in progress.
                self._write(change, None if written is StartWritten.ON_THE_WAY else step)
            return False
        self.starts_ahead.told(seq)
        pending = self._pending_writes.get(seq)
        if pending is None:
            pending = self._pending_writes[seq] = PendingWrite(event)
        if pending.final_status is None:
            pending.final_status = target
            outcome = self._encoder.encode_end(
                event, target, execution.response, execution.error, execution.finished_at
            )
            self._write(*outcome)
        elif pending.is_committed:
            del self._pending_writes[seq]
            return True
        return False

    def record_priority(self, event: Event, priority: float | None) -> None:
        """Have the new priority of a PENDING event written. None for the default."""
        if event._seq:
            self.writer.next.record_priority(event._seq, priority)

    def record_costs(self, event: EventLifecycle, costs: Sequence[float | None]) -> None:
        """Have the costs written that a run settled, one for each limit. None where the cost was not corrected."""
        if event._seq and any(cost is not None for cost in costs):
            self.writer.next.record_costs(event._seq, event.execution.attempt, json.dumps(costs))

    def record_outcome(
        self,
        event: EventLifecycle,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType,
        at: datetime,
        then: Callable[[], None] | None = None,
    ) -> bool:
        """
        Have the end of an event written before the event is told. Return False if the event has no row.

        Args:
            event: The event, which has not ended yet.
            target: Its final status.
            response: Its response.
            error: Its error.
            at: The time of its end (UTC).
            then: Called once the end has been committed.
        """
        seq = event._seq
        if not seq:
            return False
        pending = self._pending_writes.get(seq)
        if pending is None:
            pending = self._pending_writes[seq] = PendingWrite(event)
        pending.on_commit = then or pending.on_commit
        if pending.final_status is None:
            pending.final_status = target
            if event.execution.status is PROCESSING:
                self.starts_ahead.add_end(seq)
            change, step = self._encoder.encode_end(event, target, response, error, at)
            pending.outcome = change.outcome if isinstance(change.outcome, bytes) else None
            self._write(change, step)
        return True

    def has_unreported_outcome(self, event: EventLifecycle) -> bool:
        """Return whether the journal has recorded a final outcome that the event has not been told yet."""
        pending = self._pending_writes.get(event._seq)
        return pending is not None and pending.final_status is not None and event.execution.status not in TERMINAL

    def recorded_status(self, event: EventLifecycle) -> EventStatus | None:
        """
        Return the final status recorded for the event, even if the event has not been told yet.

        None if there is none, or if it has been committed and told.
        """
        pending = self._pending_writes.get(event._seq)
        return None if pending is None else pending.final_status

    def is_outcome_committed(self, event: EventLifecycle) -> bool:
        """Return whether no recorded outcome of the event waits for a commit."""
        pending = self._pending_writes.get(event._seq)
        return pending is None or pending.final_status is None or pending.is_committed

    def committed_outcome(self, event: EventLifecycle) -> tuple[bool, bytes | None]:
        """Return what :meth:`is_outcome_committed` returns, and the stored outcome. None if it is not at hand."""
        pending = self._pending_writes.get(event._seq)
        if pending is None or pending.final_status is None:
            return True, None
        return pending.is_committed, pending.outcome

    def _write(self, change: RowUpdate, step: AuditRecord | None) -> None:
        self.writer.next.record_change(change, step)
        if not self._is_behind and self.writer.next.changes > MAX_BEHIND:
            self._is_behind = True
            self._host.reports.behind(self.writer.next.changes)
            self._host.hold(BEHIND)

    # ---------------------------------------------------------------- what the writer tells

    def before_commit(self) -> None:
        """Have starts written in the same commit as the ends that make room for them."""
        self.starts_ahead.choose()

    def committed(self, batch: Batch, result: CommitResult) -> None:
        """Learn that a batch is on disk: its events that have ended may leave memory."""
        pending_writes = self._pending_writes
        self.starts_ahead.committed()
        ended: set[EventStatus] = set()
        for seq, change in batch.changes.items():
            if change.finished is None or (pending := pending_writes.get(seq)) is None:
                continue
            pending.is_committed = True
            status = pending.event.execution.status
            if status in TERMINAL:
                del pending_writes[seq]
                ended.add(status)
            elif pending.on_commit is not None:
                pending.on_commit()
        for status in ended:  # once for a commit, not once for each event
            self._host.retire(status)
        if self.departures.by_seq:
            self.departures.committed(batch, result.known)
        if result.deleted:
            self._host.rows_deleted(result.deleted)
        if self._is_behind and self.writer.next.changes < MAX_BEHIND // 2:
            self._is_behind = False
            self._host.release_hold(BEHIND)

    def trouble_changed(self, error: JournalError | None) -> None:
        """Hold events back while nothing can be committed."""
        if error is None:
            self._host.reports.works_again()
            self._host.release_hold(TROUBLE)
        else:
            self._host.reports.trouble(error)
            self._host.hold(TROUBLE)

    def writing_ended(self) -> None:
        """Learn that nothing is committed any more: the writer holds no event back."""
        self._host.journal_closing()
        self._host.release_hold(TROUBLE)
        self._host.release_hold(BEHIND)
