"""
What does an event cost in CPU time while a Rate paces the events, on uvloop beside asyncio?

No-op events, each started by a timer of its own, 3.7 ms after the one before: no whole number of milliseconds, which is
all that the timers of uvloop know. The target is 1.1 times the CPU time on asyncio.
"""

import sys
import time
from functools import partial

from _harness import Benchmark, run
from _rivals import Noop

from lionpride_exec import Executor, Rate

PER = 0.0037


async def paced(n: int) -> float:
    """Return the microseconds of CPU time that each of n events takes, one every 3.7 ms."""
    async with Executor.of(Noop, limits=Rate(1, per=PER)) as executor:
        began = time.process_time()
        await executor.extend(Noop() for _ in range(n))
        await executor.join()
        took = time.process_time() - began
    return took / n * 1e6


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"), ())
    n = 100 if benchmark.quick else 300
    race = benchmark.race(
        f"CPU time per event, n = {n:,}, one every {PER * 1000} ms",
        {backend: partial(run, backend, paced, n) for backend in ("asyncio", "asyncio+uvloop", "trio")},
        rounds=3 if benchmark.quick else 7,
        baseline="asyncio",
        unit="us CPU",
    )
    benchmark.target("asyncio+uvloop", race.ratio("asyncio+uvloop").middle, 1.1)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
