"""
Processes that submit events to a journal, beside an owner that is killed, and what is to be seen afterwards.

Run as a program it is one of these processes. ``own`` runs the journal until so many events have ended. ``submit``
submits numbered events, each under its number as the key, some of them one by one, and writes each number into a side
file once it is acknowledged; ``rate`` submits all of them at once, and prints how many a second. :class:`Trial` starts
the processes, kills the owner, and looks at what has become of the events.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio

from lionpride_exec import Event, Executor, Journal

BACKENDS = {"asyncio": ("asyncio", {}), "asyncio+uvloop": ("asyncio", {"use_uvloop": True}), "trio": ("trio", {})}

# Events of one call of submit_many() in `submit`. The first ones are submitted by calls of their own.
TOGETHER = 50
SINGLE = 5

# Seconds after which what should have happened does not.
PATIENCE = 300

Statuses = list[tuple[int, str]]

# -------------------------------------------------------------------- the processes


class Numbered(Event[int], tag="submitting.numbered", max_attempts=1000):
    """Ends in a moment, and runs again after a crash."""

    number: int

    async def _invoke(self) -> int:
        await anyio.sleep(0.001)
        return self.number


def count_submitted(path: str | Path) -> int:
    """Return how many submitted events have not been taken in."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
        number: int = connection.execute("SELECT count(*) FROM submit").fetchone()[0]
    return number


async def own(path: str, number: str) -> None:
    """Run a journal until so many events have ended, and all are taken in. Say when it is open."""
    executor = Executor.of(Numbered, concurrency_limit=50, journal=Journal(path))
    async with executor:
        os.write(1, b"open\n")
        while executor.status_counts()["completed"] < int(number) or count_submitted(path):  # noqa: ASYNC110  events of several processes count
            await anyio.sleep(0.02)


async def submit(path: str, side_file: str, first: str, last: str) -> None:
    """Submit the events with these numbers, and write down which ones were acknowledged."""
    side = os.open(side_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for begin in range(int(first), int(last), TOGETHER):
        numbers = range(begin, min(begin + TOGETHER, int(last)))
        for number in numbers[:SINGLE]:
            await Journal.submit(path, Numbered(number=number), key=number)
            os.write(side, f"{number}\n".encode())
        some = [Numbered(number=number) for number in numbers[SINGLE:]]
        await Journal.submit_many(path, some, key=lambda event: event.number)
        os.write(side, "".join(f"{event.number}\n" for event in some).encode())


async def rate(path: str, number: str) -> None:
    """Submit so many events, and print how many were acknowledged a second."""
    events = [Numbered(number=one) for one in range(int(number))]
    began = time.perf_counter()
    submitted = await Journal.submit_many(path, events, key=lambda event: event.number)
    print(submitted / (time.perf_counter() - began))


# -------------------------------------------------------------------- what starts and kills them


class Trial:
    """
    One journal, its owners and those who submit to it.

    Args:
        directory: Where the files are. It has to be empty.
        events: How many different events are submitted.
        backend: The backend of the owner.
    """

    def __init__(self, directory: Path, events: int, backend: str) -> None:
        self.path = directory / "run.db"
        self.side_file = directory / "acknowledged"
        self.events = events
        self.backend = backend
        self.kills = 0
        with self.owner(0) as process:  # makes the file
            assert process.wait(PATIENCE) == 0

    @contextmanager
    def process(self, *arguments: object, backend: str = "asyncio") -> Iterator["subprocess.Popen[str]"]:
        """Run a process in this block, and kill it at the end of the block if it still runs."""
        words = [sys.executable, __file__, backend, *map(str, arguments)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  this file
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def owner(self, number: int) -> Iterator["subprocess.Popen[str]"]:
        """Run an owner until so many events have ended. The block begins when the journal is open."""
        with self.process("own", self.path, number, backend=self.backend) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process

    def submit_and_kill(self, kills: int) -> None:
        """
        Have two processes submit all events, a fifth of them both, while the owner is killed so many times.

        A kill comes when the next part of the events has come in. The last owner works off what is left.
        """
        middle, overlap = self.events // 2, self.events // 10
        first = self.process("submit", self.path, self.side_file, 0, middle + overlap)
        second = self.process("submit", self.path, self.side_file, middle - overlap, self.events)
        with first as one, second as other:
            for kill in range(kills):
                with self.owner(self.events) as owner:
                    part = self.events * (kill + 1) // (kills + 2)
                    self._wait_for(part)
                    owner.send_signal(signal.SIGKILL)
                    self.kills += owner.wait(PATIENCE) == -signal.SIGKILL
            with self.owner(self.events) as owner:
                assert one.wait(PATIENCE) == other.wait(PATIENCE) == 0
                assert owner.wait(PATIENCE) == 0

    def submitted_a_second(self) -> float:
        """Submit all events beside an owner that runs them, and return how many were acknowledged a second."""
        with self.owner(self.events) as owner, self.process("rate", self.path, self.events) as process:
            figure, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0
            assert owner.wait(PATIENCE) == 0
        return float(figure)

    def acknowledged(self) -> set[int]:
        """Return the numbers of the events that were acknowledged."""
        return {int(line) for line in self.side_file.read_text("utf-8").splitlines()}

    def statuses(self) -> Statuses:
        """Return the number and the status of each event in the file."""
        return self._read("SELECT event ->> '$.data.number', status FROM event ORDER BY seq")

    def left_over(self) -> int:
        """Return how many submitted events were not taken in."""
        return count_submitted(self.path)

    def doubled(self) -> int:
        """Return how many numbers more than one event has."""
        return sum(times > 1 for times in Counter(number for number, _ in self.statuses()).values())

    def _read(self, question: str) -> Statuses:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
            return connection.execute(question).fetchall()

    def _wait_for(self, events: int) -> None:
        """Wait until so many events have come in."""
        until = time.monotonic() + PATIENCE
        while len(self.statuses()) < events:
            assert time.monotonic() < until
            time.sleep(0.005)  # other processes bring the condition about


if __name__ == "__main__":
    backend_, options = BACKENDS[sys.argv[1]]
    functions: dict[str, Callable[..., Awaitable[None]]] = {"own": own, "submit": submit, "rate": rate}
    anyio.run(functions[sys.argv[2]], *sys.argv[3:], backend=backend_, backend_options=options)
