"""
The first moments of the command, before the rest of the package is imported.

Two things cannot wait for the imports, which take some tenths of a second. A Ctrl-C during them would print a traceback
of ours. And a standard stream that was closed by the shell (``2>&-``) leaves a free file descriptor, which the next
file that is opened would get: results would then be written where messages go.

Both are done only if this process is the command. In any other program an import changes nothing. This module imports
only what Python has loaded by now, or nearly so.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

INTERRUPTED = 130

# How each standard stream is opened if it is closed: so that using it fails, but for standard error, which is optional.
_CLOSED_AS = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}

# The standard streams that were closed when the process began.
closed: set[int] = set()


def is_command(argv: list[str], started_as: list[str]) -> bool:
    """Whether this process is ``lionpride-exec`` or ``python -m lionpride_exec``."""
    program = argv[0] if argv else ""
    if program == "-m":  # Python has not found the module yet; it imports the package first
        flags = (place for place, word in enumerate(started_as) if word.startswith("-") and word.endswith("m"))
        module = next(flags, len(started_as)) + 1
        return started_as[module : module + 1] == ["lionpride_exec"]
    is_program = os.path.basename(program).removesuffix(".exe") == "lionpride-exec"  # noqa: PTH119  pathlib is slow
    # A process that multiprocessing spawns has the sys.argv of its parent, and was started with other words. Its
    # forkserver is started with `-c`, and since Python 3.14 with all words of its parent after that.
    return is_program and program in started_as and not any(map(_gives_code, started_as[: started_as.index(program)]))


def _gives_code(word: str) -> bool:
    """Whether a word in front of the program is ``-c``, perhaps after other flags: ``-Bc``. ``-Xname=c`` is not."""
    return word.startswith("-") and word.endswith("c") and not {"-", "W", "X"}.intersection(word[1:])


def occupy_closed_streams() -> None:
    """Open the standard streams that are closed, so that no other file gets their file descriptors. Idempotent."""
    for fd, flags in _CLOSED_AS.items():
        try:
            os.fstat(fd)
        except OSError:
            closed.add(fd)
            other = os.open(os.devnull, flags)
            if other != fd:
                os.dup2(other, fd)
                os.close(other)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  a file descriptor, for good
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115  likewise


def leave_at_interrupt() -> None:
    """Have a Ctrl-C end the process at once, with nothing printed; there is nothing yet, or nothing more, to lose."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as under nohup
        signal.signal(signal.SIGINT, _leave)


def raise_at_interrupt() -> None:
    """Have a Ctrl-C raise ``KeyboardInterrupt`` again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: object) -> None:
    os._exit(INTERRUPTED)


if is_command(sys.argv, sys.orig_argv):
    gc.disable()  # until everything is imported, since imports leave no garbage; __main__ switches it on again
    occupy_closed_streams()
    leave_at_interrupt()
