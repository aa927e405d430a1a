"""The scripts: what each of them does to a queue, on a real server."""

import time
from operator import methodcaller

import anyio
import attrs
import pytest
from cluster_support import new_queue, submission
from parts import cluster
from queue_support import begin, counts, due_times, finish, first_messages, first_transitions, outcome, take

from lionpride_exec import ConfigurationError

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- submit


async def test_an_event_is_submitted_once(queue):
    """Again, in the same call or in another, it is known by its id."""
    event = submission()
    assert await queue.submit([event]) == [("new", event.event_id)]
    assert await queue.submit([event, event]) == [("again", event.event_id)] * 2
    assert await counts(queue) == {"pending": 1}
    assert [one.envelope for one in await take(queue)] == [b"data"]


async def test_a_key_is_taken_once_also_in_one_call(queue):
    """The second event of a key is answered with the id of the first."""
    first, second, other = submission(key='"k"'), submission(key='"k"'), submission(key='"other"')
    assert await queue.submit([first, second, other]) == [
        ("new", first.event_id),
        ("known", first.event_id),
        ("new", other.event_id),
    ]
    assert await counts(queue) == {"pending": 2}


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
        "a", [("give_back", first.entry.event_id, first.entry.entry_id, "t" + first.entry.event_id, False)]
    ) == [("done", 0)]
    again = (await take(queue, "b", want=1))[0]
    assert (again.entry.event_id, again.status, again.attempt) == (first.entry.event_id, "pending", 0)


async def test_nothing_is_taken_from_a_paused_queue(queue):
    """After the pause its events are taken."""
    await queue.submit([submission()])
    await cluster.QueueQueries(queue).pause()
    assert await queue.take("a", 10) == (True, [])
    await cluster.QueueQueries(queue).resume()
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
        group.start_soon(queue.wire.keep_reading, lambda client: queue.wait_for_entries(client, "a"), handle)
    assert [one.entry for one in await take(queue, want=0, read=entries)] == entries
    assert entries[0].event_id == event.event_id


GARBAGE = {"x": "1"}, {"x": "1", "i": "nobody"}, {"i": b"\xff"}, {"i": ""}


async def add_garbage(queue):
    """Write entries into a stream that are not of this package."""
    for fields in GARBAGE:
        await queue.wire.command(methodcaller("xadd", f"{queue.prefix}q:2", fields))


async def entries_left(queue):
    """Return how many entries a stream has, and how many of them workers hold."""
    name = f"{queue.prefix}q:2"
    held = await queue.wire.command(lambda client: client.xpending(name, "lp"))
    return await queue.wire.command(lambda client: client.xlen(name)), held.pending


@pytest.mark.parametrize("how", ["new", "stale", "unknown"])
async def test_what_somebody_else_has_written_is_removed_from_the_stream(queue, how):
    """Whether it is new, another worker holds it, or the answer with it was lost."""
    await add_garbage(queue)
    event = submission()
    await queue.submit([event])
    options = {}
    if how != "new":
        names = {f"{queue.prefix}q:2": ">"}
        holder = "dead" if how == "stale" else "a"
        await queue.wire.command(lambda client: client.xreadgroup("lp", holder, names))
        options = {"idle": 1} if how == "stale" else {"known": []}
        await anyio.sleep(0.002)
    assert [one.entry.event_id for one in await take(queue, **options)] == [event.event_id]
    assert await entries_left(queue) == (1, 1)


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_worker_that_has_read_what_somebody_else_has_written_goes_on(queue, is_paused):
    """It passes on what it has read, and the server removes it."""
    await add_garbage(queue)
    entries = []

    async def handle(read):
        entries.extend(read)
        if len(entries) == len(GARBAGE):
            group.cancel_scope.cancel()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(queue.wire.keep_reading, lambda client: queue.wait_for_entries(client, "a"), handle)
    if is_paused:
        await cluster.QueueQueries(queue).pause()
    assert await queue.take("a", 0, entries) == (is_paused, [])
    assert await entries_left(queue) == (0, 0)


async def test_who_follows_a_queue_skips_what_somebody_else_has_written(queue):
    """No error is raised, and the transitions around it are told."""
    events = [submission(), submission()]
    await queue.submit(events[:1])
    for fields in (*GARBAGE, {"i": "x", "s": "pending", "a": "one", "w": "", "o": ""}):
        await queue.wire.command(methodcaller("xadd", f"{queue.prefix}t", fields))
    await queue.submit(events[1:])
    seen = await first_transitions(queue, 2 + len(GARBAGE) + 1)
    assert [one.event_id for one in seen if one.event_id] == [one.event_id for one in events]


