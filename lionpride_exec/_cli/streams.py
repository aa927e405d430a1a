"""
Write to standard output and standard error, which may be closed or full, or whose reader may have gone away.

If a message cannot be written, no error is raised: the exit status tells what happened. Nothing here needs an extra.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lionpride_exec._base.wording import visible

if TYPE_CHECKING:
    from collections.abc import Generator

STDIN, STDOUT, STDERR = 0, 1, 2


def say(text: str) -> None:
    """Write a message as one line on standard error, with the name of the program."""
    with writing_messages():
        sys.stderr.write(f"lionpride-exec: {visible(text)}\n")
        sys.stderr.flush()


def say_block(title: str, text: str) -> None:
    """Write a message to standard error, and the lines of a text below it."""
    say(title)
    with writing_messages():
        sys.stderr.writelines(f"  {visible(line.expandtabs(4))}\n" for line in text.splitlines())
        sys.stderr.flush()


@contextmanager
def writing_messages() -> Generator[None]:
    """Inside the block, write to standard error. If a write fails, later ones of the process are dropped."""
    try:
        yield
    except (OSError, ValueError):  # ValueError: the target has closed sys.stderr
        drop(STDERR)


def finish_output(status: int) -> int:
    """
    Flush standard output at the end of a command; return the exit status.

    Args:
        status: The exit status so far. 0 becomes 1 if standard output cannot be written.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as exc:
        tell_of_lost_output(exc)
        return status or 1
    return status


def tell_of_lost_output(exc: OSError | ValueError) -> None:
    """Write that standard output cannot be written. Write nothing if its reader has gone away."""
    drop(STDOUT)
    if not isinstance(exc, BrokenPipeError):
        say(f"cannot write standard output: {getattr(exc, 'strerror', None) or exc}")


def drop(fd: int) -> None:
    """Redirect a stream to the null device. Otherwise the last flush of the interpreter would fail too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)
