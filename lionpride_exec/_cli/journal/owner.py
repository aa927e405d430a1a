"""Ask the process that runs a journal to do something, and tell what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.streams import say
from lionpride_exec._cli.terminal import write_line
from lionpride_exec._journal.asking import SentCommand
from lionpride_exec._journal.file_lock import owner_of
from lionpride_exec._journal.reader import id_text

if TYPE_CHECKING:
    import msgspec

    from lionpride_exec._journal.command_forms import Result
    from lionpride_exec._journal.rows import Row


@attrs.frozen
class Owner:
    """
    The process that runs a journal.

    Attributes:
        path: The journal, without symbolic links: there is its lock.
        process: The number of the process. "?" if it is not known.
        seconds: For how long to wait for an answer.
    """

    path: Path
    process: str
    seconds: float

    def do(self, what: str, form: msgspec.Struct) -> Result | None:
        """
        Have the process do something, and write that it has the command. Return what it has done.

        None if it has not answered in time. A message has said so then, and whether the command was withdrawn.

        Args:
            what: The command.
            form: Its arguments.

        Raises:
            JournalError: The process refuses, takes no commands, or has ended; or the file cannot be read or written.
        """
        command = SentCommand(self.path, what, form, self.process)
        write_line(f"accepted: command {command.n}, for process {self.process}")
        sys.stdout.flush()
        result = command.wait(self.seconds)
        if command.is_withdrawn:
            say(
                f"process {self.process} has not begun within {self.seconds:g} s, so command {command.n} is withdrawn: "
                "nothing was done, nor will be. The process may be stopped, or its event loop blocked"
            )
        elif result is None:
            say(
                f"process {self.process} has not answered within {self.seconds:g} s; it is at work on command "
                f"{command.n}: lionpride-exec inspect shows what came of it"
            )
        return result


def find_owner(journal: str, seconds: float) -> Owner | None:
    """
    Return the process that runs a journal. None if nobody runs it.

    Args:
        journal: Path of the journal.
        seconds: For how long to wait for answers of the process.

    Raises:
        UsageError: The number of seconds is negative or not a number.
        JournalError: The lock of the journal cannot be read.
    """
    if not seconds >= 0:
        raise UsageError(f"--timeout must be 0 or more, got {seconds:g}")
    path = Path(journal).resolve()
    process = owner_of(path)
    return None if process is None else Owner(path, process, seconds)


def tell_others(result: Result, named: dict[str, Row]) -> None:
    """Write why events that were named are left as they are."""
    names = {id_text(row.id): name for name, row in named.items()}
    for event_id, why in result.others.items():
        say(f"event {names.get(event_id, event_id)} {why}")
