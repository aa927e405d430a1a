"""The command in a process of its own, for the tests of the command line."""

import os
import subprocess
import sys
from contextlib import contextmanager
from threading import Timer

children = []
COMMAND = [sys.executable, "-W", "error", "-m", "lionpride_exec"]


def start(arguments, reading=None, env=None, program=COMMAND, **streams):
    """Start the command. A watchdog ends it after a minute."""
    child = subprocess.Popen(  # noqa: S603  our own
        [*program, *arguments],
        stdin=streams.pop("stdin", subprocess.DEVNULL),
        stdout=streams.pop("stdout", subprocess.PIPE),
        stderr=streams.pop("stderr", subprocess.PIPE),
        env=os.environ | {"GATE": str(reading)} | (env or {}),
        pass_fds=[] if reading is None else [reading],
        **streams,
    )
    watchdog = Timer(60, child.kill)  # a test that waits for its output then sees the end of it
    watchdog.daemon = True
    watchdog.start()
    children.append((child, watchdog))
    return child


def end_children():
    """End the processes that a test has left running."""
    while children:
        child, watchdog = children.pop()
        watchdog.cancel()
        with child:  # closes its pipes, and waits
            child.kill()


@contextmanager
def gate():
    """Yield the reading end of a pipe, and a function that writes a byte into it."""
    reading, writing = os.pipe()
    try:
        yield reading, lambda: os.write(writing, b"x")
    finally:
        os.close(reading)
        os.close(writing)


def read_until(stream, text):
    """Read lines until one has the text. Return all that was read."""
    seen = b""
    while text not in seen:
        line = stream.readline()
        assert line, seen
        seen += line
    return seen
