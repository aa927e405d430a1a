"""
How much memory does an event with two fields take, with all that is kept for it?

Everything that is allocated and still there (``tracemalloc``), divided by the number of events: the event,
its record, its place in the executor and in one of the seven progressions. Once while all are pending, once
when all have completed. The values of the fields are the caller's. Tables grow in steps, so several numbers
of events are tried, and the worst counts. The targets are 560 bytes for a pending event and 680 bytes for a completed
one, of which the progressions take at most 11 %.
"""

import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable

import anyio
from _harness import Benchmark
from _rivals import Noop, NoopExecutor, make_executor
from _targets import Spread

NUMBERS = (10_000, 14_000, 20_000, 28_000, 40_000, 56_000, 80_000)


async def pending(numbers: list[int]) -> NoopExecutor:
    """Append events before the start."""
    executor = make_executor()
    for number in numbers:
        await executor.append(Noop(a=number))
    return executor


async def completed(numbers: list[int]) -> NoopExecutor:
    """Append events and let them run."""
    executor = make_executor()
    async with executor:
        for number in numbers:
            await executor.append(Noop(a=number), wait=True)
    return executor


def traced() -> int:
    """Return the bytes that are allocated now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio",), backends=("asyncio", "trio"))
    for backend in benchmark.backends:
        for fill in (pending, completed):
            if not benchmark.wants(f"memory-{fill.__name__}"):
                continue
            measure(benchmark, backend, fill)
    return benchmark.end()


def measure(benchmark: Benchmark, backend: str, fill: Callable[[list[int]], Awaitable[NoopExecutor]]) -> None:
    """Print bytes per event for several numbers of events, and judge the worst."""
    anyio.run(fill, [0] * 1000, backend=backend)  # whatever is allocated once
    sizes, worst_share = [], 0.0
    print(f"\n{fill.__name__} on {backend}: bytes per event")
    for n in NUMBERS[: 3 if benchmark.quick else None]:
        numbers = list(range(n))
        tracemalloc.start()
        before = traced()
        executor = anyio.run(fill, numbers, backend=backend)
        full = traced()
        assert executor.status_counts()[fill.__name__] == n
        for progression in executor.states.progressions:
            progression.clear()
        without = traced()
        tracemalloc.stop()
        each, progressions = (full - before) / n, (full - without) / n
        share = progressions / each
        print(f"  n = {n:6,}: {each:7.1f}, of which the progressions {progressions:5.1f}, {share:.1%}")
        sizes.append(each)
        worst_share = max(worst_share, share)
        del executor
    worst = Spread(max(sizes), min(sizes), max(sizes), len(sizes))
    benchmark.judge(f"memory-{fill.__name__}", worst, backend)
    benchmark.target("the progressions", worst_share * 100, 11, unit="%")


if __name__ == "__main__":
    sys.exit(main())
