"""
Processes that are killed at work on a journal, and what is to be seen afterwards.

Run as a program it forks such processes (see :mod:`_forks`): Python needs longer to start and to import than most of
them live. A process appends numbered events, each under its number as the key, and says what happens in a side file, a
line by one ``os.write()``, which SIGKILL does not undo: ``ack n`` after ``append()`` has returned, ``run n`` at the
start of the handler, ``end n`` once it was told that the event has ended, ``lost n`` if an event that was acknowledged
is not known any more. :class:`Trial` starts it, kills it, and compares the side file with the journal.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from _forks import Forks, serve
from anyio.abc import TaskGroup

from lionpride_exec import Event, Executor, ExistsError, Journal

JOURNAL, SIDE_FILE, COMPLAINTS = "run.db", "side", "stderr"

# Tasks that append at the same time, so that commits have company.
APPENDERS = 20

# Seconds after which a process that should have ended is taken for stuck.
PATIENCE = 300

BACKENDS = {"asyncio": ("asyncio", {}), "asyncio+uvloop": ("asyncio", {"use_uvloop": True}), "trio": ("trio", {})}

Line = tuple[str, int]

# -------------------------------------------------------------------- the process that is killed

side_file = -1


def say(word: str, number: int) -> None:
    """Write a line that stays, whatever comes next."""
    os.write(side_file, f"{word} {number}\n".encode())


class Rerun(Event, tag="kill.rerun", max_attempts=1000):
    """Takes a few milliseconds; runs again after a crash."""

    number: int
    seconds: float

    async def _invoke(self) -> int:
        say("run", self.number)
        await anyio.sleep(self.seconds)
        return self.number


class Fail(Rerun, tag="kill.fail", on_crash="fail"):
    """Does not."""


class Hold(Rerun, tag="kill.hold", on_crash="hold"):
    """Waits for a decision."""


class Deadly(Rerun, tag="kill.deadly", max_attempts=3):
    """Number 0 kills its process, whenever it runs."""

    async def _invoke(self) -> int:
        say("run", self.number)
        if not self.number:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.number


KINDS: dict[str, type[Rerun]] = {"rerun": Rerun, "fail": Fail, "hold": Hold, "deadly": Deadly}


async def live(options: argparse.Namespace, acked: set[int], ended: set[int]) -> None:
    """Append what has not ended, and wait for it; go on with what is in the journal."""
    cls = KINDS[options.kind]
    journal = Journal(options.directory / JOURNAL, ack=options.ack)
    executor = Executor.of(cls, journal=journal, concurrency_limit=options.concurrency)
    say("up", 0)
    async with executor:
        if options.release:
            for event in await executor.held_events():
                await executor.release(event)
        events = (
            cls(number=number, seconds=number % options.milliseconds / 1000)
            for number in range(options.events)
            if number not in ended
        )
        async with anyio.create_task_group() as group:
            for _ in range(APPENDERS):
                group.start_soon(append, executor, events, acked, group)


async def append(executor: Executor, events: Iterator[Rerun], acked: set[int], group: TaskGroup) -> None:
    """Append event after event."""
    for event in events:
        try:
            known = await executor.append(event, wait=True, key=event.number)
        except ExistsError:
            continue  # it is held
        say("lost" if known is event and event.number in acked else "ack", event.number)
        group.start_soon(tell_end, known)


async def tell_end(event: Rerun) -> None:
    """Wait for the end of an event and say so."""
    await event.wait()
    say("end", event.number)


def be_killed(arguments: Sequence[str]) -> None:
    """Be the process."""
    global side_file  # noqa: PLW0603  events find it there
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--backend", default="asyncio")
    parser.add_argument("--kind", default="rerun")
    parser.add_argument("--ack", default="strict")
    parser.add_argument("--events", type=int)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--milliseconds", type=int)
    parser.add_argument("--release", action="store_true")
    options = parser.parse_args(arguments)
    said = lines_of(options.directory / SIDE_FILE)
    acked, ended = ({number for word, number in said if word == wanted} for wanted in ("ack", "end"))
    side_file = os.open(options.directory / SIDE_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    backend, backend_options = BACKENDS[options.backend]
    anyio.run(live, options, acked, ended, backend=backend, backend_options=backend_options)


# -------------------------------------------------------------------- who kills it


def lines_of(path: Path, begin: int = 0) -> list[Line]:
    """Give the lines of a side file, from a byte on."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(begin)
        return [(word, int(number)) for word, number in (line.split() for line in file.read().decode().splitlines())]


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after this share of all that there is to say was said."""

    share: float
    seconds: float


def moments(seed: object, kills: int) -> list[Moment]:
    """Give random moments, in order; some of them soon after the start of the process."""
    dice = random.Random(f"{seed}")  # noqa: S311  no secret
    shares = sorted(dice.uniform(0.0, 0.85) for _ in range(kills))
    return [
        Moment(0.0, dice.uniform(0.0, 0.1)) if dice.random() < 0.2 else Moment(share, dice.uniform(0.0, 0.01))
        for share in shares
    ]


@cache
def forks() -> Forks:
    """Return the process that forks the others."""
    return Forks(Path(__file__))


@dataclass
class Life:
    """What is known of a process after its end."""

    killed: bool
    lines: list[Line]
    statuses: dict[int, str]  # of the events in the journal, by number
    errors: dict[int, str]

    def numbers(self, word: str) -> Counter[int]:
        """Give how often it said a word about each number."""
        return Counter(number for said, number in self.lines if said == word)


@dataclass
class Trial:
    """
    One journal, and the processes that work on it one after the other.

    Args:
        directory: For its files; empty.
        events: How many.
        kind: What they do after a crash; one of :data:`KINDS`.
        ack: Of the journal.
        concurrency: How many run at a time.
        milliseconds: How long they take, at most.
    """

    directory: Path
    events: int
    kind: str = "rerun"
    ack: str = "strict"
    concurrency: int = 20
    milliseconds: int = 6
    lives: list[Life] = field(default_factory=list)

    def live(self, backend: str, moment: Moment | None = None, *, release: bool = False) -> Life:
        """
        Let a process work; to its end, or until a moment.

        Raises:
            AssertionError: It ended otherwise than by being killed or being done.
        """
        begin = self._size()
        arguments = [self.directory, "--backend", backend, "--kind", self.kind, "--ack", self.ack]
        arguments += ["--events", self.events, "--concurrency", self.concurrency, "--milliseconds", self.milliseconds]
        arguments += ["--release"] * release
        process = forks()
        process.start(arguments, self.directory / COMPLAINTS)
        try:
            if moment is not None:
                self._wait_for(process, begin, moment)
            else:
                assert process.has_ended(PATIENCE), "it is stuck"
        finally:
            status = process.end()
        assert status in {0, -signal.SIGKILL}, (status, (self.directory / COMPLAINTS).read_text()[-4000:])
        life = Life(bool(status), lines_of(self.directory / SIDE_FILE, begin), *self._journal())
        self.lives.append(life)
        return life

    def _size(self) -> int:
        path = self.directory / SIDE_FILE
        return path.stat().st_size if path.exists() else 0

    def _wait_for(self, process: Forks, begin: int, moment: Moment) -> None:
        whole = sum(len(f"ack {number}\nrun {number}\nend {number}\n") for number in range(self.events))
        wanted = max(begin + 1, moment.share * whole)
        while self._size() < wanted and not process.has_ended():
            time.sleep(0.0005)  # another process writes it, in real time
        time.sleep(moment.seconds)  # so that the kill comes at any moment, not only at a line of the file

    @contextmanager
    def _copy(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to a copy of the journal: what SQLite has to repair is left to the next process."""
        with TemporaryDirectory() as directory:
            for ending in ("", "-wal", "-journal"):
                path = self.directory / f"{JOURNAL}{ending}"
                if path.exists():
                    shutil.copy(path, directory)
            with closing(sqlite3.connect(Path(directory) / JOURNAL)) as connection:
                yield connection

    def _journal(self) -> tuple[dict[int, str], dict[int, str]]:
        """Give the statuses and the errors in the journal."""
        with self._copy() as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'event'").fetchone()[0]:
                return {}, {}
            rows = connection.execute("SELECT key, status, outcome FROM event").fetchall()
        statuses = {int(key): status for key, status, _ in rows}
        assert len(rows) == len(statuses)
        return statuses, {int(key): bytes(outcome).decode() for key, status, outcome in rows if status == "failed"}

    def ends(self) -> Counter[int]:
        """Give how often the audit trail says of each event that it has ended."""
        with self._copy() as connection:
            rows = connection.execute(
                "SELECT key FROM transition JOIN event USING (seq) WHERE transition.status NOT IN ('p', 'r', 'h')"
            ).fetchall()
        return Counter(int(key) for (key,) in rows)

    # ---------------------------------------------------------------- what is to be seen

    @property
    def kills(self) -> int:
        """How many processes were killed."""
        return sum(life.killed for life in self.lives)

    def lost(self) -> set[int]:
        """Give the acknowledged events that were not in the journal after a process, or were not known to the next."""
        lost: set[int] = set()
        acked: set[int] = set()
        for life in self.lives:
            acked |= set(life.numbers("ack"))
            lost |= set(life.numbers("lost")) | (acked - set(life.statuses))
        return lost

    def run_after_end(self) -> set[int]:
        """Give the events that ran after somebody was told of their end."""
        found: set[int] = set()
        ended: set[int] = set()
        for life in self.lives:
            for word, number in life.lines:
                if word == "end":
                    ended.add(number)
                elif word == "run" and number in ended:
                    found.add(number)
        return found

    def run_after_completed(self) -> set[int]:
        """Give the events that ran after a process had left them in the journal as COMPLETED."""
        found: set[int] = set()
        completed: set[int] = set()
        for life in self.lives:
            found |= completed & set(life.numbers("run"))
            completed |= {number for number, status in life.statuses.items() if status == "completed"}
        return found

    def run_again(self) -> list[int]:
        """Give, for each process, how many of the events that ran in it ran in a later one, too."""
        runs = [set(life.numbers("run")) for life in self.lives]
        return [len(its.intersection(*[set().union(*runs[index + 1 :])])) for index, its in enumerate(runs)]

    def runs(self) -> Counter[int]:
        """Give how often each event ran."""
        return Counter(number for life in self.lives for word, number in life.lines if word == "run")

    def run_twice_in_a_life(self) -> set[int]:
        """Give the events that ran twice in the same process."""
        return {number for life in self.lives for number, times in life.numbers("run").items() if times > 1}


if __name__ == "__main__":
    serve(be_killed)
