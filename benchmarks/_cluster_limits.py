"""How exact are the limits of four processes together, how much of them is used, and do they hold up other keys?"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import anyio
from _cluster_bench import ClusterBenchmark
from _cluster_crashes import MIXED, completed, finish
from _cluster_stage import Record, Stage, until
from _cluster_worker import Timed

# Seconds by which a window of the workers' clocks is shorter. A start comes some milliseconds after its grant.
SHORTER = 0.05


def most_in(times: Iterable[float], seconds: float) -> int:
    """Return how many of these times are in a window of so many seconds, at most. The end is not in the window."""
    known = sorted(times)
    most = first = 0
    for number, at in enumerate(known):
        while at - known[first] >= seconds - 1e-6:  # times of the server are rounded
            first += 1
        most = max(most, number - first + 1)
    return most


def most_at_once(record: Record) -> int:
    """Return how many events ran at the same time at most, as the server has seen it."""
    running: set[str] = set()
    most = 0
    for move in record.moves:
        if move.status == "processing":
            running.add(move.event_id)
        else:
            running.discard(move.event_id)
        most = max(most, len(running))
    return most


def by_host(times: dict[str, float], hosts: dict[str, str]) -> dict[str, list[float]]:
    """Return the times of each host."""
    found: dict[str, list[float]] = defaultdict(list)
    for event_id, at in times.items():
        found[hosts[event_id]].append(at)
    return found


def in_5_seconds(times: Iterable[float]) -> int:
    """Return how many of these times are in the 5.5 seconds from the first one on."""
    known = list(times)
    end = min(known) + 5.5
    return sum(at < end for at in known)


# -------------------------------------------------------------------- rates


async def rate_of(bench: ClusterBenchmark, row: str, amount: int, keys: int) -> None:
    """Have more events than may start, and look at 5.5 seconds."""
    most, workers, use = [], [], []
    for _ in range(bench.rounds(3, 1)):
        with bench.server() as server, Stage(server, rate=(amount, 1.0), lease=15.0) as stage:
            hosts = [str(number % keys) for number in range(keys * amount * 7)]
            events = [Timed(number=number, host=host) for number, host in enumerate(hosts)]
            async with stage.client() as client:
                async with stage.paused():
                    await client.extend(events)
                    await stage.start_all(MIXED)
                async with stage.grants(keys) as grants:
                    await until(lambda: completed(client) > 0, what="the first start")
                    await anyio.sleep(6)
                record = await stage.record()
                host_of = {event.id.hex: event.host for event in events}
                of_workers = by_host(
                    {one.id.hex: one.result()[0] for one in events if one.status == "completed"}, host_of
                )
            granted = in_5_seconds([at for times in grants.values() for at in times.values()])
            bench.expect("starts whose grant was not seen", max(in_5_seconds(record.starts().values()) - granted, 0))
            most.append(max(most_in(times.values(), 1.0) for times in grants.values()))
            workers.append(max(most_in(times, 1.0 - SHORTER) for times in of_workers.values()))
            use.append(granted / (6 * amount * keys))
    bench.figure(f"{row}-most", most)
    bench.figure(f"{row}-workers", workers)
    bench.figure(f"{row}-use", use)


async def rate(bench: ClusterBenchmark, _backend: str) -> None:
    """200 starts a second of one key."""
    await rate_of(bench, "rate", 200, 1)


async def rates(bench: ClusterBenchmark, _backend: str) -> None:
    """50 starts a second of each of 20 keys."""
    await rate_of(bench, "rates", 50, 20)


# -------------------------------------------------------------------- at the same time


async def concurrent(bench: ClusterBenchmark, _backend: str) -> None:
    """Eight slots of 50 ms."""
    n = 200 if bench.quick else 800
    most, use = [], []
    for _ in range(bench.rounds(3, 1)):
        with bench.server() as server, Stage(server, concurrent=8, lease=15.0) as stage:
            async with stage.client() as client:
                async with stage.paused():
                    events = await client.extend(Timed(number=number, seconds=0.05) for number in range(n))
                    await stage.start_all(MIXED)
                await finish(client)
                record = await stage.record(lease=stage.settings.lease)
                spans = [event.result() for event in events]
            bench.say(f"by the workers' clocks: {most_spans(spans)} at once; took {record.seconds():.2f} s")
            most.append(most_at_once(record))
            use.append(n * 0.05 / 8 / record.seconds())
            bench.expect("broken invariants", record.broken)
    bench.figure("concurrent-most", most)
    bench.figure("concurrent-use", use)


def most_spans(spans: Iterable[Sequence[float]]) -> int:
    """Return how many spans overlap at most."""
    steps = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


async def concurrent_back(bench: ClusterBenchmark, _backend: str) -> None:
    """A worker is killed while it has some of the eight slots: the others get them."""
    took, most = [], []
    for _ in range(bench.rounds(3, 1)):
        with bench.server() as server, Stage(server, concurrent=8, lease=1.5) as stage:
            async with stage.client() as client:
                async with stage.paused():
                    await client.extend(Timed(number=number, seconds=0.3) for number in range(400))
                    await stage.start_all(MIXED)
                await until(lambda: completed(client) > 30, what="progress")
                killed = stage.workers[0].kill()
                await anyio.sleep(5)
                record = await stage.record(lease=stage.settings.lease)
            back, held, at_once = slots_after(record, killed)
            bench.say(f"the killed worker had {held} of 8")
            took.append(back)
            most.append(at_once)
    bench.figure("concurrent-back", took)
    bench.figure("concurrent-killed", most)


def slots_after(record: Record, killed: float) -> tuple[float, int, int]:
    """
    Look at what runs around the death of a worker.

    Returns:
        The seconds until eight events run that are not held by the worker that is heard of no more, how many that
        worker had when it died, and how many others ran at once at most.
    """
    last = {move.worker: move.at for move in record.moves}
    dead = {worker for worker, at in last.items() if at <= killed + 0.1}
    running: dict[str, str] = {}
    held, back, most = 0, float("inf"), 0
    for move in record.moves:
        if move.status == "processing":
            running[move.event_id] = move.worker
        else:
            running.pop(move.event_id, None)
        alive = sum(worker not in dead for worker in running.values())
        most = max(most, alive)
        if move.at <= killed:
            held = len(running) - alive
        elif alive == 8:
            back = min(back, move.at - killed)
    return back, held, most


# -------------------------------------------------------------------- a hot key


async def hot(bench: ClusterBenchmark, _backend: str) -> None:
    """1,500 events of one key stand before 1,501 of 19 other keys, at 25 a second and four at once for each key."""
    hot_events = [Timed(number=number, host="hot") for number in range(1500)]
    cold = [Timed(number=number, host=str(number % 19)) for number in range(1501)]
    ideal = (len(cold) // 19) // 25  # in whole seconds, since each second 25 of each key may start
    with bench.server() as server, Stage(server, rate=(25, 1.0), concurrent=4, lease=15.0) as stage:
        async with stage.client() as client:
            async with stage.paused():
                await client.extend(hot_events)
                events = await client.extend(cold)
                await stage.start_all(MIXED)
            await until(lambda: all(event.status == "completed" for event in events), 60, "the end of all cold events")
            record = await stage.record()
            hosts = {event.id.hex: event.host for event in [*hot_events, *cold]}
    starts = by_host(record.starts(), hosts)
    first = min(min(times) for times in starts.values())
    last = max(at for host, times in starts.items() if host != "hot" for at in times)
    in_time = sum(at <= last for at in starts["hot"]) / max(last - first, 1)
    bench.say(f"last cold start after {last - first:.2f} s, ideal {ideal} s; {in_time:.1f} hot starts a second")
    bench.figure("hot-last", [(last - first) / ideal])
    bench.figure("hot-most", [max(most_in(times, 1.0) for times in starts.values())])