# ---------------------------------------------------------------- begin and end


async def test_an_event_goes_its_way_and_each_step_is_told(queue):
    """A client that follows the queue sees all transitions in order."""
    event = submission()
    await queue.submit([event])
    (taken,) = await take(queue)
    assert await begin(queue, [taken]) == [("go", 1)]
    assert await counts(queue) == {"processing": 1}
    assert await queue.step("a", [finish(taken)]) == [("done", 0)]
    assert await counts(queue) == {"completed": 1}
    seen = await first_transitions(queue, 3)
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
    assert await counts(queue) == {"completed": 1}


async def test_the_end_of_an_older_run_counts_no_more(queue):
    """A worker that stalls for longer than its lease, and wakes up when another one runs its event."""
    await queue.submit([submission()])
    (first,) = await take(queue)
    await begin(queue, [first])
    (second,) = await _take_over(queue, "b")
    assert (second.status, second.attempt) == ("processing", 1)
    assert await begin(queue, [second], "b", "u") == [("go", 2)]
    assert await queue.step("a", [finish(first)]) == [("fenced", 0)]
    assert await counts(queue) == {"processing": 1}
    (third,) = await _take_over(queue, "c")  # the second worker dies: the first one's end must not have let go of it
    assert await begin(queue, [third], "c", "v") == [("go", 3)]
    assert await queue.step("c", [finish(third, token="v")]) == [("done", 0)]
    assert await queue.step("b", [finish(second, token="u")]) == [("fenced", 0)]
    assert await counts(queue) == {"completed": 1}


async def _take_over(queue, worker):
    """Have a worker take over what the others hold, as if their lease had run out."""
    with anyio.fail_after(5):
        while True:
            taken = await take(queue, worker, idle=1)
            if taken:
                return taken


@pytest.mark.parametrize("how", ["give_back", "postpone"])
async def test_a_run_that_was_cut_short_stays_one_whoever_lets_go_of_it(queue, how):
    """A worker that does not know the class passes the event on. The next one has to decide whether it runs again."""
    await queue.submit([submission()])
    (first,) = await take(queue)
    await begin(queue, [first])
    (second,) = await _take_over(queue, "b")
    rest = [False] if how == "give_back" else [0, 0, False]
    step = how, second.entry.event_id, second.entry.entry_id, "", *rest
    assert await queue.step("b", [step, step]) == [("done", 0), ("again", 0)]
    (third,) = await take(queue, "c")
    assert (third.status, third.attempt) == ("processing", 1)
    assert await queue.step("c", [("give_back", third.entry.event_id, third.entry.entry_id, "", False)]) == [
        ("done", 0)
    ]
    (fourth,) = await take(queue, "d")
    assert fourth.status == "processing"
    assert await begin(queue, [fourth], "d", "u") == [("go", 2)]
    assert await queue.step(
        "d", [("give_back", fourth.entry.event_id, fourth.entry.entry_id, "u" + fourth.entry.event_id, False)]
    ) == [("done", 0)]
    (fifth,) = await take(queue, "e")
    assert (fifth.status, fifth.attempt) == ("pending", 1)  # it has run since, and was given back in order


async def test_a_run_that_was_cut_short_can_end_by_the_table(queue):
    await queue.submit([submission()])
    (first,) = await take(queue)
    await begin(queue, [first])
    (second,) = await _take_over(queue, "b")
    assert await queue.step("b", [("give_back", second.entry.event_id, second.entry.entry_id, "", False)]) == [
        ("done", 0)
    ]
    (third,) = await take(queue, "c")
    assert await queue.step("c", [("finish", third.entry.event_id, third.entry.entry_id, "", "failed", b"why")]) == [
        ("done", 0)
    ]
    assert await counts(queue) == {"failed": 1}


@pytest.mark.parametrize("field", ["at", "st"])
async def test_a_hash_that_another_program_has_changed_is_dropped(queue, field):
    """It ends no worker, and the next event is taken."""
    events = [submission(), submission()]
    await queue.submit(events)
    name = f"{queue.prefix}e:{events[0].event_id}"
    await queue.wire.command(lambda client: client.hset(name, {field: "nonsense"}))
    (taken,) = await take(queue)
    assert taken.entry.event_id == events[1].event_id
    await queue.wire.command(lambda client: client.delete([name]))


