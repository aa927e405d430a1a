"""Changes to a journal that no executor has open. They block, and each is made as a whole or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lionpride_exec._base.sentinel import Unset
from lionpride_exec.errors import JournalError

from .codec import encode_key
from .file_lock import FileLock
from .outcome_codec import encode_outcome, one_line
from .rows import OfflineEnd
from .schema import KEY, check_file, connect, key_hash, migrate, stored_key
from .skipped_after import count_skipped_after
from .store import Store, transaction
from .transient_errors import patiently

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Generator

    from lionpride_exec._status import EventStatus
    from lionpride_exec.errors import LionprideError

ROWS = 1000  # that are changed at once

_SELECT = f"SELECT seq, id, {KEY}, event FROM event WHERE seq > ? AND {KEY} GLOB ? ORDER BY seq LIMIT ?"  # noqa: S608  no value in it


class Requeued(NamedTuple):
    """
    What became of events that were put back.

    Attributes:
        events: How many are pending again.
        skipped_after: How many others are SKIPPED and come after one of them, or after another one of these.
    """

    events: int
    skipped_after: int


def requeue_ended(path: str | os.PathLike[str], statuses: Collection[str], seqs: Collection[int] | None) -> Requeued:
    """
    Have events be pending again. O(number of events in the file, or of ``seqs`` and of skipped events).

    Args:
        path: Path of the file. A file that does not exist is made.
        statuses: Only events with one of these statuses, "held" included.
        seqs: Only events with one of these numbers. None for all.

    Raises:
        JournalLockedError: An executor has the journal.
        JournalError: The journal cannot be read or written.
    """
    with _opened(path) as store:
        changed = patiently(lambda: store.requeue(tuple(statuses), None if seqs is None else frozenset(seqs)))
    try:
        with closing(connect(Path(path))) as connection:
            return Requeued(len(changed), count_skipped_after(connection, changed))
    except sqlite3.Error as exc:
        raise JournalError(f"{path}: {exc}") from exc


def end_open(
    path: str | os.PathLike[str],
    statuses: Collection[str],
    seqs: Collection[int] | None,
    status: EventStatus,
    error: LionprideError,
    *,
    unless_begun: bool = False,
) -> int:
    """
    End events that have not ended. Return their number. O(number of events in the file, or of ``seqs``).

    The next executor skips the events that come after them.

    Args:
        path: Path of the file. A file that does not exist is made.
        statuses: Only events with one of these statuses, "held" included; no final ones.
        seqs: Only events with one of these numbers. None for all.
        status: The final status.
        error: The error that the events get.
        unless_begun: Whether events that have begun are left as they are.

    Raises:
        JournalLockedError: An executor has the journal.
        JournalError: The journal cannot be read or written.
    """
    end = OfflineEnd(status.value, encode_outcome(status, None, error, Unset), one_line(error), unless_begun)
    with _opened(path) as store:
        had = patiently(lambda: store.end_offline(tuple(statuses), None if seqs is None else frozenset(seqs), end))
    return had.total()


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Generator[Store]:
    store = Store(Path(path).resolve())  # an executor has its lock there
    patiently(store.open)
    try:
        yield store
    finally:
        store.close()


def change_keys(path: Path, prefix: str, key_of: Callable[[bytes, str, bytes], str]) -> None:
    """
    Give new keys to the events whose key is a text with a prefix. O(number of events in the file).

    Args:
        path: Path of the file.
        prefix: The prefix, without the characters ``*``, ``?`` and ``[``.
        key_of: Called with the id, the key as JSON and the stored form of an event. Returns the new key.

    Raises:
        JournalLockedError: An executor has the journal.
        JournalError: The journal cannot be read or written.
        BaseException: What ``key_of`` raises. No key has changed.
    """
    owner = FileLock(path)
    try:
        with closing(connect(path)) as connection:
            migrate(connection, check_file(connection, path))
            _change_keys(connection, f'"{prefix}*', key_of)
    except sqlite3.Error as exc:
        raise JournalError(f"{path}: {exc}") from exc
    finally:
        owner.release()


def _change_keys(connection: sqlite3.Connection, pattern: str, key_of: Callable[[bytes, str, bytes], str]) -> None:
    seq = 0
    with transaction(connection):
        while rows := connection.execute(_SELECT, (seq, pattern, ROWS)).fetchall():
            for seq, event_id, key, event in rows:
                new = encode_key(key_of(event_id, key, event))
                changed = stored_key(new), key_hash(new), seq
                connection.execute("UPDATE event SET key = ?, key_hash = ? WHERE seq = ?", changed)
