"""
The events of the cluster's benchmarks, and the program that works on them. SIGTERM ends the program in order.

Usage: _cluster_worker.py SETTINGS, where SETTINGS is what ``Settings.to_json()`` returns. It prints a line once it
works.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from lionpride_exec import Cluster, Concurrent, Event, Executor, Rate
from lionpride_exec._cluster.engine import QueueWorker, ServerQueue, Taken

SECRET = "the secret of a benchmark"  # noqa: S105  it protects nothing

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "asyncio+uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}

READY = "ready"


class Work(Event[Any]):
    """What the executors of the benchmarks take."""


class Noop(Work, tag="benchmark.noop", max_attempts=1000):
    """Does nothing. ``pad`` makes it larger."""

    number: int = 0
    pad: str = ""

    async def _invoke(self) -> int:
        return self.number


class Timed(Work, tag="benchmark.timed", max_attempts=1000):
    """Takes some seconds, and returns when it began and ended by the clock of its machine."""

    number: int = 0
    seconds: float = 0.0
    host: str = ""

    async def _invoke(self) -> list[float]:
        began = time.time()
        await anyio.sleep(self.seconds)
        return [began, time.time()]


@dataclass(frozen=True)
class Settings:
    """
    What the executors of one queue are made from.

    Attributes:
        url: Of the server.
        queue: The name of the queue.
        backend: Of a worker.
        concurrency: How many events run at a time in one worker.
        lease: In seconds.
        grace: Seconds that running events get when a worker is ended.
        lookahead: How many events a worker holds. None for the default.
        patience: Seconds for which a call tries to reach the server.
        rate: Amount and seconds of a ``Rate`` for each host. None without.
        concurrent: How many events of each host may run at a time. None for any number.
        engine: Whether a worker runs without an executor: only what the queue itself needs.
    """

    url: str
    queue: str
    backend: str = "asyncio"
    concurrency: int = 25
    lease: float = 3.0
    grace: float = 30.0
    lookahead: int | None = None
    patience: float = 60.0
    rate: tuple[float, float] | None = None
    concurrent: int | None = None
    engine: bool = False

    def to_json(self) -> str:
        """Return the settings as a text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the settings that a text has."""
        return cls(**json.loads(text))

    def cluster(self, *, work: bool) -> Cluster:
        """Return a cluster."""
        return Cluster(
            self.url, queue=self.queue, secret=SECRET, work=work, lease=self.lease, lookahead=self.lookahead,
            patience=self.patience,
        )  # fmt: skip

    def executor(self, *, work: bool) -> Executor:
        """Return an executor, which does not run yet."""
        limits: list[Rate | Concurrent] = []
        if self.rate is not None:
            limits.append(Rate(self.rate[0], per=self.rate[1], key="host"))
        if self.concurrent is not None:
            limits.append(Concurrent(self.concurrent, key="host"))
        return Executor.of(Work, cluster=self.cluster(work=work), concurrency_limit=self.concurrency, limits=limits)


class IdleHost:
    """The part of a host that ends nothing: its events have no limits, and nobody cancels them."""

    def lose(self, event_id: str) -> None:
        """Do nothing."""

    def end(self, event_id: str, status: str, outcome: bytes) -> None:
        """Do nothing."""

    def lapse(self, event_id: str) -> None:
        """Do nothing."""

    def reopen(self, bucket: str) -> None:
        """Do nothing."""


class EngineHost(IdleHost):
    """
    Runs no-op events with what the queue itself offers: no executor, no records, no signatures.

    Args:
        slots: How many events run at a time.
        group: Runs them.
    """

    def __init__(self, slots: int, group: TaskGroup) -> None:
        self.worker: QueueWorker | None = None
        self._slots = slots
        self._group = group
        self._held = 0

    def room(self) -> int:
        """Return how many more events can be taken."""
        return 2 * self._slots - self._held

    def take(self, taken: Taken) -> None:
        """Run an event."""
        self._held += 1
        self._group.start_soon(self._run, taken.entry.event_id)

    async def _run(self, event_id: str) -> None:
        assert self.worker is not None
        try:
            if (await self.worker.begin(event_id)).may_run:
                await self.worker.finish(event_id, "completed", b"")
        finally:
            self._held -= 1
            self.worker.room_changed()


async def work_as_engine(settings: Settings, until: anyio.Event) -> None:
    """Work without an executor."""
    cluster = settings.cluster(work=True)
    async with anyio.create_task_group() as group:
        wire = cluster._new_wire()
        async with wire.opened(group):
            queue: ServerQueue = cluster._new_queue(wire)
            await queue.open()
            host = EngineHost(settings.concurrency, group)
            host.worker = QueueWorker(queue, host, lease=settings.lease)
            async with host.worker.running():
                print(READY, flush=True)
                await until.wait()


async def work(settings: Settings, until: anyio.Event) -> None:
    """Work as users do."""
    executor = settings.executor(work=True)
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        print(READY, flush=True)
        await until.wait()
        await executor.stop(grace=settings.grace)


async def main(settings: Settings) -> None:
    """Work until SIGTERM, or until the process that has started this one has ended."""
    until, parent = anyio.Event(), os.getppid()

    async def wait_for_signal() -> None:
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                until.set()
                return

    async def wait_for_orphaning() -> None:
        while os.getppid() == parent:  # noqa: ASYNC110  no signal comes when the benchmark is killed
            await anyio.sleep(1)
        os._exit(1)

    async with anyio.create_task_group() as group:
        group.start_soon(wait_for_signal)
        group.start_soon(wait_for_orphaning)
        await (work_as_engine if settings.engine else work)(settings, until)
        group.cancel_scope.cancel()


def run(arguments: Sequence[str]) -> None:
    """Be the process."""
    settings = Settings.from_json(arguments[0])
    name, options = BACKENDS[settings.backend]
    anyio.run(main, settings, backend=name, backend_options=options)


if __name__ == "__main__":
    run(sys.argv[1:])
