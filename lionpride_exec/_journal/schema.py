"""
The tables of the file.

``event`` has one row for each event, by number, in order of arrival. Ids are random, so each commit would write to
pages all over an index on them, which costs more than everything else. The index on the number and the beginning of the
id grows only at its end. A look-up by id reads this index from end to end, about 60 ms for a million events. Frequent
look-ups go by number. Keys are random too: their index has four bytes of each, so that it has few pages.

An index is changed by each statement that sets a column of its condition. So the indexes of the open events ask for
``finished``, which the start of an event does not set. ``event_bad`` lists what did not complete, by status.

``transition`` is the audit trail. Its lines have one letter for the status. They are found by the number of their event
only where something needs that: then ``INDEX_TRAIL`` is made. ``tally`` counts the events that have ended, so that
opening a file need not count them. ``meta`` has single facts.

A file of an earlier version is read as it is, and brought up to date by its next owner.
"""

from __future__ import annotations

import os
import re
import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from zlib import crc32

from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# "LPEX". The command `file` shows it, and check_file() knows a journal by it.
APPLICATION_ID: Final = 0x4C504558
VERSION: Final = 2

# Milliseconds for which a reader waits for a lock of another process.
READ_PATIENCE_MS: Final = 30_000

# The words of both conditions are those of the indexes, of version 1 and of version 2.
IS_OPEN: Final = "finished IS NULL AND status IN ('pending', 'processing', 'held')"

# A question for events that did not complete has to have these words, beside a status, for its index to be used.
IS_BAD: Final = "status IN ('failed', 'cancelled', 'skipped', 'aborted')"

# The beginning of an id, as its index has it.
ID_HEAD: Final = "substr(id, 1, 2)"
ID_HEAD_BYTES: Final = 2

# The statuses in the audit trail, by their letters. Lines of version 1 have the statuses themselves.
LETTERS: Final[Mapping[str, str]] = {
    "p": "pending",
    "r": "processing",
    "h": "held",
    "c": "completed",
    "f": "failed",
    "x": "cancelled",
    "s": "skipped",
    "a": "aborted",
}
LETTER_OF: Final = {status: letter for letter, status in LETTERS.items()}

# Made when the lines of one event are first looked for by the owner: rates, and deleting, need it.
INDEX_TRAIL: Final = "CREATE INDEX IF NOT EXISTS transition_seq ON transition (seq)"

_OPEN_IN_VERSION_1: Final = "status IN ('pending', 'processing', 'held')"

# Each script brings a file from the version of its index to the next one. The first one is kept as it was.
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
    CREATE INDEX event_open ON event (seq) WHERE {_OPEN_IN_VERSION_1};
    CREATE INDEX event_waiting ON event (seq) WHERE after IS NOT NULL AND {_OPEN_IN_VERSION_1};
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
    f"""
    ALTER TABLE event ADD COLUMN key_hash INTEGER;  -- key_hash(key): 32 bits
    UPDATE event SET key_hash = key_hash(key), key = stored_key(key) WHERE key IS NOT NULL;
    DROP INDEX event_key;
    DROP INDEX event_id;
    DROP INDEX event_open;
    DROP INDEX event_waiting;
    DROP INDEX transition_seq;
    CREATE INDEX event_key ON event (key_hash) WHERE key_hash IS NOT NULL;
    CREATE INDEX event_id ON event (seq, substr(id, 1, 2));
    CREATE INDEX event_open ON event (seq) WHERE finished IS NULL;
    CREATE INDEX event_waiting ON event (seq) WHERE after IS NOT NULL AND finished IS NULL;
    CREATE INDEX event_bad ON event (status, seq) WHERE {IS_BAD};
    """,  # noqa: S608  no value in it
)

# A key of a line, which has 32 hexadecimal digits, is stored as 16 bytes.
KEY: Final = """CASE typeof(key) WHEN 'blob' THEN '"line:' || lower(hex(key)) || '"' ELSE key END"""

# An outcome that has only its duration is stored as a number.
OUTCOME: Final = (
    """CASE typeof(outcome) WHEN 'real' THEN CAST(printf('{"duration":%!.17g}', outcome) AS BLOB) ELSE outcome END"""
)

