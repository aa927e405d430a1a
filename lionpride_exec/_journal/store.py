"""The file of a journal, as its owner uses it. Everything here blocks and belongs into a worker thread."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import Counter
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from lionpride_exec._status import EventStatus
from lionpride_exec.errors import JournalError

from .bulk_sql import COUNT, INSERT_NEW, INSERT_STEPS, UPDATE, rows_by_id, rows_by_key, write_rows
from .file_lock import FileLock, make_private
from .fork import foreign_error, keep_from_closing, watch_for_forks
from .pruning import MOST, prune
from .recent_starts import write_settled
from .rows import Batch, Change, NewRow, Row, Step
from .schema import COLUMNS, SELECT_OPEN, check_file, check_magic, connect, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from lionpride_exec._model.retain import Retain

logger = logging.getLogger("lionpride_exec")

T = TypeVar("T")

Synchronous = Literal["FULL", "NORMAL"]

# Deleting what is not to be kept waits for so many ends, or seconds.
PRUNE_AFTER = 1000
PRUNE_SECONDS = 60.0

FINAL = tuple(status.value for status in EventStatus if status.is_terminal)


class CommitResult(NamedTuple):
    """
    What a commit has come to.

    Attributes:
        known: By the number of a new event that was not written: the row that has its key already.
        deleted: Events that were deleted since they are not to be kept, by status.
    """

    known: dict[int, Row]
    deleted: dict[str, int]


class Store:
    """
    A file, from :meth:`open` to :meth:`close`.

    Its methods may be called by any thread; they wait for each other. In a child made by ``fork()`` all but
    :meth:`close` raise, and that one lets the file alone.

    Args:
        path: Of the file; it is made if there is none, the directory is not.
        synchronous: "FULL": a commit waits until the disk has it. "NORMAL": until the system has it.
        retain: What is kept of what has ended, by status.
    """

    def __init__(
        self, path: Path, synchronous: Synchronous = "FULL", retain: Mapping[str, Retain] | None = None
    ) -> None:
        self.path: Path = path
        self.next_seq: int = 1
        self.tally: dict[str, int] = {}  # events that have ended, by status
        self.generation: int = 0  # how often it was opened
        self.was_closed: bool = True  # its last owner has closed it: no process died
        self.min_retention: float = 0.0  # seconds for which what has ended is not deleted: limits may have to count it
        self._synchronous = synchronous
        self._retain = retain or {}
        self._ended_since_prune, self._pruned_at = 0, 0.0
        self._lock = Lock()
        self._owner: FileLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._pid = os.getpid()  # of the process that has opened it
        self.when_forked: Callable[[], None] | None = None  # called in a child

    # ---------------------------------------------------------------- opening and closing

    def open(self) -> None:
        """
        Become the owner of the file, and bring it up to date.

        Raises:
            JournalLockedError: It has an owner.
            JournalError: It cannot be opened, or is no journal of ours.
        """
        self._pid = os.getpid()
        with self._alone():
            check_magic(self.path)
            self._owner = FileLock(self.path)
            watch_for_forks(self)
            try:
                make_private(self.path)
                self._connection = connection = connect(self.path)
                version = check_file(connection, self.path)
                connection.execute("PRAGMA journal_mode = WAL")
                migrate(connection, version)
                self._set_up(connection)
            except BaseException:
                self._close()
                raise

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute(
            "INSERT INTO meta (name, value) VALUES ('generation', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
        )
        self.generation = connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0]
        found = connection.execute("SELECT value FROM meta WHERE name = 'is_closed'").fetchone()
        self.was_closed = found is None or found[0] == 1
        connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('is_closed', 0)")
        self.next_seq = 1 + (connection.execute("SELECT max(seq) FROM event").fetchone()[0] or 0)
        self.tally = dict(connection.execute("SELECT status, events FROM tally"))
        self._inode = self._inode_now()

    def close(self) -> None:
        """Bring everything into the main file, close it and give it up. Idempotent; in a child it does nothing."""
        if self.is_foreign:
            self.disown()
            return
        with self._alone():
            self._close()

    @property
    def is_foreign(self) -> bool:
        """Whether another process, of which this one was forked, has opened it."""
        return self._pid != os.getpid()

    def check_process(self) -> None:
        """
        Check that this process has opened it.

        Raises:
            JournalError: Another one has, of which this one was forked.
        """
        if self._pid != os.getpid():
            raise foreign_error(self.path, self._pid)

    def disown(self) -> None:
        """Let the connection of the parent alone, for ever."""
        connection, self._connection = self._connection, None
        if connection is not None:
            keep_from_closing(connection)
        if self.when_forked is not None:
            self.when_forked()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                with suppress(sqlite3.Error):  # somebody reads: the next owner does it
                    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('is_closed', 1)")
                    connection.execute("PRAGMA busy_timeout = 100")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.close()
        finally:
            if self._owner is not None:
                self._owner.release()
                self._owner = None

    # ---------------------------------------------------------------- writing

    def commit(self, batch: Batch) -> CommitResult:
        """
        Write a batch, all of it or nothing, and delete what is not to be kept any longer.

        New rows whose key is known are left out.

        Raises:
            JournalError: It could not be written; the file is as it was.
        """
        with self._transaction() as connection:
            # First: what is removed may have the key of something new.
            removed = self._remove(connection, batch.removed)
            known = self._known(connection, batch.new)
            new, steps, changes = batch.new, batch.steps, list(batch.changes.values())
            if left_out := known.keys() | set(batch.removed):
                new = [row for row in new if row.seq not in left_out]
                steps = [step for step in steps if step.seq not in left_out]
                changes = [change for change in changes if change.seq not in left_out]
            write_rows(connection, INSERT_NEW, new)
            write_rows(connection, UPDATE, changes)
            write_rows(connection, INSERT_STEPS, steps)
            self._write_rest(connection, batch)
            write_settled(connection, batch.settled, time.time(), self.min_retention)
            ended = Counter(change.status for change in changes if change.finished is not None)
            ended.subtract(removed)
            for counted in ended.items():
                connection.execute(COUNT, counted)
        for status, number in ended.items():
            self.tally[status] = self.tally.get(status, 0) + number
        return CommitResult(known, self._prune_if_due(ended.total()))

    @staticmethod
    def _remove(connection: sqlite3.Connection, seqs: Iterable[int]) -> Counter[str]:
        """Take events out; count those that had ended, by status."""
        removed: Counter[str] = Counter()
        for seq in seqs:
            removed.update(row[0] for row in connection.execute("SELECT status FROM event WHERE seq = ?", (seq,)))
            connection.execute("DELETE FROM event WHERE seq = ?", (seq,))
            connection.execute("DELETE FROM transition WHERE seq = ?", (seq,))
        return Counter({status: number for status, number in removed.items() if status in FINAL})

    @staticmethod
    def _known(connection: sqlite3.Connection, new: Sequence[NewRow]) -> dict[int, Row]:
        """Give the rows that have the key of a new one, by the number of that."""
        seq_of = {row.key: row.seq for row in new if row.key is not None}
        rows = (Row(*values) for values in rows_by_key(connection, COLUMNS, list(seq_of)))
        return {seq_of[row.key]: row for row in rows if row.key is not None}

    @staticmethod
    def _write_rest(connection: sqlite3.Connection, batch: Batch) -> None:
        """Write what is rare, row by row."""
        for seq, after in batch.waits_for.items():
            connection.execute("UPDATE event SET after = ? WHERE seq = ?", (after, seq))
        if batch.is_empty():  # to see whether it can be written again
            connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', randomblob(64))")

    def write_interruptions(self, changes: Iterable[tuple[Change, int]], steps: Sequence[Step]) -> None:
        """
        Write what becomes of events that ran when the process died.

        Args:
            changes: With the number of times that has happened to the event.
            steps: For the audit trail.

        Raises:
            JournalError: It could not be written; the file is as it was.
        """
        ended: Counter[str] = Counter()
        with self._transaction() as connection:
            for change, crashes in changes:
                connection.execute(UPDATE.format(rows="(?, ?, ?, ?, ?, ?, ?, ?)"), change)
                connection.execute("UPDATE event SET crashes = ? WHERE seq = ?", (crashes, change.seq))
                if change.status in FINAL:
                    connection.execute(COUNT, (change.status, 1))
                    ended[change.status] += 1
            write_rows(connection, INSERT_STEPS, list(steps))
        for status, number in ended.items():  # now that it is written: it may have to be done again
            self.tally[status] = self.tally.get(status, 0) + number

    def requeue(self, statuses: Collection[str], seqs: Collection[int] | None = None) -> int:
        """
        Put events that have ended, or are held, back to pending, as if they had never run; give their number.

        O(number of events in the file).

        Args:
            statuses: Of which ones.
            seqs: Among these only; None: all.

        Raises:
            JournalError: It could not be written; the file is as it was.
        """
        with self._transaction() as connection:
            marks = ",".join("?" * len(statuses))
            found: list[tuple[int, str]] = connection.execute(
                f"SELECT seq, status FROM event WHERE status IN ({marks})",  # noqa: S608  marks only
                tuple(statuses),
            ).fetchall()
            chosen = [(seq, status) for seq, status in found if seqs is None or seq in seqs]
            for seq, status in chosen:
                connection.execute(
                    "UPDATE event SET status = 'pending', attempt = 0, crashes = 0, due = NULL, started = NULL, "
                    "finished = NULL, outcome = NULL, attempts = NULL WHERE seq = ?",
                    (seq,),
                )
                connection.execute(
                    "INSERT INTO transition (seq, at, status, attempt, error) "
                    "VALUES (?, ?, 'pending', 0, 'put back by hand')",
                    (seq, time.time()),
                )
                if status in FINAL:
                    connection.execute(COUNT, (status, -1))
                    self.tally[status] = self.tally.get(status, 0) - 1
        return len(chosen)

    def _prune_if_due(self, ended: int) -> dict[str, int]:
        """Delete what is not to be kept, now and then; give how many, by status."""
        if not self._retain:
            return {}
        self._ended_since_prune += ended
        now = time.time()
        if self._ended_since_prune < PRUNE_AFTER and now - self._pruned_at < PRUNE_SECONDS:
            return {}
        self._ended_since_prune, self._pruned_at = 0, now
        try:
            with self._transaction() as connection:
                deleted = prune(connection, self._retain, self.tally, now, self.min_retention)
        except JournalError:  # the batch is written; this is done the next time
            logger.exception("old events could not be deleted from %s", self.path)
            return {}
        for status, number in deleted.items():
            self.tally[status] -= number
            if number >= MOST:
                self._pruned_at = 0.0  # there may be more
        return deleted

    # ---------------------------------------------------------------- reading

    def open_rows(self, after_seq: int, limit: int) -> list[Row]:
        """
        Give rows that are open, those that are held included, in order of arrival.

        Raises:
            JournalError: They cannot be read.
        """
        with self._alone():
            return [Row(*values) for values in self._open().execute(SELECT_OPEN, (after_seq, limit))]

    def rows_by_id(self, ids: Sequence[bytes]) -> list[Row]:
        """
        Give the rows with these ids that there are. O(number of events in the file).

        Raises:
            JournalError: They cannot be read.
        """
        with self._alone():
            return [Row(*values) for values in rows_by_id(self._open(), COLUMNS, ids)]

    def statuses_by_id(self, ids: Sequence[bytes]) -> dict[bytes, str]:
        """
        Give the statuses of these events, where they are there. O(number of events in the file).

        Raises:
            JournalError: They cannot be read.
        """
        with self._alone():
            return dict(rows_by_id(self._open(), "id, status", ids))

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """
        Return what a function finds that is given the connection, to read only.

        Raises:
            JournalError: It cannot be read.
        """
        with self._alone():
            return question(self._open())

    # ---------------------------------------------------------------- inside

    @contextmanager
    def _alone(self) -> Generator[None]:
        self.check_process()  # first: the lock of a child may be held by a thread that it has not got
        with self._lock, wrapped(self.path):
            yield

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"{self.path} is closed")
        return self._connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._alone():
            connection = self._open()
            if self._inode_now() != self._inode:
                raise JournalError(
                    f"{self.path} is gone: it was moved, removed or replaced while it was in use", retryable=False
                )
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def _inode_now(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


@contextmanager
def wrapped(path: Path) -> Generator[None]:
    """Have what SQLite raises be a JournalError that names the file."""
    try:
        yield
    except sqlite3.Error as exc:
        text = str(exc)
        hint = "; try: sqlite3 FILE .recover" if "malformed" in text or "not a database" in text else ""
        raise JournalError(f"{path}: {text}{hint}") from exc
