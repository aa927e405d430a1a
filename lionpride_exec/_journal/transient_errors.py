"""Trouble that passes: a file that another process has locked for some seconds, a full disk, a failing one."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, TypeVar

from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Seconds after which something that failed is tried again, and for which it is tried.
RETRY_PAUSE = 1.0
PATIENCE = 30.0

# SQLite's codes: BUSY, LOCKED, NOMEM, IOERR, FULL, PROTOCOL.
_PASSING = frozenset({5, 6, 7, 10, 13, 15})


def is_passing(error: JournalError | None) -> bool:
    """Whether an error may be over in a moment, so that trying again is worth it."""
    cause = None if error is None else error.__cause__
    code = getattr(cause, "sqlite_errorcode", None) if isinstance(cause, sqlite3.Error) else None
    return code is not None and code & 0xFF in _PASSING


def patiently(function: Callable[[], T], sleep: Callable[[float], object] = time.sleep) -> T:
    """
    Return what a function returns; call it again, for some 30 s, while it meets trouble that passes. Blocks.

    Raises:
        JournalError: What it raises then, or trouble that does not pass.
    """
    for _ in range(int(PATIENCE / RETRY_PAUSE)):
        try:
            return function()
        except JournalError as exc:
            if not is_passing(exc):
                raise
        sleep(RETRY_PAUSE)
    return function()