# The columns of a Row.
COLUMNS: Final = (
    f"seq, id, event, {KEY} AS key, after, priority, due, status, attempt, crashes, queued, started, finished, "
    f"{OUTCOME} AS outcome, attempts"
)

# The open rows in order of arrival. The condition has to be that of the index.
SELECT_OPEN: Final = (
    f"SELECT {COLUMNS} FROM event INDEXED BY event_open WHERE {IS_OPEN} AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  no value in it
)


# The events that open events come after.
SELECT_WAITED_FOR: Final = f"SELECT after FROM event INDEXED BY event_waiting WHERE after IS NOT NULL AND {IS_OPEN}"  # noqa: S608  likewise


def key_hash(key: str | None) -> int | None:
    """Return the 32 bits of a key that its index has, as a number with a sign: it takes 4 bytes. None for None."""
    return None if key is None else crc32(key.encode()) - 2**31


def stored_key(key: str | None) -> str | bytes | None:
    """Return a key as its column has it: the key of a line as bytes, any other as it is."""
    return key if key is None or not _LINE_KEY.fullmatch(key) else bytes.fromhex(key[6:-1])


_LINE_KEY = re.compile('"line:[0-9a-f]{32}"')


def connect(path: Path, *, read_only: bool = False, immutable: bool = False, create: bool = True) -> sqlite3.Connection:
    """
    Open a file. Nothing is read yet.

    Args:
        path: The file.
        read_only: Whether the file is only read. SQLite may still make ``-shm`` beside it.
        immutable: Whether the file does not change while it is open. No file is made beside it, its log is not read.
        create: Whether a file that does not exist is made.

    Raises:
        sqlite3.Error: The file cannot be opened.
    """
    mode = "ro" if read_only or immutable else "rwc" if create else "rw"
    uri = f"file:{quote(os.fspath(path.absolute()))}?mode={mode}"
    uri += "&immutable=1" if immutable else ""
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=64)
    # A reader waits here. The owner tries again by itself, so that its thread is free again soon.
    connection.execute(f"PRAGMA busy_timeout = {READ_PATIENCE_MS if read_only or immutable else 5000}")
    return connection


def check_magic(path: Path) -> None:
    """
    Check that an existing file begins as those of SQLite, before another file is made beside it.

    Call this only while no connection of this process has the file open. Closing the file drops the locks that SQLite
    has on it.

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
        sqlite3.Error: The file cannot be read.
    """
    _check_is_sqlite(connection, path)
    page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    size = path.stat().st_size
    if size % page_size:
        raise JournalError(f"{path} was cut off: {size:,} bytes are not a whole number of pages of {page_size} bytes")
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version = version_of(connection)
    tables = _count_tables(connection, path)
    if application != APPLICATION_ID and (tables or version):
        raise JournalError(f"{path} is a SQLite file, but not a journal of lionpride_exec")
    if version > VERSION:
        raise JournalError(f"{path} is of version {version}; this lionpride_exec knows up to {VERSION}")
    return version


def _count_tables(connection: sqlite3.Connection, path: Path) -> int:
    try:
        number: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except UnicodeDecodeError as exc:  # SQLite's message has a part of the damaged text
        raise JournalError(f"{path} cannot be read: its schema is damaged") from exc
    return number


def _check_is_sqlite(connection: sqlite3.Connection, path: Path) -> None:
    # SQLite itself looks at the beginning of the file. Closing a second file descriptor of the same file would drop the
    # locks that this process has on the file (fcntl).
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise JournalError(f"{path} is not a SQLite file, so it is not a journal") from exc
        if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:  # a file that was cut off is named by its size
            raise


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """
    Bring a file up to the newest version.

    Each step is one transaction: a process that is killed leaves the file in one of the versions.
    """
    connection.create_function("key_hash", 1, key_hash, deterministic=True)
    connection.create_function("stored_key", 1, stored_key, deterministic=True)
    for step in range(version, VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[step]}; "
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {step + 1}; COMMIT;"
        )


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a file has a table. Some tables are made when they are first needed."""
    select = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return connection.execute(select, (name,)).fetchone() is not None


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a journal, as the open snapshot has it."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
