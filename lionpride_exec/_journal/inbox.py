"""
What other processes write into the file of a journal for its owner.

While an executor has a journal open, nobody else changes its events. Another process that wants something of the owner
writes a row into one of two tables:

``command``
    Something to do: its name (``what``), its arguments as JSON (``args``), and who asks (``by``). The owner writes the
    time into ``begun``, carries the command out, and writes the answer into the same row: the result as JSON
    (``done``), or one line (``error``). All three are NULL at first. A command is for the process that has the file
    open when the command is written, and is never carried out hours later. The process that has written the command
    withdraws it (:func:`withdraw`) if the owner has not begun in time. If the owner ends before it has answered, the
    next owner writes into the row how far the command came: ``NOT_BEGUN``, or ``NOT_ANSWERED``.
``submit``
    An event to take in. The owner deletes the row in the transaction that writes the event, so that a process that is
    killed at any moment neither loses the event nor takes it in twice. A row that the owner cannot read stays, with its
    ``error``. Each start tries it again.

The owner notices such a change by ``PRAGMA data_version``, which costs some microseconds. The ``writer`` asks for it
after each of its commits, and once a second while it writes nothing. Rows that were written while nobody had the file
open are found when it is opened. Numbers (``n``) are in the order in which the rows were committed, and are never used
again.

The tables are made whenever an owner opens a file, so files of all versions get them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .bulk_sql import LOOK_UPS
from .rows import Answer, Row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

MAKE_INBOX = (
    """
    CREATE TABLE IF NOT EXISTS command (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,           -- seconds since 1970, UTC
        what TEXT NOT NULL,
        args TEXT,                  -- JSON; NULL: none
        by TEXT,
        begun REAL,                 -- when the owner began to carry it out
        done TEXT,                  -- JSON: what it returned
        error TEXT                  -- one line
    )
    """,
    "CREATE INDEX IF NOT EXISTS command_open ON command (n) WHERE done IS NULL AND error IS NULL",
    """
    CREATE TABLE IF NOT EXISTS submit (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,           -- seconds since 1970, UTC
        id BLOB NOT NULL,           -- 16 bytes
        event BLOB NOT NULL,        -- JSON, as in the table event
        key TEXT,                   -- JSON
        unique_open INTEGER NOT NULL DEFAULT 0,  -- 1: the key is free again once its event has ended
        priority REAL,              -- NULL: by creation
        due REAL,                   -- seconds since 1970, as the next one
        expires REAL,
        error TEXT                  -- one line: why the owner could not take it in
    )
    """,
)

# The errors of commands whose process has ended. Nobody knows how far a command came that had begun.
NOT_BEGUN: Final = "the process ended before it began with the command: nothing was done"
NOT_ANSWERED: Final = "the process ended before it answered: the command was not carried out, or only in part"

# The error of a command that was withdrawn.
WITHDRAWN: Final = "withdrawn, since the process did not begin with it in time: nothing was done"

# Commands that are kept in the file, beside those without an answer.
KEPT: Final = 1000

_OPEN_COMMANDS = (
    "SELECT n, at, what, args, by FROM command INDEXED BY command_open "
    "WHERE done IS NULL AND error IS NULL AND n > ? ORDER BY n LIMIT ?"
)

_SUBMITTED = (
    "SELECT n, at, id, event, key, unique_open, priority, due, expires, error FROM submit "
    "WHERE n > ? ORDER BY n LIMIT ?"
)

INSERT_SUBMITTED = (
    "INSERT INTO submit (at, id, event, key, unique_open, priority, due, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Command(NamedTuple):
    """A row of the table ``command`` that has no answer."""

    n: int
    at: float
    what: str
    args: str | None
    by: str | None


class SubmittedRow(NamedTuple):
    """A row of the table ``submit``."""

    n: int
    at: float
    id: bytes
    event: bytes
    key: str | None
    unique_open: int
    priority: float | None
    due: float | None
    expires: float | None
    error: str | None

    def as_row(self) -> Row:
        """Return the row as one of the table ``event``, with the number 0."""
        return Row(
            0, self.id, self.event, self.key, None, self.priority, self.due, "pending", 0, 0, self.at, None, None, None,
            None,
        )  # fmt: skip


def make_inbox(connection: sqlite3.Connection) -> None:
    """Make the tables, unless the file has them."""
    for statement in MAKE_INBOX:
        connection.execute(statement)
    if not connection.execute("SELECT 1 FROM pragma_table_info('command') WHERE name = 'begun'").fetchone():
        connection.execute("ALTER TABLE command ADD COLUMN begun REAL")


def close_commands(connection: sqlite3.Connection) -> None:
    """Write that the commands for an earlier owner were not answered, and delete the oldest commands."""
    connection.execute(
        "UPDATE command SET error = iif(begun IS NULL, ?, ?) WHERE n IN (SELECT n FROM command INDEXED BY command_open "
        "WHERE done IS NULL AND error IS NULL)",
        (NOT_BEGUN, NOT_ANSWERED),
    )
    connection.execute("DELETE FROM command WHERE n <= (SELECT max(n) FROM command) - ?", (KEPT,))


def add_command(connection: sqlite3.Connection, at: float, what: str, args: str | None, by: str) -> int:
    """Write a command for the owner. Return its number."""
    insert = "INSERT INTO command (at, what, args, by) VALUES (?, ?, ?, ?)"
    n = connection.execute(insert, (at, what, args, by)).lastrowid
    assert n is not None
    return n


def read_answer(connection: sqlite3.Connection, n: int) -> Answer | None:
    """Return what came of a command. None if it has no answer yet. A command that is gone was never answered."""
    found = connection.execute("SELECT done, error FROM command WHERE n = ?", (n,)).fetchone()
    answer = Answer(None, NOT_ANSWERED) if found is None else Answer(*found)
    return None if answer == (None, None) else answer


def begin_command(connection: sqlite3.Connection, n: int, at: float) -> bool:
    """Write that the owner begins with a command. Return False if it was withdrawn, or has an answer."""
    update = "UPDATE command SET begun = ? WHERE n = ? AND begun IS NULL AND done IS NULL AND error IS NULL"
    return connection.execute(update, (at, n)).rowcount == 1


def withdraw(connection: sqlite3.Connection, n: int) -> bool:
    """Withdraw a command: it is never carried out. Return False if the owner has begun, or it has an answer."""
    update = "UPDATE command SET error = ? WHERE n = ? AND begun IS NULL AND done IS NULL AND error IS NULL"
    return connection.execute(update, (WITHDRAWN, n)).rowcount == 1


def delete_answered(connection: sqlite3.Connection, n: int) -> None:
    """Delete a command that was answered, or withdrawn."""
    connection.execute("DELETE FROM command WHERE n = ? AND (done NOT NULL OR error NOT NULL)", (n,))


def give_up(connection: sqlite3.Connection, n: int) -> None:
    """Write how far a command came, since its process has ended. Nothing changes if it has an answer."""
    update = "UPDATE command SET error = iif(begun IS NULL, ?, ?) WHERE n = ? AND done IS NULL AND error IS NULL"
    connection.execute(update, (NOT_BEGUN, NOT_ANSWERED, n))


def has_rows(connection: sqlite3.Connection) -> bool:
    """Return whether there is a row that the owner has not dealt with. O(log n)."""
    if connection.execute(_OPEN_COMMANDS, (0, 1)).fetchone() is not None:
        return True
    return connection.execute("SELECT 1 FROM submit LIMIT 1").fetchone() is not None


def open_commands(connection: sqlite3.Connection, after: int, limit: int) -> list[Command]:
    """Return the commands above a number that have not been carried out, in order."""
    return [Command(*values) for values in connection.execute(_OPEN_COMMANDS, (after, limit))]


def submitted_rows(connection: sqlite3.Connection, after: int, limit: int) -> list[SubmittedRow]:
    """Return the submitted events above a number, in order."""
    return [SubmittedRow(*values) for values in connection.execute(_SUBMITTED, (after, limit))]


def write_decisions(connection: sqlite3.Connection, done: Sequence[int], refused: Mapping[int, str]) -> None:
    """
    Write what came of submitted events.

    Args:
        connection: In a transaction.
        done: The numbers of the rows that are deleted.
        refused: Why others cannot become events, by their numbers.
    """
    for begin in range(0, len(done), LOOK_UPS):
        some = done[begin : begin + LOOK_UPS]
        connection.execute(f"DELETE FROM submit WHERE n IN ({','.join('?' * len(some))})", some)  # noqa: S608  marks only
    for n, error in refused.items():
        connection.execute("UPDATE submit SET error = ? WHERE n = ?", (error, n))


def write_answers(connection: sqlite3.Connection, answers: Mapping[int, Answer]) -> None:
    """Write what came of commands, by their numbers."""
    for n, answer in answers.items():
        connection.execute("UPDATE command SET done = ?, error = ? WHERE n = ?", (*answer, n))


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that is another one after each commit of another connection. Some microseconds."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
