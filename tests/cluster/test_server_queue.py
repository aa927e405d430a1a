"""The scripts: what each of them does to a queue, on a real server."""

import time

import anyio
import pytest
from cluster_support import new_queue, submission
from parts import cluster

pytestmark = pytest.mark.anyio


async def take(queue, worker="a", want=10, **options):
    """Return what a worker gets."""
    _, taken = await queue.take(worker, want, **options)
    return taken


async def begin(queue, taken, worker="a", token="t"):
    """Have events begin, and return the answers."""
    return await queue.step(
        worker, [("begin", one.entry.event_id, one.entry.message, token + one.entry.event_id, []) for one in taken]
    )


def finish(taken, status="completed", outcome=b"out", token="t"):
    """Return the step that ends an event."""
    return "finish", taken.entry.event_id, token + taken.entry.event_id, status, outcome


async def statuses(queue):
    """Return the counts of a queue, without those that are 0."""
    return {status: number for status, number in (await queue.counts()).items() if number}


async def outcome(queue, event):
    """Return the outcome that the queue has of an event."""
    return (await queue.states([event.event_id]))[1][0].outcome


# ---------------------------------------------------------------- submit


async def test_an_event_is_submitted_once(queue):
    """Again, in the same call or in another, it is known by its id."""
    event = submission()
    assert await queue.submit([event]) == [("new", event.event_id)]
    assert await queue.submit([event, event]) == [("again", event.event_id)] * 2
    assert await statuses(queue) == {"pending": 1}
    assert [one.envelope for one in await take(queue)] == [b"data"]


async def test_a_key_is_taken_once_also_in_one_call(queue):
    """The second event of a key is answered with the id of the first."""
    first, second, other = submission(key='"k"'), submission(key='"k"'), submission(key='"other"')
    assert await queue.submit([first, second, other]) == [
        ("new", first.event_id),
        ("known", first.event_id),
        ("new", other.event_id),
    ]
    assert await statuses(queue) == {"pending": 2}


async def test_fifty_clients_that_race_for_a_key_submit_one_event(queue):
    """The server decides, whatever the order of the calls."""
    words = []

    async def submit():
        words.append((await queue.submit([submission(key='"k"')]))[0][0])

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(submit)
    assert sorted(words) == ["known"] * 49 + ["new"]


async def test_bytes_of_any_value_come_back(queue):
    """In an envelope and in an outcome."""
    data = bytes(range(256)) * 3
    event = submission(envelope=data)
    await queue.submit([event])
    (taken,) = await take(queue)
    assert taken.envelope == data
    await begin(queue, [taken])
    await queue.step("a", [finish(taken, outcome=data)])
    assert await outcome(queue, event) == data


async def test_an_event_and_its_key_are_forgotten_after_the_time_to_retain(queue):
    """The key is free again, and the outcome is gone."""
    event = submission(key='"k"', retain=1)
    await queue.submit([event])
    (taken,) = await take(queue)
    await begin(queue, [taken])
    await queue.step("a", [finish(taken)])
    with anyio.fail_after(5):
        while (await queue.submit([submission(key='"k"')]))[0][0] == "known":
            await anyio.sleep(0.001)
    assert await outcome(queue, event) == b""


# ---------------------------------------------------------------- take


async def test_levels_are_taken_most_urgent_first_and_in_order_of_arrival(queue):
    """Also if two workers share them."""
    events = [submission(level=level) for level in (3, 1, 2, 1, 3)]
    await queue.submit(events)
    expected = [events[place].event_id for place in (1, 3, 2, 0, 4)]
    assert [one.entry.event_id for one in await take(queue, want=3)] == expected[:3]
    assert [one.entry.event_id for one in await take(queue, "b")] == expected[3:]


async def test_what_is_given_back_is_taken_before_all_others(queue):
    """As an event that has not begun."""
    events = [submission(level=1) for _ in range(3)]
    await queue.submit(events)
    first = (await take(queue, want=1))[0]
    await begin(queue, [first])
    assert await queue.step(
        "a", [("back", first.entry.event_id, first.entry.message, "t" + first.entry.event_id, False)]
    ) == [("done", 0)]
    again = (await take(queue, "b", want=1))[0]
    assert (again.entry.event_id, again.status, again.attempt) == (first.entry.event_id, "pending", 0)


