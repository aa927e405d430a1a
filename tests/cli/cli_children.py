"""The command in a process of its own, for the tests of the command line."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Timer

children = []

# As a user starts it: Python starts, and imports the command.
COLD = [sys.executable, "-W", "error", "-m", "lionpride_exec"]


@cache
def warm():
    """Return the words that run the command in a process that has imported it (see ``warm_server.py``)."""
    here = Path(__file__).parent
    directory = tempfile.mkdtemp(prefix="warm")
    address = str(Path(directory, "socket"))
    with Path(directory, "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603  our own
            [sys.executable, "-W", "error", here / "warm_server.py", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert server.stdout.readline() == b"ready\n", Path(directory, "log").read_text()
    owner = os.getpid()

    def end():
        """End the server, unless this is a forked process."""
        if os.getpid() == owner:
            with server:
                server.stdin.close()
            shutil.rmtree(directory)

    atexit.register(end)
    return [sys.executable, "-I", "-S", str(here / "warm_client.py"), address]


class Command(subprocess.Popen):
    """A process that runs the command for a client."""

    def kill(self):
        """Kill the command itself; its client tells how it has ended."""
        self.send_signal(signal.SIGUSR2)


def start(arguments, reading=None, env=None, program=None, **streams):
    """Start the command, in a forked process unless a program is named. A watchdog ends the command after a minute."""
    child = (Command if program is None else subprocess.Popen)(
        [*(program or warm()), *arguments],
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
