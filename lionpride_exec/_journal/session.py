"""
An opened journal: from what happens to events to rows, and from rows to events.

The session has a :class:`PendingWrite` for each event of which something is not on disk yet. An event itself knows its
number in the file.
"""

from __future__ import annotations

import json
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._status import TERMINAL, EventStatus

from .inserts import PendingInsert
from .lookup import ROWS_AT_A_TIME, Lookup
from .outcome_codec import encode_attempts, encode_outcome, one_line, to_seconds
from .pending_write import PendingWrite
from .recent_starts import runs_in_rows, runs_in_trail
from .recovery import Restorer
from .rows import Change, NewRow, Step, pack_ids
from .store import Store
from .writer import MAX_BEHIND, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import Life
    from lionpride_exec._events.submit_options import Ticket
    from lionpride_exec.errors import JournalError

    from .journal import Journal
    from .pending_write import JournalHost
    from .recent_starts import Run
    from .recovery import Restored
    from .rows import Batch
    from .store import CommitResult

logger = logging.getLogger("lionpride_exec")

# Why nothing starts.
TROUBLE = "journal trouble"
BEHIND = "journal behind"
FORKED = "journal of the parent"


class JournalSession:
    """
    A journal from opening to closing.

    Args:
        journal: What the user has said.
        host: The executor.
    """

    def __init__(self, journal: Journal, host: JournalHost) -> None:
        self.journal: Journal = journal
        self.store: Store = Store(
            journal.path, journal.synchronous, {status.value: rule for status, rule in journal.retain.items()}
        )
        self.lookup: Lookup = Lookup(self.store, journal._codec)
        self.writer: Writer
        self.open_in_memory: set[int] = set()  # events that were in memory when it was opened, and open in the file
        self._host = host
        self._codec = journal._codec
        self._audit = journal.audit
        self._next_seq = 1
        self._pending_writes: dict[int, PendingWrite] = {}
        self._is_behind = False

    # ---------------------------------------------------------------- opening

    async def open(self) -> None:
        """
        Open the file and become its owner.

        Raises:
            JournalLockedError: It has an owner.
            JournalError: It cannot be opened, or is no journal of ours.
        """
        self.store.when_forked = partial(self._host._hold_back, FORKED)
        await self.lookup.in_thread(self.store.open)
        self._next_seq = self.store.next_seq
        self.writer = Writer(self.store, self)

    def close_at_once(self) -> None:
        """Write what there is and close it, where no task does. Blocks for a moment."""
        if hasattr(self, "writer"):
            self.writer.close_at_once()
        else:
            self.store.close()

    async def runs_since(self, moment: float) -> list[Run]:
        """
        Return the runs that began or ended after a moment, in seconds since 1970.

        Raises:
            JournalError: They cannot be read.
        """
        find = runs_in_trail if self._audit else runs_in_rows
        runs: list[Run] = await self.lookup.in_thread(
            lambda: self.store.read(lambda connection: find(connection, moment))
        )
        return runs

    def register_released(self, restored: Restored) -> None:
        """Take note that an event that was left in the file has come back."""
        set_seq(restored.event, restored.seq)
        left = self.journal._left
        if left.get("held"):
            left["held"] -= 1

    async def restore(self) -> AsyncIterator[Restored]:
        """
        Give the events that come back, in the order in which they had come.

        Those that are in memory are not given; what has become of them since is noted.

        Raises:
            JournalError: They cannot be read.
        """
        restorer = Restorer(self.store, self._codec, self._host, audit=self._audit)
        while rows := await self.lookup.in_thread(partial(restorer.next_rows, ROWS_AT_A_TIME)):
            statuses = await self.lookup.in_thread(partial(restorer.statuses_of, rows))
            for row in rows:
                restored = restorer.restore(row, statuses)
                if restored is not None:
                    set_seq(restored.event, row.seq)
                    yield restored
            await self.lookup.in_thread(restorer.write_interruptions)
        self.open_in_memory = {row.seq for row, _ in restorer.here}
        for row, event in restorer.here:
            set_seq(event, row.seq)
            if event.execution.status != row.status:
                self.record_transition(event, event.execution.status, None)
        self.journal._left = dict(restorer.left)
        if restorer.left:
            told = ", ".join(f"{number} {why}" for why, number in restorer.left.items())
            logger.warning("events that stay in %s as they are: %s", self.journal.path, told)

    # ---------------------------------------------------------------- taking events in

    def prepare_insert(self, event: Event, ticket: Ticket, due: float | None) -> PendingInsert:
        """
        Give the row of a new event.

        Args:
            event: To be taken in.
            ticket: How; its key as :func:`encode_key` gives it.
            due: Seconds since 1970 before which it does not start; None: it may.

        Raises:
            ValidationError: A field cannot be kept; it is named.
            TypeError: Its class has no tag.
        """
        execution = event.execution
        seq, status = self._next_seq, execution.status._value_
        queued = time.time() if execution.queued_at is None else execution.queued_at.timestamp()
        after = None
        if ticket.after or ticket.lost is not None:
            after = pack_ids([*(other.id for other in ticket.after), *([ticket.lost] if ticket.lost else [])])
        row = NewRow(
            seq, event.id.bytes, self._codec.encode(event), ticket.key, after, ticket.priority, due, status, queued
        )
        self._next_seq += 1
        step = Step(seq, queued, status, execution.attempt, None) if self._audit else None
        return PendingInsert(row, step, self.writer.next_commit_done)

    def insert(self, event: Event, insert: PendingInsert) -> None:
        """Have a new event written, for which the writer has room."""
        seq = insert.row.seq
        set_seq(event, seq)
        self._pending_writes[seq] = PendingWrite(event, insert)
        self.writer.insert(insert)
        if event.execution.status is not EventStatus.PENDING:
            self.record_transition(event, event.execution.status, None)

    def pending_insert_of(self, event: Event) -> PendingInsert | None:
        """Give what tells when an event is on disk; None: it is."""
        pending = self._pending_writes.get(event._seq)
        return None if pending is None else pending.insert

    def count_pending_inserts(self) -> int:
        """Return how many PENDING events are on their way to the disk. O(what is not written yet)."""
        return sum(
            pending.insert is not None and pending.event.execution.status is EventStatus.PENDING
            for pending in self._pending_writes.values()
        )

    def mark_inserted(self, event: Event) -> None:
        """Take note that an event is on disk."""
        pending = self._pending_writes.get(event._seq)
        if pending is not None:
            pending.insert = None
            if pending.final_status is None:
                del self._pending_writes[event._seq]

    def forget(self, event: Event) -> None:
        """Take note that an event is not on disk, or will not be."""
        self._pending_writes.pop(event._seq, None)
        set_seq(event, 0)

    def delete(self, event: Event) -> None:
        """Have an event that has not ended leave the journal."""
        seq = event._seq
        self.forget(event)
        if seq:
            self.writer.delete(seq)

    def delete_rows(self, seqs: Iterable[int]) -> None:
        """Have events leave the journal that have left memory."""
        for seq in seqs:
            self.writer.delete(seq)

    # ---------------------------------------------------------------- what becomes of them

    def record_transition(self, event: Life, target: EventStatus, due: float | None) -> bool:
        """
        Have a transition written soon; whether it is an end that is on disk already.

        Args:
            event: In its new status.
            target: That one.
            due: When it goes on, seconds since 1970; None: at once.
        """
        seq, execution = event._seq, event.execution
        if not seq:
            return False
        if target not in TERMINAL:
            self._write(*self._going_on(event, target, due))
            return False
        pending = self._pending_writes.get(seq)
        if pending is None:
            pending = self._pending_writes[seq] = PendingWrite(event)
        if pending.final_status is None:
            pending.final_status = target
            self._write(*self._end(event, target, execution.response, execution.error, execution.finished_at))
        elif pending.is_committed:
            del self._pending_writes[seq]
            return True
        return False

    def record_dependencies(self, event: Event, others: Iterable[UUID]) -> None:
        """Have it written what an event still comes after."""
        if event._seq:
            self.writer.record_dependencies(event._seq, pack_ids(others) or None)

    def record_costs(self, event: Life, costs: Sequence[float | None]) -> None:
        """Write what a run has taken of each limit; None for a limit where its own cost holds."""
        if event._seq and any(cost is not None for cost in costs):
            self.writer.record_costs(event._seq, event.execution.attempt, json.dumps(costs))

    def record_outcome(
        self,
        event: Life,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType,
        at: datetime,
        then: Callable[[], None] | None = None,
    ) -> bool:
        """
        Have the end of an event written that it does not know of yet; whether that has a place in the file.

        Args:
            event: Which one.
            target: What it ends with.
            response: Its response.
            error: Its error.
            at: When.
            then: Called once it is on disk.
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
            self._write(*self._end(event, target, response, error, at))
        return True

    async def commit_outcome(
        self, event: Life, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """
        Do the same, and return once it is on disk.

        Raises:
            JournalError: The journal was closed before that.

        Cancellation: while nothing can be written.
        """
        if self.record_outcome(event, target, response, error, at):
            await self.writer.wait_committed()

    def has_unreported_outcome(self, event: Life) -> bool:
        """Whether an end of an event has been noted that it does not know of yet."""
        pending = self._pending_writes.get(event._seq)
        return pending is not None and pending.final_status is not None and event.execution.status not in TERMINAL

    def recorded_status(self, event: Life) -> EventStatus | None:
        """Give the end of an event that has been noted, whether it knows of it or not; None: none, or it is over."""
        pending = self._pending_writes.get(event._seq)
        return None if pending is None else pending.final_status

    def is_outcome_committed(self, event: Life) -> bool:
        """Whether the end of an event, whether it knows of it or not, is on disk, if it was noted at all."""
        pending = self._pending_writes.get(event._seq)
        return pending is None or pending.final_status is None or pending.is_committed

    def _write(self, change: Change, step: Step | None) -> None:
        self.writer.record_change(change, step)
        if not self._is_behind and self.writer.uncommitted > MAX_BEHIND:
            self._is_behind = True
            self._host._hold_back(BEHIND)

    def _going_on(self, event: Life, target: EventStatus, due: float | None) -> tuple[Change, Step | None]:
        """Give what is to be written of an event that begins, or goes back to PENDING."""
        execution, name = event.execution, target._value_
        attempts, at, error = None, execution.started_at, None
        secrets = secrets_of(event)
        if execution.attempts:
            attempts = encode_attempts(execution.attempts, secrets)
            if target is EventStatus.PENDING:
                at, error = execution.attempts[-1].finished_at, execution.attempts[-1].error
        when = time.time() if at is None else at.timestamp()
        started = when if target is EventStatus.PROCESSING else None
        change = Change(event._seq, name, execution.attempt, due, started, None, None, attempts)
        return change, Step(
            event._seq, when, name, execution.attempt, one_line(error, secrets)
        ) if self._audit else None

    def _end(
        self,
        event: Life,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType | None,
        at: datetime | None,
    ) -> tuple[Change, Step | None]:
        """Give what is to be written of an event that ends."""
        seq, execution, name = event._seq, event.execution, target._value_
        error = None if target is EventStatus.COMPLETED else error
        finished = time.time() if at is None else at.timestamp()
        secrets = secrets_of(event)
        outcome = encode_outcome(target, response, error, execution.duration, secrets)
        attempts = encode_attempts(execution.attempts, secrets) if execution.attempts else None
        started = to_seconds(execution.started_at)
        change = Change(seq, name, execution.attempt, None, started, finished, outcome, attempts)
        return change, Step(seq, finished, name, execution.attempt, one_line(error, secrets)) if self._audit else None

    # ---------------------------------------------------------------- the listener of the writer

    def committed(self, batch: Batch, result: CommitResult) -> None:
        """Learn that this is on disk: what has ended may leave memory."""
        pending_writes = self._pending_writes
        for seq, change in batch.changes.items():
            if change.finished is None or (pending := pending_writes.get(seq)) is None:
                continue
            pending.is_committed = True
            if pending.event.execution.status in TERMINAL:
                del pending_writes[seq]
                self._host._retire(pending.event)
            elif pending.on_commit is not None:
                pending.on_commit()
        if result.deleted:
            self._host._journal_deleted(result.deleted)
        if self._is_behind and self.writer.uncommitted < MAX_BEHIND // 2:
            self._is_behind = False
            self._host._let_start(BEHIND)

    def trouble_changed(self, error: JournalError | None) -> None:
        """Learn that nothing can be written, or can again."""
        if error is None:
            logger.warning("%s can be written again", self.journal.path)
            self._host._let_start(TROUBLE)
        else:
            logger.error("%s cannot be written; nothing starts until it can: %s", self.journal.path, error)
            self._host._hold_back(TROUBLE)

    def writing_ended(self) -> None:
        """Learn that from now on nothing is written."""
        self._host._journal_closing()
        self._host._let_start(TROUBLE)
        self._host._let_start(BEHIND)


def set_seq(event: Life, seq: int) -> None:
    """Have an event know its number in the journal; 0: it has none."""
    object.__setattr__(event, "_seq", seq)  # past the hooks that attrs runs at each assignment
