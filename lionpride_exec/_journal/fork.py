"""
After ``fork()``: what the parent has open is not the child's.

A child has copies of its parent's connections. SQLite's own state in them is that of another process, and closing one
may bring the log into the main file, or drop locks. So a child neither uses such a connection nor closes it, not even
at its end.
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
    """Something that a child made by ``fork()`` has to let alone."""

    def disown(self) -> None:
        """Learn, in the child, that it belongs to the parent. Must not wait, nor take a lock."""


_everything: WeakSet[Disowned] = WeakSet()
_never_closed: list[sqlite3.Connection] = []


def watch_for_forks(one: Disowned) -> None:
    """Have something learn, in each child, that it belongs to the parent."""
    _everything.add(one)


def keep_from_closing(connection: sqlite3.Connection) -> None:
    """See to it that nothing ever closes a connection in this process, also not the end of the interpreter."""
    _never_closed.append(connection)
    with suppress(ImportError):
        import ctypes  # noqa: PLC0415  needed in a child only

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def foreign_error(path: Path, pid: int) -> JournalError:
    """Make the error for a child that uses what its parent has open."""
    return JournalError(
        f"{path} is open in process {pid}, and process {os.getpid()} was forked from it: a child cannot use the "
        "journal of its parent; make an executor with a journal of its own there, or start the child by spawn",
        retryable=False,
    )


def _disown_all() -> None:
    for one in tuple(_everything):
        one.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
