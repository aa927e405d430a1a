"""
What the next commit writes: the rows that were recorded since the last one, and the tasks that wait for them.

Recording is synchronous, and wakes the writer only while the writer waits for rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import attrs

from .commit import Commit, CommitWaiter
from .inserts import InsertQueue
from .rows import Batch

if TYPE_CHECKING:
    from lionpride_exec.errors import JournalError

    from .inserts import PendingInsert
    from .rows import Answer, AuditRecord, RowUpdate


class NextCommit:
    """
    The rows of the next commit.

    Attributes:
        inserts: The new events.
        waiters: Each tells some tasks that the rows are on disk. More than one after a commit has failed.
        done: Set once the new events have been committed or refused.
    """

    def __init__(self) -> None:
        self.inserts: InsertQueue = InsertQueue()
        self.waiters: list[CommitWaiter] = []
        self.done: anyio.Event = anyio.Event()
        self._batch = Batch()  # all rows but those of `inserts`
        self._sleeper: anyio.Event | None = None  # wakes the writer. None while the writer does not sleep

    # ---------------------------------------------------------------- recording

    def insert(self, insert: PendingInsert) -> None:
        """Have a new event written. There has to be room."""
        self.inserts.put(insert)
        self.wake_writer()

    def record_change(self, change: RowUpdate, step: AuditRecord | None) -> None:
        """Have a change, and a line of the audit trail, written."""
        batch = self._batch
        batch.changes[change.seq] = change
        if step is not None:
            batch.steps.append(step)
        if self._sleeper is not None:  # the same as wake_writer(); each transition would call it
            self._sleeper.set()

    def record_priority(self, seq: int, priority: float | None) -> None:
        """Have the new priority of an event written. None for the default."""
        self._batch.priorities[seq] = priority
        self.wake_writer()

    def record_costs(self, seq: int, attempt: int, costs: str) -> None:
        """Have the costs that a run settled written."""
        self._batch.settled[seq, attempt] = costs
        self.wake_writer()

    def record_fact(self, name: str, value: str | None) -> None:
        """Have a fact of the file written. None deletes it."""
        self._batch.facts[name] = value
        self.wake_writer()

    def record_answer(self, n: int, answer: Answer) -> None:
        """Have written what came of a command."""
        self._batch.answers[n] = answer
        self.wake_writer()

    def drop_submitted(self, n: int) -> None:
        """Have a row of the table submit deleted: an event has its key."""
        self._batch.dropped.append(n)
        self.wake_writer()

    def refuse_submitted(self, n: int, error: str) -> None:
        """Have written why a row of the table submit cannot become an event."""
        self._batch.refused[n] = error
        self.wake_writer()

    def delete(self, seq: int) -> None:
        """Have an event deleted."""
        self._batch.removed.append(seq)
        self.wake_writer()

    def waiter(self) -> CommitWaiter:
        """Return what tells a task when everything recorded so far is on disk."""
        if not self.waiters:
            self.waiters.append(CommitWaiter())
        self.wake_writer()
        return self.waiters[-1]

    # ---------------------------------------------------------------- looking

    @property
    def changes(self) -> int:
        """How many changes there are so far."""
        return len(self._batch.changes)

    @property
    def rows(self) -> int:
        """How many rows there are so far: new events, changes and lines of the audit trail."""
        return len(self.inserts) + len(self._batch.changes) + len(self._batch.steps)

    @property
    def lost(self) -> int:
        """How many changes and deletions are lost if nothing is committed any more."""
        return len(self._batch.changes) + len(self._batch.removed)

    def is_empty(self) -> bool:
        """Return whether there is nothing to write apart from new events."""
        return self._batch.is_empty()

    # ---------------------------------------------------------------- for the writer

    def wake_writer(self) -> None:
        """Have the writer look for rows, if the writer sleeps."""
        if self._sleeper is not None:
            self._sleeper.set()

    async def wait_for_rows(self) -> None:
        """
        Wait until the writer is woken. The caller has just seen that there are no rows.

        Cancellation: nothing has changed.
        """
        self._sleeper = anyio.Event()
        try:
            await self._sleeper.wait()
        finally:
            self._sleeper = None

    def take(self, inserts: list[PendingInsert]) -> Commit:
        """Return a commit of all rows and of these new events. Nothing is recorded here afterwards."""
        commit = Commit(self._batch, inserts, self.waiters, self.done)
        self._batch, self.waiters, self.done = Batch(), [], anyio.Event()
        commit.batch.new += [insert.row for insert in inserts]
        commit.batch.expiries.update({one.row.seq: one.expires for one in inserts if one.expires is not None})
        commit.batch.any_ends.update({one.row.seq: one.any_end for one in inserts if one.any_end is not None})
        commit.batch.freed.update({one.row.seq: one.frees for one in inserts if one.frees is not None})
        commit.batch.taken += [insert.submitted for insert in inserts if insert.submitted is not None]
        # In front: the other lines of these events were recorded later.
        commit.batch.steps[:0] = [insert.step for insert in inserts if insert.step is not None]
        return commit

    def take_withdrawn(self) -> anyio.Event:
        """Return ``done`` for new events that were all withdrawn, and make another one for the next new events."""
        done, self.done = self.done, anyio.Event()
        return done

    def take_back(self, commit: Commit, *, keeps_inserts: bool, error: JournalError) -> None:
        """
        Have the rows of a commit that has failed written again.

        Args:
            commit: The commit.
            keeps_inserts: Whether its new events are tried again. If not, they get the error.
            error: Why it has failed.
        """
        failed = set() if keeps_inserts else {row.seq for row in commit.batch.new}
        again = {id(insert.step) for insert in commit.inserts}  # take() adds these lines again
        # A copy: a thread that does not answer may still work on the batch.
        both = attrs.evolve(commit.batch, new=[], taken=[]).before(self._batch)
        both.steps = [step for step in both.steps if step.seq not in failed and id(step) not in again]
        both.changes = {seq: change for seq, change in both.changes.items() if seq not in failed}
        self._batch = both
        self.waiters = [*commit.waiters, *self.waiters]
        if keeps_inserts:
            self.inserts.requeue(commit.inserts)
        else:
            for insert in commit.inserts:
                insert.error = error

    def take_all(self) -> Commit:
        """Return the last commit. New events are left out, and deleted if a commit has failed to insert them."""
        self._batch.removed += self.inserts.retried_seqs()  # also drops the changes of these events
        return Commit(self._batch, [], [], self.done)

    def discard_changes(self, seq: int) -> None:
        """Drop what was recorded of an event that was not inserted."""
        batch = self._batch
        if batch.changes.pop(seq, None) is not None:
            batch.steps = [step for step in batch.steps if step.seq != seq]
