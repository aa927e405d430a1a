"""
Reading a journal, also while another process writes it.

A reader never writes: SQLite's write-ahead log lets it read the last commit while others commit. Each question is
answered from one snapshot. The log cannot be cleared while a snapshot is held, so long reads are cut into pieces.

SQLite itself may leave an empty ``-wal`` and a ``-shm`` beside the file. Where it cannot make these files, as on a
read-only mount, a journal that was closed is read as a file that does not change.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias
from uuid import UUID

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec.errors import JournalError, NotFoundError

from .envelope_tags import tag_of
from .fork import foreign_error, keep_from_closing
from .meant_keys import event_keys_meant_by
from .overview import Overview, count_events, survey
from .rows import Row
from .schema import (
    COLUMNS,
    ID_HEAD,
    ID_HEAD_BYTES,
    KEY,
    LETTERS,
    check_file,
    connect,
    key_hash,
    stored_key,
    version_of,
)
from .trail_blocks import TrailBlocks

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence
    from types import TracebackType

# Rows, and bytes, that one snapshot reads; and rows that it passes over.
CHUNK = 500
CHUNK_BYTES = 4 << 20
STRIDE = 5000

# SQLite's codes where it cannot make or write the files beside the journal: READONLY, CANTOPEN.
CANNOT_WRITE = frozenset({8, 14})

# How many matches an error message names.
NAMED = 3

_HEX = re.compile(r"[0-9a-f]{4,32}")
_NUMBER = re.compile(r"#?([0-9]{1,18})")

_SELECT_ONE = f"SELECT {COLUMNS} FROM event WHERE seq = ?"  # noqa: S608  no value in it
_SELECT_ENTRIES = f"SELECT seq, id, {KEY}, status FROM event WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  likewise
_SELECT_STEPS = (
    "SELECT n, transition.seq, at, transition.status, transition.attempt, error, id, event "
    "FROM transition LEFT JOIN event ON event.seq = transition.seq "
)


# The number, the id, the key as JSON or None, and the status of an event. A plain tuple: a million of them are read.
Entry: TypeAlias = tuple[int, bytes, "str | None", str]


class Transition(NamedTuple):
    """A line of the audit trail. Id and tag are None if the event was deleted or cannot be read."""

    n: int
    seq: int
    at: float
    status: str
    attempt: int
    error: str | None
    id: bytes | None
    tag: str | None


class JournalReader:
    """
    Reads a journal, from :meth:`open` to :meth:`close`, or as a context manager. Blocks; for one thread at a time.

    Args:
        path: The file.

    Raises:
        JournalError: From any method: the file cannot be read, or is not open.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._blocks = TrailBlocks()
        self._is_immutable = False  # opened without files beside it: the log was empty
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        if self._connection is None:
            self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """
        Open the file.

        Raises:
            JournalError: There is no file, or it is a folder; it is not a journal, is of a newer version, or is
                damaged; or it has a log that cannot be read in this directory.
        """
        self._pid = os.getpid()
        if self.path.is_dir():
            raise JournalError(f"{self.path} is a folder, so it is not a journal")
        if not self.path.is_file():
            raise JournalError(f"{self.path}: there is no such file")
        with self._wrapped():
            try:
                version = self._connect(immutable=False)
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF not in CANNOT_WRITE:
                    raise
                if self._log_size():
                    raise JournalError(
                        f"{self.path} has a log, {self.path.name}-wal, which can be read only where files can be made "
                        f"beside it: copy both to a folder that can be written, and look there ({exc})"
                    ) from exc
                version = self._connect(immutable=True)
        if not version:
            self.close()
            raise JournalError(f"{self.path} is empty: it is not a journal yet")

    def _connect(self, *, immutable: bool) -> int:
        """Open the file, read-only or immutable; return its version."""
        self._is_immutable = immutable
        self._connection = connection = connect(self.path, read_only=True, immutable=immutable)
        try:
            return check_file(connection, self.path)
        except BaseException:
            self.close()
            raise

    def _log_size(self) -> int:
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close the file. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._pid == os.getpid():
            connection.close()
        else:
            keep_from_closing(connection)

    # ---------------------------------------------------------------- the whole run

    def counts(self) -> dict[str, int]:
        """Return the number of events by status, "held" included. O(number of open events)."""
        with self._snapshot() as connection:
            return count_events(connection)

    def overview(self, *, top: int = 5, now: float | None = None) -> Overview:
        """
        Return how the run goes.

        Reads the whole file in one snapshot, which takes a few seconds for a million events. Memory does not grow.

        Args:
            top: How many events and errors of each kind are named; 0 or more.
            now: Seconds since 1970. None for the time of the system's clock.
        """
        with self._snapshot() as connection:
            return survey(connection, self.path, wall_clock.seconds() if now is None else now, top)

    # ---------------------------------------------------------------- events

    def events(self, statuses: Collection[str] | None = None, tags: Collection[str] | None = None) -> Iterator[Row]:
        """
        Yield events in order of arrival, up to the last one that is there at the call.

        They are read in pieces, each from its own snapshot, so memory and the write-ahead log stay bounded.
        O(number of events in the file).

        Args:
            statuses: The statuses of the events, "held" included. None for all.
            tags: The tags of their classes. None for all. Otherwise events without a readable tag are left out.
        """
        after, last = 0, self._ask_number("SELECT max(seq) FROM event")
        while after < last:
            after, rows = self._piece(after, last, statuses)
            yield from (row for row in rows if tags is None or tag_of(row.event) in tags)

    def _piece(self, after: int, last: int, statuses: Collection[str] | None) -> tuple[int, list[Row]]:
        """Return the number up to which all rows have been read, and up to CHUNK of them."""
        chosen = () if statuses is None else tuple(statuses)
        condition = "" if statuses is None else f"AND status IN ({','.join('?' * len(chosen))})"
        select = f"SELECT {COLUMNS} FROM event WHERE seq > ? AND seq <= ? {condition} ORDER BY seq LIMIT ?"  # noqa: S608  no value in it
        rows: list[Row] = []
        size = 0
        with self._snapshot() as connection:
            upto = _stride(connection, after, last)
            for values in connection.execute(select, (after, upto, *chosen, CHUNK)):
                rows.append(Row(*values))
                size += sum(len(value) for value in values if isinstance(value, bytes | str))
                if size > CHUNK_BYTES or len(rows) == CHUNK:
                    return rows[-1].seq, rows
        return upto, rows

    def entries(self, after: int, limit: int) -> list[Entry]:
        """
        Return number, id, key and status of the events behind a number, in order of arrival. O(limit).

        Args:
            after: The number; 0 for the beginning.
            limit: How many events to return at most, 1 or more.
        """
        with self._snapshot() as connection:
            return connection.execute(_SELECT_ENTRIES, (after, limit)).fetchall()

    def rows(self, seqs: Collection[int]) -> list[Row]:
        """Return the events with these numbers, at most some hundred, in order of arrival."""
        select = f"SELECT {COLUMNS} FROM event WHERE seq IN ({','.join('?' * len(seqs))}) ORDER BY seq"  # noqa: S608  no value in it
        with self._snapshot() as connection:
            return [Row(*values) for values in connection.execute(select, tuple(seqs))]

    def find(self, text: str) -> Row:
        """
        Return the event that a text means.

        Args:
            text: The number of the event (``17``, ``#17``), its id, its key (a text, or the key as JSON), the id of the
                line that the command has made it of (``run --id``), or the first 4 or more hexadecimal digits of its
                id. Finding an id takes 60 ms for a million events.

        Raises:
            NotFoundError: No event matches, or more than one.
        """
        with self._snapshot() as connection:
            seqs = _exact(connection, text) or _by_prefix(connection, text)
            if len(seqs) != 1:
                raise NotFoundError(_mismatch(connection, text, sorted(seqs)))
            return Row(*connection.execute(_SELECT_ONE, (*seqs,)).fetchone())

    def of_ids(self, ids: Sequence[bytes]) -> list[Row]:
        """Return the events with some ids, at most some hundred, in no order. 60 ms for a million events."""
        marks = ", ".join("?" * len(ids))
        with self._snapshot() as connection:
            found = connection.execute(f"SELECT {COLUMNS} FROM event WHERE id IN ({marks})", ids)  # noqa: S608  marks
            return [Row(*row) for row in found] if ids else []

    # ---------------------------------------------------------------- transitions

    def history(self, seq: int) -> list[Transition]:
        """
        Return the transitions of the event with a number, oldest first.

        The first call costs O(transitions), 150 ms for three million. Later calls cost O(new transitions), and a
        millisecond or two where events have run about in their order.
        """
        of_event = "WHERE transition.seq = ? AND n > ? AND n <= ? ORDER BY n"
        with self._snapshot() as connection:
            pieces = self._blocks.pieces(connection, seq)
            return [step for piece in pieces for step in _steps_of(connection, of_event, seq, *piece)]

    def transitions(self, after_n: int = 0, limit: int = 1000) -> list[Transition]:
        """Return up to ``limit`` transitions above a number, oldest first. O(limit)."""
        return self._steps("WHERE n > ? ORDER BY n LIMIT ?", after_n, limit)

    def last_transitions(self, count: int) -> list[Transition]:
        """Return the last ``count`` transitions, oldest first. O(count)."""
        return self._steps("ORDER BY n DESC LIMIT ?", count)[::-1]

    def last_n(self) -> int:
        """Return the number of the last transition. 0 if there is none. O(1)."""
        return self._ask_number("SELECT max(n) FROM transition")

    def _steps(self, condition: str, *values: int) -> list[Transition]:
        with self._snapshot() as connection:
            return _steps_of(connection, condition, *values)

    # ---------------------------------------------------------------- inside

    def _ask_number(self, query: str) -> int:
        with self._snapshot() as connection:
            found: int | None = connection.execute(query).fetchone()[0]
            return found or 0

    @contextmanager
    def _snapshot(self) -> Generator[sqlite3.Connection]:
        """Read everything inside from one snapshot."""
        connection = self._connection
        if connection is None:
            raise JournalError(f"{self.path} is not open")
        if self._pid != os.getpid():
            raise foreign_error(self.path, self._pid)
        with self._wrapped():
            if self._is_immutable and self._log_size():
                raise JournalError(f"{self.path} has been opened by a run since; look again from the beginning")
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _wrapped(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise JournalError(f"{self.path} cannot be read: {exc}") from exc


def id_text(event_id: Any) -> str:
    """Return an id from the file as text, also if it is not a UUID."""
    if isinstance(event_id, bytes):
        return str(UUID(bytes=event_id)) if len(event_id) == 16 else event_id.hex()  # noqa: PLR2004  bytes of a UUID
    return str(event_id)


def _steps_of(connection: sqlite3.Connection, condition: str, *values: int) -> list[Transition]:
    rows = connection.execute(_SELECT_STEPS + condition, values)
    return [
        Transition(n, seq, at, LETTERS.get(word, word), attempt, error, of, None if event is None else tag_of(event))
        for n, seq, at, word, attempt, error, of, event in rows
    ]


def _stride(connection: sqlite3.Connection, after: int, last: int) -> int:
    """Return a number above ``after`` by at most STRIDE rows, so that a filter that finds little does not read long."""
    found: int | None = connection.execute(
        "SELECT max(seq) FROM (SELECT seq FROM event WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?)",
        (after, last, STRIDE),
    ).fetchone()[0]
    return last if found is None else found


def _exact(connection: sqlite3.Connection, text: str) -> set[int]:
    """Return the numbers of the events whose number, key, or id of a line is this text."""
    seqs: set[int] = set()
    if number := _NUMBER.fullmatch(text):
        seqs.update(_column(connection, "SELECT seq FROM event WHERE seq = ?", int(number[1])))
        if seqs and text.startswith("#"):  # by this it can always be named, also if another event has such a key
            return seqs
    for key in event_keys_meant_by(text):
        if version_of(connection) == 1:
            seqs.update(_column(connection, "SELECT seq FROM event WHERE key = ?", key))
        else:
            seqs.update(
                _column(
                    connection, "SELECT seq FROM event WHERE key = ? AND key_hash = ?", stored_key(key), key_hash(key)
                )
            )
    return seqs


def _by_prefix(connection: sqlite3.Connection, text: str) -> set[int]:
    digits = text.replace("-", "").lower()
    if not _HEX.fullmatch(digits):
        return set()
    first, last = (bytes.fromhex(digits.ljust(32, fill)) for fill in "0f")
    query = "SELECT seq FROM event INDEXED BY event_id WHERE id BETWEEN ? AND ? LIMIT ?"
    if version_of(connection) == 1:
        return set(_column(connection, query, first, last, NAMED + 1))
    # The index has the beginning of each id.
    query = query.replace("WHERE", f"WHERE {ID_HEAD} BETWEEN ? AND ? AND")
    heads = first[:ID_HEAD_BYTES], last[:ID_HEAD_BYTES]
    return set(_column(connection, query, *heads, first, last, NAMED + 1))


def _column(connection: sqlite3.Connection, query: str, *values: object) -> list[int]:
    return [seq for (seq,) in connection.execute(query, values)]


def _mismatch(connection: sqlite3.Connection, text: str, seqs: list[int]) -> str:
    if not seqs:
        return (
            f"no event has the number, id or key {text!r}, or an id that begins so (4 hexadecimal digits or more), "
            "and no line has this id"
        )
    select = f"SELECT id, {KEY} FROM event WHERE seq = ?"  # noqa: S608  no value in it
    rows = ((seq, *connection.execute(select, (seq,)).fetchone()) for seq in seqs[:NAMED])
    named = ", ".join(f"#{seq} {id_text(one)}{'' if key is None else f' with the key {key}'}" for seq, one, key in rows)
    others = " and others" if len(seqs) > NAMED else ""
    return f"{text!r} means more than one event: {named}{others}; an event is named by its number, such as #{seqs[0]}"
