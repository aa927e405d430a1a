"""
A process that writes a journal, with and without three streams of a dashboard in another process.

As a program: ``_watched.py PATH BACKEND N`` opens the journal, waits for a line, runs n events that do nothing, and
prints how long that took, and its CPU time.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

import anyio
from _processes import COMMAND, ENVIRONMENT, Taken

from lionpride_exec import Event, Executor, Journal

STREAMS: Final = ("overview", "events", "timeline")


class Job(Event[None], tag="bench.watched"):
    """Does nothing."""

    name: str = ""

    async def _invoke(self) -> None:
        pass


async def write(path: Path, n: int) -> None:
    """Run n events with a journal, and print the seconds of the clock and of the CPU."""
    async with Executor.of(Job, journal=Journal(path), queue_capacity=10_000, capacity_refresh_time=0.01) as executor:
        print("open", flush=True)
        sys.stdin.readline()
        began, cpu = time.perf_counter(), time.process_time()
        for first in range(0, n, 500):
            names = (f"https://example.org/items/{number}" for number in range(first, first + 500))
            await executor.extend([Job(name=name) for name in names])
        await executor.join()
        print(time.perf_counter() - began, time.process_time() - cpu, flush=True)


def taken(directory: Path, backend: str, n: int, *, is_watched: bool) -> Taken:
    """Return what a process takes to write a journal of n events, while nobody or three streams watch it."""
    journal = directory / f"{backend}-{is_watched}.db"
    for old in directory.glob(f"{journal.name}*"):
        old.unlink()
    command = [sys.executable, __file__, str(journal), backend, str(n)]
    with subprocess.Popen(  # noqa: S603  our own program
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        if writer.stdout.readline() != "open\n":
            raise RuntimeError("the journal was not opened")
        if is_watched:
            with watching(journal) as messages:
                line = _told(writer)
            if len(messages) < 2 * len(STREAMS):
                raise RuntimeError(f"the streams have sent only {len(messages)} messages")
        else:
            line = _told(writer)
    return Taken(*map(float, line.split()))


def _told(writer: "subprocess.Popen[str]") -> str:
    """Let the writer begin, and return what it prints at its end."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("\n")
    writer.stdin.flush()
    return writer.stdout.readline()


@contextmanager
def watching(journal: Path) -> Iterator[list[int]]:
    """Inside the block, three streams of a dashboard in another process show a journal. Yield their messages' sizes."""
    command = [COMMAND, "web", str(journal), "--port", "0", "--no-token"]
    server = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)  # noqa: S603  our own program
    assert server.stdout is not None
    ends, messages = Flag(), list[int]()
    streams: list[Thread] = []
    try:
        address = next(word for word in server.stdout.readline().split() if word.startswith("http"))
        for page in STREAMS:
            connected = Flag()
            stream = Thread(target=_follow, args=(address, page, connected, ends, messages))
            stream.start()
            streams.append(stream)
            connected.wait()
        yield messages
    finally:
        ends.set()
        server.terminate()
        server.communicate()
        for stream in streams:
            stream.join()


def _follow(address: str, page: str, connected: Flag, ends: Flag, messages: list[int]) -> None:
    """Read a stream, again and again, as a browser does."""
    while not ends.is_set():
        connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
        try:
            connection.request("GET", f"/live?page={page}")
            answer = connection.getresponse()
            while line := answer.readline():
                connected.set()
                if line.startswith(b"id: "):
                    messages.append(len(line))
        except OSError:
            if not ends.is_set():
                raise
        finally:
            connection.close()


if __name__ == "__main__":
    anyio.run(write, Path(sys.argv[1]), int(sys.argv[3]), backend=sys.argv[2])