async def test_a_worker_cannot_begin_what_another_one_has_taken_over(queue):
    """Nor end it."""
    await queue.submit([submission()])
    (first,) = await take(queue)
    await _take_over(queue, "b")
    assert await begin(queue, [first]) == [("gone", 0)]
    assert await queue.step("a", [("finish", first.entry.event_id, first.entry.entry_id, "", "aborted", b"")]) == [
        ("fenced", 0)
    ]
    assert await counts(queue) == {"pending": 1}


async def test_an_event_that_did_not_begin_can_end(queue):
    """Its worker holds it. Also if a limit has refused a start: the worker need not know that yet."""
    for token in ("", "asked"):
        await queue.submit([submission()])
        (taken,) = await take(queue)
        entry = taken.entry
        if token:
            limit = attrs.astuple(cluster.BucketLimit("none", 0, 0, 1, hold=True))
            step = "begin", entry.event_id, entry.entry_id, token, [limit]
            assert await queue.step("a", [step]) == [("wait", -1, 0)]
        step = "finish", entry.event_id, entry.entry_id, token, "aborted", b"why"
        assert await queue.step("b", [step]) == [("fenced", 0)]
        assert await queue.step("a", [step, step]) == [("done", 0), ("again", 0)]
        assert await queue.step("b", [step]) == [("fenced", 0)]
    assert await counts(queue) == {"aborted": 2}


async def test_what_is_stale_is_found_behind_many_that_live(queue):
    """XAUTOCLAIM looks at ten times COUNT entries from the start on, so it would find none of the stale ones."""
    await queue.submit([submission() for _ in range(60)])
    live, stale = await take(queue, "live", want=50), await take(queue, "dead", want=10)
    with anyio.fail_after(5):
        while True:
            await queue.renew("live", 5000, [one.entry for one in live])
            found = await take(queue, "b", want=1, idle=500)
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
    gone = cluster.StreamEntry(2, "1-1", "unknown")
    assert await queue.renew("a", 5000, [first.entry, second.entry, gone]) == (True, {second.entry.event_id, "unknown"})


async def test_a_renewal_that_is_sent_again_tells_the_same_of_the_lease(queue):
    """The answer to the first one may have been lost, and with it that the lease had run out."""
    arguments = {"worker": "a", "description": "", "lease": 5000, "held": [], "epoch": queue.epoch}

    async def renewed(call):
        """Return the answer to a renewal with this number."""
        return await queue.wire.call("renew", queue.prefix, **arguments, call=call)

    assert await renewed("1") == [0, []]
    assert await renewed("1") == [0, []]
    assert await renewed("2") == [1, []]
    await queue.wire.command(lambda client: client.delete([f"{queue.prefix}w:a"]))
    assert await renewed("3") == [0, []]
    assert await renewed("3") == [0, []]


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
    later = "postpone", taken.entry.event_id, taken.entry.entry_id, "t" + taken.entry.event_id, 9e15, b"attempts", True
    assert await queue.step("a", [later, later]) == [("done", 0), ("again", 0)]
    assert await take(queue) == []
    assert 1e8 < await queue.promote() < 1e10
    assert await counts(queue) == {"pending": 1}


async def test_a_negative_time_is_one_from_now_on_by_the_clock_of_the_server(queue):
    """Of an event that is submitted, and of one that is put off."""
    delayed, put_off = submission(due=-3600e6), submission()
    await queue.submit([delayed, put_off])
    (taken,) = await take(queue)
    await begin(queue, [taken])
    event_id = taken.entry.event_id
    later = "postpone", event_id, taken.entry.entry_id, "t" + event_id, -7200e6, b"", True
    assert await queue.step("a", [later, later]) == [("done", 0), ("again", 0)]
    assert await due_times(queue) == {
        delayed.event_id: pytest.approx(3600, abs=30),
        put_off.event_id: pytest.approx(7200, abs=30),
    }


async def test_a_delay_from_now_on_is_over_in_time(queue):
    """The event is taken then, and not before."""
    await queue.submit([submission(due=-200_000)])
    assert await take(queue) == []
    assert 0 < await queue.promote() <= 0.2
    with anyio.fail_after(5):
        while await queue.promote() is not None:
            await anyio.sleep(0.001)
    assert len(await take(queue)) == 1


@pytest.mark.parametrize(("costs_attempt", "attempt"), [(True, 1), (False, 0)])
async def test_an_event_is_put_off_at_the_cost_of_an_attempt_or_not(queue, costs_attempt, attempt):
    """Also if the answer was lost, and the step comes twice."""
    await queue.submit([submission()])
    (taken,) = await take(queue)
    await begin(queue, [taken])
    event_id = taken.entry.event_id
    later = "postpone", event_id, taken.entry.entry_id, "t" + event_id, -1, b"", costs_attempt
    assert await queue.step("a", [later, later]) == [("done", 0), ("again", 0)]
    with anyio.fail_after(5):
        while not (again := await take(queue)):
            await queue.promote()
    assert again[0].attempt == attempt


