"""
The way to the disk: one task that gathers what is to be written, and has it committed in a worker thread.

While a commit is in progress, what comes in is gathered for the next one; nothing lingers for company. Of several
changes to an event in one commit the last one is written. New events come by a bounded memory stream, so whoever brings
them waits when the disk is slow; what becomes of them cannot wait (a transition is synchronous), and while too much of
it is not committed, no event starts.

The task is shielded: it ends when it is told to, and all is written. On asyncio there are cancellations that no shield
holds off (those of a loop that ends); it goes on all the same.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Protocol

import anyio
import attrs
from anyio import CancelScope, CapacityLimiter, current_time, get_cancelled_exc_class, move_on_after

from lionpride_exec.errors import ExecutorClosedError, JournalError

from .commit import Commit, CommitWaiter, PendingInsert
from .rows import Batch
from .transient_errors import PATIENCE, RETRY_PAUSE, is_passing
from .worker_thread import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from .rows import Change, Step
    from .store import CommitResult, Store

logger = logging.getLogger("lionpride_exec")

# New events that may wait for the next commit; more make their callers wait. A commit takes all there are.
MAX_PENDING_INSERTS = 1000

# Unwritten changes beyond which nothing starts, until half of them are written.
MAX_BEHIND = 10_000

# Seconds that closing may take: a disk that does not answer is not waited for any longer.
CLOSE_SECONDS = 30.0

# Seconds that the closing of the file itself may take then.
LAST_SECONDS = 5.0


class Listener(Protocol):
    """Whoever wants to know what was written."""

    def committed(self, batch: Batch, result: CommitResult) -> None:
        """Learn that this is on disk. Must not wait."""

    def troubled(self, error: JournalError | None) -> None:
        """Learn that nothing can be written, or can again (None). Must not wait."""

    def closing(self) -> None:
        """Learn that from now on nothing is written. Must not wait."""


class Writer:
    """
    Writes for one opening of a store.

    Args:
        store: Open; it is closed at the end of :meth:`run`.
        listener: Is told.
    """

    def __init__(self, store: Store, listener: Listener) -> None:
        self.trouble: JournalError | None = None
        self.is_closing: bool = False
        self.is_over: bool = False
        self._store = store
        self._listener = listener
        self._limiter = CapacityLimiter(1)  # its own: the threads of events must not keep it waiting
        self._send: MemoryObjectSendStream[PendingInsert]
        self._receive: MemoryObjectReceiveStream[PendingInsert]
        self._send, self._receive = anyio.create_memory_object_stream[PendingInsert](MAX_PENDING_INSERTS)
        self._queued_inserts = 0  # how many lie on the stream
        self._retried_inserts: list[
            PendingInsert
        ] = []  # new events that are tried again: what keeps them from the disk may pass
        self._patient_until = -inf  # until when they are
        self._news = anyio.Event()  # that a commit has been tried
        self._next = Batch()
        self.next_commit_done: anyio.Event = anyio.Event()  # of new events, when the next commit is over
        self._waiters: list[CommitWaiter] = []  # of those who wait for what is in the next batch
        self._current_commit: Commit | None = None
        self._work = anyio.Event()
        self._closing = anyio.Event()
        self._scope = CancelScope(shield=True)

    # ---------------------------------------------------------------- what is to be written

    async def wait_for_room(self) -> None:
        """
        Return when a new event can be brought, at the next step of the caller.

        Raises:
            JournalError: Nothing can be written, and that will not pass, or has not for 30 s.
            ExecutorClosedError: The journal is being closed.

        Cancellation: nothing has happened then.
        """
        self._store.check_process()
        while not (self.has_room or self.is_closing or (self.trouble is not None and not self._is_patient)):
            await self._news.wait()
        if self.trouble is not None:
            raise JournalError(f"nothing is taken in while the journal cannot be written: {self.trouble}") from (
                self.trouble
            )
        if self.is_closing:
            raise ExecutorClosedError("the journal is being closed and takes nothing more in")

    @property
    def has_room(self) -> bool:
        """Whether a new event can be brought at once."""
        has_room = self._queued_inserts < MAX_PENDING_INSERTS and self.trouble is None
        return has_room and not self.is_closing and not self._store.is_foreign

    @property
    def _is_patient(self) -> bool:
        """Whether new events wait for trouble to pass."""
        return not self.is_closing and is_passing(self.trouble) and current_time() < self._patient_until

    def insert(self, insert: PendingInsert) -> None:
        """Have a new event written, where there is room; it is told when it is, or that it will not be."""
        self._queued_inserts += 1
        self._send.send_nowait(insert)
        self._work.set()

    def record_change(self, change: Change | None, step: Step | None) -> None:
        """Have a change written soon."""
        if change is not None:
            self._next.changes[change.seq] = change
        if step is not None:
            self._next.steps.append(step)
        self._work.set()

    def record_dependencies(self, seq: int, after: bytes | None) -> None:
        """Have it written what an event still comes after."""
        self._next.waits_for[seq] = after
        self._work.set()

    def record_costs(self, seq: int, attempt: int, costs: str) -> None:
        """Have it written what a run has taken of its limits."""
        self._next.settled[seq, attempt] = costs
        self._work.set()

    def delete(self, seq: int) -> None:
        """Have an event taken out soon."""
        self._next.removed.append(seq)
        self._work.set()

    async def wait_committed(self) -> None:
        """
        Return once all that was noted so far is on disk.

        Raises:
            JournalError: The journal was closed without it.

        Cancellation: not while it is being written; while that is not possible, at once.
        """
        self._store.check_process()
        waiter = CommitWaiter()
        self._waiters.append(waiter)
        self._work.set()
        while not waiter.is_committed:
            if self.is_over:
                raise JournalError("the journal was closed before this was written") from self.trouble
            waiter.changed = anyio.Event()
            with CancelScope(shield=self.trouble is None):
                await waiter.changed.wait()

    @property
    def uncommitted(self) -> int:
        """How many changes the next commit has, so far."""
        return len(self._next.changes)

    # ---------------------------------------------------------------- the task

    def close_soon(self) -> None:
        """Have it end, once all is written; or when that has failed for too long. Idempotent."""
        if not self.is_closing:
            self.is_closing = True
            self._scope.deadline = current_time() + CLOSE_SECONDS
            self._closing.set()
            self._work.set()

    async def run(self) -> None:
        """
        Write until closed; then close the store.

        Raises:
            JournalError: Something could not be written, by the time of closing.

        Cancellation: none.
        """
        try:
            with self._scope:
                while await self._write_next():
                    pass
            # Also if it has taken too long: the disk may be full, and answer all the same.
            with CancelScope(deadline=current_time() + LAST_SECONDS, shield=True) as self._scope:
                await self._in_thread(self._store.close)
        finally:
            self._end()
        if self._store.is_foreign:
            return
        uncommitted = len(self._next.changes) + len(self._next.removed)
        if uncommitted:
            raise JournalError(
                f"{uncommitted} changes of {self._store.path} could not be written: {self.trouble}; "
                "those events are run again at the next start"
            ) from self.trouble

    def finish(self) -> None:
        """Do in this thread what :meth:`run` does at its end, where that does not come. Blocks."""
        if self._store.is_foreign:
            self._end()
            return
        if self._current_commit is not None:
            self._current_commit.run(self._store)
            if self._current_commit.error is None:
                self._current_commit = None
        self._next.removed += [insert.row.seq for insert in self._retried_inserts]  # with what was noted of them
        commit = Commit(self._next, [], [], self.next_commit_done)
        if not commit.batch.is_empty():
            commit.run(self._store)
        if commit.error is not None:
            logger.error("%s changes could not be written: %s", len(commit.batch.changes), commit.error)
        self._store.close()
        self._end()

    async def _write_next(self) -> bool:
        """Commit what there is, or wait for something; False: it is over."""
        if self._store.is_foreign:
            return False
        self._work = anyio.Event()
        brought = self._queued_inserts
        inserts = [*self._take_retried(), *self._take_queued()]
        if not (inserts or self._waiters or self.trouble) and self._next.is_empty():
            if brought:  # all of them were taken back
                self.next_commit_done.set()
                self.next_commit_done = anyio.Event()
                self._news.set()
                self._news = anyio.Event()
            if self.is_closing:
                self._listener.closing()
                return False
            await self._undisturbed(self._work.wait)
            return True
        commit = Commit(self._next, inserts, self._waiters, self.next_commit_done)
        self._next, self._waiters, self.next_commit_done = Batch(), [], anyio.Event()
        commit.batch.new += [insert.row for insert in inserts]
        # What has become of them meanwhile was noted before.
        commit.batch.steps[:0] = [insert.step for insert in inserts if insert.step is not None]
        self._current_commit = commit
        while not commit.is_over:
            if self._store.is_foreign:  # the thread that writes it is one of the parent
                return False
            await self._in_thread(lambda: commit.run(self._store))
        self._current_commit = None
        return await self._finish_commit(commit)

    async def _finish_commit(self, commit: Commit) -> bool:
        """Tell everybody what became of a commit; False: it is over."""
        news, self._news = self._news, anyio.Event()
        try:
            return await self._report_commit(commit, news)
        finally:
            news.set()

    async def _report_commit(self, commit: Commit, news: anyio.Event) -> bool:
        if commit.error is None:
            if self.trouble is not None:
                self.trouble = None
                self._listener.troubled(None)
            self._listener.committed(commit.batch, commit.result)
            for insert in commit.inserts:
                insert.known = commit.result.known.get(insert.row.seq) if commit.result.known else None
                if insert.known is not None:
                    self._discard_changes(insert.row.seq)
                elif insert.is_withdrawn:
                    self.delete(insert.row.seq)
            self._report_inserts(commit.inserts, commit.done)
            for waiter in commit.waiters:
                waiter.confirm()
            return True
        self._requeue(commit, commit.error)
        news.set()
        if self.is_closing and not commit.error.retryable:
            self._listener.closing()
            return False
        with move_on_after(RETRY_PAUSE):
            await self._undisturbed(anyio.sleep_forever if self.is_closing else self._closing.wait)
        return True

    def _requeue(self, commit: Commit, error: JournalError) -> None:
        """Keep what could not be written. New events only while it may pass; else those who brought them are told."""
        is_news = self.trouble is None
        self.trouble = error
        if is_news:
            self._patient_until = current_time() + PATIENCE
        is_kept = self._is_patient
        failed = set() if is_kept else {row.seq for row in commit.batch.new}
        again = {id(insert.step) for insert in commit.inserts}  # which the next commit adds by itself
        # A copy: a thread that does not answer may still be at work on the batch.
        both = attrs.evolve(commit.batch, new=[]).before(self._next)
        both.steps = [step for step in both.steps if step.seq not in failed and id(step) not in again]
        both.changes = {seq: change for seq, change in both.changes.items() if seq not in failed}
        self._next = both
        self._waiters = [*commit.waiters, *self._waiters]
        if is_kept:
            self._retried_inserts = commit.inserts
        else:
            for insert in commit.inserts:
                insert.error = error
        if is_news:
            self._listener.troubled(error)
        if not is_kept:
            self._report_inserts(commit.inserts, commit.done)
        for waiter in self._waiters:
            waiter.changed.set()

    def _discard_changes(self, seq: int) -> None:
        """Forget what was noted of an event that was not written."""
        if self._next.changes.pop(seq, None) is not None:
            self._next.steps = [step for step in self._next.steps if step.seq != seq]

    @staticmethod
    def _report_inserts(inserts: list[PendingInsert], done: anyio.Event) -> None:
        """Tell what has become of new events."""
        done.set()
        for insert in inserts:
            insert.done.set()  # that of an earlier commit, if it was kept
            if insert.then is not None:
                insert.then()

    def _take_retried(self) -> list[PendingInsert]:
        """Return the new events that are tried again."""
        kept, self._retried_inserts = self._retried_inserts, []
        for insert in kept:
            if insert.is_withdrawn:
                insert.done.set()
        return [insert for insert in kept if not insert.is_withdrawn]

    def _take_queued(self) -> list[PendingInsert]:
        inserts: list[PendingInsert] = []
        while self._queued_inserts:
            self._queued_inserts -= 1
            insert = self._receive.receive_nowait()
            if not insert.is_withdrawn:
                inserts.append(insert)
        return inserts

    def _end(self) -> None:
        """Leave nobody waiting."""
        self._listener.closing()
        self.is_closing = self.is_over = True
        if self._current_commit is not None and not self._store.is_foreign:  # the disk does not answer
            self._requeue(self._current_commit, JournalError(f"it did not answer within {CLOSE_SECONDS:.0f} s"))
        error = self.trouble or JournalError("the journal is closed")
        inserts = [*self._take_retried(), *self._take_queued()]
        for insert in inserts:
            insert.error = error
        self._report_inserts(inserts, self.next_commit_done)
        for waiter in self._waiters:
            waiter.changed.set()
        self._news.set()
        self._send.close()
        self._receive.close()

    async def _in_thread(self, function: Callable[[], None]) -> None:
        if self._store.is_foreign:  # fork() has copied no threads
            return
        await self._undisturbed(lambda: run_in_thread(function, limiter=self._limiter, abandon_on_cancel=True))

    async def _undisturbed(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for something; or return early, at a cancellation that comes past all scopes."""
        try:
            await wait()
        except get_cancelled_exc_class():
            if self._scope.cancel_called:
                raise
