"""
How long after its append does an event start, when the executor has nothing else to do?

Compared with the least there can be between two tasks: an object handed over through a memory stream of anyio
to a task that waits for it. The target is 3 times that, at the median. Time by the clock: other programs change some of
the times, and the median of thousands of them little.
"""

import sys
import time
from functools import partial
from statistics import median

import anyio
from _harness import Benchmark, run
from _rivals import make_executor
from anyio.lowlevel import checkpoint

from lionpride_exec import Event, Executor, Processor

SETTLE = 5  # checkpoints after which everybody waits again
started = 0.0


class Stamp(Event):
    """Notes when it starts."""

    a: int = 0
    b: str = ""

    async def _invoke(self) -> None:
        global started  # noqa: PLW0603 - the cheapest way to tell
        started = time.perf_counter()


class StampProcessor(Processor):
    """Runs :class:`Stamp` events."""

    event_type = Stamp


class StampExecutor(Executor):
    """Keeps :class:`Stamp` events."""

    processor_type = StampProcessor


async def append_to_start(n: int) -> float:
    """Return the median of n times from append to start, in microseconds."""
    times = []
    executor = StampExecutor(processor_config=make_executor().processor_config)
    async with executor:
        for number in range(n):
            event = Stamp(a=number)
            began = time.perf_counter()
            await executor.append(event)
            await event.wait()
            times.append(started - began)
            for _ in range(SETTLE):
                await checkpoint()
    return median(times) * 1e6


async def hand_over(n: int) -> float:
    """Return the median of n times from send to receive, in microseconds."""
    times = []
    received = 0.0
    sender, receiver = anyio.create_memory_object_stream[int](1)

    async def receive() -> None:
        nonlocal received
        async with receiver:
            async for _ in receiver:
                received = time.perf_counter()

    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        async with sender:
            for number in range(n):
                for _ in range(SETTLE):
                    await checkpoint()
                began = time.perf_counter()
                await sender.send(number)
                for _ in range(SETTLE):
                    await checkpoint()
                times.append(received - began)
    return median(times) * 1e6


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    n = 500 if benchmark.quick else 5_000
    for backend in benchmark.backends:
        race = benchmark.race(
            f"{backend}: median time, n = {n:,}",
            {
                "append -> start": partial(run, backend, append_to_start, n),
                "memory stream": partial(run, backend, hand_over, n),
            },
            rounds=3 if benchmark.quick else 7,
            baseline="memory stream",
            unit="us",
        )
        benchmark.judge("latency", race.ratio("append -> start"), backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
