"""Errors that may pass: another process has locked the file for some seconds, or the disk is full or failing."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, TypeVar

from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Seconds between two tries, and seconds for which to try.
RETRY_PAUSE = 1.0
PATIENCE = 30.0

# SQLite's codes: BUSY, LOCKED, NOMEM, IOERR, FULL, PROTOCOL.
_PASSING = frozenset({5, 6, 7, 10, 13, 15})

# Of these, those that pass once another process has finished: BUSY, LOCKED, PROTOCOL.
_BUSY = frozenset({5, 6, 15})


def is_passing(error: JournalError | None) -> bool:
    """Return whether the cause of an error may pass, so that another try may succeed."""
    return _code_of(error) in _PASSING


def is_busy(error: JournalError) -> bool:
    """Return whether the cause of an error is that another process uses the file just now."""
    return _code_of(error) in _BUSY


def _code_of(error: JournalError | None) -> int | None:
    """Return SQLite's code of the cause of an error. None if SQLite did not cause it."""
    cause = None if error is None else error.__cause__
    code = getattr(cause, "sqlite_errorcode", None) if isinstance(cause, sqlite3.Error) else None
    return None if code is None else code & 0xFF


def patiently(function: Callable[[], T]) -> T:
    """
    Return what a function returns. Call it again for some 30 s while its error may pass. Blocks.

    Raises:
        JournalError: The error of the last call, or an error that does not pass.
    """
    for _ in range(int(PATIENCE / RETRY_PAUSE)):
        try:
            return function()
        except JournalError as exc:
            if not is_passing(exc):
                raise
        time.sleep(RETRY_PAUSE)  # a command calls it, which has nothing else to do
    return function()