async def test_nothing_is_taken_from_a_paused_queue(queue):
    """After the pause its events are taken."""
    await queue.submit([submission()])
    await queue.pause()
    assert await queue.take("a", 10) == (True, [])
    await queue.resume()
    assert len(await take(queue)) == 1


async def test_a_worker_reads_entries_itself_and_gets_their_events(queue):
    """A read that waits gives entries, for which the next take gives events."""
    event = submission()
    await queue.submit([event])
    entries = []

    async def handle(read):
        entries.extend(read)
        if entries:
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(queue.wire.keep_reading, lambda client: queue.wait_for_entries(client, "a", 5), handle)
    assert [one.entry for one in await take(queue, want=0, read=entries)] == entries
    assert entries[0].event_id == event.event_id


# ---------------------------------------------------------------- begin and end


async def test_an_event_goes_its_way_and_each_step_is_told(queue):
    """A client that follows the queue sees all transitions in order."""
    seen = []
    event = submission()
    await queue.submit([event])
    (taken,) = await take(queue)
    assert await begin(queue, [taken]) == [("go", 1)]
    assert await statuses(queue) == {"processing": 1}
    assert await queue.step("a", [finish(taken)]) == [("done", 0)]
    assert await statuses(queue) == {"completed": 1}

    async def handle(moved):
        seen.extend(moved)
        if len(seen) == 3:
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(queue.follow, "0-0", handle)
    assert [(one.status, one.attempt, one.worker, one.outcome) for one in seen] == [
        ("pending", 0, "", b""),
        ("processing", 1, "a", b""),
        ("completed", 1, "a", b"out"),
    ]
    assert {one.event_id for one in seen} == {event.event_id}


async def test_a_step_that_is_sent_again_changes_nothing(queue):
    """The answer to the start is the same, and the answer to the end says so."""
    await queue.submit([submission()])
    (taken,) = await take(queue)
    assert await begin(queue, [taken]) == [("go", 1)]
    assert await begin(queue, [taken]) == [("go", 1)]
    assert await queue.step("a", [finish(taken)]) == [("done", 0)]
    assert await queue.step("a", [finish(taken), finish(taken)]) == [("again", 0)] * 2
    assert await statuses(queue) == {"completed": 1}


async def test_the_end_of_an_older_run_counts_no_more(queue):
    """A worker that stalls for longer than its lease, and wakes up when another one runs its event."""
    await queue.submit([submission()])
    (first,) = await take(queue)
    await begin(queue, [first])
    (second,) = await _take_over(queue, "b")
    assert (second.status, second.attempt) == ("processing", 1)
    assert await begin(queue, [second], "b", "u") == [("go", 2)]
    assert await queue.step("a", [finish(first)]) == [("fenced", 0)]
    assert await statuses(queue) == {"processing": 1}
    (third,) = await _take_over(queue, "c")  # the second worker dies: the first one's end must not have let go of it
    assert await begin(queue, [third], "c", "v") == [("go", 3)]
    assert await queue.step("c", [finish(third, token="v")]) == [("done", 0)]
    assert await queue.step("b", [finish(second, token="u")]) == [("fenced", 0)]
    assert await statuses(queue) == {"completed": 1}


async def _take_over(queue, worker):
    """Have a worker take over what the others hold, as if their lease had run out."""
    with anyio.fail_after(5):
        while True:
            taken = await take(queue, worker, idle=1)
            if taken:
                return taken


async def test_a_worker_cannot_begin_what_another_one_has_taken_over(queue):
    """Nor end it."""
    await queue.submit([submission()])
    (first,) = await take(queue)
    await _take_over(queue, "b")
    assert await begin(queue, [first]) == [("gone", 0)]
    assert await queue.step("a", [("close", first.entry.event_id, first.entry.message, "aborted", b"")]) == [
        ("fenced", 0)
    ]
    assert await statuses(queue) == {"pending": 1}


