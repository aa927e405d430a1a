"""
A journal whose lines are known by something else than this run asks for is changed before the run begins.

Versions up to 0.1 knew lines by their number; and ``--id`` may be given, or left out, from one run to the next. The
record of each line is in the journal, so what it is to be known by can be found again.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import msgspec

from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._journal.codec import encode_key
from lionpride_exec._journal.file_lock import FileLock
from lionpride_exec._journal.schema import APPLICATION_ID, connect
from lionpride_exec.errors import JournalError

from .line_identity import Lines, kind_of, line_key
from .stored_results import is_redacted, place_of

if TYPE_CHECKING:
    from pathlib import Path

    from .line_identity import Identity

ROWS = 1000

SELECT_KEYS = "SELECT key FROM event WHERE key GLOB '\"line:*' ORDER BY seq LIMIT 1"
SELECT_LINES = "SELECT seq, id, key, event FROM event WHERE seq > ? AND key GLOB '\"line:*' ORDER BY seq LIMIT ?"


def know_lines_by(journal: Path, identity: Identity) -> None:
    """
    Have the lines of a journal be known by an identity, if they are known by something else. Blocks.

    O(number of events in the file), all of it or nothing.

    Raises:
        UsageError: It cannot be done, or the journal is in use.
    """
    if not journal.is_file() or _kind(journal) in {None, identity.kind}:
        return
    try:
        owner = FileLock(journal)
        try:
            with closing(connect(journal)) as connection:
                _change_keys(connection, journal, identity)
        finally:
            owner.release()
    except (JournalError, sqlite3.Error, msgspec.MsgspecError) as exc:
        raise UsageError(str(exc)) from exc


def _kind(journal: Path) -> str | None:
    """Return what the lines of a journal are known by. None if it has none, or is no journal, which is told later."""
    with suppress(sqlite3.Error), closing(connect(journal, read_only=True)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
            found = connection.execute(SELECT_KEYS).fetchone()
            key = None if found is None else line_key(found[0])
            return None if key is None else kind_of(key)
    return None


def _whole(record: bytes, event: bytes) -> bytes:
    if is_redacted(event):
        raise BadLineError("records in it are redacted")
    return record


def _change_keys(connection: sqlite3.Connection, journal: Path, identity: Identity) -> None:
    lines = Lines(identity)
    connection.execute("BEGIN IMMEDIATE")
    try:
        seq = 0
        while rows := connection.execute(SELECT_LINES, (seq, ROWS)).fetchall():
            for seq, event_id, old, event in rows:
                number, record = place_of(event_id, event)
                key = line_key(old) if number is None else lines.key_of(_whole(record, event))
                connection.execute("UPDATE event SET key = ? WHERE seq = ?", (encode_key(key), seq))
        connection.execute("COMMIT")
    except BadLineError as exc:
        connection.execute("ROLLBACK")
        by = "their content" if identity.field is None else f"--id {identity.field}"
        raise UsageError(
            f"the lines of {journal} are known by something else, and cannot be known by {by}: {exc}"
        ) from exc
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
