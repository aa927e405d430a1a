"""Is anything lost, or done again, when workers are killed, stall or are ended?"""

import random
import signal
import time
from collections.abc import Sequence
from math import inf

import anyio
from _cluster_bench import ClusterBenchmark
from _cluster_stage import GaveUp, Record, Stage, Worker, until
from _cluster_worker import Timed

from lionpride_exec import Executor

MIXED = ("asyncio", "trio", "asyncio", "trio")

SLOTS = 25


def wrong(stage: Stage, record: Record, ids: Sequence[str], *, seen: int) -> int:
    """
    Return how much went wrong, and print what did.

    Args:
        stage: Its workers were not to end by themselves.
        record: The transitions.
        ids: The events that have to be COMPLETED.
        seen: How many of them the client has seen COMPLETED.
    """
    found = {
        "not COMPLETED": record.not_completed(ids),
        "ended twice": record.ended_twice(),
        "ended by a run that counted no more": record.ended_late(),
        "not seen by the client": len(ids) - seen,
        "workers that ended by themselves": stage.failed(),
        "broken invariants": record.broken.count("\n") + 1 if record.broken else 0,
    }
    if any(found.values()):
        print(f"  WRONG: {', '.join(f'{what}: {number}' for what, number in found.items() if number)}")
        print(f"{record.broken[:4000]}\n{stage.complaints()}")
    return sum(found.values())


def completed(client: Executor) -> int:
    """Return how many events the client has seen COMPLETED."""
    return client.status_counts()["completed"]


def open_events(client: Executor) -> int:
    """Return how many events the client has not seen ended."""
    counts = client.status_counts()
    return counts["pending"] + counts["processing"]


async def until_seen(client: Executor, number: float, seconds: float = 120) -> None:
    """Wait until the client has seen so many events COMPLETED. Raises GaveUp like :func:`until`."""
    await until(lambda: completed(client) >= number, seconds, f"the end of {number:,.0f} events")


async def finish(client: Executor, seconds: float = 180) -> None:
    """Wait until the client has seen all ends. If that takes too long, say so, and go on: the figures show it."""
    try:
        await until(lambda: not open_events(client), seconds, "the end of all events")
    except GaveUp as error:
        print(f"  {error}: {client.status_counts()}")


async def kill_some(stage: Stage, client: Executor, n: int, deaths: Sequence[int], backends: Sequence[str]) -> None:
    """
    Have workers die one after the other while events are done, the oldest first. Each is replaced.

    Args:
        stage: Has no workers yet.
        client: Has submitted the events.
        n: How many.
        deaths: The signals, SIGKILL or SIGTERM.
        backends: Of the workers, which take turns.
    """
    dice = random.Random(7)  # noqa: S311  no secret
    running: list[Worker] = [stage.start(backend) for backend in backends]
    for number, death in enumerate(deaths):
        victim = await running.pop(0).ready()
        await until_seen(client, n * (number + 1) / (len(deaths) + 2))
        await anyio.sleep(dice.uniform(0, 0.03))
        if death == signal.SIGKILL:
            victim.kill()
        else:
            victim.terminate()
        running.append(stage.start(victim.settings.backend))


async def deaths(
    bench: ClusterBenchmark, row: str, backend: str, n: int, signals: Sequence[int], backends: Sequence[str]
) -> None:
    """Have workers die, and judge what became of the events."""
    with bench.server() as server, Stage(server, concurrency=SLOTS) as stage:
        async with stage.client() as client:
            began = time.monotonic()
            events = await client.extend(Timed(number=number, seconds=0.02) for number in range(n))
            ids = [event.id.hex for event in events]
            await kill_some(stage, client, n, signals, backends)
            await finish(client)
            took = time.monotonic() - began
            record = await stage.record(lease=stage.settings.lease)
            again = sorted(record.begun_again().values())
            bench.say(f"{n:,} events of 20 ms, {len(signals)} deaths, {took:.1f} s; begun again for a worker: {again}")
            bench.figure(f"{row}-wrong", [wrong(stage, record, ids, seen=completed(client))], backend)
            bench.figure(f"{row}-again", [max(again, default=0)], backend)


async def kills(bench: ClusterBenchmark, backend: str) -> None:
    """20 SIGKILLs, workers and client on one backend."""
    n, kills = (1_500, 3) if bench.quick else (10_000, 20)
    await deaths(bench, "kills", backend, n, [signal.SIGKILL] * kills, [backend] * 4)