async def test_what_is_stale_is_found_behind_many_that_live(queue):
    """XAUTOCLAIM looks at ten times COUNT entries from the start on, so it would find none of the stale ones."""
    await queue.submit([submission() for _ in range(60)])
    live, stale = await take(queue, "live", want=50), await take(queue, "dead", want=10)
    with anyio.fail_after(5):
        while True:
            await queue.renew("live", 5000, [one.entry for one in live])
            found = await take(queue, "b", want=1, idle=50)
            if found:
                break
            await anyio.sleep(0.005)
    assert found[0].entry.event_id in {one.entry.event_id for one in stale}


async def test_renewing_keeps_what_is_held_and_names_what_is_not(queue):
    """It also tells whether the lease was still running."""
    await queue.submit([submission() for _ in range(2)])
    first, second = await take(queue)
    assert await queue.renew("a", 5000, [first.entry, second.entry]) == (False, set())
    assert await queue.renew("a", 5000, [first.entry, second.entry]) == (True, set())
    await begin(queue, [second])
    await queue.step("a", [finish(second)])
    gone = cluster.Entry(2, "1-1", "unknown")
    assert await queue.renew("a", 5000, [first.entry, second.entry, gone]) == (True, {second.entry.event_id, "unknown"})


async def test_renewing_does_not_take_an_event_back(queue):
    """The worker that has taken the event over keeps it."""
    await queue.submit([submission()])
    (first,) = await take(queue)
    await _take_over(queue, "b")
    assert (await queue.renew("a", 5000, [first.entry]))[1] == {first.entry.event_id}
    assert (await queue.renew("b", 5000, [first.entry]))[1] == set()


async def test_an_event_is_taken_again_when_it_is_due_and_its_attempts_are_kept(queue):
    """Until then no worker gets the event."""
    await queue.submit([submission(level=3)])
    (taken,) = await take(queue)
    await begin(queue, [taken])
    later = "later", taken.entry.event_id, taken.entry.message, "t" + taken.entry.event_id, 9e15, b"attempts"
    assert await queue.step("a", [later, later]) == [("done", 0), ("again", 0)]
    assert await take(queue) == []
    assert 1e8 < await queue.promote() < 1e10
    assert await statuses(queue) == {"pending": 1}


async def test_what_is_due_is_put_into_its_level(queue):
    """So a more urgent event goes first, although it was due later."""
    soon = time.time() * 1e6 + 300_000
    events = [submission(level=2, due=9e15), submission(level=2, due=soon), submission(level=1, due=soon + 1000)]
    await queue.submit(events)
    assert await take(queue) == []
    assert 0 < await queue.promote() <= 0.3
    with anyio.fail_after(5):
        while await queue.promote() < 1:
            await anyio.sleep(0.001)
    assert [one.entry.event_id for one in await take(queue)] == [events[2].event_id, events[1].event_id]


async def test_an_event_whose_time_has_passed_is_no_delayed_event(queue):
    """It is queued by the submit itself."""
    await queue.submit([submission(due=1)])
    assert len(await take(queue)) == 1
    assert await queue.promote() is None


# ---------------------------------------------------------------- cancel


async def test_an_event_that_waits_is_ended_at_once_wherever_it_waits(queue):
    """In its stream, with a worker that has not begun it, or delayed."""
    waiting, held, delayed = submission(level=2), submission(level=1), submission(due=9e15)
    await queue.submit([waiting, held, delayed])
    (taken,) = await take(queue, want=1)
    assert taken.entry.event_id == held.event_id
    ids = [one.event_id for one in (waiting, held, delayed)]
    assert await queue.cancel(ids, "cancelled", [b"why"] * 3) == ["ended"] * 3
    assert await statuses(queue) == {"cancelled": 3}
    assert await outcome(queue, delayed) == b"why"
    assert await begin(queue, [taken]) == [("gone", 0)]
    assert await take(queue, idle=1) == []
    assert await queue.promote() is None


