"""Events that end if they have not begun in time: ``expires=``; and calls that withdraw theirs."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio import current_time
from support import CONFIG, Job, JobExecutor, counts, make_executor, view_of

from lionpride_exec import (
    Cluster,
    ConfigurationError,
    Deny,
    Event,
    EventFailed,
    EventStatus,
    Executor,
    Journal,
    Rate,
    Retry,
    Skip,
    Wait,
    WaitReason,
    current_executor,
    utc_now,
)
from lionpride_exec.testing import BACKENDS, backend_options, check_invariants, inline, run

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 28, 12, tzinfo=UTC)


def expired(event):
    """Whether an event ended for that reason, and was never run."""
    assert event.status is EventStatus.SKIPPED
    assert isinstance(event.execution.error, Skip)
    assert not event.execution.attempts
    return "It expired" in str(event.execution.error)


# -------------------------------------------------------------------- what expires


async def test_what_has_not_begun_in_time_ends():
    """At that moment, with the reason; what has begun goes on."""
    ends = {}
    executor = make_executor(concurrency_limit=1)
    executor.observe(lambda event, _, status: ends.update({event.name: (status.value, current_time())}))
    async with executor:
        first = await executor.append(Job(name="first", seconds=10), expires=5)
        second = await executor.append(Job(name="second", seconds=1), expires=4)
        third = await executor.append(Job(name="third"), expires=60)
    assert first.status is third.status is EventStatus.COMPLETED
    assert expired(second)
    assert str(second.execution.error) == "It expired: it had not begun within 4 s"
    assert ends["second"] == ("skipped", 4)


async def test_nothing_expires_while_a_block_is_stopped():
    """The next start ends what is overdue, before it starts anything."""
    async with make_executor(concurrency_limit=1) as executor:
        await executor.append(Job(name="first", seconds=2))
        waiting = await executor.append(Job(name="second"), expires=10)
        await anyio.sleep(1)
        await executor.stop()
        await anyio.sleep(100)
        assert waiting.status is EventStatus.PENDING
        await executor.start()
        await waiting.wait()
        assert expired(waiting)


@pytest.mark.start(START)
async def test_expires_at_a_time():
    """A datetime with a time zone; the reason names it."""
    async with make_executor(concurrency_limit=1) as executor:
        await executor.append(Job(seconds=100))
        event = await executor.append(Job(), expires=START + timedelta(seconds=30))
        await event.wait()
        assert utc_now() == START + timedelta(seconds=30)
    assert str(event.execution.error) == "It expired: it had not begun by 2026-03-28T12:00:30+00:00"


@pytest.mark.start(START)
async def test_a_time_that_is_over():
    """It ends at once, and is not run."""
    async with make_executor() as executor:
        event = await executor.append(Job(), expires=START - timedelta(seconds=1))
    assert expired(event)
    assert current_time() == 0


async def say_wait(*_, **__):
    return Wait(50)


@pytest.mark.parametrize("holds_up", ["slot", "delay", "pause", "limit", "after", "gate"])
async def test_whatever_holds_it_up(holds_up):
    """A slot, a delay, a pause, a limit, an event that has to complete first, or a gate."""
    limits = [Rate(1, per=100)] if holds_up == "limit" else []
    async with make_executor(concurrency_limit=1 if holds_up == "slot" else 9, limits=limits) as executor:
        options = {}
        if holds_up in ("slot", "limit", "after"):
            first = await executor.append(Job(seconds=50))
            await anyio.sleep(1)
            options = {"after": [first]} if holds_up == "after" else {}
        elif holds_up == "gate":
            executor.processor.request_permission = say_wait
        elif holds_up in ("pause", "delay"):
            executor.pause()
            options = {"delay": 4} if holds_up == "delay" else {}
        began = current_time()
        event = await executor.append(Job(), expires=5, **options)
        await event.wait()
        assert expired(event)
        assert current_time() - began == 5
        executor.resume()


async def test_while_a_task_has_the_lock():
    """It ends when the lock is free, and does not start before that."""
    async with make_executor() as executor:
        executor.pause()
        event = await executor.append(Job(), expires=5)
        await anyio.sleep(1)
        async with executor.states.progressions:
            executor.resume()
            await anyio.sleep(10)
            assert event.status is EventStatus.PENDING
        await event.wait()
        assert current_time() == 11
    assert expired(event)


async def test_a_retry_goes_on():
    """The first start counts: what waits for its next attempt does not expire."""
    async with make_executor(retry=Retry(3, backoff=10, jitter=0)) as executor:
        event = await executor.append(Job(error=ValueError("no")), expires=5)
    assert event.status is EventStatus.FAILED
    assert event.execution.attempt == 3


async def test_who_comes_after_it_is_skipped_too():
    """As after any event that did not complete."""
    async with make_executor(concurrency_limit=1) as executor:
        await executor.append(Job(seconds=10))
        event = await executor.append(Job(), expires=5)
        follower = await executor.append(Job(), after=event)
    assert expired(event)
    assert follower.status is EventStatus.SKIPPED


async def test_a_known_key_keeps_its_expiry():
    """The event that has the key is as it was."""
    async with make_executor(concurrency_limit=1) as executor:
        await executor.append(Job(seconds=10))
        event = await executor.append(Job(), key="a")
        assert await executor.append(Job(), key="a", expires=5) is event
    assert event.status is EventStatus.COMPLETED


async def test_before_the_start_and_after_a_stop():
    """Nothing expires while the executor does not run; at the start, what is overdue does not begin."""
    executor = make_executor()
    early = await executor.append(Job(), expires=5)
    late = await executor.append(Job(), expires=timedelta(seconds=50))
    await anyio.sleep(10)
    assert early.status is EventStatus.PENDING
    async with executor:
        pass
    assert expired(early)
    assert late.status is EventStatus.COMPLETED
    await executor.start()
    executor.pause()
    stopped = await executor.append(Job(), expires=5)
    await executor.stop()
    await anyio.sleep(10)
    executor.resume()
    assert stopped.status is EventStatus.PENDING
    await executor.start()
    await stopped.wait()
    await executor.stop()
    assert expired(stopped)


async def test_a_batch_begins_nothing_late():
    """``forward()`` of an executor that does not run asks too."""
    executor = make_executor()
    await executor.start()
    executor.pause()
    event = await executor.append(Job(), expires=5)
    await executor.stop()
    await anyio.sleep(10)
    executor.resume()
    await executor.forward()
    assert expired(event)


async def test_a_timer_that_is_late_lets_nothing_begin():
    """The dispatcher asks before each start, whether or not the task has been woken."""
    async with make_executor(concurrency_limit=1) as executor:
        first = await executor.append(Job(seconds=9))
        event = await executor.append(Job(), expires=5)
        await anyio.sleep(1)
        for guest in view_of(executor).guests:
            guest.cancel()
        await first.wait()
        await event.wait()
        assert current_time() == 9
    assert expired(event)


async def test_a_gate_that_takes_its_time():
    """What it lets start too late does not start."""
    executor = make_executor()

    async def ask(*_, **__):
        await anyio.sleep(10)
        return True

    async with executor:
        executor.processor.request_permission = ask
        event = await executor.append(Job(), expires=5)
        await event.wait()
        assert current_time() == 5
    assert expired(event)


async def test_a_gate_that_denies_comes_first():
    """ABORTED stays ABORTED."""
    executor = make_executor()

    async def ask(*_, **__):
        return Deny("no")

    async with executor:
        executor.processor.request_permission = ask
        event = await executor.append(Job(), expires=5)
        await anyio.sleep(10)
    assert event.status is EventStatus.ABORTED


async def test_explain_says_when():
    """While it waits; not once it has begun."""
    async with make_executor(concurrency_limit=1) as executor:
        first = await executor.append(Job(seconds=10), expires=20)
        event = await executor.append(Job(), expires=5)
        await anyio.sleep(1)
        explanation = executor.explain(event)
        assert explanation.expires_in == 4
        assert explanation.waits_for is WaitReason.SLOT
        assert str(explanation).endswith("expires in 4 s")
        assert executor.explain(first).expires_in is None
        check_invariants(executor)


async def test_the_memory_is_in_proportion_to_what_may_expire():
    """What has ended is forgotten long before its time comes."""
    async with make_executor(concurrency_limit=50) as executor:
        for _ in range(20):
            await executor.extend([Job() for _ in range(50)], expires=86_400)
            await executor.join()
            await executor.cleanup_events()
        (guest,) = view_of(executor).guests
        assert len(guest) <= 200
        assert current_time() < 86_400


@pytest.mark.parametrize("lifetime", ["block", "run", "start"])
async def test_the_task_that_waits_keeps_nothing_from_ending(lifetime):
    """It ends with the group, however far away the last time is."""
    executor = make_executor()
    if lifetime == "block":
        async with executor:
            await executor.append(Job(), expires=1e6)
    elif lifetime == "run":
        async with anyio.create_task_group() as group:
            await group.start(executor.run)
            await executor.append(Job(), expires=1e6)
            await executor.join()
            await executor.stop()
    else:
        await executor.start()
        await executor.append(Job(), expires=1e6)
        await executor.join()
        await executor.stop()
    assert counts(executor) == {"completed": 1}
    assert current_time() < 10


# -------------------------------------------------------------------- the other ways in


@pytest.mark.parametrize("expires", [5, timedelta(seconds=5)])
async def test_invoke_extend_and_map_take_it(expires):
    """Each counts from when an event is taken in."""
    async with make_executor(concurrency_limit=1) as executor:
        blocker = await executor.append(Job(seconds=100))
        with pytest.raises(EventFailed, match="expired"):
            await executor.invoke(Job(), expires=expires)
        assert current_time() == 5
        events = await executor.extend([Job(), Job()], expires=expires)
        for event in events:
            await event.wait()
        assert current_time() == 10
        async for event in executor.map(Job, [Job(), Job()], expires=expires):
            assert expired(event)
        assert current_time() == 15
        executor.cancel(blocker)


async def test_inline():
    """An executor that runs events in ``append()`` ends what cannot begin in time."""
    executor = inline(make_executor(limits=Rate(1, per=100)))
    assert (await executor.append(Job(), expires=5)).status is EventStatus.COMPLETED
    assert expired(await executor.append(Job(), expires=timedelta(seconds=5)))


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"expires": 0}, ValueError, "expires must be positive"),
        ({"expires": timedelta(0)}, ValueError, "expires must be positive"),
        ({"expires": -1}, ValueError, "expires must be positive"),
        ({"expires": float("nan")}, ValueError, "expires must be finite"),
        ({"expires": float("inf")}, ValueError, "expires must be finite"),
        ({"expires": True}, ValueError, "expires must be finite"),
        ({"expires": "5"}, ValueError, "expires must be finite"),
        ({"expires": START.replace(tzinfo=None)}, ValueError, "expires must have a time zone"),
        ({"expires": 5, "delay": 5}, ValueError, "expires before it is due"),
        ({"expires": 5, "delay": 6}, ValueError, "expires before it is due"),
        ({"expires": START, "at": datetime(2999, 1, 1, tzinfo=UTC)}, ValueError, "expires before it is due"),
    ],
)
async def test_what_expires_must_be(options, error, words):
    """An error where it is written, and nothing has changed."""
    async with make_executor() as executor:
        with pytest.raises(error, match=words):
            await executor.append(Job(), **options)
        if len(options) == 1:
            with pytest.raises(error, match=words):
                await executor.extend([Job()], **options)
            with pytest.raises(error, match=words):
                executor.map(Job, [Job()], **options)
        assert not executor.states.items


async def test_a_cluster_refuses_it():
    """Its workers may begin an event at any time. Where it is asked for, and nothing has changed."""
    executor = JobExecutor(CONFIG, cluster=Cluster("redis://127.0.0.1:1", types={"job": Job}, unsigned=True))
    with pytest.raises(ConfigurationError, match="expires= is not available with a cluster"):
        await executor.append(Job(), expires=5)
    with pytest.raises(ConfigurationError, match="expires= is not available with a cluster"):
        await executor.extend([Job()], expires=5)
    assert not executor.states.items


# -------------------------------------------------------------------- cancel_on_abandon


async def test_a_caller_that_gives_up_after_a_stop_withdraws_its_event():
    """It is no event that runs again."""
    executor = make_executor()
    await executor.start()
    await executor.stop(grace=0)
    event = Job()
    with anyio.move_on_after(1):
        await executor.invoke(event, cancel_on_abandon=True)
    assert event.status is EventStatus.CANCELLED


@pytest.mark.parametrize("abandon", [True, False])
async def test_what_a_stop_interrupts_is_not_abandoned(tmp_path, abandon):
    """The caller is an event that runs again, and so does the event that it waits for."""

    class Child(Event[int], tag=f"test_expiry.child.{abandon}"):
        async def _invoke(self):
            await anyio.sleep(100)
            return 1

    class Parent(Event[int], tag=f"test_expiry.parent.{abandon}"):
        async def _invoke(self):
            return await current_executor().invoke(Child(), key="child", cancel_on_abandon=abandon)

    path = tmp_path / "run.db"
    async with Executor.of(Event, journal=Journal(path)) as executor:
        parent = await executor.append(Parent(), key="parent")
        await anyio.sleep(10)
        await executor.stop(grace=0)
        assert executor.status_counts()["pending"] == 2
    async with Executor.of(Event, journal=Journal(path)) as executor:
        await executor.join()
        assert (await executor.get(parent.id)).response == 1


@pytest.mark.parametrize("seconds", [1, 15])
async def test_an_abandoned_call_withdraws_its_event(seconds):
    """Whether it waits or runs: it ends CANCELLED when its caller does not wait any more."""
    async with make_executor(concurrency_limit=1) as executor:
        await executor.append(Job(name="first", seconds=10))
        event = Job(seconds=20)
        with anyio.move_on_after(seconds):
            await executor.invoke(event, cancel_on_abandon=True)
        await event.wait()
        assert current_time() == seconds
        assert "has stopped waiting" in str(event.execution.error)
    assert counts(executor) == {"completed": 1, "cancelled": 1}


async def test_without_it_the_event_goes_on():
    """As before."""
    async with make_executor() as executor:
        with anyio.move_on_after(1):
            await executor.invoke(Job(seconds=2))
    assert counts(executor) == {"completed": 1}


async def test_a_known_event_goes_on():
    """Another call has brought it."""
    async with make_executor() as executor:
        event = await executor.append(Job(seconds=5), key="a")
        with anyio.move_on_after(1):
            await executor.invoke(Job(), key="a", cancel_on_abandon=True)
    assert event.status is EventStatus.COMPLETED


async def test_an_event_that_has_ended_stays_as_it_is():
    """A cancellation that comes with the end changes nothing."""
    async with make_executor() as executor:
        with anyio.move_on_after(5):
            assert await executor.invoke(Job(name="done", seconds=5), cancel_on_abandon=True) in ("done", None)
        event = Job(error=ValueError("no"))
        with pytest.raises(EventFailed):
            await executor.invoke(event, cancel_on_abandon=True)
        assert event.status is EventStatus.FAILED


async def test_a_call_that_waits_for_room_leaves_nothing():
    """The event was never taken in."""
    async with make_executor(concurrency_limit=1, max_queue_size=1) as executor:
        await executor.extend([Job(seconds=10), Job(seconds=10)])
        event = Job()
        with anyio.move_on_after(1):
            await executor.invoke(event, cancel_on_abandon=True)
        assert event not in executor
        assert event.status is EventStatus.PENDING


# -------------------------------------------------------------------- with a journal


async def quick(number):
    """A function of which a journal knows the name."""
    return number


def stored(path, ack="lazy", **config):
    """Make an executor with a journal."""
    return JobExecutor(CONFIG | config, journal=Journal(path, types={"job": Job}, ack=ack))


@pytest.mark.parametrize("ack", ["lazy", "strict"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_survives_a_restart(tmp_path, backend, ack):
    """By the wall clock: what is overdue at the start does not begin; what is not keeps the rest of its time."""

    async def first():
        executor = stored(tmp_path / "run.db", ack)
        await executor.start()
        executor.pause()
        for name, seconds in (("overdue", 60), ("later", 600), ("never", None)):
            await executor.append(Job(name=name), expires=seconds)
        await executor.append(Job(name="time"), expires=START + timedelta(seconds=90))
        await executor.stop()

    async def second():
        executor = stored(tmp_path / "run.db", ack)
        ends = {}
        executor.observe(lambda event, _, status: ends.update({event.name: (status.value, round(current_time()))}))
        executor.pause()
        async with executor:
            await anyio.sleep(500)
            executor.resume()
        return ends

    run(first, backend=backend, start=START)
    ends = run(second, backend=backend, start=START + timedelta(seconds=120))
    assert ends == {
        "overdue": ("skipped", 0),
        "time": ("skipped", 0),
        "later": ("skipped", 480),
        "never": ("completed", 500),
    }


async def test_the_end_is_on_disk(tmp_path):
    """With its reason."""
    async with stored(tmp_path / "run.db", concurrency_limit=1) as executor:
        await executor.append(Job(seconds=10))
        event = await executor.append(Job(), expires=5)
        await event.wait()
    async with stored(tmp_path / "run.db") as executor:
        known = await executor.get(event.id)
        assert known.status is EventStatus.SKIPPED
        assert "It expired" in str(known.execution.error)


def test_what_has_begun_before_a_restart_goes_on(tmp_path):
    """The first start counts, also if that run was interrupted."""

    async def first():
        async with anyio.create_task_group() as group:
            executor = stored(tmp_path / "run.db")
            await executor.start()
            await executor.append(Job(seconds=1000), expires=60)
            await anyio.sleep(30)
            await executor.stop(grace=0)
            group.cancel_scope.cancel()

    async def second():
        async with stored(tmp_path / "run.db") as executor:
            event = executor.pending_events[0]
        return event.status, current_time()

    run(first, start=START)
    assert run(second, start=START + timedelta(days=1)) == (EventStatus.COMPLETED, 1000)


def test_a_file_of_an_executor_without_expiries_has_no_table(tmp_path):
    """It is made for the first event that expires, and tidied at the next start."""

    async def main(expires):
        async with stored(tmp_path / "run.db") as executor:
            await executor.append(Job(), expires=expires)
        with closing(sqlite3.connect(tmp_path / "run.db")) as connection:
            return connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'expiry'").fetchone()[0]

    assert run(main, None) == 0
    assert run(main, 60) == 1
    assert run(main, None) == 1
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection:
        assert connection.execute("SELECT count(*) FROM expiry").fetchone()[0] == 0


@pytest.mark.parametrize("seconds", [1e11, 1e300])
def test_a_time_after_the_year_9999(tmp_path, seconds):
    """It is stored, and a restart can read it."""

    async def first():
        executor = stored(tmp_path / "run.db")
        await executor.start()
        executor.pause()
        await executor.append(Job(), expires=seconds)
        await executor.stop()

    async def second():
        async with stored(tmp_path / "run.db") as executor:
            event = executor.pending_events[0]
            str(executor.explain(event))
        return event.status

    run(first, start=START)
    assert run(second, start=START) is EventStatus.COMPLETED


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_event_loop(backend):
    """The seconds go on by the wall clock."""
    executor = make_executor()
    name, options = backend_options(backend)

    async def first():
        event = await executor.append(Job(), expires=3600)
        await anyio.sleep(10)
        return event

    async def second():
        executor.pause()
        async with executor:
            await anyio.sleep(3000)
            executor.resume()

    event = anyio.run(first, backend=name, backend_options=options)
    name, options = backend_options(backend)
    anyio.run(second, backend=name, backend_options=options)
    assert event.status is EventStatus.COMPLETED


async def test_an_overridden_append_without_the_parameter():
    """It is called as before where no expiry is given."""

    class Old(JobExecutor):
        async def append(self, event, priority=None, *, wait=False, delay=None, at=None, after=(), key=None):
            return await super().append(event, priority, wait=wait, delay=delay, at=at, after=after, key=key)

    async with make_executor(Old) as executor:
        assert await executor.invoke(Job(name="a")) == "a"
        assert [event.name for event in await executor.extend([Job(name="b")])] == ["b"]
        assert [event.name async for event in executor.map(Job, [Job(name="c")])] == ["c"]


async def test_functions_too():
    """An executor of a function."""
    async with Executor.of(quick, concurrency_limit=1, limits=Rate(1, per=10)) as executor:
        events = [event async for event in executor.map(quick, range(3), expires=15)]
    assert sorted(event.status.value for event in events) == ["completed", "completed", "skipped"]
