"""Is anything lost when the server dies, is down or full, when connections break, or when the host is cancelled?"""

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from _cluster_bench import ClusterBenchmark
from _cluster_crashes import MIXED, completed, finish, until_seen, wrong
from _cluster_server import Server
from _cluster_stage import Stage
from _cluster_worker import Noop, Timed, Work
from anyio import CancelScope, to_thread

from lionpride_exec import ClusterError, Executor

PROXY = Path(__file__).parents[1] / "tests" / "cluster" / "cutting_proxy.py"


async def append_on_and_on(client: Executor, events: list[Work], pause: float) -> None:
    """Append one event after the other until cancelled, and note those that were acknowledged."""
    number = 0
    while True:
        number -= 1
        events.append(await client.append(Timed(number=number, seconds=0.02)))
        await anyio.sleep(pause)


async def restart(bench: ClusterBenchmark, backend: str) -> None:
    """The server is killed twice under load, and started again after a second. The client goes on to append."""
    n = 2_000 if bench.quick else 6_000
    with bench.server() as server, Stage(server) as stage:
        async with stage.client() as client:
            events: list[Work] = [*await client.extend(Timed(number=number, seconds=0.02) for number in range(n))]
            await stage.start_all(MIXED)
            async with anyio.create_task_group() as group:
                group.start_soon(append_on_and_on, client, events, 0.02)
                for share in (n // 3, 2 * n // 3):
                    await until_seen(client, share)
                    server.kill()
                    await anyio.sleep(1)
                    await to_thread.run_sync(server.start)
                await until_seen(client, n, 180)
                group.cancel_scope.cancel()
            await finish(client)
            record = await stage.record(lease=stage.settings.lease)
            ids = [event.id.hex for event in events]
            again = sum(record.begun_again().values())
            bench.say(f"{len(ids):,} events, {again} runs of them a second time")
            seen = sum(event.status == "completed" for event in events)
            bench.figure("restart-wrong", [wrong(stage, record, ids, seen=seen)], backend)


async def until_at_rest(stage: Stage, seconds: float = 60) -> None:
    """Wait until no event of the queue is open. If that takes too long, the figures show it."""
    deadline = time.monotonic() + seconds
    async with stage.queue() as queue:
        while time.monotonic() < deadline:
            counts = await queue.wire.command(lambda client: client.hgetall(f"{queue.prefix}n"))
            if not any(int(counts.get(status, 0)) for status in (b"pending", b"processing")):
                return
            await anyio.sleep(0.05)


async def outage(bench: ClusterBenchmark, backend: str) -> None:
    """The same load with a server that is down for some seconds, and without that: 100 events of 0.5 s at a time."""
    down, n = (2, 600) if bench.quick else (10, 3_000)
    costs, faults = [], 0
    for _ in range(bench.rounds(1, 1)):
        took = {}
        for seconds in (0, down):
            with bench.server() as server, Stage(server, lease=15.0) as stage:
                took[seconds], found = await run_through(bench, stage, server, n, seconds)
                faults += found
        bench.say(f"{n:,} events: {took[0]:.1f} s, with a server down for {down} s: {took[down]:.1f} s")
        costs.append(took[down] - took[0] + (10 - down))
    bench.figure("outage", costs, backend)
    bench.figure("outage-wrong", [faults], backend)


async def run_through(bench: ClusterBenchmark, stage: Stage, server: Server, n: int, down: float) -> tuple[float, int]:
    """Run events of 0.5 s with a server that is down for some seconds. Return the seconds, and how much went wrong."""
    async with stage.client() as client:
        workers = [stage.start(backend) for backend in MIXED]
        for worker in workers:
            await worker.ready()
        began = time.monotonic()
        events = await client.extend(Timed(number=number, seconds=0.5) for number in range(n))
        await until_seen(client, n // 3)
        if down:
            await to_thread.run_sync(server.stop)
            await anyio.sleep(down)
            await to_thread.run_sync(server.start)
        await finish(client)
        took = time.monotonic() - began
        record = await stage.record(lease=stage.settings.lease)
        if again := sum(record.begun_again().values()):
            bench.say(f"{again} events ran again")
        return took, wrong(stage, record, [event.id.hex for event in events], seen=completed(client))


async def full(bench: ClusterBenchmark, backend: str) -> None:
    """The memory of the server runs full while workers work: submits are refused, and what is there ends."""
    size = "12mb" if bench.quick else "30mb"
    with bench.server("--maxmemory", size, "--maxmemory-policy", "noeviction") as server, Stage(server) as stage:
        async with stage.client() as client:
            workers = [stage.start(one) for one in MIXED[:2]]
            for worker in workers:
                await worker.ready()
            refused, taken = 0, list[Work]()
            while refused < 20:
                try:
                    batch = [Noop(number=number, pad="x" * 400) for number in range(200)]
                    taken += await client.extend(batch)
                except ClusterError as error:
                    if "memory" not in str(error):
                        raise
                    refused += 1
                    taken += [event for event in batch if event.id in client]
                    await anyio.sleep(0.01)
            await finish(client)
            record = await stage.record(lease=stage.settings.lease)
            bench.say(f"{size}: {len(taken):,} events were taken in, then {refused} submits raised")
            ids = [event.id.hex for event in taken]
            bench.figure("full-wrong", [wrong(stage, record, ids, seen=completed(client))], backend)
            bench.figure("full-refused", [refused], backend)


@contextmanager
def proxy_to(server: Server) -> Iterator[Any]:
    """Have a proxy that can cut all connections to a server."""
    spec = importlib.util.spec_from_file_location("cutting_proxy", PROXY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    proxy = module.CuttingProxy(server.port)
    try:
        yield proxy
    finally:
        proxy.close()


async def cuts(bench: ClusterBenchmark, backend: str) -> None:
    """All connections are cut again and again: those of the client, and those of two workers on the same backend."""
    times, n = (30, 1_500) if bench.quick else (150, 6_000)
    with bench.server() as server, proxy_to(server) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        with Stage(server, url=url, lease=15.0) as stage:
            async with stage.client() as client:
                await stage.start_all([backend] * 2)
                events = await client.extend(Timed(number=number, seconds=0.02) for number in range(n))
                began = time.monotonic()
                done = 0
                while done < times and completed(client) < n:
                    await anyio.sleep(0.05)
                    await to_thread.run_sync(proxy.cut)
                    done += 1
                bench.say(f"{done} times, {proxy.cuts} connections, {time.monotonic() - began:.1f} s")
                await finish(client)
                record = await stage.record(lease=stage.settings.lease)
                ids = [event.id.hex for event in events]
                bench.figure("cuts-wrong", [wrong(stage, record, ids, seen=completed(client))], backend)
                bench.figure("cuts-again", [sum(record.begun_again().values())], backend)


# -------------------------------------------------------------------- cancelling the host


async def cancelled(bench: ClusterBenchmark, backend: str) -> None:
    """The scope around an executor that submits and works is cancelled at many moments, also while it connects."""
    times = 20 if bench.quick else 100
    raised, ids = 0, list[str]()
    with bench.server() as server, Stage(server, lease=1.0, concurrency=10) as stage:
        await live(stage, ids, 60)  # imports, and the first connection
        began = time.monotonic()
        await live(stage, ids, 60)
        whole = time.monotonic() - began
        for number in range(times):
            try:
                with CancelScope():
                    await live(stage, ids, whole * 1.2 * number / times)
            except BaseException as error:  # noqa: BLE001  counted, whatever it is
                raised += 1
                bench.say(f"raised after {whole * 1.2 * number / times:.3f} s: {error!r}")
        async with stage.settings.executor(work=True):
            await anyio.sleep(2.5)  # a lease and a half, then all that was held is taken over
            await until_at_rest(stage)
            record = await stage.record(lease=stage.settings.lease)
        bench.say(f"a whole run takes {whole:.2f} s; {len(ids):,} events, {record.begun.total():,} runs")
        bench.figure("cancelled-raised", [raised], backend)
        bench.figure("cancelled-wrong", [wrong(stage, record, ids, seen=len(ids))], backend)


async def live(stage: Stage, ids: list[str], seconds: float) -> None:
    """Submit events and work on them, for some seconds at most. Note the events that were acknowledged."""
    with anyio.move_on_after(seconds):
        async with stage.settings.executor(work=True) as executor:
            for number in range(10):
                event = await executor.append(Timed(number=number, seconds=0.02))
                ids.append(event.id.hex)
            ids += [event.id.hex for event in await executor.extend(Timed(seconds=0.02) for _ in range(20))]
            await executor.join()
