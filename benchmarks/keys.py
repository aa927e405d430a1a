"""
Does an event cost more when there are many keys, and many events that wait for theirs?

Limits for each key, with 1, 100 and 10 000 keys: all events are queued, then run. And: 100 keys whose events may start,
beside none or 100 000 events of 10 000 keys that are at their limit. The targets are 1.5 times the cost with few; that
of a queue which looks at what cannot start would be a thousand times.
"""

import sys
import time
from functools import partial

import anyio
from _harness import Benchmark, collected, judged, run
from _rivals import Noop, NoopExecutor

from lionpride_exec import Concurrent, Rate, WaitReason

PLENTY = 1_000_000_000


def make_executor(*limits: Rate | Concurrent) -> NoopExecutor:
    """Make an executor with these limits and room for all."""
    return NoopExecutor(
        processor_config={
            "queue_capacity": 10_000,
            "capacity_refresh_time": 0.01,
            "max_queue_size": 1_000_000,
            "limits": limits,
        }
    )


async def of_many_keys(n: int, keys: int) -> float:
    """Queue n events of so many keys, then run them; return the microseconds for each, both included."""
    executor = make_executor(Rate(PLENTY, per=1.0, key="a"), Concurrent(PLENTY, key="a"))
    async with executor:
        executor.pause()
        began = time.process_time()
        for number in range(n):
            await executor.append(Noop(a=number % keys), priority=0)
        executor.resume()
        await executor.join()
        took = time.process_time() - began
    assert executor.status_counts()["completed"] == n
    return took / n * 1e6


async def beside_many_that_wait(n: int, waiting: int, keys: int) -> float:
    """Return the microseconds for each of n events of 100 keys, beside others of keys that are at their limit."""
    executor = make_executor(
        Rate(1, per=3600.0, key=lambda event: event.a if event.a >= 1000 else None), Concurrent(PLENTY, key="a")
    )
    await executor.start()
    for number in range(keys + waiting):  # the first of each key runs, and uses up its hour
        await executor.append(Noop(a=1000 + number % keys), priority=-1)
    while executor.statistics().waits.get(WaitReason.LIMIT, 0) < waiting:  # noqa: ASYNC110  not measured
        await anyio.sleep(0.01)
    with collected():
        began = time.process_time()
        for number in range(n):
            await executor.append(Noop(a=number % 100), priority=0)
        await executor.invoke(Noop(), priority=0)
        took = time.process_time() - began
    await executor.stop(grace=0)
    return took / n * 1e6


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    n = 20_000 if benchmark.quick else 100_000
    few = n // 5
    for backend in benchmark.backends:
        names = {f"{keys:,} keys": keys for keys in (1, 100, 10_000)}
        race = benchmark.race(
            f"{backend}: CPU time per event, {n:,} queued, then run",
            {name: partial(run, backend, of_many_keys, n, keys) for name, keys in names.items()},
            rounds=3 if benchmark.quick else 5,
            baseline="1 keys",
        )
        benchmark.target("10,000 keys", race.ratio("10,000 keys").middle, 1.5, counts=judged(backend))
        crowds = {"none": (0, 1), f"{n:,} of 10,000 keys": (n, 10_000)}
        race = benchmark.race(
            f"{backend}: CPU time per event of 100 keys, n = {few:,}, beside those that wait for their limit",
            {name: partial(run, backend, beside_many_that_wait, few, *crowd) for name, crowd in crowds.items()},
            rounds=3 if benchmark.quick else 5,
            baseline="none",
        )
        benchmark.target(list(crowds)[1], race.ratio(list(crowds)[1]).middle, 1.5, counts=judged(backend))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
