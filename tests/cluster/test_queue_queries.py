"""What people ask about a queue, on a real server."""

import time

import anyio
import attrs
import pytest
from cluster_support import new_queue, submission
from parts import cluster
from queue_support import Work, begin, details_of, finish, take

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- events


async def test_all_is_told_of_an_event_that_waits(queue, queries):
    """Nobody holds it, and it has not begun."""
    event = submission(level=3, key='"k"', envelope=b"\x00\xff")
    await queue.submit([event])
    found = await details_of(queries, event)
    assert abs(found.since / 1e6 - time.time()) < 60
    assert found == cluster.Details(
        event_id=event.event_id,
        status="pending",
        attempt=0,
        worker="",
        level=3,
        key='"k"',
        due=0,
        is_delayed=False,
        waits_for=0,
        because="",
        envelope=b"\x00\xff",
        outcome=b"",
        attempts=b"",
        held_by="",
        idle=0,
        parked="",
        since=found.since,
        seconds_left=0,
        after=(),
    )


async def test_it_is_told_who_holds_an_event_and_since_when(queue, queries):
    """Before it begins, while it runs, and after another worker has taken it over."""
    event = submission()
    await queue.submit([event])
    await take(queue, "a")
    found = await details_of(queries, event)
    assert (found.held_by, found.worker, found.status) == ("a", "", "pending")
    await anyio.sleep(0.05)
    began = time.monotonic()
    (taken,) = await take(queue, "b", idle=40)
    found = await details_of(queries, event)
    assert found.held_by == "b"
    assert found.idle < time.monotonic() - began + 0.01  # it does not count from the time at which the other took it
    await begin(queue, [taken], "b")
    await anyio.sleep(0.05)
    found = await details_of(queries, event)
    assert (found.held_by, found.worker, found.status, found.attempt) == ("b", "b", "processing", 1)
    assert found.idle >= 0.04
    began = time.monotonic()
    await queue.renew("b", 60_000, [taken.entry])
    assert (await details_of(queries, event)).idle < time.monotonic() - began + 0.01


async def test_what_is_stored_is_attempts_before_the_end_and_an_outcome_after_it(queue, queries):
    """Both are under one key of the server."""
    event, due = submission(), time.time() * 1e6 + 3600e6
    await queue.submit([event])
    (taken,) = await take(queue)
    await begin(queue, [taken])
    later = "postpone", event.event_id, taken.entry.entry_id, "t" + event.event_id, due, b"tried once", True
    assert await queue.step("a", [later]) == [("done", 0)]
    found = await details_of(queries, event)
    assert (found.attempts, found.outcome, found.held_by) == (b"tried once", b"", "")
    assert (found.is_delayed, found.due, found.attempt) == (True, pytest.approx(due, abs=1), 1)
    await queue.cancel([event.event_id], "cancelled", [b"why"])
    found = await details_of(queries, event)
    assert (found.attempts, found.outcome, found.is_delayed) == (b"", b"why", False)


async def test_it_is_told_what_an_event_waits_for_and_why_it_was_skipped(queue, queries):
    """Its first predecessor that did not complete is named."""
    first, second = submission(), submission()
    third = submission(after=[first.event_id, second.event_id])
    await queue.submit([first, second, third])
    assert (await details_of(queries, third)).waits_for == 2
    taken = {entry.entry.event_id: entry for entry in await take(queue)}
    await begin(queue, taken.values())
    await queue.step("a", [finish(taken[first.event_id])])
    assert (await details_of(queries, third)).waits_for == 1
    await queue.step("a", [finish(taken[second.event_id], "failed")])
    found = await details_of(queries, third)
    assert (found.status, found.because, found.waits_for) == ("skipped", second.event_id, 0)


