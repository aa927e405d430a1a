"""A server counts arrivals, and a rate counts starts: how to set a rate so that the server refuses nothing."""

import random
from collections import deque

import anyio
import pytest

from lionpride_exec import Call, Concurrent, Event, Executor, Rate, RateLimited

pytestmark = pytest.mark.anyio

ALLOWED = 20  # requests in any second
CALLS = 400


class Server:
    """Lets in as many requests as it allows in any second. A request comes to it 5 to 60 ms after its start."""

    def __init__(self, seed):
        self.random = random.Random(seed)  # noqa: S311  no secret
        self.arrivals = deque()
        self.refused = 0

    async def request(self, _number):
        """Send a request, and wait for the answer."""
        await anyio.sleep(self.random.uniform(0.005, 0.06))
        now = anyio.current_time()
        while self.arrivals and self.arrivals[0] <= now - 1:
            self.arrivals.popleft()
        if len(self.arrivals) >= ALLOWED:
            self.refused += 1
            raise RateLimited(retry_after=1)
        self.arrivals.append(now)
        await anyio.sleep(0.3)


async def call(rate, seed):
    """Return how many of 400 calls the server refuses, and how long all of them take."""
    server, began = Server(seed), anyio.current_time()
    async with Executor.of(server.request, limits=rate, concurrency_limit=100) as executor:
        await executor.extend([Call.of(server.request, number) for number in range(CALLS)], priority=0)
    assert executor.status_counts()["completed"] == CALLS
    return server.refused, anyio.current_time() - began


@pytest.mark.parametrize("seed", range(3))
async def test_a_longer_window_is_better_than_a_smaller_amount(seed):
    """A window that is longer by more than the differences between arrivals gets no refusal, and takes less time."""
    refused, longer = await call(Rate(ALLOWED, per=1.1), seed)
    assert refused == 0
    refused, smaller = await call(Rate(ALLOWED - 1, per=1), seed)
    assert refused > 0
    assert longer < smaller
    refused, held = await call(Rate(ALLOWED, per=1, hold=True), seed)
    assert refused == 0
    assert longer < held


class BusyClient:
    """Opens a connection for each request that finds none free, one after the other: each takes 2 ms."""

    def __init__(self):
        self.server = deque()  # the last arrivals at a server that lets 100 in, in any second
        self.free = 0
        self.opening = anyio.Lock()
        self.refused = 0

    async def request(self, _number):
        """Send a request, and wait for the answer."""
        if self.free:
            self.free -= 1
        else:
            async with self.opening:
                await anyio.sleep(0.002)
        now = anyio.current_time()
        while self.server and self.server[0] <= now - 1:
            self.server.popleft()
        try:
            if len(self.server) >= 100:
                self.refused += 1
                raise RateLimited(retry_after=1)
            self.server.append(now)
            await anyio.sleep(0.05)
        finally:
            self.free += 1


@pytest.mark.parametrize(
    ("rate", "is_refused"),
    [
        (Rate(100, per=1), True),
        (Rate(100, per=1.1), True),
        (Rate(100, per=1.3), False),
        (Rate(10, per=0.11), False),
        (Rate(20, per=0.22), False),
    ],
)
async def test_smaller_bursts_arrive_more_evenly(rate, is_refused):
    """A tenth of the amount in a tenth of the window opens fewer connections at once."""
    client = BusyClient()
    async with Executor.of(client.request, limits=rate, concurrency_limit=100) as executor:
        await executor.extend([Call.of(client.request, number) for number in range(600)], priority=0)
    assert executor.status_counts()["completed"] == 600
    assert (client.refused > 0) is is_refused


@pytest.mark.parametrize("mean", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("spread", [0.0, 0.9])
async def test_hold_uses_the_share_that_the_page_says(mean, spread):
    """Of a rate with ``hold=True``, ``per / (per + mean time of a call)`` is used, however much the times differ."""
    per, windows, starts, randomness = 2.0, 100, [], random.Random(1)  # noqa: S311  no secret

    async def request(_number):
        starts.append(anyio.current_time())
        await anyio.sleep(mean * randomness.uniform(1 - spread, 1 + spread))

    async with Executor.of(request, limits=Rate(ALLOWED, per=per, hold=True), max_queue_size=10_000) as executor:
        await executor.extend([Call.of(request, number) for number in range(windows * ALLOWED)], priority=0)
    used = (windows - 1) * per / (starts[-1] - starts[0])
    assert used == pytest.approx(per / (per + mean), abs=0.01)


class OwnersCall(Event):
    """A call for one of 8 owners."""

    owner: int
    seconds: float

    async def _invoke(self):
        await anyio.sleep(self.seconds)


@pytest.mark.parametrize(
    ("rate", "urgent", "all_calls"),
    [(Rate(20, per=1), 14.2, 29.2), (Rate(20, per=1, hold=True), 7.2, 34.0), (Rate(2, per=0.1), 3.9, 30.1)],
    ids=["burst", "hold", "short window"],
)
async def test_a_short_window_leaves_more_starts_to_urgent_calls(rate, urgent, all_calls):
    """The table of docs/dispatch.md: one owner of 8 is urgent, and an owner has 5 slots."""
    numbers = random.Random(1)  # noqa: S311  no secret
    calls = [OwnersCall(owner=number % 8, seconds=numbers.uniform(0.05, 0.25)) for number in range(600)]
    began = anyio.current_time()
    async with Executor.of(OwnersCall, limits=[rate, Concurrent(5, key="owner")]) as executor:
        for owners_call in sorted(calls, key=lambda each: each.owner):
            await executor.append(owners_call, priority=min(owners_call.owner, 1), wait=True)
        ends = [(ended.owner, anyio.current_time() - began) async for ended in executor.as_completed(calls)]
    assert max(seconds for owner, seconds in ends if owner == 0) == pytest.approx(urgent, rel=0.05)
    assert max(seconds for _, seconds in ends) == pytest.approx(all_calls, rel=0.05)
