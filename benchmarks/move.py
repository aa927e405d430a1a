"""
Does a move from one status to another cost the same among a million events as among a thousand?

A measurement moves 100 events, spread evenly over all there are, from PENDING to PROCESSING to COMPLETED. An
event moves once, so they are others each time. They are looked at first: what an event costs to fetch into
the caches of the CPU is no part of the question. The target is 1.2 times the cost at 1000.
"""

import sys
import time
from functools import partial
from statistics import median

import anyio
from _harness import Benchmark, collected
from _rivals import Noop, NoopExecutor, make_executor

from lionpride_exec import EventStatus

MOVED = 100


async def fill(n: int) -> tuple[NoopExecutor, list[Noop]]:
    """Make an executor with n pending events."""
    executor = make_executor()
    events = [Noop(a=number) for number in range(n)]
    for event in events:
        await executor.append(event)
    return executor, events


class Mover:
    """Moves other events of an executor at each call."""

    def __init__(self, n: int) -> None:
        self.executor, events = anyio.run(fill, n)
        step = n // MOVED
        self._batches = [events[start::step][:MOVED] for start in range(step)]

    def __call__(self) -> float:
        """Give the microseconds of one move."""
        batch = self._batches.pop()
        for event in batch:
            assert event in self.executor
            assert event.status is EventStatus.PENDING
        began = time.perf_counter()
        for event in batch:
            event.status = EventStatus.PROCESSING
            event.status = EventStatus.COMPLETED
        return (time.perf_counter() - began) / (2 * MOVED) * 1e6


def measure(n: int, times: int) -> float:
    """Fill an executor anew, and give the median of so many measurements in it."""
    mover = Mover(n)
    with collected():
        return median(mover() for _ in range(times))


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, backends=())
    few, many = 1_000, 100_000 if benchmark.quick else 1_000_000
    times = few // MOVED
    race = benchmark.race(
        f"time per move, each the median of {times} times {2 * MOVED} moves",
        {f"n = {n:,}": partial(measure, n, times) for n in (few, many)},
        rounds=3 if benchmark.quick else 7,
        baseline=f"n = {few:,}",
        unit="us",
    )
    benchmark.target(f"n = {many:,}", race.ratio(f"n = {many:,}").middle, 1.2)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
