"""How fast are no-op events, beside workers that do less, and beside streaQ?"""

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import anyio
import coredis
from _cluster_bench import ClusterBenchmark
from _cluster_crashes import MIXED
from _cluster_server import cpu_seconds_of
from _cluster_stage import Stage
from _cluster_worker import READY, Noop
from _harness import Race
from _processes import ENVIRONMENT

HERE = Path(__file__).parent

SLOTS = 50

Measured = Callable[[], Awaitable[float]]


async def race(bench: ClusterBenchmark, title: str, rivals: Mapping[str, Measured], baseline: str, unit: str) -> Race:
    """Measure each rival once in each round, every other round backwards, and print the figures."""
    figures: dict[str, list[float]] = {name: [] for name in rivals}
    rounds = bench.rounds(5, 1)
    for number in range(rounds):
        for name in list(rivals)[:: -1 if number % 2 else 1]:
            figures[name].append(await rivals[name]())
    found = Race(figures, baseline)
    bench.say(f"{title}, {rounds} rounds")
    for line in found.lines(unit):
        print(f"  {line}", flush=True)
    return found


# -------------------------------------------------------------------- one worker


async def one_worker(bench: ClusterBenchmark, backend: str) -> None:
    """One worker, and beside it one that uses the queue without an executor. The client has left."""
    n = 2_000 if bench.quick else 10_000
    speeds: dict[bool, list[float]] = {True: [], False: []}

    async def measure(*, engine: bool) -> float:
        """Return the worker's CPU for an event, in microseconds."""
        with bench.server() as server, Stage(server, concurrency=SLOTS, lease=15.0, engine=engine) as stage:
            async with stage.paused():
                await submit_noops(stage, n)
                (worker,) = await stage.start_all([backend])
                before = cpu_seconds_of(worker.process.pid)
            await until_completed(stage, n)
            cpu = cpu_seconds_of(worker.process.pid) - before
            speeds[engine].append(n / (await stage.record()).seconds())
            return cpu / n * 1e6

    rivals = {"executor": partial(measure, engine=False), "queue alone": partial(measure, engine=True)}
    found = await race(bench, f"CPU of one worker, {n:,} events", rivals, "queue alone", "us CPU")
    bench.say(f"events a second without an executor: {', '.join(f'{one:,.0f}' for one in speeds[True])}")
    bench.figure("one-worker-trio" if backend == "trio" else "one-worker", speeds[False], backend)
    bench.figure("cpu", found.figures["executor"], backend)


async def submit_noops(stage: Stage, n: int) -> None:
    """Submit no-op events, and leave."""
    async with stage.client() as client:
        await client.extend(Noop(number=number) for number in range(n))


async def until_completed(stage: Stage, n: int) -> None:
    """Wait until so many events of the queue are COMPLETED."""
    deadline = time.monotonic() + 120
    async with stage.queue() as queue:
        while time.monotonic() < deadline:
            if int(await queue.wire.command(lambda client: client.hget(f"{queue.prefix}n", "completed")) or 0) >= n:
                return
            await anyio.sleep(0.02)


# -------------------------------------------------------------------- four workers, beside others


async def four_workers(bench: ClusterBenchmark, _backend: str) -> None:
    """Two workers on asyncio and two on trio: ours, workers of raw streams, and those of streaQ."""
    n = 2_000 if bench.quick else 10_000
    rivals: dict[str, Measured] = {"ours": partial(ours, bench, n), "raw streams": partial(raw, bench, n)}
    if find_spec("streaq") is None:
        bench.say("streaQ is not installed, so it is not measured: pip install 'streaq==7.2.*'")
    else:
        rivals["streaQ"] = partial(streaq, bench, n // 4)
    found = await race(bench, f"no-op events, four workers, n = {n:,}", rivals, "raw streams", "us for each")
    bench.figure("raw", found.ratios("ours"))
    if "streaQ" in rivals:
        bench.figure("streaq", found.ratios("streaQ", "ours"))


async def ours(bench: ClusterBenchmark, n: int) -> float:
    """Return the time for an event from the first start to the last end, in microseconds."""
    with bench.server() as server, Stage(server, concurrency=SLOTS, lease=15.0) as stage:
        async with stage.paused():
            await submit_noops(stage, n)
            await stage.start_all(MIXED)
        await until_completed(stage, n)
        return (await stage.record()).seconds() / n * 1e6


async def raw(bench: ClusterBenchmark, n: int) -> float:
    """Return the time for an entry from the start signal to the last acknowledgement, in microseconds."""
    with bench.server() as server:
        async with coredis.Redis.from_url(server.url) as client:
            await client.xgroup_create("raw", "raw", "0", mkstream=True)
            for _ in range(n // 200):
                async with client.pipeline(transaction=False) as pipeline:
                    for number in range(200):
                        pipeline.xadd("raw", {"i": f"{number:032x}"})
            with programs("_cluster_raw.py", [[server.url, "raw", backend, str(SLOTS)] for backend in MIXED]) as go:
                began = go()
                while await client.xlen("raw"):  # noqa: ASYNC110  other processes do the work
                    await anyio.sleep(0.005)
                return (time.monotonic() - began) / n * 1e6


async def streaq(bench: ClusterBenchmark, n: int) -> float:
    """Return the time for a task of streaQ from the start signal to the last result, in microseconds."""
    from _cluster_streaq import new_worker  # noqa: PLC0415  needs streaQ, which may be missing

    with bench.server() as server:
        worker, task = new_worker(server.url, SLOTS)
        async with worker:
            await worker.enqueue_many([task.enqueue(number) for number in range(n)])
            with programs("_cluster_streaq.py", [[server.url, backend, str(SLOTS)] for backend in MIXED]) as go:
                began = go()
                while await worker.redis.zcard("streaq:default:index:results") < n:  # noqa: ASYNC110  likewise
                    await anyio.sleep(0.005)
                return (time.monotonic() - began) / n * 1e6


@contextmanager
def programs(name: str, arguments: Sequence[Sequence[str]]) -> Iterator[Callable[[], float]]:
    """Have programs ready. Yield a function that lets them start, and returns when. They are killed at the end."""
    running = [
        subprocess.Popen(  # noqa: S603  our own programs
            [sys.executable, str(HERE / name), *those], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT,
            text=True,
        )
        for those in arguments
    ]  # fmt: skip

    def go() -> float:
        """Let them start."""
        for one in running:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        return time.monotonic()

    try:
        for one in running:
            assert one.stdout is not None
            assert one.stdout.readline().strip() == READY
        yield go
    finally:
        for one in running:
            one.kill()
            one.communicate()
