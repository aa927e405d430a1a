"""
Files that are open during ``fork()`` belong to the parent.

A child has copies of its parent's connections, with SQLite's state of another process. Closing such a copy may move the
log into the main file, or drop locks. So a child neither uses nor closes it, not even when the child ends.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


class Disowned(Protocol):
    """A resource of the parent, which a child made by ``fork()`` must not use."""

    def disown(self) -> None:
        """Called in the child. Must not wait, and must not take a lock."""


_watched: WeakSet[Disowned] = WeakSet()
_never_closed: list[sqlite3.Connection] = []


def watch_for_forks(one: Disowned) -> None:
    """Call ``disown()`` of a resource in each child."""
    _watched.add(one)


def keep_from_closing(connection: sqlite3.Connection) -> None:
    """Keep a connection from being closed in this process, also by the end of the interpreter."""
    _never_closed.append(connection)
    with suppress(ImportError):
        import ctypes  # noqa: PLC0415  needed in a child only

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def foreign_error(path: Path, pid: int) -> JournalError:
    """Return the error for a child that uses the journal of its parent."""
    return JournalError(
        f"{path} is open in process {pid}, and process {os.getpid()} was forked from it: a child cannot use the "
        "journal of its parent; make an executor with a journal of its own there, or start the child by spawn",
        retryable=False,
    )


def _disown_all() -> None:
    for one in tuple(_watched):
        one.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
