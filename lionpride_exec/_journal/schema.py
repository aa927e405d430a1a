"""
The tables of the file.

``event`` has one row for each event, by number, in order of arrival. Ids are random, so each commit would write to
pages all over an index on them, which costs more than everything else. The index on (number, id) grows only at its end.
A look-up by id reads this index from end to end, about 60 ms for a million events. Frequent look-ups go by number.

``transition`` is the audit trail. ``tally`` counts the events that have ended, so that opening a file need not count
them. ``meta`` has single facts.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from lionpride_exec._status import EventStatus
from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

# "LPEX". The command `file` shows it, and check_file() knows a journal by it.
APPLICATION_ID: Final = 0x4C504558
VERSION: Final = 1

# Milliseconds for which a reader waits for a lock of another process.
READ_PATIENCE_MS: Final = 30_000

# A status on disk only: the event ran when the process died, and its class wants a decision before it runs again.
HELD: Final = "held"

# The statuses of events that have ended.
FINAL: Final = tuple(status.value for status in EventStatus if status.is_terminal)

IS_OPEN = "status IN ('pending', 'processing', 'held')"

# Each script brings a file from the version of its index to the next one.
MIGRATIONS: Final = (
    f"""
    CREATE TABLE event (
        seq INTEGER PRIMARY KEY,
        id BLOB NOT NULL,           -- 16 bytes
        event BLOB NOT NULL,        -- JSON: tag, version, data
        key TEXT,                   -- JSON
        after BLOB,                 -- ids, 16 bytes each, that have to complete first
        priority REAL,              -- NULL: by creation
        due REAL,                   -- times are seconds since 1970, UTC
        status TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,  -- runs that the end of the process cut off
        queued REAL,
        started REAL,
        finished REAL,
        outcome BLOB,               -- JSON: response or error, duration, retryable
        attempts BLOB               -- JSON: the runs before the last one
    );
    CREATE INDEX event_open ON event (seq) WHERE {IS_OPEN};
    CREATE INDEX event_waiting ON event (seq) WHERE after IS NOT NULL AND {IS_OPEN};
    CREATE INDEX event_id ON event (seq, id);
    CREATE UNIQUE INDEX event_key ON event (key) WHERE key IS NOT NULL;
    CREATE TABLE transition (
        n INTEGER PRIMARY KEY,      -- in the order they were written
        seq INTEGER NOT NULL,       -- of the event
        at REAL NOT NULL,
        status TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        error TEXT                  -- one line
    );
    CREATE INDEX transition_seq ON transition (seq);
    CREATE TABLE tally (status TEXT PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    """,
)

# The columns of a Row.
COLUMNS: Final = (
    "seq, id, event, key, after, priority, due, status, attempt, crashes, queued, started, finished, outcome, attempts"
)

# The open rows in order of arrival. The condition has to be that of the index.
SELECT_OPEN: Final = (
    f"SELECT {COLUMNS} FROM event INDEXED BY event_open WHERE {IS_OPEN} AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  no value in it
)


# The events that open events come after.
SELECT_WAITED_FOR: Final = f"SELECT after FROM event INDEXED BY event_waiting WHERE after IS NOT NULL AND {IS_OPEN}"  # noqa: S608  likewise


def connect(path: Path, *, read_only: bool = False, immutable: bool = False) -> sqlite3.Connection:
    """
    Open a file. Nothing is read yet.

    Args:
        path: The file.
        read_only: Whether the file is only read. SQLite may still make ``-shm`` beside it.
        immutable: Whether the file does not change while it is open. No file is made beside it, its log is not read.

    Raises:
        sqlite3.Error: The file cannot be opened.
    """
    uri = f"file:{quote(os.fspath(path.absolute()))}?mode={'ro' if read_only or immutable else 'rwc'}"
    uri += "&immutable=1" if immutable else ""
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=64)
    # A reader waits here. The owner tries again by itself, so that its thread is free again soon.
    connection.execute(f"PRAGMA busy_timeout = {READ_PATIENCE_MS if read_only or immutable else 5000}")
    return connection


def check_magic(path: Path) -> None:
    """
    Check that an existing file begins as those of SQLite, before another file is made beside it.

    Raises:
        JournalError: The file begins otherwise, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise JournalError(f"cannot open {path}: {exc.strerror or exc}") from exc
    if head and head != b"SQLite format 3\0":
        raise JournalError(f"{path} is not a SQLite file, so it is not a journal")


def check_file(connection: sqlite3.Connection, path: Path) -> int:
    """
    Return the version of a journal. 0 if the file is new.

    Raises:
        JournalError: The file is not a journal, is of a newer version, or was cut off.
        sqlite3.Error: The file is not one of SQLite.
    """
    page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    size = path.stat().st_size
    if size % page_size:
        raise JournalError(f"{path} was cut off: {size:,} bytes are not a whole number of pages of {page_size} bytes")
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and (tables or version):
        raise JournalError(f"{path} is a SQLite file, but not a journal of lionpride_exec")
    if version > VERSION:
        raise JournalError(f"{path} is of version {version}; this lionpride_exec knows up to {VERSION}")
    return version


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file up to the newest version. Each step is one transaction."""
    for step in range(version, VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[step]}; "
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {step + 1}; COMMIT;"
        )
