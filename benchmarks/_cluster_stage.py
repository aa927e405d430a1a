"""A queue on a server of its own, with workers in other processes, and what became of its events."""

import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self, TypeAlias

import anyio
from _cluster_server import Server
from _cluster_worker import READY, Settings
from _processes import ENVIRONMENT
from anyio import to_thread

from lionpride_exec import Executor
from lionpride_exec._cluster.engine import QueueQueries, ServerQueue
from lionpride_exec.testing import InvariantBroken, check_cluster

WORKER = Path(__file__).with_name("_cluster_worker.py")

ENDED = frozenset({"completed", "failed", "cancelled", "skipped", "aborted"})

# Transitions that are read in one call.
PAGE = 5_000


# For how long a rate counts what it has granted.
GRANTED_SECONDS = 1.0

# By bucket and token: when the server has granted a start, by the clock by which it counts.
Grants: TypeAlias = dict[str | bytes, dict[str | bytes, float]]


class GaveUp(Exception):
    """Something did not happen in time."""


async def until(condition: Callable[[], bool], seconds: float = 120.0, what: str = "something") -> None:
    """
    Wait until a condition holds.

    Raises:
        GaveUp: It does not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise GaveUp(f"{what} did not happen within {seconds:g} s")
        await anyio.sleep(0.004)


@dataclass(frozen=True)
class Move:
    """A transition: when by the clock of the server, of which event, its status, how often it has begun, by whom."""

    at: float
    event_id: str
    status: str
    attempt: int
    worker: str


@dataclass
class Record:
    """
    All transitions of a queue, in order.

    Attributes:
        moves: The transitions.
        broken: What the invariants found. Empty if they hold.
    """

    moves: list[Move]
    broken: str = ""
    begun: Counter[str] = field(init=False)
    ends: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.begun = Counter(move.event_id for move in self.moves if move.status == "processing")
        self.ends = Counter(move.event_id for move in self.moves if move.status in ENDED)

    def not_completed(self, ids: Sequence[str]) -> int:
        """Return how many of these events did not end COMPLETED."""
        completed = {move.event_id for move in self.moves if move.status == "completed"}
        return len(set(ids) - completed)

    def ended_twice(self) -> int:
        """Return how many events have more than one final status."""
        return sum(times > 1 for times in self.ends.values())

    def ended_late(self) -> int:
        """Return how many events were COMPLETED by another worker than that of their last run."""
        last: dict[str, str] = {}
        late = 0
        for move in self.moves:
            if move.status == "processing":
                last[move.event_id] = move.worker
            elif move.status == "completed":
                late += move.worker != last.get(move.event_id)
        return late

    def begun_again(self) -> Counter[str]:
        """Return how many runs of each worker were followed by another run of the same event."""
        again: Counter[str] = Counter()
        last: dict[str, str] = {}
        for move in self.moves:
            if move.status == "processing":
                if move.event_id in last:
                    again[last[move.event_id]] += 1
                last[move.event_id] = move.worker
        return again

    def starts(self, number: int = 1) -> dict[str, float]:
        """Return when each event began for the n-th time."""
        found: dict[str, float] = {}
        seen: Counter[str] = Counter()
        for move in self.moves:
            if move.status == "processing":
                seen[move.event_id] += 1
                if seen[move.event_id] == number:
                    found[move.event_id] = move.at
        return found

    def seconds(self) -> float:
        """Return the time from the first start to the last end."""
        first = next(move.at for move in self.moves if move.status == "processing")
        return max(move.at for move in self.moves if move.status in ENDED) - first


class Worker:
    """A worker in a process of its own."""

    def __init__(self, settings: Settings, complaints: IO[str]) -> None:
        self.settings = settings
        command = [sys.executable, str(WORKER), settings.to_json()]
        self.process = subprocess.Popen(  # noqa: S603  our own program
            command, stdout=subprocess.PIPE, stderr=complaints, env=ENVIRONMENT, text=True
        )
        self.is_ready = False
        self.is_told = False  # whether it was killed or told to end

    async def ready(self) -> Self:
        """
        Wait until it works.

        Raises:
            GaveUp: It has ended.
        """
        if not self.is_ready:
            assert self.process.stdout is not None
            line = await to_thread.run_sync(self.process.stdout.readline)
            if line.strip() != READY:
                raise GaveUp(f"a worker did not start; its exit status is {self.process.wait()}")
            self.is_ready = True
        return self

    def kill(self) -> float:
        """Kill it. Return when."""
        self.is_told = True
        self.process.kill()
        self.process.wait()
        return time.time()

    def terminate(self) -> float:
        """Tell it to end in order. Return when."""
        self.is_told = True
        self.process.terminate()
        return time.time()

    def send(self, number: int) -> None:
        """Send it another signal."""
        self.process.send_signal(number)

    def has_failed(self) -> bool:
        """Return whether it has ended by itself, or not in order."""
        status = self.process.poll()
        return status is not None and (status not in {0, -9} or not self.is_told)


class Stage:
    """
    A queue of its own on a server. At the end of the block, its workers are killed.

    Args:
        server: The server.
        settings: What differs from the defaults of ``Settings``.
    """

    def __init__(self, server: Server, **settings: Any) -> None:
        self.server = server
        self.settings = Settings(**({"url": server.url, "queue": uuid.uuid4().hex} | settings))
        self.workers: list[Worker] = []
        self._complaints: IO[str] = TemporaryFile("w+")  # noqa: SIM115  closed at the end of the block; what workers write

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.process.kill()  # ends a stopped process too
            worker.process.wait()
            if worker.process.stdout is not None:
                worker.process.stdout.close()
        if kind is GaveUp:
            print(self.complaints())
        self._complaints.close()

    def complaints(self) -> str:
        """Return the end of what the workers have written."""
        self._complaints.seek(0)
        return self._complaints.read()[-4000:]

    def start(self, backend: str, **changes: Any) -> Worker:
        """Start a worker on a backend, with other settings than the stage has."""
        worker = Worker(replace(self.settings, backend=backend, **changes), self._complaints)
        self.workers.append(worker)
        return worker

    async def start_all(self, backends: Sequence[str], **changes: Any) -> list[Worker]:
        """Start workers, and wait until all of them work."""
        workers = [self.start(backend, **changes) for backend in backends]
        for worker in workers:
            await worker.ready()
        return workers

    async def end_all(self) -> None:
        """End the workers in order, and wait for that."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.terminate()
        for worker in self.workers:
            await to_thread.run_sync(worker.process.wait)

    def failed(self) -> int:
        """Return how many workers have ended by themselves, or not in order."""
        return sum(worker.has_failed() for worker in self.workers)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Executor]:
        """Have an executor that only submits. It is left without waiting for events that have not ended."""
        async with self.settings.executor(work=False) as executor:
            yield executor
            await executor.stop()

    @asynccontextmanager
    async def queue(self, url: str | None = None) -> AsyncIterator[ServerQueue]:
        """Have a connection of its own to the queue."""
        cluster = replace(self.settings, url=url or self.settings.url).cluster(work=False)
        async with anyio.create_task_group() as group:
            wire = cluster._new_wire()
            async with wire.opened(group):
                queue = cluster._new_queue(wire)
                await queue.open()
                yield queue

    async def counts(self) -> Counter[str]:
        """Return how many events have each status."""
        async with self.queue() as queue:
            return Counter(await QueueQueries(queue).counts())

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Have the queue paused while the block runs."""
        async with self.queue() as queue:
            await QueueQueries(queue).pause()
            yield
            await QueueQueries(queue).resume()

    @asynccontextmanager
    async def grants(self, buckets: int) -> AsyncIterator[Grants]:
        """
        Have what rates of a second grant while the block runs, from so many buckets.

        The ids in the stream of transitions have another clock: the limit counts by the time at which a script begins,
        and in a script of Redis 7.0 an id is by the time at which it is made, which is some milliseconds later.
        """
        grants: Grants = {}
        async with self.queue() as queue, anyio.create_task_group() as group:
            group.start_soon(_note_grants, queue, buckets, grants)
            yield grants
            await _read_grants(queue, buckets, grants)  # the last ones
            group.cancel_scope.cancel()

    async def record(self, *, lease: float | None = None) -> Record:
        """Return all transitions, and what the invariants find."""
        async with self.queue() as queue:
            broken = ""
            try:
                await check_cluster(queue, lease=lease)
            except InvariantBroken as error:
                broken = str(error)
            return Record(await moves_of(queue), broken)


async def _note_grants(queue: ServerQueue, buckets: int, grants: Grants) -> None:
    """Read what each bucket counts, again and again. A grant counts for a second, so none is missed."""
    while True:
        await _read_grants(queue, buckets, grants)
        await anyio.sleep(GRANTED_SECONDS / 5)


async def _read_grants(queue: ServerQueue, buckets: int, grants: Grants) -> None:
    if len(grants) < buckets:
        names = await queue.wire.command(lambda client: client.keys(f"{queue.prefix}l:*:u"))
        grants |= {name: {} for name in names if name not in grants}
    for name, known in grants.items():
        counted: Any = await queue.wire.command(partial(_members, name))
        known.update((one.member, one.score / 1e6 - GRANTED_SECONDS) for one in counted)


async def _members(name: str | bytes, client: Any) -> Any:
    return await client.zrange(name, 0, -1, withscores=True)


async def moves_of(queue: ServerQueue) -> list[Move]:
    """Return all transitions of a queue, in order."""
    moves = list[Move]()
    start = "-"
    while page := await _page_from(queue, start):
        for entry in page:
            at, _, _ = _text(entry.identifier).partition("-")
            fields: dict[Any, bytes] = entry.field_values
            event_id, status, worker = (fields[part].decode() for part in (b"i", b"s", b"w"))
            moves.append(Move(int(at) / 1000, event_id, status, int(fields[b"a"]), worker))
        start = f"({_text(page[-1].identifier)}"
    return moves


async def _page_from(queue: ServerQueue, start: str) -> Sequence[Any]:
    name = f"{queue.prefix}t"
    return await queue.wire.command(lambda client: client.xrange(name, start=start, count=PAGE))


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()
