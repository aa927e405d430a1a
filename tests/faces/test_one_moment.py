"""All of one snapshot is of one moment, however busy the executor is."""

import random
from collections import Counter

import anyio
import pytest
from parts import faces_sources

from lionpride_exec import Concurrent, Event, Executor, Journal, Rate, RateLimited, Retry

pytestmark = pytest.mark.anyio


FAILED = Counter()


class Busy(Event, tag="tests.faces.busy"):
    """Takes some time, and may fail or be refused a few times first."""

    seconds: float = 0.0
    failures: int = 0
    key: int = 0

    async def _invoke(self):
        await anyio.sleep(self.seconds)
        if FAILED[self.id] < self.failures:
            FAILED[self.id] += 1
            raise RateLimited("slow down", retry_after=0.5) if self.key % 3 == 0 else ValueError("again")


def busy_executor(**options):
    """Make an executor whose events wait for each thing that there is."""
    limits = [
        Concurrent(2, key=lambda event: event.key, name="per key"),
        Rate(3, per=1.0, key=lambda event: event.key % 4),
        Rate(60, per=1.0),
    ]
    return Executor.of(Busy, limits=limits, concurrency_limit=12, **options)


async def feed(executor, draw, number):
    """Append events that wait for different things, some of them after others."""
    earlier = []
    for _ in range(number):
        event = Busy(
            seconds=draw.choice([0, 0.05, 0.3]),
            failures=draw.choice([0, 0, 0, 1, 2]),
            key=draw.randrange(30),
            retry=Retry(attempts=4, backoff=0.2),
        )
        after = draw.sample(earlier, min(len(earlier), 2)) if draw.random() < 0.3 else ()
        delay = draw.choice([None, None, None, 0.7])
        await executor.append(event, delay=delay, after_any_end=after)
        earlier = [*earlier[-20:], event]
        if draw.random() < 0.2:
            await anyio.sleep(0.02)


async def look(executor, source, draw, number):
    """Check that the sums of each snapshot agree. Return what events have waited for."""
    seen = set()
    async with executor, anyio.create_task_group() as group:
        group.start_soon(feed, executor, draw, 300)
        for _ in range(number):
            await anyio.sleep(draw.choice([0, 0, 0.003, 0.05]))
            found = await source.snapshot()
            assert sum(found.waits.values()) == found.counts["pending"]
            assert found.slots_used == found.counts["processing"]
            seen |= {*found.waits}
        group.cancel_scope.cancel()
        for event in executor.page("pending", limit=1000):
            executor.cancel(event)
    return seen


@pytest.mark.parametrize("seed", range(3))
async def test_sums_agree(seed):
    """The pending events are those that wait, and the used slots are those of the events that run."""
    draw = random.Random(seed)  # noqa: S311  no secrets
    executor = busy_executor()
    seen = await look(executor, faces_sources.live_source(executor), draw, 200)
    assert {"dependency", "delay", "limit"} <= seen


async def test_sums_agree_for_many_keys():
    """A look at thousands of keys takes several steps of the event loop, in which events begin and end."""
    limits = [Concurrent(1, key=lambda event: event.key), Rate(10**6, per=10**6)]
    executor = Executor.of(Busy, limits=limits, concurrency_limit=5000, max_queue_size=10**5)
    source, ended = faces_sources.live_source(executor), set()
    async with executor:
        await executor.extend([Busy(seconds=number % 7 / 5, key=number % 4000) for number in range(9000)])
        for _ in range(12):
            await anyio.sleep(0.1)
            found = await source.snapshot()
            assert sum(found.waits.values()) == found.counts["pending"]
            assert found.slots_used == found.counts["processing"]
            ended.add(found.counts["completed"])
    assert len(ended) > 3


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_sums_agree_with_a_journal(tmp_path, ack):
    """With a journal too, though events wait for the disk."""
    executor = busy_executor(journal=Journal(tmp_path / "run.db", ack=ack))
    source = faces_sources.live_source(executor)
    try:
        await look(executor, source, random.Random(1), 100)  # noqa: S311  no secrets
    finally:
        await source.aclose()