async def test_what_is_due_is_put_into_its_level(queue):
    """So a more urgent event goes first, although it was due later."""
    soon = time.time() * 1e6 + 1e6
    events = [submission(level=2, due=9e15), submission(level=2, due=soon), submission(level=1, due=soon + 1000)]
    await queue.submit(events)
    assert await take(queue) == []
    assert 0 < await queue.promote() <= 1
    with anyio.fail_after(5):
        while await queue.promote() < 1:
            await anyio.sleep(0.001)
    assert [one.entry.event_id for one in await take(queue)] == [events[2].event_id, events[1].event_id]


async def test_an_event_whose_time_has_passed_is_no_delayed_event(queue):
    """It is queued by the submit itself."""
    await queue.submit([submission(due=1)])
    assert len(await take(queue)) == 1
    assert await queue.promote() is None


async def test_an_unknown_id_among_what_is_due_is_removed(queue):
    """Somebody else may have written it, or the event is gone. It must not stop the events that are due after it."""
    names = {"nobody": 1, b"\xff": 2, "": 3}
    await queue.wire.command(lambda client: client.zadd(f"{queue.prefix}d", names))
    event = submission(due=-1000)
    await queue.submit([event])
    with anyio.fail_after(5):
        while await queue.promote() is not None:
            await anyio.sleep(0.001)
    assert [one.entry.event_id for one in await take(queue)] == [event.event_id]


# ---------------------------------------------------------------- cancel


async def test_an_event_that_waits_is_ended_at_once_wherever_it_waits(queue):
    """In its stream, with a worker that has not begun it, or delayed."""
    waiting, held, delayed = submission(level=2), submission(level=1), submission(due=9e15)
    await queue.submit([waiting, held, delayed])
    (taken,) = await take(queue, want=1)
    assert taken.entry.event_id == held.event_id
    ids = [one.event_id for one in (waiting, held, delayed)]
    assert await queue.cancel(ids, "cancelled", [b"why"] * 3) == ["ended"] * 3
    assert await counts(queue) == {"cancelled": 3}
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
    messages = await first_messages(queue, "a")
    assert [(one.event_id, one.status) for one in messages] == [(event_id, "cancelled")]
    await queue.step("a", [finish(taken, "cancelled")])
    assert await queue.cancel([event_id, "unknown"], "cancelled", [b"", b""]) == ["late", "unknown"]


# ---------------------------------------------------------------- after


async def test_the_worker_is_told_that_has_taken_a_run_over(queue):
    """It may wait for a limit with the event, so it does not ask the server for long."""
    event = submission()
    await queue.submit([event])
    (first,) = await take(queue)
    await begin(queue, [first])
    await _take_over(queue, "b")
    assert await queue.cancel([event.event_id], "cancelled", [b"why"]) == ["sent"]
    (message,) = await queue.wire.command(lambda client: queue.wait_for_messages(client, "b", {}))
    assert (message.event_id, message.status) == (event.event_id, "cancelled")


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
    assert await counts(queue) == {how: 1, "skipped": 2}
    late = submission(after=[third.event_id])
    assert await queue.submit([late]) == [("new", late.event_id)]
    assert await counts(queue) == {how: 1, "skipped": 3}


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
    assert await counts(queue) == {"pending": 1}
    assert await queue.submit([event]) == [("missing", "nobody")]


# ---------------------------------------------------------------- open


async def test_a_queue_of_other_levels_is_refused(queue):
    """The message has both numbers."""
    other = new_queue(queue.wire, levels=5)
    other.prefix = queue.prefix
    with pytest.raises(ConfigurationError, match="3 levels of priority, not 5"):
        await other.open()


async def test_a_worker_with_another_lease_that_began_at_the_same_moment_is_refused(queue):
    """Both have opened the queue before one of them was alive. The lease of the second one counts."""
    first, second = (cluster.ServerQueue(queue.wire, queue.name, levels=3, lease=lease) for lease in (15, 30))
    await first.open()
    await second.open()
    with pytest.raises(cluster.ClusterError, match="another worker of the same queue on .* has a lease of 30 s"):
        await first.renew("first", 15_000, [])
    assert await second.renew("second", 30_000, []) == (False, set())


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
