"""How soon is an end seen, how soon does a cancelled event end, and how late is a delayed one?"""

import random
import time
from collections.abc import Sequence

import anyio
from _cluster_bench import ClusterBenchmark
from _cluster_crashes import finish
from _cluster_stage import Stage, until
from _cluster_worker import Noop, Timed

from lionpride_exec import Executor
from lionpride_exec._cluster.engine import QueueQueries


def at_share(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, min(len(values) - 1, round(share * len(values)) - 1))]


async def idle(bench: ClusterBenchmark, backend: str) -> None:
    """One no-op event after the other, from ``append()`` until its final status is seen. One worker, on the backend."""
    n = 100 if bench.quick else 400
    middle, rare = [], []
    with bench.server() as server, Stage(server, lease=15.0) as stage:
        async with stage.client() as client:
            await stage.start(backend).ready()
            await seconds_of(client, 20)
            for _ in range(bench.rounds(3, 1)):
                took = await seconds_of(client, n)
                middle.append(at_share(took, 0.5) * 1000)
                rare.append(at_share(took, 0.99) * 1000)
    bench.figure("idle-p50", middle, backend)
    bench.figure("idle-p99", rare, backend)


async def seconds_of(client: Executor, n: int) -> list[float]:
    """Return the seconds that each of n events takes, one after the other."""
    took = []
    for number in range(n):
        began = time.perf_counter()
        event = await client.append(Noop(number=number))
        await event.wait()
        took.append(time.perf_counter() - began)
        await anyio.sleep(0.002)
    return took


# -------------------------------------------------------------------- cancel


async def cancel_waiting(bench: ClusterBenchmark, backend: str) -> None:
    """There is no worker, so the server ends the events."""
    worst = []
    with bench.server() as server, Stage(server, lease=15.0) as stage:
        async with stage.client() as client:
            for _ in range(bench.rounds(3, 1)):
                events = await client.extend(Timed(number=number, seconds=60) for number in range(100))
                worst.append(max(await cancel_each(client, events)) * 1000)
    bench.figure("cancel-waiting", worst, backend)


async def cancel_running(bench: ClusterBenchmark, backend: str) -> None:
    """A worker on the backend runs all of the events."""
    worst = []
    with bench.server() as server, Stage(server, lease=15.0, concurrency=100) as stage:
        async with stage.client() as client:
            await stage.start(backend).ready()
            for _ in range(bench.rounds(3, 1)):
                events = await client.extend(Timed(number=number, seconds=60) for number in range(100))
                await until(lambda: client.status_counts()["processing"] == 100, what="100 starts")
                worst.append(max(await cancel_each(client, events)) * 1000)
    bench.figure("cancel-running", worst, backend)


async def cancel_each(client: Executor, events: Sequence[Timed]) -> list[float]:
    """Cancel events one after the other, and return the seconds until the end of each was seen."""
    took = []
    for event in events:
        began = time.perf_counter()
        client.cancel(event)
        await event.wait()
        took.append(time.perf_counter() - began)
        await anyio.sleep(0.002)
    return took


# -------------------------------------------------------------------- delay


async def delay(bench: ClusterBenchmark, backend: str) -> None:
    """200 events with delays up to 3 s, and two workers. Both times are those of the server."""
    dice = random.Random(11)  # noqa: S311  no secret
    middle, worst = [], []
    for _ in range(bench.rounds(3, 1)):
        with bench.server() as server, Stage(server, lease=15.0) as stage:
            async with stage.client() as client:
                await stage.start_all([backend] * 2)
                async with anyio.create_task_group() as group:
                    for number in range(200):
                        group.start_soon(_append_later, client, number, dice.uniform(0.1, 3))
                await finish(client)
                begun = (await stage.record()).starts()
                async with stage.queue() as queue:
                    due = {one.event_id: one.due for one in await QueueQueries(queue).details(list(begun)) if one}
            late = [begun[event_id] * 1000 - due[event_id] / 1000 for event_id in begun]
            bench.expect("starts before they were due", sum(one < -1 for one in late))  # the record has whole ms
            middle.append(at_share(late, 0.5))
            worst.append(max(late))
    bench.figure("delay-p50", middle, backend)
    bench.figure("delay-max", worst, backend)


async def _append_later(client: Executor, number: int, seconds: float) -> None:
    await client.append(Noop(number=number), delay=seconds)
