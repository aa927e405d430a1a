"""Ask the process that runs a journal to do something, and wait for its answer. Blocks."""

from __future__ import annotations

import getpass
import os
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec.errors import JournalError

from .command_forms import encode_form, read_result
from .file_lock import owner_of
from .inbox import add_command, delete_answered, give_up, read_answer, withdraw
from .schema import check_file, connect, has_table

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    import msgspec

    from .command_forms import Result
    from .rows import Answer

# Seconds between two looks for the answer, and between two looks whether the process is still there.
PAUSE: Final = 0.05
LOOK_FOR_OWNER: Final = 0.5

# Seconds for which a command waits until it can be written, since others write too.
WRITE_PATIENCE: Final = 5.0


class SentCommand:
    """
    A command that was written into the file of a journal.

    Args:
        path: The journal.
        what: The command.
        form: Its arguments.
        owner: The number of the process that runs the journal.

    Attributes:
        n: The number of the command.
        is_withdrawn: Whether the command was withdrawn, since the process had not begun in time.

    Raises:
        JournalError: The file cannot be read or written, or the process takes no commands. Nothing has changed.
    """

    def __init__(self, path: Path, what: str, form: msgspec.Struct, owner: str) -> None:
        self._path = path
        self._owner = owner
        args = None if (text := encode_form(form)) == "{}" else text
        with self._opened() as connection:
            check_file(connection, path)
            if not has_table(connection, "command"):
                raise JournalError(
                    f"process {owner}, which runs {path}, has an older lionpride_exec, which takes no commands"
                )
            self.n: Final = add_command(connection, wall_clock.seconds(), what, args, _asker())
            self.is_withdrawn: bool = False

    def wait(self, seconds: float) -> Result | None:
        """
        Return what the process has done. None if it has not answered in time.

        A command that the process has not begun by then is withdrawn: nobody carries it out any more. An exception that
        interrupts this call, such as ``KeyboardInterrupt``, withdraws the command too.

        Args:
            seconds: How long to wait, 0 or more.

        Raises:
            JournalError: The process has refused, or has ended before it answered; or the file cannot be read.
        """
        with self._opened() as connection:
            try:
                answer = self._wait(connection, seconds)
                if answer is None and not self._withdraw(connection):
                    answer = read_answer(connection, self.n)  # it may have come at the last moment
            except BaseException:
                self._withdraw(connection)
                raise
        return self._result(answer)

    def poll(self, seconds: float = 0.0) -> Result | None:
        """
        Return what the process has done. None if it has not answered in time: the command stays.

        Args:
            seconds: How long to wait, 0 or more.

        Raises:
            JournalError: The process has refused, or has ended before it answered; or the file cannot be read.
        """
        with self._opened() as connection:
            return self._result(self._wait(connection, seconds))

    def forget(self) -> None:
        """
        Take the command out of the file: it only asked, and a file that is watched for days must not grow.

        A command that the process is carrying out stays, and so does one that cannot be deleted now.
        """
        with suppress(JournalError), self._opened() as connection:
            withdraw(connection, self.n)
            delete_answered(connection, self.n)

    def _result(self, answer: Answer | None) -> Result | None:
        if answer is None:
            return None
        if answer.done is None:
            raise JournalError(f"process {self._owner}, which runs {self._path}: {answer.error}")
        return read_result(answer.done)

    def _withdraw(self, connection: sqlite3.Connection) -> bool:
        """Withdraw the command. Return False if the process has begun, or the file cannot be written."""
        try:
            self.is_withdrawn = withdraw(connection, self.n)
        except sqlite3.Error:
            return False
        return self.is_withdrawn

    def _wait(self, connection: sqlite3.Connection, seconds: float) -> Answer | None:
        began = looked = time.monotonic()
        while (answer := read_answer(connection, self.n)) is None and time.monotonic() < began + seconds:
            time.sleep(min(PAUSE, max(began + seconds - time.monotonic(), 0)))  # a command waits here, and nobody else
            if time.monotonic() > looked + LOOK_FOR_OWNER:
                looked = time.monotonic()
                if owner_of(self._path) is None:
                    give_up(connection, self.n)  # unless it has answered with its last commit
        return answer

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        try:
            with closing(connect(self._path)) as connection:
                connection.execute(f"PRAGMA busy_timeout = {1000 * WRITE_PATIENCE:.0f}")
                yield connection
        except sqlite3.Error as exc:
            raise JournalError(f"process {self._owner} cannot be asked by {self._path}: {exc}") from exc


def _asker() -> str:
    """Return the words for who asks: the user, and the number of this process."""
    process = f"process {os.getpid()}"
    try:
        return f"{getpass.getuser()}, {process}"
    except (KeyError, OSError):  # a user without a name
        return process