async def mixed_deaths(bench: ClusterBenchmark, backend: str) -> None:
    """Three SIGKILLs and a SIGTERM, workers mixed, the client on one backend."""
    n = 1_500 if bench.quick else 10_000
    await deaths(bench, "deaths", backend, n, [signal.SIGKILL] * 3 + [signal.SIGTERM], MIXED)


# -------------------------------------------------------------------- how long it takes


async def run_all(stage: Stage, client: Executor, backend: str, number: int) -> Worker:
    """Have a worker run so many events of a minute, while another one has nothing to do. Return the first worker."""
    first = await stage.start(backend).ready()
    await client.extend(Timed(number=one, seconds=60) for one in range(number))
    await until(lambda: client.status_counts()["processing"] == number)
    await stage.start(backend).ready()
    return first


async def second_starts(stage: Stage, number: int) -> list[float]:
    """Wait until so many events have begun a second time, and return when, by the clock of the server."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = (await stage.record()).starts(2)
        if len(found) >= number:
            return list(found.values())
        await anyio.sleep(0.1)
    return []


async def redelivery(bench: ClusterBenchmark, backend: str) -> None:
    """What a killed worker ran begins elsewhere."""
    late = []
    for _ in range(bench.rounds(3, 1)):
        with bench.server() as server, Stage(server, concurrency=10) as stage:
            async with stage.client() as client:
                first = await run_all(stage, client, backend, 10)
                killed = first.kill()
                starts = await second_starts(stage, 10)
                late.append(max(starts, default=inf) - killed)
    bench.figure("redelivery", late, backend)


async def redelivery_behind(bench: ClusterBenchmark, backend: str) -> None:
    """The one stale entry stands behind 50 that are live, and the worker that is left has one free slot."""
    late = []
    for _ in range(bench.rounds(3, 1)):
        with bench.server() as server, Stage(server, concurrency=51, lookahead=51) as stage:
            async with stage.client() as client:
                await stage.start(backend).ready()
                live = await client.extend(Timed(number=number, seconds=60) for number in range(51))
                await until(lambda: client.status_counts()["processing"] == 51)
                victim = await stage.start(backend, concurrency=1, lookahead=1).ready()
                await client.append(Timed(number=51, seconds=60))
                await until(lambda: client.status_counts()["processing"] == 52)
                killed = victim.kill()
                client.cancel(live[-1])
                starts = await second_starts(stage, 1)
                late.append(max(starts, default=inf) - killed)
    bench.figure("redelivery-behind", late, backend)


async def stall(bench: ClusterBenchmark, backend: str) -> None:
    """The first worker is stopped beyond its lease and goes on, the second one is killed: the third one ends it all."""
    with bench.server() as server, Stage(server, lease=2.0) as stage:
        async with stage.client() as client:
            events = await client.extend(Timed(number=number, seconds=3) for number in range(20))
            first = await stage.start(backend).ready()
            await until(lambda: client.status_counts()["processing"] == 20)
            first.send(signal.SIGSTOP)
            second = await stage.start(backend).ready()
            await second_starts(stage, 20)
            first.send(signal.SIGCONT)
            await anyio.sleep(0.5)  # the first one ends its runs, which count no more
            second.kill()
            await stage.start(backend).ready()
            await finish(client, 60)
            record = await stage.record(lease=stage.settings.lease)
            runs = sum(record.begun.values()) / 20
            bench.say(f"20 events of 3 s at a lease of 2 s, begun {runs:.2f} times each")
            ids = [event.id.hex for event in events]
            bench.figure("stall-wrong", [wrong(stage, record, ids, seen=completed(client))], backend)


async def stop(bench: ClusterBenchmark, backend: str) -> None:
    """A worker that is told to end gives back what runs past its grace."""
    late, attempts = [], []
    for _ in range(bench.rounds(3, 1)):
        with bench.server() as server, Stage(server, concurrency=20, grace=0.3, lease=30.0) as stage:
            async with stage.client() as client:
                first = await run_all(stage, client, backend, 20)
                told = first.terminate()
                starts = await second_starts(stage, 20)
                late.append(max(starts, default=inf) - told)
                record = await stage.record()
                attempts.append(max(move.attempt for move in record.moves if move.status == "processing"))
    bench.figure("stop", late, backend)
    bench.figure("stop-attempt", attempts, backend)
