"""
A process that has imported everything, and forks others, one at a time, to be killed.

The program to be forked calls :func:`serve`. The process that kills has a :class:`Forks` for this program.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

# What a program imports when it begins to run.
LATER = ("anyio._backends._asyncio", "anyio._backends._trio", "trio", "uvloop", "lionpride_exec._journal.store")

Main = Callable[[Sequence[str]], object]


def serve(main: Main) -> None:
    """
    Fork a process for each line of standard input, which has its arguments.

    When the process has ended by itself, write the line "ended". After the next line of standard input, kill the
    process and write its exit status. An ended process is killed too: until its status is read, no other process can
    get its number, so the signal cannot reach another one.

    Args:
        main: What the process does, with its arguments.
    """
    for name in LATER:
        with suppress(ModuleNotFoundError):
            import_module(name)
    for line in sys.stdin.buffer:
        alive, living = os.pipe()  # the process holds `living`, so `alive` is at its end when the process has ended
        child = os.fork()
        if not child:
            os.close(alive)
            complaints, arguments = json.loads(line)
            _become(main, arguments, Path(complaints))
        os.close(living)
        ready, _, _ = select.select([alive, sys.stdin.fileno()], [], [])
        if alive in ready:
            os.write(1, b"ended\n")
        os.close(alive)
        sys.stdin.buffer.readline()
        os.kill(child, signal.SIGKILL)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _become(main: Main, arguments: Sequence[str], complaints: Path) -> NoReturn:
    os.dup2(os.open(complaints, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    if shuffler := getattr(sys.modules.get("trio._core._run"), "_r", None):
        shuffler.seed()  # by which trio shuffles tasks: else it would do so in the same way in each process
    status = 1
    try:
        main(arguments)
        status = 0
    except BaseException:  # noqa: BLE001  as Python does at the end of a program
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class Forks:
    """
    The process that forks the others.

    Args:
        program: The file that calls :func:`serve`.
    """

    def __init__(self, program: Path) -> None:
        command = [sys.executable, "-W", "error", str(program)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603  ours
        atexit.register(self._end)

    def start(self, arguments: Sequence[object], complaints: Path) -> None:
        """Fork a process. What it writes to its standard error is in a file."""
        self._tell(json.dumps([str(complaints), [str(argument) for argument in arguments]]))

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Return whether the process has ended. Wait for that so many seconds."""
        assert self._server.stdout is not None
        return bool(select.select([self._server.stdout], [], [], seconds)[0])

    def end(self) -> int:
        """Kill the process unless it has ended. Return its exit status."""
        self._tell("end")
        assert self._server.stdout is not None
        told = self._server.stdout.readline()
        return int(self._server.stdout.readline() if told == b"ended\n" else told)

    def _tell(self, line: str) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(f"{line}\n".encode())

    def _end(self) -> None:
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()
