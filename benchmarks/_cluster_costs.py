"""What do a client and the server take for an event?"""

import time
import uuid
from collections.abc import Sequence

import anyio
import coredis
from _cluster_bench import ClusterBenchmark
from _cluster_crashes import MIXED
from _cluster_server import Server, cpu_seconds_of
from _cluster_speed import SLOTS, until_completed
from _cluster_stage import Stage, until
from _cluster_worker import IdleHost, Noop

from lionpride_exec._cluster.engine import BucketLimit, QueueWorker, Submission, Taken

# A limit that never refuses.
LIMITS = [BucketLimit("wide", 1e9, 1e6, 1, hold=False)]


async def submit(bench: ClusterBenchmark, backend: str) -> None:
    """``extend()`` of no-op events, without workers."""
    n = 4_000 if bench.quick else 20_000
    speeds = []
    for _ in range(bench.rounds(5, 1)):
        with bench.server() as server, Stage(server, lease=15.0) as stage:
            async with stage.client() as client:
                await client.extend(Noop(number=number) for number in range(200))
                events = [Noop(number=number) for number in range(n)]
                began = time.monotonic()
                await client.extend(events)
                speeds.append(n / (time.monotonic() - began))
    bench.figure("submit", speeds, backend)


async def memory(bench: ClusterBenchmark, _backend: str) -> None:
    """The server's memory before, when the events are queued, and when they have ended and the workers have left."""
    n = 2_000 if bench.quick else 20_000
    with bench.server() as server, Stage(server, lease=15.0, concurrency=SLOTS) as stage:
        async with stage.client() as client:
            assert client._parts.cluster is not None
            records = client._parts.cluster.records
            size = len(records.envelope(Noop(number=1000), None))
        async with stage.queue():
            pass
        empty = await used_memory(server)
        async with stage.client() as client:
            await client.extend(Noop(number=1000 + number, pad="x" * (400 - size)) for number in range(n))
        queued = await used_memory(server)
        await stage.start_all(MIXED[:2])
        await until_completed(stage, n)
        await stage.end_all()
        finished = await used_memory(server)
    bench.figure("memory-queued", [(queued - empty) / n])
    bench.figure("memory-finished", [(finished - empty) / n])


async def used_memory(server: Server) -> int:
    """Return the bytes that a server has allocated, buffers of clients that have just left aside."""
    await anyio.sleep(1)
    async with coredis.Redis.from_url(server.url) as client:
        return int(str((await client.info("memory"))["used_memory"]))


# -------------------------------------------------------------------- a start under a limit


class Collector(IdleHost):
    """Holds events, and runs none."""

    def __init__(self, room: int) -> None:
        self.ids: list[str] = []
        self._room = room

    def room(self) -> int:
        """Return how many more events can be taken."""
        return self._room - len(self.ids)

    def take(self, taken: Taken) -> None:
        """Note an event."""
        self.ids.append(taken.entry.event_id)

    async def wait_until_full(self) -> None:
        """Wait until there is no more room."""
        await until(lambda: not self.room())


async def acquire(bench: ClusterBenchmark, backend: str) -> None:
    """Starts of events that a worker holds, under a limit: one after the other, and 20 at once."""
    n = 500 if bench.quick else 2_000
    alone, together, of_server = [], [], []
    for _ in range(bench.rounds(5, 1)):
        with bench.server() as server, Stage(server, lease=15.0) as stage:
            async with stage.queue() as queue:
                for first in range(0, 2 * n, 200):
                    await queue.submit([submission() for _ in range(first, first + 200)])
                host = Collector(2 * n)
                worker = QueueWorker(queue, host, lease=15.0)
                async with worker.running():
                    await host.wait_until_full()
                    before, of_server_before = time.process_time(), cpu_seconds_of(server.pid)
                    for event_id in host.ids[:n]:
                        assert (await worker.begin(event_id, LIMITS)).may_run
                    of_server.append((cpu_seconds_of(server.pid) - of_server_before) / n * 1e6)
                    alone.append((time.process_time() - before) / n * 1e6)
                    before = time.process_time()
                    for first in range(n, 2 * n, 20):
                        await begin_together(worker, host.ids[first : first + 20])
                    together.append((time.process_time() - before) / n * 1e6)
    bench.figure("acquire-alone", alone, backend)
    bench.figure("acquire-together", together, backend)
    bench.figure("acquire-server", of_server, backend)


async def begin_together(worker: QueueWorker, ids: Sequence[str]) -> None:
    """Have events begin at the same time."""

    async def begin(event_id: str) -> None:
        assert (await worker.begin(event_id, LIMITS)).may_run

    async with anyio.create_task_group() as group:
        for event_id in ids:
            group.start_soon(begin, event_id)


def submission() -> Submission:
    """Return an event with an id of its own."""
    return Submission(uuid.uuid4().hex, 11, 0, "", 60_000, b"an envelope that is not read")
