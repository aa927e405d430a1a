"""What a client learns of its events, on a real server."""

import anyio
import pytest
from cluster_support import submission
from parts import cluster
from queue_support import begin, finish, take

pytestmark = pytest.mark.anyio


class Told:
    """What a reader tells, and the reader."""

    def __init__(self, queue, **options):
        self.moved = []
        self.queue = queue
        self.reader = cluster.TransitionReader(queue, self.moved.append, **options)

    async def submit(self, *events):
        """Submit events, and follow them from then on."""
        for event in events:
            self.reader.add(event.event_id)
        await self.reader.awake()
        await self.queue.submit(events)

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
        group.start_soon(told.reader.run)
        await queue.submit([others])
        await told.submit(mine)
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
        group.start_soon(told.reader.run)
        await told.submit(event)
        await run_through(queue, outcome)
        await told.until(3)
        group.cancel_scope.cancel()
    assert told.moved[-1].outcome == outcome


async def test_an_event_that_is_given_back_is_told_as_pending_again(queue):
    told, event = Told(queue), submission()
    async with anyio.create_task_group() as group:
        group.start_soon(told.reader.run)
        await told.submit(event)
        (taken,) = await take(queue)
        await begin(queue, [taken])
        await queue.step("a", [("give_back", event.event_id, taken.entry.entry_id, "t" + event.event_id, False)])
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
    unknown, coming = submission(), submission()
    for event in (ended, running, waiting, unknown):
        told.reader.add(event.event_id, is_submitted=True)
    told.reader.add(coming.event_id)
    async with anyio.create_task_group() as group:
        group.start_soon(told.reader.run)
        await told.until(4)
        assert told.moved[0].outcome == b"y" * 1000
        await run_through(queue)
        await told.until(6)
        group.cancel_scope.cancel()
    assert told.of(ended) == [("completed", 1)]
    assert told.of(running) == [("processing", 1)]
    assert told.of(waiting) == [("pending", 0), ("processing", 1), ("completed", 1)]
    assert told.of(unknown) == [("", 0)]
    assert told.of(coming) == []


async def test_what_was_learned_otherwise_is_not_told_again(queue, monkeypatch):
    """The client asks where its events stand at each transition."""
    told, events = Told(queue, longest_gap=0), [submission() for _ in range(20)]

    async def never(_cursor):
        """Say that the stream has lost something."""
        return False

    monkeypatch.setattr(queue, "has_transition", never)
    async with anyio.create_task_group() as group:
        group.start_soon(told.reader.run)
        for event in events:
            await told.submit(event)
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
        group.start_soon(told.reader.run)
        await told.submit(event)
        await told.until(1)
        told.reader.discard(event.event_id)
        await run_through(queue)
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert told.of(event) == [("pending", 0)]


async def test_a_reader_that_stalls_learns_what_the_stream_has_lost(queue):
    """The stream was trimmed meanwhile, so an end was never read."""
    moved, first, second = [], submission(level=1), submission(level=2)
    stalled, go_on = anyio.Event(), anyio.Event()

    async def stall():
        stalled.set()
        await go_on.wait()

    def tell(one):
        moved.append(one)
        return stall() if len(moved) == 1 else None

    reader = cluster.TransitionReader(queue, tell, longest_gap=0)
    async with anyio.create_task_group() as group:
        group.start_soon(reader.run)
        for event in (first, second):
            reader.add(event.event_id)
        await reader.awake()
        await queue.submit([first, second])
        await stalled.wait()
        await run_through(queue)
        await queue.wire.command(lambda client: client.delete([f"{queue.prefix}t"]))
        go_on.set()
        await run_through(queue)  # this transition is read
        with anyio.fail_after(10):
            while [one.status for one in moved].count("completed") < 2:
                await anyio.sleep(0.002)
        group.cancel_scope.cancel()
    assert [one.status for one in moved if one.event_id == first.event_id] == ["pending", "completed"]
    assert moved[-1].event_id == second.event_id


async def test_events_that_a_restarted_server_has_lost_are_told_as_unknown(queue):
    """Only the last second is lost, so the queue is still the same one. The other events go on."""
    told, lost, back, kept = Told(queue), submission(), submission(), submission()
    prefix = queue.prefix
    async with anyio.create_task_group() as group:
        group.start_soon(told.reader.run)
        await told.submit(kept, back, lost)
        for event in (kept, back, lost):
            told.reader.note_submitted(event.event_id, is_new=True)
        await told.until(3)
        _, held, _ = await take(queue)
        await begin(queue, [held])
        await told.until(4)
        # As the log of the server had it a second before: without the last event, and before the start of the other.
        await queue.wire.command(lambda client: client.delete([f"{prefix}t", f"{prefix}e:{lost.event_id}"]))
        await queue.wire.command(lambda client: client.xadd(f"{prefix}t", {b"i": b"x"}, identifier="5-0"))
        await queue.wire.command(lambda client: client.hset(f"{prefix}e:{back.event_id}", {"st": "pending", "at": 0}))
        queue.wire.losses += 1  # the connection was lost
        await told.until(6)
        await queue.wire.command(
            lambda client: client.hset(f"{prefix}e:{kept.event_id}", {"st": "processing", "at": 1})
        )
        queue.wire.losses += 1
        await told.until(7)
        group.cancel_scope.cancel()
    assert told.of(lost) == [("pending", 0), ("", 0)]
    assert told.of(back) == [("pending", 0), ("processing", 1), ("pending", 0)]
    assert told.of(kept) == [("pending", 0), ("processing", 1)]


async def test_a_reader_reads_nothing_while_it_has_no_open_event(queue, monkeypatch):
    """An executor that only works would pay for each transition of others."""
    monkeypatch.setattr("lionpride_exec._cluster.transition_reader.SECONDS_UNTIL_ASLEEP", 0.0)
    reads, wait_for_transitions = [], queue.wait_for_transitions

    async def read(client, cursor):
        found = await wait_for_transitions(client, cursor)
        reads.append(len(found))
        return found

    monkeypatch.setattr(queue, "wait_for_transitions", read)
    told, others = Told(queue), [submission() for _ in range(50)]
    async with anyio.create_task_group() as group:
        group.start_soon(told.reader.run)
        for number in range(3):
            await queue.submit([submission(level=1) for _ in range(10)])  # of others
            while await take(queue, want=10):
                pass
            assert len(reads) <= 4 * number
            event = submission()
            await told.submit(event)
            await run_through(queue)
            await told.until(3 * (number + 1))
            assert told.of(event) == [("pending", 0), ("processing", 1), ("completed", 1)]
            await anyio.sleep(0.6)  # the last read may block for 0.5 s
        assert sum(reads) <= 9
        await queue.submit(others)
        await anyio.sleep(0.1)
        assert sum(reads) <= 9
        group.cancel_scope.cancel()


async def test_the_end_of_an_event_that_was_skipped_names_the_other_one(queue):
    told, first = Told(queue), submission()
    second = submission(after=[first.event_id])
    async with anyio.create_task_group() as group:
        group.start_soon(told.reader.run)
        await told.submit(first, second)
        await queue.cancel([first.event_id], "cancelled", [b"why"])
        await told.until(4)
        group.cancel_scope.cancel()
    assert [one.because for one in told.moved if one.status == "skipped"] == [first.event_id]
