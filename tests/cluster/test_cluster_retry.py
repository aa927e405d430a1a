"""Events that have ended and are pending again, on a real server."""

import time

import anyio
import attrs
import pytest
from cluster_events import Fail
from cluster_support import executor_on, link_of, submission
from parts import cluster
from queue_support import begin, counts, details_of, finish, first_transitions, outcome, take

pytestmark = pytest.mark.anyio


async def end(queue, status, *, worker="a"):
    """Have the next event begin and end."""
    (taken,) = await take(queue, worker, want=1)
    await begin(queue, [taken], worker)
    assert await queue.step(worker, [finish(taken, status)]) == [("done", 0)]
    return taken


async def ttl(queue, name):
    """Return the milliseconds after which a key of the queue expires. -1: never."""
    return await queue.wire.command(lambda client: client.pttl(f"{queue.prefix}{name}"))


@pytest.mark.parametrize("status", ["failed", "cancelled", "skipped", "aborted"])
async def test_an_event_that_has_ended_is_as_new(queue, queries, status):
    """It has its id, its key and its envelope, and no outcome, attempts or worker. It does not expire."""
    event = submission(level=1, key='"k"', retain=60_000)
    await queue.submit([event])
    new = await details_of(queries, event)
    await end(queue, status)
    assert await ttl(queue, f"e:{event.event_id}") > 0
    assert await queries.retry([event.event_id]) == ["queued"]
    again = await details_of(queries, event)
    assert again.since > new.since
    assert attrs.evolve(again, since=new.since) == new
    assert await counts(queue) == {"pending": 1}
    assert [await ttl(queue, f"{kind}:{event.event_id}") for kind in "eb"] == [-1, -1]
    assert await ttl(queue, 'k:"k"') == -1
    assert await queue.submit([submission(key='"k"')]) == [("known", event.event_id)]
    (taken,) = await take(queue, "b")
    assert await begin(queue, [taken], "b", "second") == [("go", 1)]
    assert await queue.step("b", [finish(taken, token="second")]) == [("done", 0)]
    assert await outcome(queue, event) == b"out"
    assert await ttl(queue, f"o:{event.event_id}") > 0


async def test_a_retry_is_told_as_a_transition(queue, queries):
    """It begins anew with no attempt."""
    event = submission()
    await queue.submit([event])
    await end(queue, "failed")
    await queries.retry([event.event_id])
    told = await first_transitions(queue, 4)
    assert [(moved.status, moved.attempt) for moved in told][2:] == [("failed", 1), ("pending", 0)]


async def test_only_what_has_ended_and_is_not_completed_is_retried(queue, queries):
    """Nothing changes for the others."""
    waiting, running, completed = submission(level=3), submission(level=2), submission(level=1)
    await queue.submit([waiting, running, completed])
    await end(queue, "completed")
    await begin(queue, await take(queue, want=1))
    before = await queries.details([event.event_id for event in (waiting, running, completed)])
    ids = [waiting.event_id, running.event_id, completed.event_id, "nobody"]
    assert await queries.retry(ids) == ["open", "open", "completed", "unknown"]
    assert await queries.retry([]) == []
    after = await queries.details([event.event_id for event in (waiting, running, completed)])
    assert [one.status for one in after] == [one.status for one in before] == ["pending", "processing", "completed"]
    assert await counts(queue) == {"pending": 1, "processing": 1, "completed": 1}


async def test_an_event_that_is_named_twice_is_retried_once(queue, queries):
    """It is queued once."""
    event = submission()
    await queue.submit([event])
    await end(queue, "failed")
    assert await queries.retry([event.event_id] * 2) == ["queued"] * 2
    assert len(await take(queue)) == 1