async def test_any_number_of_events_is_looked_up_in_their_order(queue, queries):
    """None stands for an event that the queue does not know."""
    events = [submission(envelope=b"%d" % number) for number in range(450)]
    for first in (0, 200, 400):
        await queue.submit(events[first : first + 200])
    ids = [event.event_id for event in events]
    found = await queries.details([*ids, "nobody"])
    assert found.pop() is None
    assert [(each.event_id, each.envelope) for each in found] == [(each.event_id, each.envelope) for each in events]
    assert await queries.details([]) == []


async def test_ids_are_found_by_keys(queue, queries):
    """A key that nobody has is no error."""
    events = [submission(key=f'"{number}"') for number in range(250)]
    await queue.submit(events[:200])
    await queue.submit(events[200:])
    found = await queries.ids_of_keys([*(event.key for event in events), '"nobody"'])
    assert found == [*(event.event_id for event in events), ""]
    assert await queries.ids_of_keys([]) == []


async def test_counts_are_those_of_the_events(queue, queries):
    """A status without events may be missing or 0."""
    await queue.submit([submission() for _ in range(3)])
    (taken,) = await take(queue, want=1)
    await begin(queue, [taken])
    assert await queries.counts() == {"pending": 2, "processing": 1}


async def all_ids(queries, status, **options):
    """Return all ids with a status."""
    cursor, found = "0", []
    while True:
        cursor, ids = await queries.ids(status, cursor, **options)
        found += ids
        if cursor == "0":
            return found


async def test_ids_are_found_by_status(queue, queries):
    """Each at least once, and no other ones; also in a queue whose name has characters that patterns know."""
    other = new_queue(queue.wire)
    other.prefix = f"lp:{{[a*b?\\]-{time.time_ns()}}}:"
    await other.open()
    for filled, asked in ((queue, queries), (other, cluster.QueueQueries(other))):
        events = [submission() for _ in range(150)]
        await filled.submit(events)
        ended = [event.event_id for event in events[::3]]
        await filled.cancel(ended, "cancelled", [b""] * len(ended))
        assert set(await all_ids(asked, "cancelled", count=200)) == set(ended)
        pending = {event.event_id for event in events} - set(ended)
        assert set(await all_ids(asked, "pending")) == pending


# ---------------------------------------------------------------- workers and limits


async def test_workers_are_told_with_what_they_say_of_themselves_and_hold(queue, queries):
    """The one that was heard of last comes last."""
    work = Work(queue, slots=3, seconds=1000, description="host:17 of\nus")
    await queue.submit([submission() for _ in range(5)])
    async with anyio.create_task_group() as group:
        await queue.renew("a", 60_000, [])
        group.start_soon(work.work)
        with anyio.fail_after(10):
            while len(work.begun) < 3:
                await anyio.sleep(0.002)
        first, second = await queries.workers()
        group.cancel_scope.cancel()
    assert (first.name, first.process, first.alive, first.holds) == ("a", "", True, 0)
    assert (second.name, second.process) == (work.worker.name, "host:17 of\nus")
    assert (second.alive, second.holds) == (True, 3)
    assert 0 <= second.renewed <= first.renewed < 10


async def test_a_worker_whose_lease_has_run_out_is_told_as_such(queue, queries):
    """With what it still holds."""
    await queue.submit([submission()])
    await take(queue, "dead")
    await queue.renew("dead", 1, [], "host:1")
    await anyio.sleep(0.02)
    (found,) = await queries.workers()
    assert attrs.evolve(found, renewed=0) == cluster.WorkerInfo("dead", "host:1", alive=False, holds=1, renewed=0)
    assert 0.01 <= found.renewed < 10  # a loop may wake up early


async def test_a_worker_is_forgotten_after_an_hour_unless_it_holds_something(queue, queries):
    """The next renewal of any worker forgets it."""
    old = {f"{name} host:{name}": (time.time() - 3601) * 1e6 for name in ("idle", "holder")}
    await queue.submit([submission()])
    await take(queue, "holder")
    await queue.wire.command(lambda client: client.zadd(f"{queue.prefix}ws", old))
    await queue.renew("a", 60_000, [])
    last, holder = await queries.workers()
    assert last.name == "a"
    assert holder == cluster.WorkerInfo("holder", "", alive=False, holds=1, renewed=None)