async def test_the_worker_is_told_of_an_event_that_runs(queue):
    """It ends the event. After that, a cancellation is too late."""
    await queue.submit([submission()])
    (taken,) = await take(queue)
    await begin(queue, [taken])
    event_id = taken.entry.event_id
    assert await queue.cancel([event_id], "cancelled", [b""]) == ["sent"]
    messages = []

    async def handle(read):
        messages.extend(read)
        if messages:
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        cursors = {}
        group.start_soon(queue.wire.keep_reading, lambda client: queue.wait_for_messages(client, "a", cursors), handle)
    assert [(one.event_id, one.status) for one in messages] == [(event_id, "cancelled")]
    await queue.step("a", [finish(taken, "cancelled")])
    assert await queue.cancel([event_id, "unknown"], "cancelled", [b"", b""]) == ["late", "unknown"]


# ---------------------------------------------------------------- after


async def test_an_event_is_queued_when_the_last_of_its_predecessors_is_completed(queue):
    """Not when the first of them is."""
    first, second = submission(), submission()
    third = submission(after=[first.event_id, second.event_id])
    await queue.submit([first, second, third])
    taken = await take(queue)
    assert len(taken) == 2
    await begin(queue, taken)
    await queue.step("a", [finish(taken[0])])
    assert await take(queue) == []
    await queue.step("a", [finish(taken[1])])
    assert [one.entry.event_id for one in await take(queue)] == [third.event_id]


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_events_are_skipped_down_the_line(queue, how):
    """Also an event that is submitted later."""
    first = submission()
    second = submission(after=[first.event_id])
    third = submission(after=[second.event_id])
    await queue.submit([first, second, third])
    if how == "failed":
        taken = await take(queue)
        await begin(queue, taken)
        await queue.step("a", [finish(taken[0], "failed")])
    else:
        await queue.cancel([first.event_id], "cancelled", [b""])
    assert await statuses(queue) == {how: 1, "skipped": 2}
    late = submission(after=[third.event_id])
    assert await queue.submit([late]) == [("new", late.event_id)]
    assert await statuses(queue) == {how: 1, "skipped": 3}


async def test_an_event_after_one_that_has_completed_is_queued_at_once(queue):
    """It has nothing to wait for."""
    first = submission()
    await queue.submit([first])
    taken = await take(queue)
    await begin(queue, taken)
    await queue.step("a", [finish(taken[0])])
    second = submission(after=[first.event_id])
    await queue.submit([second])
    assert [one.entry.event_id for one in await take(queue)] == [second.event_id]


async def test_an_event_after_one_that_nobody_knows_is_not_taken_in(queue):
    """Nothing is stored of the event, so it is refused again."""
    known = submission()
    event = submission(after=[known.event_id, "nobody"])
    assert await queue.submit([known, event]) == [("new", known.event_id), ("missing", "nobody")]
    assert await statuses(queue) == {"pending": 1}
    assert await queue.submit([event]) == [("missing", "nobody")]


# ---------------------------------------------------------------- open


async def test_a_queue_of_other_levels_is_refused(queue):
    """The message has both numbers."""
    other = new_queue(queue.wire, levels=5)
    other.prefix = queue.prefix
    with pytest.raises(cluster.ClusterError, match="3 levels of priority, not 5"):
        await other.open()


async def test_a_queue_of_another_format_is_refused(queue):
    """The message has both formats."""
    await queue.wire.command(lambda client: client.hset(f"{queue.prefix}meta", {"format": "0"}))
    with pytest.raises(cluster.ClusterError, match="has format 0; this version of lionpride_exec knows 1"):
        await queue.open()


async def test_who_was_there_before_learns_that_the_data_is_gone(queue):
    """The error is not retryable."""
    await queue.submit([submission()])
    await queue.wire.command(lambda client: client.delete([f"{queue.prefix}meta"]))
    with pytest.raises(cluster.ClusterError, match="has lost the data of this queue") as caught:
        await queue.submit([submission()])
    assert not caught.value.retryable
