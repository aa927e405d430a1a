"""The lock of a journal: one owner at a time. The lock ends with its process, also when the process is killed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lionpride_exec.errors import JournalError, JournalLockedError

from .fork import watch_for_forks

try:
    import fcntl
except ImportError:  # Windows has no flock()
    fcntl = None  # type: ignore[assignment]  # checked before it is used


# The mode of a new journal: only its owner reads it.
PRIVATE = 0o600

# What the names of the files of a journal end with.
SUFFIXES = ("", "-wal", "-shm", "-lock")


class FileLock:
    """
    The lock of a journal, held from the constructor on.

    The lock is on a file beside the journal: closing any descriptor of the journal would drop the locks that SQLite has
    on it. A released lock leaves its file behind, because the next owner may have opened it already. The lock file has
    the mode of the journal; if there is no journal yet, only the owner can read it.

    A child made by ``fork()`` has copies of the descriptors, and would hold the lock after its parent has died. So the
    child closes its copy, which leaves the parent's lock as it is. Decision 56 says why this is not ``filelock``.

    Args:
        path: The journal.

    Raises:
        JournalLockedError: Another process, or another executor of this one, has the journal.
        JournalError: The lock file cannot be opened or locked, or the system has no ``flock()``.
    """

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None  # of the lock file; None once the lock is released
        if fcntl is None:
            raise JournalError("a journal needs flock(), which this system does not have")
        place = lock_path(path)
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
            raise JournalLockedError(
                f"{path} is in use by another executor{known}; only one at a time can have it"
            ) from exc
        except OSError as exc:
            self.release()
            raise JournalError(f"cannot lock {place}: {exc.strerror or exc}") from exc

    def release(self) -> None:
        """Release the lock. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def disown(self) -> None:
        """Close the child's copy of the descriptor. The parent keeps the lock."""
        self.release()


def owner_of(path: Path) -> str | None:
    """
    Return the number of the process that has a journal. None if nobody has; "?" if the number is not known.

    Raises:
        JournalError: The lock file cannot be opened.
    """
    if fcntl is None:  # no journal can be open
        return None
    place = lock_path(path)
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise JournalError(f"cannot open {place}: {exc.strerror or exc}") from exc
    try:
        # Shared: two processes that ask at the same time do not take each other for an owner.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(fd) or "?"
    finally:
        os.close(fd)
    return None


def lock_path(path: Path) -> Path:
    """Return the path of the lock file of a journal."""
    return Path(f"{path}-lock")


def is_part_of(journal: Path, path: str | os.PathLike[str]) -> bool:
    """Return whether a path is that of a journal, or of a file that stands beside it and belongs to it."""
    parts = (journal.with_name(journal.name + suffix) for suffix in SUFFIXES)
    return Path(path).exists() and any(part.exists() and part.samefile(path) for part in parts)


def _mode_beside(path: Path) -> int:
    """Return the mode for a file beside a journal."""
    try:
        return path.stat().st_mode & 0o666
    except OSError:
        return PRIVATE


def make_private(path: Path) -> None:
    """
    Create a journal, unless it exists, that only its owner can read. SQLite gives the files beside it the same mode.

    Raises:
        JournalError: The file cannot be created.
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
