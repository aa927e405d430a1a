"""
The file of a journal, as its owner uses it.

Everything here blocks, so it runs in a worker thread. Any thread may call any method: a lock admits one at a time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import Counter
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from lionpride_exec.errors import JournalError

from .any_end import tidy_any_ends
from .batch_sql import end_events, requeue_events, write_batch, write_interrupted
from .bulk_sql import rows_by_id
from .expiries import tidy_expiries
from .file_lock import FileLock, lock_path, make_private
from .fork import foreign_error, keep_from_closing, watch_for_forks
from .inbox import close_commands, data_version, has_rows, make_inbox
from .pruning import Pruner
from .rows import AuditRecord, Batch, OfflineEnd, Row, RowUpdate
from .schema import COLUMNS, SELECT_OPEN, check_file, check_magic, connect, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from lionpride_exec._model.retain import Retain

logger = logging.getLogger("lionpride_exec.journal")

T = TypeVar("T")

Synchronous = Literal["FULL", "NORMAL"]


class CommitResult(NamedTuple):
    """
    What a commit has done.

    Attributes:
        known: The row that has the key already, by the number of the new row that was left out for it.
        deleted: How many ended events were deleted because they are not kept any longer, by status.
        has_news: Whether another process has changed the file since the last look.
    """

    known: dict[int, Row]
    deleted: dict[str, int]
    has_news: bool


class Store:
    """
    The file of a journal, from :meth:`open` to :meth:`close`.

    In a child made by ``fork()`` each method but :meth:`close` raises, and :meth:`close` does not touch the file.

    Args:
        path: The file. It is created if it does not exist; its directory is not.
        synchronous: "FULL": a commit waits until the disk has it. "NORMAL": until the operating system has it.
        retain: Which ended events are kept, by status.
    """

    def __init__(
        self, path: Path, synchronous: Synchronous = "FULL", retain: Mapping[str, Retain] | None = None
    ) -> None:
        self.path: Path = path
        # Set by open().
        self.next_seq: int = 1  # above each number in the file
        self.generation: int = 0  # how often the file was opened, this time included
        self.was_closed: bool = True  # the last owner closed the file; if not, its process died
        self.tally: dict[str, int] = {}  # events in the file that have ended, by status; as of the last commit
        self.inbox_has_rows: bool = False  # the inbox was not empty when the file was opened
        # Set by the owner.
        self.min_retention: float = 0.0  # seconds for which ended events are kept in any case: limits count their runs
        self.when_forked: Callable[[], None] | None = None  # called in a child
        self.facts_of_opening: Callable[[int], dict[str, str]] = lambda _: {}  # what is kept of an opening, by number
        self._synchronous = synchronous
        self._pruner = Pruner(retain or {})
        self._lock = Lock()  # held while the connection is used
        self._file_lock: FileLock | None = None  # held as long as the file is open
        self._connection: sqlite3.Connection | None = None  # None while the file is closed, and in a child
        self._inode: tuple[int, int] | None = None  # of the file when it was opened: another one may take its name
        self._data_version = 0  # as of the last look for changes of other processes
        self._pid = os.getpid()  # the process that opened the file

    # ---------------------------------------------------------------- opening and closing

    def open(self) -> None:
        """
        Lock the file, and bring it up to date.

        Raises:
            JournalLockedError: Another executor has the journal.
            JournalError: The file cannot be opened, or is not a journal.
        """
        self._pid = os.getpid()
        with self._exclusive():
            if not lock_path(self.path).exists():  # otherwise an executor of this process may have the file open
                check_magic(self.path)
            self._file_lock = FileLock(self.path)
            watch_for_forks(self)
            try:
                make_private(self.path)
                self._connection = connection = connect(self.path)
                version = check_file(connection, self.path)
                connection.execute("PRAGMA journal_mode = WAL")
                migrate(connection, version)
                self._read_facts(connection)
            except BaseException:
                self._close()
                raise

    def _read_facts(self, connection: sqlite3.Connection) -> None:
        """Read what the file says of itself, and write that it is open."""
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute(
            "INSERT INTO meta (name, value) VALUES ('generation', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
        )
        self.generation = connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0]
        found = connection.execute("SELECT value FROM meta WHERE name = 'is_closed'").fetchone()
        self.was_closed = found is None or found[0] == 1
        facts = {"is_closed": 0, **self.facts_of_opening(self.generation)}
        connection.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", facts.items())
        self.next_seq = 1 + (connection.execute("SELECT max(seq) FROM event").fetchone()[0] or 0)
        self.tally = dict(connection.execute("SELECT status, events FROM tally"))
        tidy_expiries(connection)
        tidy_any_ends(connection)
        make_inbox(connection)
        close_commands(connection)
        self._data_version = data_version(connection)  # first: what comes in between is seen twice, not never
        self.inbox_has_rows = has_rows(connection)
        self._inode = self._inode_now()

    def close(self) -> None:
        """Move the log into the main file, close and unlock it. Idempotent. In a child, do nothing."""
        if self.is_foreign:
            self.disown()
            return
        with self._exclusive():
            self._close()

    @property
    def is_foreign(self) -> bool:
        """Whether the file was opened by a process of which this one is a forked child."""
        return self._pid != os.getpid()

    def check_process(self) -> None:
        """
        Check that this process opened the file.

        Raises:
            JournalError: This process is a forked child of the one that opened the file.
        """
        if self._pid != os.getpid():
            raise foreign_error(self.path, self._pid)

    def disown(self) -> None:
        """Never touch the connection again, which belongs to the parent process."""
        connection, self._connection = self._connection, None
        if connection is not None:
            keep_from_closing(connection)
        if self.when_forked is not None:
            self.when_forked()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                with suppress(sqlite3.Error):  # another process reads: the next owner moves the log
                    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('is_closed', 1)")
                    connection.execute("PRAGMA busy_timeout = 100")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.close()
        finally:
            if self._file_lock is not None:
                self._file_lock.release()
                self._file_lock = None

    # ---------------------------------------------------------------- writing

    def commit(self, batch: Batch) -> CommitResult:
        """
        Write a batch in one transaction, and now and then delete the events that are not kept any longer.

        New rows whose key is in the file already are left out.

        Raises:
            JournalError: The batch could not be written. The file is as it was.
        """
        with self._transaction() as connection:
            known, ended = write_batch(connection, batch, self.min_retention)
        self._add_to_tally(ended)
        deleted = self._prune() if self._pruner.is_due(ended.total()) else {}
        return CommitResult(known, deleted, self.look())

    def look(self) -> bool:
        """
        Return whether another process has changed the file since the last call. Some microseconds.

        False if the file cannot be read: the next call sees the change.
        """
        try:
            with self._exclusive():
                version = data_version(self._open_connection())
        except JournalError:
            return False
        before, self._data_version = self._data_version, version
        return version != before

    def write_interruptions(self, changes: Iterable[tuple[RowUpdate, int]], steps: Sequence[AuditRecord]) -> None:
        """
        Write what becomes of events that ran when the process died.

        Args:
            changes: Each with the number of times that a run of the event was interrupted.
            steps: For the audit trail.

        Raises:
            JournalError: They could not be written. The file is as it was.
        """
        with self._transaction() as connection:
            ended = write_interrupted(connection, changes, steps)
        self._add_to_tally(ended)

    def requeue(self, statuses: Collection[str], seqs: Collection[int] | None = None) -> list[int]:
        """
        Put events that have ended, or are held, back to pending, as if they had never run. Return their numbers.

        O(number of events in the file, or of ``seqs``).

        Args:
            statuses: The statuses of the events.
            seqs: The numbers of the events. None for all with these statuses.

        Raises:
            JournalError: They could not be written. The file is as it was.
        """
        with self._transaction() as connection:
            changed, no_longer = requeue_events(connection, statuses, seqs)
        for status, left in no_longer.items():
            self.tally[status] = self.tally.get(status, 0) - left
        return changed

    def end_offline(self, statuses: Collection[str], seqs: Collection[int] | None, end: OfflineEnd) -> Counter[str]:
        """
        End events that have not ended. No executor runs them. Return how many had each status.

        O(number of events in the file, or of ``seqs``).

        Args:
            statuses: The statuses of the events.
            seqs: The numbers of the events. None for all with these statuses.
            end: How they end.

        Raises:
            JournalError: They could not be written. The file is as it was.
        """
        with self._transaction() as connection:
            had = end_events(connection, statuses, seqs, end)
        self._add_to_tally(Counter({end.status: had.total()}))
        return had

    def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """
        Return what a function returns that writes by the connection, in a transaction of its own.

        Raises:
            JournalError: It could not be written. The file is as it was.
        """
        with self._transaction() as connection:
            return change(connection)

    def _prune(self) -> dict[str, int]:
        """Delete the events that are not kept any longer. Return their number, by status."""
        try:
            with self._transaction() as connection:
                deleted = self._pruner.prune(connection, self.tally, self.min_retention)
        except JournalError:  # the batch is written; the next time deletes more
            logger.exception("old events could not be deleted from %s", self.path)
            return {}
        for status, number in deleted.items():
            self.tally[status] -= number
        return deleted

    def _add_to_tally(self, ended: Counter[str]) -> None:
        """Count events that have ended, after the commit: a transaction that failed is tried again."""
        for status, number in ended.items():
            self.tally[status] = self.tally.get(status, 0) + number

    # ---------------------------------------------------------------- reading

    def open_rows(self, after_seq: int, limit: int) -> list[Row]:
        """
        Return the rows of open and held events above a number, in order of arrival.

        Raises:
            JournalError: The file cannot be read.
        """
        with self._exclusive():
            return [Row(*values) for values in self._open_connection().execute(SELECT_OPEN, (after_seq, limit))]

    def rows_by_id(self, ids: Sequence[bytes]) -> list[Row]:
        """
        Return the rows with these ids; some may be missing. O(number of events in the file).

        Raises:
            JournalError: The file cannot be read.
        """
        with self._exclusive():
            return [Row(*values) for values in rows_by_id(self._open_connection(), COLUMNS, ids)]

    def statuses_by_id(self, ids: Sequence[bytes]) -> dict[bytes, str]:
        """
        Return the statuses of the events with these ids; some may be missing. O(number of events in the file).

        Raises:
            JournalError: The file cannot be read.
        """
        with self._exclusive():
            return dict(rows_by_id(self._open_connection(), "id, status", ids))

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """
        Return what a function returns that reads by the connection.

        Raises:
            JournalError: The file cannot be read.
        """
        with self._exclusive():
            return question(self._open_connection())

    # ---------------------------------------------------------------- inside

    @contextmanager
    def _exclusive(self) -> Generator[None]:
        """Use the connection alone."""
        self.check_process()  # first: in a child, a thread that is not there may hold the lock
        with self._lock, wrapped(self.path):
            yield

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"{self.path} is closed")
        return self._connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._exclusive():
            connection = self._open_connection()
            if self._inode_now() != self._inode:
                raise JournalError(
                    f"{self.path} is gone: it was moved, removed or replaced while it was in use", retryable=False
                )
            with transaction(connection):
                yield connection

    def _inode_now(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """
    Commit what the block writes by a connection. After an exception in the block, the file is as it was.

    Raises:
        sqlite3.Error: Another process writes, or the commit failed. The file is as it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


@contextmanager
def wrapped(path: Path) -> Generator[None]:
    """Raise a JournalError that names the file in place of SQLite's errors."""
    try:
        yield
    except sqlite3.Error as exc:
        text = str(exc)
        hint = "; try: sqlite3 FILE .recover" if "malformed" in text or "not a database" in text else ""
        raise JournalError(f"{path}: {text}{hint}") from exc