async def test_a_call_that_is_sent_again_retries_nothing_twice(queue, queries, monkeypatch):
    """The answer was lost, and the event has failed once more since then."""
    event, call = submission(), queue.wire.call
    await queue.submit([event])
    await end(queue, "failed")

    async def call_twice(*args, **arguments):
        """Call a script, have the event fail, and call it again."""
        await call(*args, **arguments)
        with monkeypatch.context() as patched:
            patched.setattr(queue.wire, "call", call)
            await end(queue, "failed")
        return await call(*args, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(queue.wire, "call", call_twice)
        assert await queries.retry([event.event_id]) == ["queued"]
    assert await counts(queue) == {"failed": 1}
    assert await queries.retry([event.event_id]) == ["queued"]  # another call
    assert await counts(queue) == {"pending": 1}


async def test_the_end_of_a_run_before_the_retry_counts_no_more(queue, queries):
    """The worker reports the end of its run again, since the answer was lost."""
    event = submission()
    await queue.submit([event])
    taken = await end(queue, "failed")
    await queries.retry([event.event_id])
    assert await queue.step("a", [finish(taken, "failed")]) == [("fenced", 0)]
    back = "give_back", event.event_id, taken.entry.entry_id, "t" + event.event_id, False
    assert await queue.step("a", [back]) == [("fenced", 0)]
    assert await counts(queue) == {"pending": 1}


async def test_an_event_that_is_not_due_waits_until_it_is(queue, queries):
    """It was cancelled before."""
    event = submission(due=time.time() * 1e6 + 3600e6)
    await queue.submit([event])
    await queue.cancel([event.event_id], "cancelled", [b""])
    assert await queries.retry([event.event_id]) == ["queued"]
    assert await take(queue) == []
    assert (await details_of(queries, event)).is_delayed


# ---------------------------------------------------------------- after


async def failed_line(queue, number):
    """Return events each of which comes after the one before. The first has failed, so the others were skipped."""
    events = [submission()]
    for _ in range(number - 1):
        events.append(submission(after=[events[-1].event_id]))
    await queue.submit(events)
    await end(queue, "failed")
    return events


@pytest.mark.parametrize("is_reversed", [False, True])
async def test_events_in_a_line_are_retried_in_their_order(queue, queries, is_reversed):
    """Each is queued when the one before is completed, whatever the order of the ids in the call."""
    events = await failed_line(queue, 4)
    ids = [event.event_id for event in events]
    assert await counts(queue) == {"failed": 1, "skipped": 3}
    assert await queries.retry(ids[::-1] if is_reversed else ids) == ["queued"] * 4
    assert await counts(queue) == {"pending": 4}
    for event in events:
        assert (await end(queue, "completed")).entry.event_id == event.event_id
    assert await counts(queue) == {"completed": 4}


async def test_an_event_after_one_that_stays_failed_is_not_retried(queue, queries):
    """It could never start. Once the first one is retried, it can be."""
    first, second, third = await failed_line(queue, 3)
    assert await queries.retry([third.event_id, second.event_id]) == ["after", "after"]
    assert await counts(queue) == {"failed": 1, "skipped": 2}
    assert (await details_of(queries, second)).because == first.event_id
    for event in (first, second, third):
        assert await queries.retry([event.event_id]) == ["queued"]
    assert [(await details_of(queries, event)).waits_for for event in (first, second, third)] == [0, 1, 1]
    assert (await details_of(queries, second)).because == ""


async def test_an_event_waits_for_all_that_are_open_of_those_that_it_comes_after(queue, queries):
    """Those that are completed are done. Those that the queue has forgotten count as completed."""
    completed, forgotten = submission(level=1), submission(level=1, retain=1)
    failed, open_ = submission(level=2), submission(level=3)
    ids = [one.event_id for one in (completed, forgotten, failed, open_)]
    last = submission(after=[*ids, ids[2]])
    await queue.submit([completed, forgotten, failed, open_, last])
    await end(queue, "completed")
    await end(queue, "completed")
    await end(queue, "failed")
    assert await counts(queue) == {"completed": 2, "failed": 1, "skipped": 1, "pending": 1}
    with anyio.fail_after(5):
        while await details_of(queries, forgotten) is not None:
            await anyio.sleep(0.001)
    assert await queries.retry([failed.event_id, last.event_id]) == ["queued", "queued"]
    assert (await details_of(queries, last)).waits_for == 2
    await end(queue, "completed")
    assert (await details_of(queries, last)).waits_for == 1
    await end(queue, "completed")
    assert (await end(queue, "completed")).entry.event_id == last.event_id


async def test_all_failed_events_are_retried(queue, queries):
    """By their ids, which are found by their status."""
    events = [submission() for _ in range(30)]
    await queue.submit(events)
    for number in range(30):
        await end(queue, "failed" if number % 2 else "completed")
    cursor, words = await queries.ids("failed", count=10_000), []
    while True:
        words += await queries.retry(cursor[1])
        if cursor[0] == "0":
            break
        cursor = await queries.ids("failed", cursor[0], count=10_000)
    assert words == ["queued"] * 15
    assert await counts(queue) == {"completed": 15, "pending": 15}


async def test_a_client_keeps_the_end_that_it_has_seen_until_the_event_leaves_its_memory(server):
    """A status is final in a program. Then the server is asked, and the later run is followed."""
    async with executor_on(server) as client, executor_on(server, client.cluster, work=False) as other:
        event = await client.append(Fail(), key="k")
        await event.wait()
        await other.cluster.pause()
        assert await cluster.QueueQueries(link_of(other).queue).retry([event.id.hex]) == ["queued"]
        assert (await other.get(event.id)).status == "pending"
        assert await client.get(event.id) is event
        assert await client.append(Fail(), key="k") is event
        assert event.status == "failed"
        await client.cleanup_events(["failed"])
        assert (await client.get(event.id)).status == "pending"
        again = await client.append(Fail(), key="k")
        assert (again.id, again.status) == (event.id, "pending")
        await other.cluster.resume()
        with anyio.fail_after(20):
            await again.wait()
        assert again.status == "failed"
        assert again.execution.finished_at > event.execution.finished_at
