"""One owner at a time: a lock beside the file, which ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lionpride_exec.errors import JournalError, JournalLockedError

from .fork import watch_for_forks

try:
    import fcntl
except ImportError:  # Windows has no flock()
    fcntl = None  # type: ignore[assignment]  # looked at before it is used


# The mode of a new journal: its data is that of its owner.
PRIVATE = 0o600


class FileLock:
    """
    Holds the lock of a journal.

    A child made by ``fork()`` has its parent's descriptors, and would hold their locks beyond its parent's death; so it
    closes its copy of the descriptor, which leaves the lock of the parent as it is.

    Not on the file itself: closing any descriptor of a file drops the locks that SQLite has on it. The lock file stays
    when the lock is given back: to remove it would pull it away under the next owner. A new one has the mode of the
    journal; where there is no journal yet, only its owner can read it.

    Args:
        path: Of the journal.

    Raises:
        JournalLockedError: Somebody else holds it.
        JournalError: The lock file cannot be written, or the system has no such locks.
    """

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None
        if fcntl is None:
            raise JournalError("a journal needs flock(), which this system does not have")
        place = Path(f"{path}-lock")
        try:
            self._fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _mode_beside(path))
        except OSError as exc:
            raise JournalError(f"cannot open {place}: {exc.strerror or exc}") from exc
        watch_for_forks(self)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        except BlockingIOError as exc:
            owner = _read(self._fd)
            self.release()
            known = f" (process {owner})" if owner else ""
            raise JournalLockedError(f"{path} is in use by another executor{known}; one at a time can go on") from exc
        except OSError as exc:
            self.release()
            raise JournalError(f"cannot lock {place}: {exc.strerror or exc}") from exc

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def disown(self) -> None:
        """Close the copy of the descriptor that a child has; the parent keeps the lock."""
        self.release()


def _mode_beside(path: Path) -> int:
    """Return the mode of a file to be made beside a journal: that of the journal."""
    try:
        return path.stat().st_mode & 0o666
    except OSError:
        return PRIVATE


def make_private(path: Path) -> None:
    """
    Make the file of a journal, if there is none, readable by its owner only; what SQLite puts beside it is alike.

    Raises:
        JournalError: It cannot be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    except FileExistsError:
        pass
    except OSError as exc:
        raise JournalError(f"cannot open {path}: {exc.strerror or exc}") from exc


def _read(fd: int) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return os.pread(fd, 32, 0).decode()
    return ""
