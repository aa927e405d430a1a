"""One commit, and the tasks that wait for it."""

from __future__ import annotations

from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING

import anyio

from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    from .inserts import PendingInsert
    from .rows import Batch
    from .store import CommitResult, Store


class CommitWaiter:
    """
    What tasks wait for until everything recorded so far is on disk. The tasks that wait for one commit share it.

    Attributes:
        is_committed: Whether everything is on disk.
        changed: Set once a commit has succeeded, has failed, or will not come.
    """

    __slots__ = ("changed", "is_committed")

    def __init__(self) -> None:
        self.is_committed: bool = False
        self.changed: anyio.Event = anyio.Event()

    def confirm(self) -> None:
        """Tell the tasks that everything is on disk."""
        self.is_committed = True
        self.changed.set()

    def look_again(self) -> None:
        """Have the tasks see whether they go on waiting."""
        changed, self.changed = self.changed, anyio.Event()
        changed.set()


class Commit:
    """
    A batch that a worker thread writes. It is written once, however many threads call :meth:`run`.

    Args:
        batch: The rows.
        inserts: The new events among them.
        waiters: What the tasks that wait for the batch are told by.
        done: What the new events wait for.

    Attributes:
        seconds: How long the store took to write the batch.
    """

    def __init__(
        self, batch: Batch, inserts: list[PendingInsert], waiters: list[CommitWaiter], done: anyio.Event
    ) -> None:
        self.batch: Batch = batch
        self.inserts: list[PendingInsert] = inserts
        self.waiters: list[CommitWaiter] = waiters
        self.done: anyio.Event = done
        self.is_over: bool = False  # the store has answered: `result` is set, or `error`
        self.result: CommitResult
        self.error: JournalError | None = None
        self.seconds: float = 0.0
        self._lock = Lock()  # held while the batch is written: a second thread waits for the first one

    def run(self, store: Store) -> None:
        """Write the batch, unless another thread has done so. Blocks; for any thread."""
        with self._lock:
            if self.is_over:
                return
            began = perf_counter()
            try:
                self.result = store.commit(self.batch)
            except JournalError as exc:
                self.error = exc
            except Exception as exc:  # noqa: BLE001  the tasks that wait have to learn of any failure
                self.error = JournalError(f"{store.path}: {type(exc).__name__}: {exc}", cause=exc)
            self.seconds = perf_counter() - began
            self.is_over = True
