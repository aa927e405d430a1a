"""Limits for all workers together, by the clock of a real server."""

import random
import time
from collections import deque

import anyio
import attrs
import pytest
from cluster_support import submission
from parts import cluster
from queue_support import first_messages, first_transitions

pytestmark = pytest.mark.anyio

HOUR = 3600e6


class Runs:
    """Runs that begin and end by hand, each of an event of its own."""

    def __init__(self, queue, worker="a"):
        self.queue = queue
        self.worker = worker
        self.held = {}  # by token

    async def begin(self, *limits, token=None):
        """Have an event begin. Return the answer, and its token."""
        await self.queue.submit([submission(level=1)])
        _, (taken,) = await self.queue.take(self.worker, 1)
        token = token or taken.entry.event_id
        self.held[token] = taken
        ((word, number, *_),) = await self.again(token, *limits)
        return word, number, token

    async def again(self, token, *limits):
        """Ask again for an event that was refused."""
        entry = self.held[token].entry
        step = "begin", entry.event_id, entry.entry_id, token, [attrs.astuple(limit) for limit in limits]
        return await self.queue.step(self.worker, [step])

    async def end(self, token):
        """Have the event end."""
        entry = self.held[token].entry
        return await self.queue.step(self.worker, [("finish", entry.event_id, entry.entry_id, token, "completed", b"")])


@pytest.fixture
async def runs(queue):
    await queue.renew("a", 60_000, [])
    return Runs(queue)


def rate(amount=2, *, per=HOUR, cost=1, hold=False, name="rate"):
    return cluster.BucketLimit(name, amount, per, cost, hold)


def concurrent(amount=2, *, name="slots"):
    return cluster.BucketLimit(name, amount, 0, 1, hold=True)


async def test_no_more_than_the_amount_of_a_rate_begins(runs):
    """The next run is told when the first cost comes back."""
    words = [(await runs.begin(rate()))[:2] for _ in range(3)]
    assert words[:2] == [("go", 1)] * 2
    assert words[2][0] == "wait"
    assert HOUR - 60e6 < words[2][1] <= HOUR


async def test_what_a_rate_has_given_comes_back_after_the_time_and_not_at_the_end(runs):
    """The end of a run gives nothing back to a rate that is not held."""
    limit = rate(1, per=1.5e6)
    _, _, token = await runs.begin(limit)
    await runs.end(token)
    word, wait, second = await runs.begin(limit)
    assert word == "wait"
    assert 0 < wait <= 1.5e6
    await anyio.sleep(wait / 1e6 + 0.001)
    assert await runs.again(second, limit) == [("go", 1)]


async def test_a_held_rate_comes_back_a_time_after_the_end(runs):
    """Until the end of the run, no time can be said."""
    limit = rate(1, hold=True)
    _, _, token = await runs.begin(limit)
    word, wait, second = await runs.begin(limit)
    assert (word, wait) == ("wait", -1)
    await runs.end(token)
    ((word, wait, _),) = await runs.again(second, limit)
    assert word == "wait"
    assert HOUR - 60e6 < wait <= HOUR


async def test_a_slot_comes_back_at_the_end_and_who_waits_longest_is_told(runs):
    """The worker gets a message with the name of the bucket."""
    _, _, token = await runs.begin(concurrent(1))
    word, wait, second = await runs.begin(concurrent(1))
    assert (word, wait) == ("wait", -1)
    await runs.end(token)
    messages = await first_messages(runs.queue, "a")
    assert [one.bucket for one in messages] == ["slots"]
    assert await runs.again(second, concurrent(1)) == [("go", 1)]


async def test_all_limits_are_taken_or_none(runs):
    """A run that one limit refuses takes nothing of the other limit."""
    await runs.begin(concurrent(1))
    both = rate(5), concurrent(1)
    word, _, _ = await runs.begin(*both)
    assert word == "wait"
    for _ in range(5):  # nothing of the rate is gone
        assert (await runs.begin(rate(5)))[0] == "go"
    assert (await runs.begin(rate(5)))[0] == "wait"


async def test_it_is_said_which_limit_decides_when_to_ask_again(runs):
    """One for which a run has to end, else the one with the latest time."""
    soon, late = rate(1, name="soon", per=60e6), rate(1, name="late")
    slots, more_slots = concurrent(1), concurrent(1, name="more")
    _, _, token = await runs.begin(soon, late, slots, more_slots)
    _, _, token = await runs.begin(concurrent(0.5, name="no"))
    for limits, decides in [
        ((soon, late), 1),
        ((late, soon), 0),
        ((rate(name="free"), soon), 1),
        ((soon, slots, late, more_slots), 1),
        ((slots, late), 0),
    ]:
        ((word, _, index),) = await runs.again(token, *limits)
        assert (word, index) == ("wait", decides)


async def test_costs_are_exact_fractions(runs):
    """Ten times 0.1 fit into 1, although their sum as floats does not."""
    limit = rate(1, cost=0.1)
    words = [(await runs.begin(limit))[0] for _ in range(11)]
    assert words == ["go"] * 10 + ["wait"]


async def test_a_settled_cost_counts(runs):
    """A run that has cost less makes room for the next one."""
    limit = rate(10, cost=10)
    _, _, token = await runs.begin(limit)
    _, _, second = await runs.begin(limit)
    assert await runs.queue.step("a", [("settle", token, "rate", 0)]) == [("done", 0)]
    assert await runs.again(second, limit) == [("go", 1)]


