"""
The ways to run n no-op operations, at most 100 at once, that the benchmarks compare.

All of them run the same nothing: :func:`noop`, or an event whose ``_invoke()`` does as little.
"""

from importlib import import_module
from typing import Any

import anyio

from lionpride_exec import Event, Executor, Processor

CONCURRENCY = 100


async def noop(number: int) -> None:
    """Do nothing."""


class Noop(Event):
    """An event with two fields that does nothing."""

    a: int = 0
    b: str = ""

    async def _invoke(self) -> None:
        return None


class NoopProcessor(Processor):
    """Runs :class:`Noop` events."""

    event_type = Noop


class NoopExecutor(Executor):
    """Keeps :class:`Noop` events."""

    processor_type = NoopProcessor


def make_executor(*, queue_capacity: int = 10_000, capacity_refresh_time: float = 0.01) -> NoopExecutor:
    """Make our executor: as many starts in a second as may be configured, all else as by default."""
    return NoopExecutor(
        processor_config={"queue_capacity": queue_capacity, "capacity_refresh_time": capacity_refresh_time}
    )


async def ours(n: int) -> NoopExecutor:
    """Append n events to an executor and let it run them; all of them are kept, with their records."""
    executor = make_executor()
    async with executor:
        for number in range(n):
            await executor.append(Noop(a=number), wait=True)
    assert executor.status_counts()["completed"] == n
    return executor


async def extended(n: int) -> NoopExecutor:
    """Append n events by one ``extend()``, and let an executor run them; all of them are kept."""
    executor = make_executor()
    async with executor:
        await executor.extend(Noop(a=number) for number in range(n))
    assert executor.status_counts()["completed"] == n
    return executor


async def identity(number: int) -> int:
    """Return the number."""
    return number


async def mapped(n: int) -> None:
    """Call a function for n items by ``executor.map()``, and add up the results."""
    total = 0
    executor = Executor.of(identity, queue_capacity=10_000, capacity_refresh_time=0.01, concurrency_limit=CONCURRENCY)
    async with executor:
        async for event in executor.map(identity, range(n)):
            total += event.result()
    assert total == n * (n - 1) // 2


async def amap(n: int) -> None:
    """Call a function for n items by ``amap()`` of aiometer, and add up the results."""
    from aiometer import amap as amap_  # noqa: PLC0415  it may not be installed

    total = 0
    async with amap_(identity, range(n), max_at_once=CONCURRENCY) as results:
        async for result in results:
            total += result
    assert total == n * (n - 1) // 2


async def task_group(n: int) -> None:
    """Start a task for each of n calls, in a task group with a limiter."""
    limiter = anyio.CapacityLimiter(CONCURRENCY)

    async def limited(number: int) -> None:
        async with limiter:
            await noop(number)

    async with anyio.create_task_group() as group:
        for number in range(n):
            group.start_soon(limited, number)


async def aiometer(n: int) -> None:
    """Let aiometer make n calls; ``run_on_each()``, the form that keeps no results, is its fastest."""
    from aiometer import run_on_each  # noqa: PLC0415  it may not be installed

    await run_on_each(noop, range(n), max_at_once=CONCURRENCY)


async def aiojobs(n: int) -> None:
    """Let aiojobs make n calls; the pending ones are unlimited. It runs on asyncio only."""
    from aiojobs import Scheduler  # noqa: PLC0415  it may not be installed

    async with Scheduler(limit=CONCURRENCY, pending_limit=0, wait_timeout=None) as scheduler:
        for number in range(n):
            await scheduler.spawn(noop(number))


async def origin(n: int) -> object:
    """
    Append n events to the executor of the package ``lionpride``, and forward it until all have completed.

    Its ``start()`` starts no loop; ``forward()`` runs one batch, the largest there may be.
    """
    core: Any = import_module("lionpride.core")  # here, as it is slow to import

    class OriginNoop(core.Event):  # type: ignore[misc]  # not installed where types are checked
        a: int = 0
        b: str = ""

        async def _invoke(self) -> None:
            return None

    class OriginProcessor(core.Processor):  # type: ignore[misc]  # likewise
        event_type = OriginNoop

    class OriginExecutor(core.Executor):  # type: ignore[misc]  # likewise
        processor_type = OriginProcessor

    config = {
        "queue_capacity": 10_000,
        "capacity_refresh_time": 0.01,
        "concurrency_limit": CONCURRENCY,
        "max_queue_size": n,
    }
    executor = OriginExecutor(processor_config=config)
    await executor.start()
    for number in range(n):
        await executor.append(OriginNoop(a=number))
    while executor.status_counts()["completed"] < n:
        await executor.forward()
    return executor
