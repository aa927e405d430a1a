"""
A process that has imported the command, and forks for each run of the command.

    python -W error warm_server.py SOCKET

Python needs some tenths of a second to start and to import the command, and the tests start the command hundreds of
times. A forked process has imported everything. The rest is as in a process that Python has started: the arguments, the
environment, the directory, the streams (``None`` if closed), the signals, ``__main__`` and the end of the interpreter.

The server says on its standard output when it is ready, and ends at the end of its standard input.
"""

import fcntl
import gc
import importlib
import io
import marshal
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

WORDS = ["-W", "error", "-m", "lionpride_exec"]

# The libraries that the command imports when it runs.
LIBRARIES = "anyio._backends._asyncio", "anyio._backends._trio", "uvloop", "rich.progress", "sqlite3", "msgspec"

# What the command imports for a .parquet only. These import pyarrow, which starts a thread, and a process with threads
# must not fork. Python warns of it. As an error, this warning leaves os.fork() of Python 3.15 after the child is made.
START_THREADS = "arrow_values.py", "parquet.py"

# What Python reads when it starts. If the command is to have other values, Python itself has to start it.
READ_AT_START = (b"PYTHON", b"LC_", b"LANG", b"TZ")

# File descriptors from here on are used in the moment before a process becomes the command only.
ASIDE, MOST_FILES = 500, 64


def import_command():
    """Import what the command imports, as the command does."""
    sys.argv, sys.orig_argv = ["-m"], [sys.executable, *WORDS]
    package = importlib.import_module("lionpride_exec")
    for name in LIBRARIES:
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
    (folder,) = map(Path, package.__path__)
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        if parts[1] not in {"testing", "__main__"} and path.name not in START_THREADS:
            importlib.import_module(".".join(parts).removesuffix(".__init__"))


def read_at_start(environment):
    """Return what Python reads of an environment when it starts."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}


def receive(client):
    """Return what a client wants, and the file descriptors that it has sent."""
    size, files, _, _ = socket.recv_fds(client, 8, MOST_FILES)
    data = b""
    while len(data) < int.from_bytes(size, "little"):
        data += client.recv(1 << 20)
    return marshal.loads(data), files  # noqa: S302  from a test


def send(client, number):
    """Send a number to a client, unless the client has gone."""
    with suppress(OSError):
        client.sendall(number.to_bytes(8, "little", signed=True))


class Server:
    """
    Forks a process for each client.

    Args:
        address: Of the socket.
    """

    def __init__(self, address):
        self._environment = read_at_start(os.environb)
        self._coding = [(stream.encoding, stream.errors) for stream in (sys.stdin, sys.stdout, sys.stderr)]
        self._clients = {}  # by the process that runs the command of the client
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen(64)
        self._ended, self._ending = socket.socketpair()
        self._ending.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._ending.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        for file in (0, self._listener, self._ended):
            self._selector.register(file, selectors.EVENT_READ)

    def serve(self):
        """Serve until standard input ends. In a forked process, return the arguments of its command; else None."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    for child in self._clients:
                        os.kill(child, signal.SIGKILL)
                    return None
                if key.fileobj is self._ended:
                    self._ended.recv(4096)
                    self._tell_ends()
                elif key.fileobj is not self._listener:
                    self._kill_of(key.fileobj)
                elif (arguments := self._fork()) is not None:
                    return arguments

    def _fork(self):
        client, _ = self._listener.accept()
        (arguments, environment, directory, numbers), files = receive(client)
        assert read_at_start(environment) == self._environment, "Python itself has to start a command with these"
        child = os.fork()
        if not child:
            client.close()
            self._become(environment, directory, dict(zip(numbers, files, strict=True)))
            return arguments
        for file in files:
            os.close(file)
        self._clients[child] = client
        self._selector.register(client, selectors.EVENT_READ)
        send(client, child)
        return None

    def _tell_ends(self):
        """Tell the clients whose commands have ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                client = self._clients.pop(ended[0])
                self._selector.unregister(client)
                send(client, os.waitstatus_to_exitcode(ended[1]))
                client.close()

    def _kill_of(self, client):
        """Kill the command of a client that has gone."""
        child = next(child for child, other in self._clients.items() if other is client)
        self._selector.unregister(client)
        os.kill(child, signal.SIGKILL)

    def _become(self, environment, directory, files):
        """Make this process what Python would have made it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (self._selector, self._listener, self._ended, self._ending, *self._clients.values()):
            one.close()
        aside = {number: fcntl.fcntl(file, fcntl.F_DUPFD, ASIDE) for number, file in files.items()}
        os.closerange(0, ASIDE)
        for number, file in aside.items():
            os.dup2(file, number)
        os.closerange(ASIDE, ASIDE + MOST_FILES)
        os.environb.clear()
        os.environb.update(environment)
        os.chdir(directory)
        sys.path[0] = os.fsdecode(directory)
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            opened = open_stream(number, name, *self._coding[number]) if number in files else None
            setattr(sys, name, opened)
            setattr(sys, f"__{name}__", opened)


def open_stream(number, name, encoding, errors):
    """Open a standard stream as Python does."""
    buffer = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115  for good
    buffer.raw.name = f"<{name}>"
    is_by_line = number == 2 or buffer.raw.isatty()
    return io.TextIOWrapper(buffer, encoding, errors, newline="\n", line_buffering=is_by_line)


def main():
    """Be the server, or, in a forked process, the command."""
    address = sys.argv[1]
    import_command()
    gc.collect()
    gc.freeze()
    server = Server(address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    arguments = server.serve()
    if arguments is not None:
        sys.orig_argv = [sys.executable, *WORDS, *arguments]
        sys.argv = ["-m", *arguments]
        runpy.run_module("lionpride_exec", run_name="__main__", alter_sys=True)


main()
