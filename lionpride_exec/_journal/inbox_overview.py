"""What other processes have written for the owner of a journal, for a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from .envelope_tags import UNREADABLE, tag_of
from .schema import has_table

if TYPE_CHECKING:
    import sqlite3


@attrs.frozen
class StoredCommand:
    """
    What another process has asked of the process that runs the journal.

    Attributes:
        n: Its number.
        at: When it was written, seconds since 1970.
        what: The command.
        args: Its arguments. None if it has none, or they cannot be read.
        by: Who wrote it.
        done: What it has done. None if it has no answer, was refused, or the answer cannot be read.
        error: Why it was refused, or never answered.
    """

    n: int
    at: float
    what: str
    args: Any
    by: str | None
    done: Any
    error: str | None


@attrs.frozen
class RefusedSubmission:
    """
    An event that another process has submitted, and that no owner of the journal could take in.

    Attributes:
        n: Its number among the submitted events.
        at: When it was submitted, seconds since 1970.
        id: Its id, 16 bytes.
        tag: Its tag. None if it cannot be read.
        error: Why it was not taken in, in one line.
    """

    n: int
    at: float
    id: bytes
    tag: str | None
    error: str


def last_commands(connection: sqlite3.Connection, limit: int) -> tuple[StoredCommand, ...]:
    """Return the last commands of other processes, the newest first, without those that only ask."""
    if not has_table(connection, "command"):
        return ()
    rows = connection.execute(
        "SELECT n, at, what, args, by, done, error FROM command WHERE what != 'explain' ORDER BY n DESC LIMIT ?",
        (limit,),
    )
    return tuple(
        StoredCommand(n, at, what, _json(args), by, _json(done), error) for n, at, what, args, by, done, error in rows
    )


def count_submitted(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many submitted events wait, and how many could not be taken in."""
    if not has_table(connection, "submit"):
        return 0, 0
    total, refused = connection.execute("SELECT count(*), count(error) FROM submit").fetchone()
    return total - refused, refused


def first_refusals(connection: sqlite3.Connection, limit: int) -> tuple[RefusedSubmission, ...]:
    """Return the first submitted events that could not be taken in. The file has the table."""
    rows = connection.execute(
        "SELECT n, at, id, event, error FROM submit WHERE error IS NOT NULL ORDER BY n LIMIT ?", (limit,)
    )
    return tuple(RefusedSubmission(n, at, one, tag_of(event), str(error)) for n, at, one, event, error in rows)


def _json(text: Any) -> Any:
    try:
        return None if text is None else msgspec.json.decode(text)
    except UNREADABLE:
        return None