async def test_the_server_keeps_nothing_of_a_worker_that_is_forgotten(queue):
    """The consumers of each stream that hold nothing are deleted with it, and those of other workers are kept."""

    async def consumers():
        found = await queue.wire.command(lambda client: client.xinfo_consumers(f"{queue.prefix}q:2", "lp"))
        return sorted(consumer[b"name"] for consumer in found)

    async def take_one(worker):
        """Have a worker take an event. Redis 7.0 makes no consumer for a worker that gets nothing."""
        await queue.submit([submission()])
        (taken,) = await take(queue, worker)
        return taken.entry

    await take_one("holder")
    for worker in ("idle", "new"):
        entry = await take_one(worker)
        await queue.step(worker, [("finish", entry.event_id, entry.entry_id, "", "skipped", b"")])
    assert await consumers() == [b"holder", b"idle", b"new"]
    old = {f"{name} host:{name}": (time.time() - 3601) * 1e6 for name in ("idle", "holder")}
    await queue.wire.command(lambda client: client.zadd(f"{queue.prefix}ws", old))
    await queue.renew("a", 60_000, [])
    assert await consumers() == [b"holder", b"new"]
    await take_one("idle")  # it has woken up
    assert await consumers() == [b"holder", b"idle", b"new"]


async def test_the_state_of_limits_is_told(queue, queries):
    """What is out, who holds it, who waits, what is parked, and until when a limit is shut."""
    await queue.renew("a", 60_000, [])
    slots, rate = (
        cluster.BucketLimit("slots", 1, 0, 1, hold=True),
        cluster.BucketLimit("rate:x", 10, 3600e6, 2.5, hold=False),
    )
    await queue.submit([submission() for _ in range(3)])
    first, second, third = await take(queue)
    limits = [attrs.astuple(slots), attrs.astuple(rate)]
    for taken, word in ((first, "go"), (second, "wait"), (third, "wait")):
        step = "begin", taken.entry.event_id, taken.entry.entry_id, taken.entry.event_id, limits
        assert (await queue.step("a", [step]))[0][0] == word
    park = "park", third.entry.event_id, third.entry.entry_id, "", limits[0], -1
    assert (await queue.step("a", [park]))[0][0] == "done"
    details = await queries.details([taken.entry.event_id for taken in (second, third)])
    assert [found.parked for found in details] == ["", "slots"]
    till = round((time.time() + 1000) * 1e6)
    await queue.step("a", [("shut", "shut", till), ("shut", "open", 1)])
    assert await queries.limits(["slots", "rate:x", "unused", "shut", "open"]) == [
        cluster.BucketState(used=1, held=1, waiting=1, shut_until=0, parked=1),
        cluster.BucketState(used=2.5, held=0, waiting=0, shut_until=0, parked=0),
        cluster.BucketState(used=0, held=0, waiting=0, shut_until=0, parked=0),
        cluster.BucketState(used=0, held=0, waiting=0, shut_until=till, parked=0),
        cluster.BucketState(used=0, held=0, waiting=0, shut_until=0, parked=0),
    ]


async def test_costs_whose_time_is_over_are_out_no_more(queue, queries):
    """Also if no run has asked since then."""
    await queue.submit([submission()])
    (taken,) = await take(queue)
    limit = attrs.astuple(cluster.BucketLimit("rate", 10, 20_000, 2, hold=False))
    await queue.step("a", [("begin", taken.entry.event_id, taken.entry.entry_id, "token", [limit])])
    await anyio.sleep(0.05)
    assert (await queries.limits(["rate"]))[0].used == 0


# ---------------------------------------------------------------- pauses


async def test_a_pause_is_told(queue, queries):
    """Both calls may be made twice."""
    assert await queries.is_paused() is False
    for _ in range(2):
        await queries.pause()
        assert await queries.is_paused() is True
    for _ in range(2):
        await queries.resume()
        assert await queries.is_paused() is False
