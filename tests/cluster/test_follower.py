"""What a client learns of its events, on a real server."""

import anyio
import pytest
from cluster_support import submission
from parts import cluster
from test_server_queue import begin, finish, take

pytestmark = pytest.mark.anyio


class Told:
    """What a follower tells, and the follower."""

    def __init__(self, queue, **options):
        self.moved = []
        self.follower = cluster.Follower(queue, self.moved.append, **options)

    def of(self, event):
        """Return the statuses and attempts of an event, in order."""
        return [(one.status, one.attempt) for one in self.moved if one.event_id == event.event_id]

    async def until(self, number):
        """Wait until so many transitions were told."""
        with anyio.fail_after(10):
            while len(self.moved) < number:
                await anyio.sleep(0.002)
        await anyio.sleep(0.02)
        assert len(self.moved) == number


async def run_through(queue, outcome=b"out"):
    """Have the next event begin and end."""
    taken = await take(queue, want=1)
    await begin(queue, taken)
    await queue.step("a", [finish(taken[0], outcome=outcome)])


async def test_each_transition_is_told_once_and_in_order(queue):
    told, mine, others = Told(queue), submission(), submission()
    async with anyio.create_task_group() as group:
        group.start_soon(told.follower.run)
        told.follower.add(mine.event_id)
        await queue.submit([others, mine])
        await run_through(queue)
        await run_through(queue)
        await told.until(3)
        group.cancel_scope.cancel()
    assert told.of(mine) == [("pending", 0), ("processing", 1), ("completed", 1)]
    assert told.moved[-1].outcome == b"out"
    assert told.of(others) == []


async def test_a_long_outcome_comes_with_the_end(queue):
    told, event, outcome = Told(queue), submission(), b"x" * 5000
    async with anyio.create_task_group() as group:
        group.start_soon(told.follower.run)
        told.follower.add(event.event_id)
        await queue.submit([event])
        await run_through(queue, outcome)
        await told.until(3)
        group.cancel_scope.cancel()
    assert told.moved[-1].outcome == outcome


async def test_an_event_that_is_given_back_is_told_as_pending_again(queue):
    told, event = Told(queue), submission()
    async with anyio.create_task_group() as group:
        group.start_soon(told.follower.run)
        told.follower.add(event.event_id)
        await queue.submit([event])
        (taken,) = await take(queue)
        await begin(queue, [taken])
        await queue.step("a", [("back", event.event_id, taken.entry.message, "t" + event.event_id, False)])
        await run_through(queue)
        await told.until(5)
        group.cancel_scope.cancel()
    assert told.of(event) == [("pending", 0), ("processing", 1), ("pending", 0), ("processing", 1), ("completed", 1)]


async def test_what_happened_before_is_told_as_it_stands(queue):
    """A client that begins to follow, or whose place in the stream is gone."""
    told, ended, running, waiting = Told(queue), submission(level=1), submission(level=2), submission(level=3)
    await queue.submit([ended, running, waiting])
    await run_through(queue, b"y" * 1000)
    await begin(queue, await take(queue, want=1))
    await queue.wire.command(lambda client: client.delete([f"{queue.prefix}t"]))
    unknown = submission()
    async with anyio.create_task_group() as group:
        for event in (ended, running, waiting, unknown):
            told.follower.add(event.event_id)
        group.start_soon(told.follower.run)
        await told.until(3)
        assert told.moved[0].outcome == b"y" * 1000
        await run_through(queue)
        await told.until(5)
        group.cancel_scope.cancel()
    assert told.of(ended) == [("completed", 1)]
    assert told.of(running) == [("processing", 1)]
    assert told.of(waiting) == [("pending", 0), ("processing", 1), ("completed", 1)]
    assert told.of(unknown) == []


async def test_what_was_learned_otherwise_is_not_told_again(queue):
    """Here the stream counts as incomplete at each answer, so the client asks where its events stand each time."""
    told, events = Told(queue, longest_gap=0), [submission() for _ in range(20)]
    async with anyio.create_task_group() as group:
        group.start_soon(told.follower.run)
        for event in events:
            told.follower.add(event.event_id)
            await queue.submit([event])
            await run_through(queue)
        with anyio.fail_after(10):
            while sum(one.status == "completed" for one in told.moved) < 20:
                await anyio.sleep(0.002)
        await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    whole = [("pending", 0), ("processing", 1), ("completed", 1)]
    for event in events:
        seen = told.of(event)
        assert seen == [one for one in whole if one in seen]  # each at most once, and in order
        assert seen[-1] == ("completed", 1)


async def test_nothing_is_told_of_an_event_that_is_discarded(queue):
    told, event = Told(queue), submission()
    async with anyio.create_task_group() as group:
        group.start_soon(told.follower.run)
        told.follower.add(event.event_id)
        await queue.submit([event])
        await told.until(1)
        told.follower.discard(event.event_id)
        await run_through(queue)
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert told.of(event) == [("pending", 0)]