@pytest.mark.parametrize("is_absolute", [True, False])
async def test_a_bucket_that_is_shut_gives_nothing_until_then(runs, is_absolute):
    """An earlier time does not replace a later one, and other buckets stay open."""
    soon = time.time() * 1e6 + 1.5e6 if is_absolute else -1.5e6
    await runs.queue.step("a", [("shut", "rate", soon), ("shut", "rate", 1)])
    word, wait, token = await runs.begin(rate())
    assert word == "wait"
    assert 0 < wait <= 1.5e6
    assert (await runs.begin(rate(name="other")))[0] == "go"
    await anyio.sleep(wait / 1e6 + 0.001)
    assert await runs.again(token, rate()) == [("go", 1)]


async def test_the_slots_of_a_dead_worker_come_back_with_the_end_of_its_lease(queue):
    """Even if no worker has taken over its events."""
    dead, other = Runs(queue, "dead"), Runs(queue, "b")
    await queue.renew("dead", 60_000, [])
    await queue.renew("b", 60_000, [])
    for _ in range(2):
        assert (await dead.begin(concurrent()))[0] == "go"
    word, _, token = await other.begin(concurrent())
    assert word == "wait"
    await queue.renew("dead", 1, [])
    await anyio.sleep(0.01)
    assert await other.again(token, concurrent()) == [("go", 1)]


async def test_who_takes_an_event_over_gives_back_what_the_dead_worker_held(queue):
    """Its lease may still run: it has stalled for a part of it only."""
    first = Runs(queue, "stalled")
    await queue.renew("stalled", 60_000, [])
    await queue.renew("b", 60_000, [])
    await first.begin(concurrent(1), token="old")
    with anyio.fail_after(5):
        while True:
            _, taken = await queue.take("b", 1, idle=1)
            if taken:
                break
    entry = taken[0].entry
    step = "begin", entry.event_id, entry.entry_id, "new", [attrs.astuple(concurrent(1))]
    assert await queue.step("b", [step]) == [("go", 2)]
    assert await first.end("old") == [("fenced", 0)]
    await queue.step("b", [("finish", entry.event_id, entry.entry_id, "new", "completed", b"")])
    assert (await first.begin(concurrent(1)))[0] == "go"


@pytest.mark.parametrize("how", ["give_back", "postpone"])
async def test_an_event_that_is_given_away_holds_nothing(runs, how):
    """At once, or to be taken later: its slot is free."""
    _, _, token = await runs.begin(concurrent(1))
    entry = runs.held[token].entry
    rest = (False,) if how == "give_back" else (9e15, b"", True)
    assert await runs.queue.step("a", [(how, entry.event_id, entry.entry_id, token, *rest)]) == [("done", 0)]
    if how == "give_back":
        await runs.queue.take("nobody", 1)
    assert (await runs.begin(concurrent(1)))[0] == "go"


async def test_an_answer_that_was_lost_takes_nothing_twice(runs):
    """A start that is sent again takes the cost of one run."""
    _, _, token = await runs.begin(concurrent())
    assert await runs.again(token, concurrent()) == [("go", 1)]
    assert (await runs.begin(concurrent()))[0] == "go"
    assert (await runs.begin(concurrent()))[0] == "wait"


async def test_random_runs_never_exceed_a_limit(runs):
    """
    By the starts and ends that the server has recorded, each window is looked at.

    The rate counts by the time at which a script begins. A transition has the time of its entry, which is later in
    Redis 7.0. So the starts of the rate are read from its bucket, after each of them.
    """
    draw = random.Random(1)
    limits = rate(20, per=300_000, cost=3, name="r"), concurrent(4, name="c"), rate(6, per=80_000, hold=True, name="h")
    running, asked = [], []
    starts, granted = 0, {}
    while starts < 40:
        granted |= await grants_of(runs.queue)
        if running and draw.random() < 0.4:
            await runs.end(running.pop(draw.randrange(len(running))))
        elif asked and draw.random() < 0.8:
            token = asked.pop(0)
            ((word, *_),) = await runs.again(token, *limits)
            starts += word == "go"
            (running if word == "go" else asked).append(token)
        else:
            word, _, token = await runs.begin(*limits)
            starts += word == "go"
            (running if word == "go" else asked).append(token)
        if len(asked) > 20:
            await anyio.sleep(0.005)
    total = await runs.queue.wire.command(lambda client: client.xlen(f"{runs.queue.prefix}t"))
    moved = await first_transitions(runs.queue, total)
    at_once, window = 0, deque()
    for one in moved:
        at_once += {"processing": 1, "completed": -1}.get(one.status, 0)
        assert at_once <= 4
    granted |= await grants_of(runs.queue)
    assert len(granted) == starts
    for at in sorted(granted.values()):
        window.append(at)
        while window[0] <= at - 300_000:
            window.popleft()
        assert 3 * len(window) <= 20


async def grants_of(queue):
    """Return when the rate of the random runs takes back what it has granted, in microseconds of the server."""
    (name,) = await queue.wire.command(lambda client: client.keys(f"{queue.prefix}l:*r:u")) or [None]
    if name is None:
        return {}
    members = await queue.wire.command(lambda client: client.zrange(name, 0, -1, withscores=True))
    return {one.member: one.score for one in members}
