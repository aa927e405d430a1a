"""
How long does the event loop stay away from a task that is ready, while short events run?

No-op events, appended in bulk and run with 100 slots. A task does nothing but yield, and notes the CPU time that passes
until it has its turn again. The target is 2 ms at the 99th percentile. CPU time, since other programs on the machine
interrupt this one at any time. A slice of time of a worker goes by the clock, so an interrupted worker yields sooner.
"""

import sys
import time
from statistics import quantiles

import anyio
from _harness import Benchmark, run
from _rivals import CONCURRENCY, Noop
from _targets import Spread
from anyio.lowlevel import checkpoint

from lionpride_exec import Executor

BATCH = 5_000  # events appended together


async def lag_at_p99(n: int, longest: list[float]) -> float:
    """Return the 99th percentile of the turns' distances in milliseconds, while n events come and run."""
    distances: list[float] = []

    async def watch() -> None:
        while True:
            began = time.process_time()
            await checkpoint()
            distances.append(time.process_time() - began)

    async with (
        Executor.of(Noop, concurrency_limit=CONCURRENCY, queue_capacity=10_000, capacity_refresh_time=0.01) as executor,
        anyio.create_task_group() as group,
    ):
        group.start_soon(watch)
        for _ in range(n // BATCH):
            await executor.extend(Noop() for _ in range(BATCH))
        await executor.join()
        group.cancel_scope.cancel()
    longest.append(max(distances) * 1e3)
    return quantiles(distances, n=100)[98] * 1e3


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    n, rounds = (5_000 if benchmark.quick else 50_000), benchmark.rounds(7)
    for backend in benchmark.backends:
        longest: list[float] = []
        lag = Spread.of(run(backend, lag_at_p99, n, longest) for _ in range(rounds))
        print(f"\n{backend}: distance of turns, n = {n:,}, {rounds} rounds, ms CPU; at most {max(longest):.2f}")
        benchmark.judge("lag", lag, backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
