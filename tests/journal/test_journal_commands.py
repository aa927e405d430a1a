"""What other processes may ask of the executor that has a journal: pause, resume, cancel, skip, retry, resize."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from uuid import uuid4

import anyio
import pytest
from journal_support import HoldStep, Step, begun, crash, open_executor, rows

from lionpride_exec import (
    Concurrent,
    Event,
    EventStatus,
    Executor,
    ExecutorClosedError,
    Journal,
    Processor,
    Rate,
    RateLimited,
    WaitReason,
)
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)

failing = set()  # the names of the jobs that fail at the moment
refused = set()  # the names of the jobs that are refused once


class Job(Event[str], tag="tests.job"):
    """Waits, then returns or raises."""

    name: str = ""
    seconds: float = 0.0
    host: str | None = None

    async def _invoke(self) -> str:
        await anyio.sleep(self.seconds)
        if self.name in refused:
            refused.remove(self.name)
            raise RateLimited("slow down", retry_after=90)
        if self.name in failing:
            raise ValueError(f"{self.name} is broken")
        return self.name


class Other(Job, tag="tests.other"):
    """A job of another tag."""


@pytest.fixture(autouse=True)
def nothing_fails():
    """Each test has its own failures."""
    failing.clear()
    refused.clear()


@pytest.fixture
def path(tmp_path):
    """Return the path of the journal."""
    return tmp_path / "run.db"


@pytest.fixture(params=["lazy", "strict"])
def make(request, path):
    """Return a function that makes an executor with a journal."""

    def make(**config):
        return Executor.of(Job, journal=Journal(path, ack=request.param), **config)

    return make


async def ask(path, what, **args):
    """Write a command as another process does, and return what the owner has answered: its result and its error."""
    with closing(sqlite3.connect(path)) as connection:
        insert = "INSERT INTO command (at, what, args, by) VALUES (0, ?, ?, 'a test')"
        n = connection.execute(insert, (what, json.dumps(args) if args else None)).lastrowid
        connection.commit()
        done, error = None, None
        while done is None and error is None:
            await anyio.sleep(0.1)
            done, error = connection.execute("SELECT done, error FROM command WHERE n = ?", (n,)).fetchone()
    return done if done is None else json.loads(done), error


def named(path, *events):
    """Return the argument that names events: their numbers by their ids."""
    seqs = dict(rows(path, "lower(hex(id)), seq"))
    return {str(event.id): seqs[event.id.hex] for event in events}


def counts(executor):
    """Return the statuses that have events, with their numbers."""
    return {status: number for status, number in executor.status_counts().items() if number}


# -------------------------------------------------------------------- pause and resume


async def test_pause_and_resume(make, path):
    """Nothing starts in between. Both are idempotent."""
    async with make() as executor:
        assert await ask(path, "pause") == ({"paused": ["all events, until resume"]}, None)
        assert await ask(path, "pause") == ({"paused": ["all events, until resume"]}, None)
        event = await executor.append(Job(name="a"))
        await anyio.sleep(100)
        assert event.status is EventStatus.PENDING
        assert await ask(path, "resume") == ({}, None)
        await event.wait()
        assert await ask(path, "resume") == ({"is_unknown": True}, None)


async def test_explain_an_event_that_is_held(path):
    """It is not in memory, and waits for a decision."""
    async with open_executor(path) as executor:
        event = await executor.append(HoldStep(name="held", seconds=5))
        await anyio.sleep(1)
        copy = crash(path)
        await executor.join()
    async with open_executor(copy):
        done, _ = await ask(copy, "explain", events=named(copy, event))
    assert done == {"others": {str(event.id): "is held: it ran when a process died, and waits for retry or cancel"}}


async def test_pause_one_key(make, path):
    """Until a time, with a reason; the other keys go on. An early resume ends the pause."""
    limit = Concurrent(5, key="host", name="hosts")
    async with make(limits=[limit]) as executor:
        now = anyio.current_time()
        await executor.invoke(Job(name="first", host="x"))
        assert await ask(path, "pause", keys=["a", ["b", 1]], reason="maintenance") == (
            {"is_unknown": True, "paused": [
                "key 'a' of limit hosts, until resume: maintenance",
                "key ('b', 1) of limit hosts, until resume: maintenance",
            ]},
            None,
        )  # fmt: skip
        assert {(pause.key, pause.reason) for pause in executor.statistics().pauses} == {
            ("a", "maintenance"), (("b", 1), "maintenance"),
        }  # fmt: skip
        held = await executor.append(Job(name="held", host="a"))
        await executor.invoke(Job(name="other", host="x"))
        assert held.status is EventStatus.PENDING
        done, _ = await ask(path, "pause", keys=["a"])
        assert "is_unknown" not in done
        assert await ask(path, "resume", keys=["a"], limit="hosts") == (
            {"paused": ["key ('b', 1) of limit hosts, until resume: maintenance"]}, None,
        )  # fmt: skip
        await held.wait()
        assert anyio.current_time() < now + 100
        assert [pause.key for pause in executor.statistics().pauses] == [("b", 1)]


async def test_a_pause_of_a_key_of_several_limits_is_told_once(make, path):
    """Though each limit that has keys is paused for it. A pause in one of the limits names the limit."""
    limits = [Concurrent(9, key=lambda _: "all", name="all hosts"), Rate(9, per=1, key="host", name="hosts")]
    async with make(limits=limits) as executor:
        await executor.append(Job(name="held", host="a"), delay=50)
        whole = "key 'a', until resume: by pause()"
        assert await ask(path, "pause", keys=["a"]) == ({"paused": [whole]}, None)
        assert (await ask(path, "explain"))[0]["paused"] == [whole]
        part = "key 'b' of limit hosts, until resume: by pause()"
        done, _ = await ask(path, "pause", keys=["b"], limit="hosts")
        assert done == {"is_unknown": True, "paused": [whole, part]}
        assert await ask(path, "resume", keys=["a"], limit="all hosts") == (
            {"paused": ["key 'a' of limit hosts, until resume: by pause()", part]}, None,
        )  # fmt: skip
        await ask(path, "resume", keys=["a"])


@pytest.mark.parametrize("state", ["running", "paused", "delayed", "after another"])
async def test_a_key_is_known_whatever_its_event_waits_for(make, path, state):
    """No warning that the key may be misspelled. There is one for a limit in which no event has the key."""
    limits = [Rate(9, per=1, key=lambda _: "all", name="all"), Concurrent(1, key="host", name="hosts")]
    async with make(limits=limits) as executor:
        if state == "paused":
            executor.pause()
        first = Job(name="first", host="a" if state == "running" else "b", seconds=50)
        await executor.append(first)
        if state != "running":
            options = {"delayed": {"delay": 50}, "after another": {"after": first}}.get(state, {})
            await executor.append(Job(name="second", host="a"), **options)
        await anyio.sleep(1)
        assert "is_unknown" not in (await ask(path, "pause", keys=["a"]))[0]
        assert "is_unknown" not in (await ask(path, "pause", keys=["a"], limit="hosts"))[0]
        assert "is_unknown" in (await ask(path, "pause", keys=["a"], limit="all"))[0]
        assert "is_unknown" not in (await ask(path, "resume", keys=["a"]))[0]
        executor.resume()


async def test_resume_tells_whether_there_was_a_pause(make, path):
    """Of the program or of a command. A pause after a refusal is none of them, and goes on."""
    refused.add("refused")
    limits = [Rate(9, per=1, key="host", name="hosts"), Concurrent(9, name="all")]
    async with make(limits=limits) as executor:
        await executor.append(Job(name="refused", host="a"))
        await anyio.sleep(1)
        executor.pause(key="b")
        await ask(path, "pause", limit="all")
        for args, was_paused in (
            ({"keys": ["a"]}, False), ({"keys": ["b"]}, True), ({"keys": ["b"]}, False), ({}, False),
            ({"limit": "all"}, True), ({"limit": "all"}, False),
        ):  # fmt: skip
            done, _ = await ask(path, "resume", **args)
            assert ("is_unknown" not in done) is was_paused
            assert done["paused"][-1].startswith("key 'a' of limit hosts, for ")


@pytest.mark.start(NOON)
async def test_a_pause_of_a_key_ends_by_itself(make, path):
    """At the time that was given, in seconds since 1970."""
    async with make(limits=[Concurrent(5, key="host")]) as executor:
        noon = NOON.timestamp()
        done, _ = await ask(path, "pause", keys=["a"], until=noon + 3600)
        (paused,) = done["paused"]
        assert paused.startswith("key 'a' of limit Concurrent(limit=5, key='host'), for ")
        event = await executor.append(Job(host="a"))
        await event.wait()
        assert event.execution.started_at.timestamp() == pytest.approx(noon + 3600, abs=1)


# -------------------------------------------------------------------- cancel and skip


@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("skip", "skipped")])
async def test_events_that_wait_and_that_run_end(make, path, verb, status):
    """By their ids: what waits is counted at once, what runs is being cancelled. The reason is in the error."""
    async with make(concurrency_limit=1) as executor:
        running = await executor.append(Job(name="running", seconds=1000))
        waiting = await executor.append(Job(name="waiting"))
        last = await executor.append(Job(name="last"))
        await anyio.sleep(1)
        answer = await ask(path, verb, events=named(path, running, waiting), reason="enough")
        assert answer == ({"events": 1, "running": 1}, None)
        await running.wait()
        await last.wait()
        assert [event.status.value for event in (running, waiting, last)] == [status, status, "completed"]
        assert {str(event.execution.error) for event in (running, waiting)} == {"enough"}
        assert waiting.execution.started_at is None
    assert rows(path) == [status, status, "completed"]


async def test_events_are_cancelled_by_what_is_known_of_them(make, path):
    """By status and tag together; nothing starts while they end."""
    async with make(concurrency_limit=1) as executor:
        running = await executor.append(Other(seconds=10))
        jobs = await executor.extend([Job(name=str(number)) for number in range(500)])
        others = [await executor.append(Other(name=str(number))) for number in range(3)]
        await anyio.sleep(1)
        assert await ask(path, "cancel", status=["pending"], tag=["tests.job"]) == ({"events": 500}, None)
        assert all(job.execution.started_at is None for job in jobs)
        assert await ask(path, "cancel", limit=1) == ({"events": 1}, None)
        assert [event.status.value for event in (running, *others)] == ["processing", "pending", "pending", "cancelled"]
        assert await ask(path, "cancel", status=["processing"]) == ({"running": 1}, None)
        await executor.join()
        check_invariants(executor)
    assert (rows(path, "count(*)", "status = 'cancelled'"), rows(path, "count(*)", "status = 'completed'")) == (
        [502], [2],
    )  # fmt: skip


async def test_followers_end_as_what_was_asked_for(make, path):
    """They are cancelled themselves, not skipped because of the event before them."""
    executor = make()
    executor.pause()
    async with executor:
        first = await executor.append(Job(name="a"))
        second = await executor.append(Job(name="b"), after=first)
        assert await ask(path, "cancel", status=["pending"]) == ({"events": 2}, None)
        assert [first.status, second.status] == ["cancelled", "cancelled"]


async def test_events_that_cannot_be_cancelled_have_their_reasons(make, path):
    """Of the events that were named: ended, unknown, or not among those that the rest chooses."""
    async with make() as executor:
        done = await executor.append(Job(name="done"))
        await done.wait()
        await executor.join()
        executor.pause()
        waiting = await executor.append(Job(name="waiting"))
        gone = uuid4()
        events = named(path, done, waiting) | {str(gone): 0}
        assert await ask(path, "cancel", events=events, tag=["tests.other"]) == (
            {
                "others": {
                    str(done.id): "has ended",
                    str(waiting.id): "is not one of those that the other options choose",
                    str(gone): "is not in the journal any more",
                }
            },
            None,
        )
        assert waiting.status is EventStatus.PENDING
        executor.resume()


@pytest.mark.parametrize(("verb", "statuses"), [("cancel", ["cancelled"]), ("retry", ["completed"])])
@pytest.mark.parametrize("how", ["status", "name"])
async def test_held_events_are_decided(path, verb, statuses, how):
    """A command may end an event that is held, or let it run."""
    async with open_executor(path, ack="strict") as executor:
        event = await executor.append(HoldStep(name="held", seconds=5))
        await anyio.sleep(1)
        copy = crash(path)
    async with open_executor(copy) as executor:
        assert [held.id for held in await executor.held_events()] == [event.id]
        assert await ask(copy, "cancel", status=["pending"]) == ({}, None)
        choice = {"status": ["held"]} if how == "status" else {"events": named(copy, event)}
        assert await ask(copy, verb, **choice) == ({"events": 1}, None)
        assert await executor.held_events() == []
    assert rows(copy) == statuses


@pytest.mark.parametrize("how", ["status", "name"])
@pytest.mark.parametrize("verb", ["cancel", "skip"])
async def test_a_held_event_has_begun(path, verb, how):
    """`--unless-begun` leaves it held: it is neither ended nor released."""
    copy = await begun(path, HoldStep(name="held", seconds=5))
    async with open_executor(copy) as executor:
        (held,) = await executor.held_events()
        choice = {"status": ["held"]} if how == "status" else {"events": named(copy, held)}
        told = {} if how == "status" else {"others": {str(held.id): "has begun"}}
        assert await ask(copy, verb, unless_begun=True, **choice) == (told, None)
        assert (executor.journal.left, executor.explain(held).waits_for) == ({"held": 1}, WaitReason.HELD)
    assert rows(copy) == ["held"]


@pytest.mark.parametrize("how", ["status", "name"])
async def test_a_held_event_that_cannot_be_read_stays(path, how):
    """The others that are chosen end."""
    copy = await begun(path, HoldStep(name="held", seconds=5), HoldStep(name="other", seconds=5))
    async with open_executor(copy) as executor:
        events = await executor.held_events()
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE event SET event = replace(event, 'tests.hold', 'tests.nobody') WHERE seq = 1")
    stays = {
        str(events[0].id): "stays in the journal as it is: the process that runs the journal does not have it in memory"
    }
    async with open_executor(copy):
        choice = {"status": ["held"]} if how == "status" else {"events": named(copy, *events)}
        told = {"events": 1} | ({} if how == "status" else {"others": stays})
        assert await ask(copy, "cancel", **choice) == (told, None)
    assert rows(copy) == ["held", "cancelled"]


@pytest.mark.parametrize("how", ["status", "name"])
async def test_what_comes_after_a_held_event_is_ended(path, how):
    """It is pending, as while nobody runs the journal."""
    with anyio.CancelScope() as scope:
        async with open_executor(path, ack="strict") as executor:
            held = await executor.append(HoldStep(name="held", seconds=10))
            after = await executor.append(Step(name="after"), after=held)
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(copy) as executor:
        told = [f"{await executor.get(after.id)} is pending, waits for the end of 1 event"]
        assert await ask(copy, "explain", events=named(copy, after)) == ({"lines": told}, None)
        choice = {"status": ["pending"]} if how == "status" else {"events": named(copy, after)}
        assert await ask(copy, "cancel", **choice) == ({"events": 1}, None)
    assert rows(copy) == ["held", "cancelled"]


@pytest.mark.parametrize(
    ("limit", "after"),
    [
        (1, ["failed", "held", "failed", "completed"]),
        (2, ["failed", "held", "completed", "completed"]),
        (3, ["failed", "completed", "completed", "completed"]),
        (9, ["completed", "completed", "completed", "completed"]),
    ],
)
async def test_at_most_so_many_of_held_and_failed_events(path, limit, after):
    """The newest of all are chosen, as while nobody runs the journal."""
    steps = [Step(fails=1), HoldStep(seconds=5), Step(fails=1), HoldStep(seconds=5)]
    async with open_executor(path, ack="strict") as executor:
        events = await executor.extend(steps)
        await anyio.sleep(1)
        copy = crash(path)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE event SET event = replace(event, '\"fails\":1', '\"fails\":0')")
    async with open_executor(copy):
        assert rows(copy) == ["failed", "held", "failed", "held"]
        done, error = await ask(copy, "retry", status=["held", "failed"], limit=limit)
        assert (done["events"], error) == (min(limit, len(events)), None)
    assert rows(copy) == after


# -------------------------------------------------------------------- retry


async def broken(executor, *jobs):
    """Run jobs that fail."""
    failing.update(job.name for job in jobs)
    for job in jobs:
        await executor.append(job, key=job.name)
        await job.wait()
    failing.clear()
    await executor.join()


async def test_events_run_again(make, path):
    """By status, tag, error and time, as ``Executor.retry()``. The newest of them, with a limit."""
    async with make() as executor:
        await broken(executor, Job(name="a"), Other(name="b"), Job(name="c"), Job(name="d"))
        assert await ask(path, "retry", tag=["tests.other"]) == ({"events": 1}, None)
        assert await ask(path, "retry", error="A IS BROKEN") == ({"events": 1}, None)
        assert await ask(path, "retry", limit=1) == ({"events": 1}, None)
        await executor.join()
        assert [found.key async for found in executor.journal_events(status="failed")] == ["c"]
        assert await ask(path, "retry", since=4e9) == ({}, None)
        assert await ask(path, "retry", status=["failed", "skipped"], since=1.0) == ({"events": 1}, None)
        await executor.join()
        assert counts(executor) == {"completed": 4}


async def test_named_events_run_again(make, path):
    """Whatever their status is, also after they have left memory. The oldest first, so that followers wait."""
    async with make() as executor:
        failing.add("a")
        first = await executor.append(Job(name="a"))
        second = await executor.append(Job(name="b"), after=first)
        third = await executor.append(Job(name="c"))
        await executor.join()
        failing.clear()
        executor.pause()
        await executor.append(Job(name="open"))
        assert await ask(path, "retry", events=named(path, second, first, third)) == ({"events": 3}, None)
        assert await ask(path, "retry", events=named(path, third)) == (
            {"others": {str(third.id): "has not ended"}},
            None,
        )
        executor.resume()
        await executor.join()
        assert counts(executor) == {"completed": 4}


async def test_skipped_events_that_stay_are_counted(make, path):
    """Those that come after the events that run again, at whichever distance."""
    async with make() as executor:
        failing.add("a")
        first = await executor.append(Job(name="a"))
        second = await executor.append(Job(name="b"), after=first)
        await executor.append(Job(name="c"), after=second)
        await executor.join()
        failing.clear()
        assert await ask(path, "retry", status=["failed"]) == ({"events": 1, "skipped_after": 2}, None)
        await executor.join()
        assert await ask(path, "retry", status=["skipped"]) == ({"events": 2}, None)


async def test_named_events_that_do_not_run_again_have_their_reasons(make, path):
    """Not among those that the rest chooses, or gone."""
    async with make() as executor:
        await broken(executor, Job(name="a"))
        (event,) = await executor.find(key="a")
        gone = uuid4()
        events = named(path, event) | {str(gone): 99}
        assert await ask(path, "retry", events=events, status=["aborted"]) == (
            {
                "others": {
                    str(event.id): "is failed: only aborted events were asked for",
                    str(gone): "is not in the journal any more",
                }
            },
            None,
        )
        assert counts(executor) == {"failed": 1}


# -------------------------------------------------------------------- resize


async def test_resize(make, path):
    """The new number of slots holds at once."""
    async with make(concurrency_limit=1) as executor:
        jobs = [await executor.append(Job(seconds=10)) for _ in range(4)]
        await anyio.sleep(1)
        assert await ask(path, "resize", concurrency_limit=3) == ({}, None)
        await anyio.sleep(1)
        assert [job.status.value for job in jobs] == ["processing", "processing", "processing", "pending"]


# -------------------------------------------------------------------- all of them


@pytest.mark.parametrize(
    ("what", "args", "error"),
    [
        ("pause", {"keys": ["a"]}, "no limit has keys"),
        ("pause", {"keys": [None]}, "null is no key"),
        ("pause", {"until": 1.0}, "need a key or a limit"),
        ("pause", {"keys": ["a"], "until": 1e300}, "out of range"),
        ("pause", {"key": "a"}, "unknown field `key`"),
        ("resume", {"limit": "nowhere"}, "the executor has no limit 'nowhere'"),
        ("resize", {"concurrency_limit": 0}, "concurrency_limit"),
        ("resize", {"queue_capacity": "many"}, "Expected `int | null`"),
        ("cancel", {"status": ["failed"]}, "status must be pending, processing or held, got 'failed'"),
        ("cancel", {"limit": 0}, "Expected `int` >= 1"),
        ("skip", {"events": {"no id": 1}}, "badly formed"),
        ("retry", {"status": ["pending"]}, "events that are pending do not run again"),
        ("retry", {"status": ["nothing"]}, "nothing"),
        ("retry", {"error": " "}, "error must not be empty"),
        ("retry", {"since": "yesterday"}, "Expected `float | null`"),
        ("explode", {}, "this executor knows no command 'explode'"),
    ],
)
async def test_what_is_refused_changes_nothing(path, what, args, error):
    """The error is in the row of the command, in one line; the executor goes on."""
    async with Executor.of(Job, journal=Journal(path)) as executor:
        event = await executor.append(Job(seconds=100))
        await anyio.sleep(1)
        done, told = await ask(path, what, **args)
        assert done is None
        assert error in told
        assert "\n" not in told
        assert event.status is EventStatus.PROCESSING
        await executor.invoke(Job())


async def test_a_method_that_is_overridden_is_asked(path):
    """The commands go through the methods of the executor."""
    asked = []

    class StepProcessor(Processor):
        event_type = Step

    class Asked(Executor):
        processor_type = StepProcessor

        def cancel(self, event, reason=None):
            asked.append(reason)
            return super().cancel(event, reason)

    async with Asked({"queue_capacity": 10, "capacity_refresh_time": 0.01}, journal=Journal(path)) as executor:
        await executor.append(Step(seconds=100))
        await anyio.sleep(1)
        assert await ask(path, "cancel", status=["processing"], reason="why") == ({"running": 1}, None)
    assert asked == ["why"]


async def test_limits_with_names_can_be_paused(make, path):
    """A limit without keys, by its name."""
    async with make(limits=[Rate(100, per=1, name="all")]) as executor:
        assert await ask(path, "pause", limit="all") == ({"paused": ["limit all, until resume: by pause()"]}, None)
        event = await executor.append(Job())
        await anyio.sleep(100)
        assert event.status is EventStatus.PENDING
        assert await ask(path, "resume", limit="all") == ({}, None)
        await event.wait()


async def test_commands_are_carried_out_while_the_executor_stops(make, path):
    """What runs may be cancelled then, and what is to run again is pending for the next start."""
    async with anyio.create_task_group() as group, make() as executor:
        await broken(executor, Job(name="a"))
        event = await executor.append(Job(seconds=10_000))
        await anyio.sleep(1)
        group.start_soon(executor.stop)
        await anyio.sleep(1)
        assert await ask(path, "retry", status=["failed"]) == ({"events": 1}, None)
        assert await ask(path, "cancel", status=["processing"]) == ({"running": 1}, None)
        await event.wait()
    assert rows(path) == ["pending", "cancelled"]


async def test_events_run_again_while_the_block_is_being_left(make, path):
    """A task of the program could not do so. The end of the block waits for them."""
    executor = make()

    async def retry():
        await anyio.sleep(5)
        with pytest.raises(ExecutorClosedError):
            await executor.retry(status="failed")
        assert await ask(path, "retry", status=["failed"]) == ({"events": 1}, None)

    async with anyio.create_task_group() as group:
        async with executor:
            await broken(executor, Job(name="a"))
            await executor.append(Job(seconds=100))
            group.start_soon(retry)
    assert rows(path) == ["completed", "completed"]
