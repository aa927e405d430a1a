"""A worker that is told of a free place and cannot use it has the next worker told."""

import sys

import anyio
import attrs
import pytest
from cluster_support import SECRET, link_of, submission, until
from parts import cluster
from queue_support import first_messages, take
from work_events import Step

from lionpride_exec import Cluster, Concurrent, Executor

pytestmark = pytest.mark.anyio

SLOTS = cluster.BucketLimit("slots", 1, 0, 1, hold=True)
RATE = cluster.BucketLimit("rate", 1, 3600e6, 1, hold=False)
GATES = {}  # by name of a queue and number of an event: until when it runs


class Gated(Step, tag="test_passed_places.gated"):
    """Runs until its gate is set."""

    async def _invoke(self):
        await GATES.setdefault((self.name, self.number), anyio.Event()).wait()


class Asker:
    """A worker that holds one event, and asks for its start by hand."""

    def __init__(self, queue, name):
        self.queue = queue
        self.name = name

    async def hold(self):
        """Take a new event."""
        await self.queue.renew(self.name, 60_000, [])
        await self.queue.submit([submission(level=1)])
        ((self.entry),) = [one.entry for one in await take(self.queue, self.name, 1)]
        return self

    async def begin(self, *limits):
        """Ask for the start. Return the word of the answer."""
        step = "begin", self.entry.event_id, self.entry.entry_id, self.name, [attrs.astuple(one) for one in limits]
        return await self.step(*step)

    async def end(self):
        """Have the event end."""
        return await self.step("finish", self.entry.event_id, self.entry.entry_id, self.name, "completed", b"")

    async def step(self, *step):
        """Send a step. Return the word of the answer."""
        return (await self.queue.step(self.name, [step]))[0][0]

    async def told(self):
        """Return the buckets of which the worker is told first."""
        with anyio.fail_after(20):
            return [one.bucket for one in await first_messages(self.queue, self.name)]


@pytest.fixture
async def askers(queue):
    """One worker that has the only place, and three that wait for it."""
    names = "first", "a", "b", "c"
    askers = [await Asker(queue, name).hold() for name in names]
    words = [await asker.begin(SLOTS) for asker in askers]
    assert words == ["go", "wait", "wait", "wait"]
    return askers


async def test_the_next_worker_is_told_of_a_place_that_is_passed_on(askers):
    """In the order in which the workers have asked, and each of them once."""
    first, *waiting = askers
    await first.end()
    for one, following in zip(waiting, [*waiting[1:], None], strict=True):
        assert await one.told() == ["slots"]
        assert await one.step("pass_place", "slots") == "done"
        if following is not None:
            assert await following.told() == ["slots"]


async def test_a_place_that_another_limit_keeps_unused_is_passed_on(askers):
    """The worker that was told asks for an event that a rate refuses. The place is there for the next worker."""
    first, told, following, _ = askers
    await (await Asker(first.queue, "other").hold()).begin(RATE)
    await first.end()
    assert await told.told() == ["slots"]
    assert await told.begin(SLOTS, RATE) == "wait"
    assert await following.told() == ["slots"]
    assert await following.begin(SLOTS) == "go"


async def test_a_worker_without_a_lease_is_not_told_of_a_place(askers):
    """It may be dead. The next one is told."""
    first, dead, following, _ = askers
    await dead.step("leave", "")
    await first.end()
    assert await following.told() == ["slots"]


def worker_for(server, name, lookahead, limits):
    """Return an executor that runs one event at a time, and takes so many."""
    settings = Cluster(server.url, queue=name, secret=SECRET, lookahead=lookahead)
    return Executor.of(Step, cluster=settings, limits=limits, concurrency_limit=1)


@pytest.fixture
async def gate(name):
    """Return a function that lets an event end."""
    yield lambda number: GATES.setdefault((name, number), anyio.Event()).set()
    for key in [key for key in GATES if key[0] == name]:
        del GATES[key]


async def have_refused(worker, events, monkeypatch):
    """Submit events, and wait until their starts are refused. No worker asks again by itself from now on."""
    limits, refused = link_of(worker).work.limits, []
    monkeypatch.setattr(sys.modules[type(limits).__module__], "SECONDS_UNTIL_ASKED_AGAIN", 1000.0)
    close = limits.close

    def note(limit, state, seconds):
        close(limit, state, seconds)
        refused.append(limit.bucket)

    monkeypatch.setattr(limits, "close", note)
    await worker.extend(events)
    await until(lambda: len(refused) == len(events))


async def test_a_worker_whose_slots_are_full_passes_the_place_on(server, name, gate, monkeypatch):
    """The first worker in the line runs an event of another key. The second one has a free slot."""
    limits = [Concurrent(1, key="host")]
    holder, full, free = [worker_for(server, name, number, limits) for number in (1, 2, 1)]
    waiting, following = (Step(name=name, number=number) for number in (2, 4))
    async with holder:
        held = await holder.append(Gated(name=name, number=1))
        await until(lambda: held.status == "processing")
        async with full:
            await have_refused(full, [waiting], monkeypatch)
            other = await full.append(Gated(name=name, number=3, host="b"))
            await until(lambda: other.status == "processing")
            async with free:
                await have_refused(free, [following], monkeypatch)
                gate(1)
                with anyio.fail_after(20):
                    await following.wait()
                    assert waiting.status == "pending"
                    gate(3)
                    await waiting.wait()


def both_at_once(worker, monkeypatch):
    """Have a worker learn of two free places at the same time."""
    limits, told = link_of(worker).work.limits, []
    reopen = limits.reopen

    def note(bucket):
        told.append(bucket)
        for one in told if len(told) == 2 else ():
            reopen(one)

    monkeypatch.setattr(limits, "reopen", note)


async def test_of_two_places_a_worker_with_one_slot_passes_one_on(server, name, gate, monkeypatch):
    """It had a free slot when it was told of both. Its next event takes one of them."""
    limits = [Concurrent(1, key="host")]
    holders = [worker_for(server, name, 1, limits) for _ in range(2)]
    told, free = worker_for(server, name, 2, limits), worker_for(server, name, 2, limits)
    both_at_once(told, monkeypatch)
    events = [Gated(name=name, number=number, host=str(number % 2)) for number in range(6)]
    async with holders[0], holders[1]:
        await holders[0].extend(events[:2])
        await until(lambda: {one.status for one in events[:2]} == {"processing"})
        for worker, some in [(told, events[2:4]), (free, events[4:])]:
            await worker.start()
            await have_refused(worker, some, monkeypatch)
        gate(0)
        gate(1)
        await until(lambda: sum(one.status == "processing" for one in events[2:]) == 2)
        for number in range(2, 6):
            gate(number)
        with anyio.fail_after(20):
            for event in events:
                await event.wait()
        await told.stop()
        await free.stop()
