"""A commit on its way to the disk, and those who wait for it."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import attrs

from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio

    from .rows import Batch, NewRow, Row, Step
    from .store import CommitResult, Store


@attrs.define(eq=False)
class PendingInsert:
    """
    A new event on its way to the disk.

    Attributes:
        row: What is to be written.
        step: Its first line in the audit trail; None: there is none.
        done: Set when it is on disk, or is known not to be going to be; shared with others in the same commit.
        error: Why it is not.
        known: The row that has its key already; then this one was not written.
        is_withdrawn: Whether nobody wants it any more: it is not written, or taken out again.
        then: Called when it is decided, if nobody waits for it just now.
    """

    row: NewRow
    step: Step | None
    done: anyio.Event
    error: JournalError | None = None
    known: Row | None = None
    is_withdrawn: bool = False
    then: Callable[[], None] | None = None

    @property
    def is_on_disk(self) -> bool:
        """Whether it has been written, and not because somebody else has its key."""
        return self.done.is_set() and self.error is None and self.known is None


class CommitWaiter:
    """A task that waits until what was noted so far is on disk."""

    __slots__ = ("changed", "is_committed")

    def __init__(self) -> None:
        self.is_committed: bool = False
        self.changed: anyio.Event  # that it is, or that it cannot be now

    def confirm(self) -> None:
        """Say that it is."""
        self.is_committed = True
        self.changed.set()


class Commit:
    """A batch on its way through a worker thread; it is written once, however often that is asked for."""

    def __init__(
        self, batch: Batch, inserts: list[PendingInsert], waiters: list[CommitWaiter], done: anyio.Event
    ) -> None:
        self.batch: Batch = batch
        self.inserts: list[PendingInsert] = inserts
        self.waiters: list[CommitWaiter] = waiters
        self.done: anyio.Event = done  # what the inserts wait for
        self.is_over: bool = False
        self.result: CommitResult
        self.error: JournalError | None = None
        self._lock = Lock()

    def run(self, store: Store) -> None:
        """Write it. Blocks; by whichever thread."""
        with self._lock:
            if self.is_over:
                return
            try:
                self.result = store.commit(self.batch)
            except JournalError as exc:
                self.error = exc
            except Exception as exc:  # noqa: BLE001  whatever it is, those who wait have to learn of it
                self.error = JournalError(f"{store.path}: {type(exc).__name__}: {exc}", cause=exc)
            self.is_over = True
