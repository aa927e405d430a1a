"""
The writer: one task that gathers rows and has a worker thread commit them together.

While a commit is in progress, new rows are gathered for the next one. The tasks that are ready to run go on before
the next commit begins, so that it has their rows. The writer does not wait for anything else. Of several changes to one
event, a commit writes the last. New events come through a bounded queue, so the callers of ``append()`` wait when the
disk is slow. Transitions are synchronous and cannot wait: instead, no event starts while too many are not committed.

A commit that fails is tried again each second. Changes are kept until it succeeds. New events are kept for 30 s, and
only if the trouble may pass; then their callers get the error.

The task is shielded: it ends when :meth:`Writer.close_soon` was called and everything is committed. When asyncio ends
its event loop, it cancels tasks past all shields; the task ignores these cancellations.

The writer also notices what other processes write into the file (``inbox``): after each commit, and once a second while
there is nothing to commit. A virtual clock would jump from one of these seconds to the next for ever. There, each look
that finds nothing doubles the time until the next one, so that an hour costs twelve looks, and none comes after some
decades without a commit: then the run is stuck.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import anyio
from anyio import (
    CancelScope,
    CapacityLimiter,
    current_effective_deadline,
    current_time,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import has_virtual_clock
from lionpride_exec.errors import ExecutorClosedError, JournalError

from .inserts import report_inserts
from .journal_lifecycle import WriterLifecycle, WriterState
from .next_commit import NextCommit
from .transient_errors import PATIENCE, RETRY_PAUSE, is_passing
from .worker_thread import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .commit import Commit
    from .listener import WriterListener
    from .reports import JournalReports
    from .store import Store

# Passes of the event loop for which a commit may wait for the tasks that are ready to run.
MAX_PASSES = 3

# Changes beyond which no event starts, until fewer than half of them are left.
MAX_BEHIND = 10_000

# Seconds between two looks for changes of other processes, while nothing is committed.
LOOK_EVERY = 1.0

# By a virtual clock, there is no look that comes later than this many seconds after the last one.
MAX_LOOK_EVERY = 2.0**30

# Seconds that the last commits may take once the writer is told to close: a disk may never answer.
CLOSE_SECONDS = 30.0

# Seconds that closing the file may take after that.
LAST_SECONDS = 5.0


class Writer:
    """
    Writes the rows of one session.

    Args:
        store: The open file. :meth:`run` closes it at its end.
        listener: Is told what was committed.
        reports: Tells what happens to the journal.
        when_changed: Called when another process has changed the file.

    Attributes:
        next: The rows of the next commit.
    """

    def __init__(
        self, store: Store, listener: WriterListener, reports: JournalReports, when_changed: Callable[[], None]
    ) -> None:
        self.lifecycle: WriterLifecycle = WriterLifecycle()
        self.trouble: JournalError | None = None  # why the last commit failed; None if it succeeded
        self.next: NextCommit = NextCommit()
        self._store = store
        self._listener = listener
        self._reports = reports
        self._when_changed = when_changed
        self._limiter = CapacityLimiter(1)  # of its own: the threads of events must not keep it waiting
        self._current_commit: Commit | None = None  # its result has not been reported; else None
        self._patient_until = -inf  # loop time until which new events wait for trouble to pass
        self._commit_tried = anyio.Event()  # set, and replaced, after each try
        self._has_news = False  # another process has changed the file, and the executor has not been told
        self._look_after = LOOK_EVERY  # seconds of doing nothing after which to look for changes of other processes
        self._closing = anyio.Event()  # set from DRAINING on: no pause is waited for
        self._scope = CancelScope(shield=True)  # what the task is in; its deadline is set by close_soon()

    # ---------------------------------------------------------------- what is to be written

    async def wait_for_room(self) -> None:
        """
        Wait until ``next.insert()`` can be called. The caller must call it before its next await.

        Raises:
            JournalError: Nothing can be committed, and the trouble does not pass, or has not passed for 30 s.
            ExecutorClosedError: The journal is being closed.

        Cancellation: changes nothing.
        """
        self._store.check_process()
        while not self.has_room and self.lifecycle.accepts_inserts and (self.trouble is None or self._is_patient):
            await self._commit_tried.wait()
        if self.trouble is not None:
            raise JournalError(f"nothing is taken in while the journal cannot be written: {self.trouble}") from (
                self.trouble
            )
        if not self.lifecycle.accepts_inserts:
            raise ExecutorClosedError("the journal is being closed and takes in no more events")

    @property
    def has_room(self) -> bool:
        """Whether ``next.insert()`` can be called now."""
        has_room = self.next.inserts.has_room and self.trouble is None
        return has_room and self.lifecycle.accepts_inserts and not self._store.is_foreign

    @property
    def is_caught_up(self) -> bool:
        """Whether everything recorded so far is on disk, or cannot be written for now."""
        has_nothing = self._current_commit is None and not self.next.inserts and self.next.is_empty()
        return has_nothing or self.trouble is not None

    @property
    def unwritten(self) -> int:
        """How many new events and changes are not on disk yet. For any thread."""
        commit = self._current_commit
        batch = None if commit is None else commit.batch
        return (
            len(self.next.inserts) + self.next.changes + (0 if batch is None else len(batch.new) + len(batch.changes))
        )

    @property
    def _is_patient(self) -> bool:
        """Whether new events wait for trouble to pass."""
        is_passing_now = self.lifecycle.accepts_inserts and is_passing(self.trouble)
        return is_passing_now and current_time() < self._patient_until

    async def wait_committed(self) -> None:
        """
        Wait until everything recorded so far is on disk.

        Raises:
            JournalError: The journal was closed before that.

        Cancellation: only while a commit has failed, and is to be tried again.
        """
        self._store.check_process()
        waiter = self.next.waiter()
        while not waiter.is_committed:
            if self.lifecycle.state is WriterState.CLOSED:
                raise JournalError("the journal was closed before this was written") from self.trouble
            changed = waiter.changed
            try:
                await changed.wait()
            except get_cancelled_exc_class():
                # Only now a shield: a scope for each wait would cost as much as the wait itself. A cancellation past
                # all scopes, as at the end of the loop, is not held up.
                if self.trouble is not None or current_effective_deadline() != -inf:
                    raise
                with CancelScope(shield=True):
                    await changed.wait()

    # ---------------------------------------------------------------- the task

    def close_soon(self) -> None:
        """Have the task end once everything is committed, or after 30 s. Idempotent."""
        if self.lifecycle.accepts_inserts:
            self.lifecycle.move_to(WriterState.DRAINING)
            self._scope.deadline = current_time() + CLOSE_SECONDS
            self._closing.set()
            self.next.wake_writer()

    async def run(self) -> None:
        """
        Commit rows until :meth:`close_soon`, then close the file.

        Raises:
            JournalError: Some changes could not be committed.

        Cancellation: none.
        """
        if self.lifecycle.state is WriterState.IDLE:
            self.lifecycle.move_to(WriterState.WRITING)
        try:
            with self._scope:
                while await self._write_next():
                    pass
            self._end_writing()  # no await since the last look: nothing was recorded in between
            # Also after the time for the last commits is over: a disk that is full still answers.
            with CancelScope(deadline=current_time() + LAST_SECONDS, shield=True) as self._scope:
                await self._in_thread(self._store.close)
        finally:
            self._end()
        if self._store.is_foreign:
            return
        lost = self.next.lost
        if lost:
            self._reports.lost(lost, self.trouble)
            raise JournalError(
                f"{lost} changes of {self._store.path} could not be written: {self.trouble}; "
                "those events are run again at the next start"
            ) from self.trouble

    def close_at_once(self) -> None:
        """Commit what is left and close the file in this thread, where no task does. Blocks."""
        try:
            if not self._store.is_foreign:
                self._commit_rest()
                self._store.close()
        finally:
            self._end()

    def _commit_rest(self) -> None:
        """Commit what is left, in this thread. Blocks."""
        if self._current_commit is not None:
            self._current_commit.run(self._store)
            if self._current_commit.error is None:
                self._current_commit = None
        self._listener.before_commit()
        commit = self.next.take_all()
        if not commit.batch.is_empty():
            commit.run(self._store)
        if commit.error is not None:
            self._reports.lost(len(commit.batch.changes), commit.error)

    async def _write_next(self) -> bool:
        """Commit what is gathered, or wait for something to commit. Return False once there is nothing to do."""
        if self._store.is_foreign:
            return False
        self._listener.before_commit()
        were_queued = len(self.next.inserts)
        inserts = self.next.inserts.take()
        if not (inserts or self.next.waiters or self.trouble) and self.next.is_empty():
            if were_queued:  # all of them were withdrawn
                self.next.take_withdrawn().set()
                self._commit_tried.set()
                self._commit_tried = anyio.Event()
            if not self.lifecycle.accepts_inserts:
                return False
            await self._wait_for_rows()
            await self._let_ready_tasks_record()  # else two halves of a full pool would take turns from here on
            return True
        commit = self._current_commit = self.next.take(inserts)
        while not commit.is_over:
            if self._store.is_foreign:  # the thread that writes the batch is one of the parent
                return False
            await self._in_thread(lambda: commit.run(self._store))
        self._current_commit = None
        self._reports.committed(commit.seconds)
        return await self._report_commit(commit)

    async def _wait_for_rows(self) -> None:
        """Wait until the writer is woken. After some time, look for changes of other processes instead."""
        seconds, is_woken = self._look_after, False

        async def wait() -> None:
            """Wait for rows, at most so many seconds."""
            nonlocal is_woken
            with move_on_after(seconds):
                await self.next.wait_for_rows()
                is_woken = True

        await self._ignore_loop_end(wait)
        if not is_woken:
            if has_virtual_clock():
                self._look_after = 2 * seconds if seconds < MAX_LOOK_EVERY else inf
            await self._in_thread(self._look)
            self._report_news()

    def _look(self) -> None:
        self._has_news = self._store.look() or self._has_news

    def _report_news(self) -> None:
        """Tell the executor if another process has changed the file."""
        if self._has_news:
            self._has_news, self._look_after = False, LOOK_EVERY
            self._when_changed()

    async def _report_commit(self, commit: Commit) -> bool:
        """Tell the tasks that wait for a commit what became of it. Return False if no other commit is to be tried."""
        tried, self._commit_tried = self._commit_tried, anyio.Event()
        try:
            if commit.error is None:
                self._report_success(commit)
            else:
                self._report_failure(commit, commit.error)
        finally:
            tried.set()
        if commit.error is None:
            await self._let_ready_tasks_record()
            return True
        is_closing = not self.lifecycle.accepts_inserts
        if is_closing and not commit.error.retryable:
            return False
        with move_on_after(RETRY_PAUSE):
            await self._ignore_loop_end(anyio.sleep_forever if is_closing else self._closing.wait)
        return True

    async def _let_ready_tasks_record(self) -> None:
        """Let the tasks that are ready to run go on while they bring rows, so that the next commit has these rows."""
        for _ in range(MAX_PASSES):
            gathered = self.next.rows
            await self._ignore_loop_end(checkpoint)
            if self.next.rows == gathered:
                return

    def _report_success(self, commit: Commit) -> None:
        """Tell the session, then the callers of append(), then the tasks that wait for changes."""
        if self.trouble is not None:
            self.trouble = None
            self._listener.trouble_changed(None)
        self._listener.committed(commit.batch, commit.result)
        for insert in commit.inserts:
            insert.known = commit.result.known.get(insert.row.seq) if commit.result.known else None
            if insert.known is not None:
                self.next.discard_changes(insert.row.seq)
            elif insert.is_withdrawn:
                self.next.delete(insert.row.seq)
        report_inserts(commit.inserts, commit.done)
        for waiter in commit.waiters:
            waiter.confirm()
        self._has_news, self._look_after = commit.result.has_news, LOOK_EVERY
        self._report_news()

    def _report_failure(self, commit: Commit, error: JournalError) -> None:
        """Have the changes committed again, and the new events too while the trouble may pass."""
        is_new = self.trouble is None
        self.trouble = error
        if is_new:
            self._patient_until = current_time() + PATIENCE
        keeps_inserts = self._is_patient
        self.next.take_back(commit, keeps_inserts=keeps_inserts, error=error)
        if is_new and self.lifecycle.commits:  # else nothing can be held back any more
            self._listener.trouble_changed(error)
        if not keeps_inserts:
            report_inserts(commit.inserts, commit.done)
        for waiter in self.next.waiters:
            waiter.look_again()

    def _end_writing(self) -> None:
        """Tell the session that nothing is committed any more. Idempotent."""
        if self.lifecycle.commits:
            self.lifecycle.move_to(WriterState.CLOSING)
            self._listener.writing_ended()

    def _end(self) -> None:
        """Tell each task that waits for a commit that none will come. Idempotent."""
        self._end_writing()
        if self.lifecycle.state is WriterState.CLOSED:
            return
        self.lifecycle.move_to(WriterState.CLOSED)
        if self._current_commit is not None and not self._store.is_foreign:
            no_answer = JournalError(f"the disk did not answer within {CLOSE_SECONDS:.0f} s")
            self._report_failure(self._current_commit, no_answer)
        error = self.trouble or JournalError("the journal is closed")
        inserts = self.next.inserts.take()
        for insert in inserts:
            insert.error = error
        report_inserts(inserts, self.next.done)
        for waiter in self.next.waiters:
            waiter.look_again()
        self._commit_tried.set()

    async def _in_thread(self, function: Callable[[], None]) -> None:
        """Run a function in the worker thread. In a forked child, which has no such thread, do nothing."""
        if not self._store.is_foreign:
            await self._ignore_loop_end(lambda: run_in_thread(function, limiter=self._limiter, abandon_on_cancel=True))

    async def _ignore_loop_end(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for something. Return early, without an error, when the end of the loop cancels this task."""
        try:
            await wait()
        except get_cancelled_exc_class():
            if self._scope.cancel_called:
                raise
